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
def test_an_array_written_as_idx_is_read_back_plain_or_packed(write, array, packed):
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
def test_bytes_that_are_not_an_idx_file_raise_only_a_data_error(write, content):
    try:
        read_idx(write(content), axes=1)
    except DataError:
        return
    assert content[:4] == b"\0\0\x08\x01"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89PNG" + LABELS[4:], "expected an idx file, .* got a file that starts with 89 50 4e 47"),
        (b"", "a file that starts with nothing"),
        (b"\0\0\x0d" + LABELS[3:], r"expected idx type 0x08 \(unsigned byte\), got 0x0d"),
        (idx_bytes(np.zeros((2, 2, 2), np.uint8)), r"expected 1 axes \(labels\), got 3 axes"),
        (LABELS[:6], "ends within its header, after 6 bytes"),
        (LABELS + b"\0", r"expected 10 values \(shape \(10,\)\), the file holds more"),
        (LABELS[:-3], "more than the file can hold|expected 10 values .* the file ends after 7"),
    ],
)
def test_a_damaged_file_is_refused_with_the_reason(write, content, message):
    with pytest.raises(DataError, match=message):
        read_idx(write(content), axes=1)


def test_a_packed_file_with_a_wrong_checksum_is_refused(write):
    packed = bytearray(gzip.compress(LABELS))
    packed[-6] ^= 1
    with pytest.raises(DataError, match="gzip stream is damaged"):
        read_idx(write(bytes(packed)), axes=1)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("shape", [(2**32 - 1,) * 3, (60_000, 28, 28)])
def test_a_header_that_announces_more_than_the_file_holds_allocates_no_memory(write, shape, packed):
    content = b"\0\0\x08\x03" + struct.pack(">3I", *shape) + bytes(100)
    path = write(gzip.compress(content) if packed else content)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="the header announces"):
            read_idx(path, axes=3)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((3, 2, 2), np.uint8), np.zeros(2, np.uint8), "expected 3 labels, one for each image in .*, got 2 labels"),
        (np.zeros((2, 2, 2), np.uint8), np.array([3, 10], np.uint8), "expected labels from 0 to 9, got 10"),
        (np.zeros((0, 2, 2), np.uint8), np.zeros(0, np.uint8), "expected at least one pixel"),
        (np.zeros((2, 0, 2), np.uint8), np.zeros(2, np.uint8), "expected at least one pixel"),
    ],
)
def test_images_and_labels_that_do_not_belong_together_are_refused(write, images, labels, message):
    with pytest.raises(DataError, match=message):
        read_pair(write(idx_bytes(images), "images"), write(idx_bytes(labels), "labels"), classes=10)
