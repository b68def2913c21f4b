import gzip
import struct
import tracemalloc

import hypothesis.extra.numpy as npst
import numpy as np
import pytest
from conftest import idx_bytes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scratchnet.datasets import DataError
from scratchnet.datasets.idx import read_idx, read_pair

LABELS = idx_bytes(np.arange(10, dtype=np.uint8))


@pytest.fixture
def write(tmp_path):
    def write(content, name="file"):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return write


in_one_folder = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(array=npst.arrays(np.uint8, npst.array_shapes(min_dims=1, max_dims=4, max_side=6)), packed=st.booleans())
@in_one_folder
def test_what_is_written_as_idx_is_read_back_plain_or_packed(write, array, packed):
    content = gzip.compress(idx_bytes(array)) if packed else idx_bytes(array)
    read = read_idx(write(content), axes=array.ndim)
    np.testing.assert_array_equal(read, array)
    assert read.flags.writeable


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_cut_short_anywhere_is_refused(write, packed):
    whole = gzip.compress(LABELS) if packed else LABELS
    for length in range(len(whole)):
        with pytest.raises(DataError):
            read_idx(write(whole[:length]), axes=1)
    assert len(read_idx(write(whole), axes=1)) == 10


@given(st.binary(max_size=60))
@in_one_folder
def test_bytes_that_are_no_idx_file_never_raise_anything_but_a_data_error(write, content):
    try:
        read_idx(write(content), axes=1)
    except DataError:
        return
    assert content[:4] == b"\0\0\x08\x01"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89PNG" + LABELS[4:], "not an idx file: it starts with 89 50 4e 47"),
        (b"", "starts with nothing"),
        (b"\0\0\x0d" + LABELS[3:], "type 0x0d, expected 0x08"),
        (idx_bytes(np.zeros((2, 2, 2), np.uint8)), r"3 axes, expected 1 \(labels\)"),
        (LABELS[:6], "ends within its header, after 6 bytes"),
        (LABELS + b"\0", "holds more than the 10 values"),
        (LABELS[:-3], "cannot hold them|ends after 7 of the 10 values"),
    ],
)
def test_a_damaged_file_is_refused_with_what_is_wrong(write, content, message):
    with pytest.raises(DataError, match=message):
        read_idx(write(content), axes=1)


def test_a_packed_file_whose_sum_is_wrong_is_refused(write):
    packed = bytearray(gzip.compress(LABELS))
    packed[-6] ^= 1
    with pytest.raises(DataError, match="gzip stream is damaged"):
        read_idx(write(bytes(packed)), axes=1)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("shape", [(2**32 - 1,) * 3, (60_000, 28, 28)])
def test_a_header_that_promises_more_than_the_file_holds_takes_no_memory(write, shape, packed):
    content = b"\0\0\x08\x03" + struct.pack(">3I", *shape) + bytes(100)
    path = write(gzip.compress(content) if packed else content)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="promises"):
            read_idx(path, axes=3)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((3, 2, 2), np.uint8), np.zeros(2, np.uint8), "holds 3 images, but .* 2 labels"),
        (np.zeros((2, 2, 2), np.uint8), np.array([3, 10], np.uint8), "a label 10, expected 0 to 9"),
        (np.zeros((0, 2, 2), np.uint8), np.zeros(0, np.uint8), "holds no pixel"),
        (np.zeros((2, 0, 2), np.uint8), np.zeros(2, np.uint8), "holds no pixel"),
    ],
)
def test_images_and_labels_that_do_not_belong_together_are_refused(write, images, labels, message):
    with pytest.raises(DataError, match=message):
        read_pair(write(idx_bytes(images), "images"), write(idx_bytes(labels), "labels"), classes=10)
