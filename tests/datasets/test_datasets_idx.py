import bz2
import gzip
import lzma
import os
import struct
import tracemalloc

import hypothesis.extra.numpy as npst
import numpy as np
import pytest
from conftest import idx_bytes, small_idx_set, write_set
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scratchnet import datasets
from scratchnet.datasets import DataError, idx
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
        (np.zeros((3, 2, 2), np.uint8), np.zeros(2, np.uint8), "expected 3 labels, one for each image in .*, got 2"),
        (np.zeros((2, 2, 2), np.uint8), np.array([3, 10], np.uint8), "expected labels from 0 to 9, got 10"),
        (np.zeros((0, 2, 2), np.uint8), np.zeros(0, np.uint8), "expected at least one pixel"),
        (np.zeros((2, 0, 2), np.uint8), np.zeros(2, np.uint8), "expected at least one pixel"),
    ],
)
def test_images_and_labels_that_do_not_belong_together_are_refused(write, images, labels, message):
    with pytest.raises(DataError, match=message):
        read_pair(write(idx_bytes(images), "images"), write(idx_bytes(labels), "labels"), classes=10)


def bomb(axes, *shape):
    """Return a small gzip file that holds as many zeros as its header announces: 1,032 bytes in one."""
    head, size = bytes([0, 0, 8, axes]) + struct.pack(f">{axes}I", *shape), int(np.prod(shape))
    member = gzip.compress(bytes(1 << 24))
    return gzip.compress(head) + member * (size >> 24) + gzip.compress(bytes(size % (1 << 24)))


def peak(action, message):
    """Check that `action` is refused with `message`, and return the most memory that it took."""
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=message):
            action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_packed_file_whose_header_agrees_with_its_bomb_takes_no_memory_before_it_is_refused(write):
    file = write(bomb(3, 5_000_000, 28, 28))      # 4 MB that hold 3.9 GB
    assert file.stat().st_size < 6e6
    assert peak(lambda: read_idx(file, axes=3), "expected at most 1,073,741,824 values, got 3,920,000,000") < 1e6


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_the_headers_of_all_four_files_are_compared_before_any_values_are_read(tmp_path, name):
    contents, _ = small_idx_set()
    write_set(tmp_path, contents)
    big = bomb(3, 200_000, 28, 28) if "images" in name else bomb(1, 160_000_000)
    (tmp_path / f"{name}.gz").write_bytes(big)
    assert peak(lambda: datasets.load(tmp_path), "expected .* labels, one for each image") < 1e6


def test_mnist_holds_no_more_images_than_mnist_has(tmp_path, monkeypatch):
    contents, _ = small_idx_set()
    write_set(tmp_path / "mnist", contents)
    (tmp_path / "mnist" / "train-images-idx3-ubyte.gz").write_bytes(bomb(3, 200_000, 28, 28))
    (tmp_path / "mnist" / "train-labels-idx1-ubyte.gz").write_bytes(bomb(1, 200_000))
    monkeypatch.setenv("SCRATCHNET_DATA", str(tmp_path))
    assert peak(datasets.mnist.load_data, "expected at most MNIST's 60,000 images, got 200,000") < 1e6


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"<!DOCTYPE html><html><h1>404</h1></html>", "an HTML or XML page"),
        (b"\xef\xbb\xbf\r\n  <html>", "an HTML or XML page"),
        (b"PK\x03\x04" + bytes(40), "a zip archive"),
        (bz2.compress(LABELS), "a bzip2 file"),
        (lzma.compress(LABELS), "an xz file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ba89", "a pointer of Git LFS, not the file itself"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_file_of_another_kind_is_called_what_it_is(write, content, what, packed):
    with pytest.raises(DataError, match=rf"got a file that starts with .. .. .. .. \({what}\)"):
        read_idx(write(gzip.compress(content) if packed else content), axes=1)


def test_a_file_that_was_packed_twice_is_called_so(write):
    with pytest.raises(DataError, match=r"starts with 1f 8b .. .. \(a gzip file\)"):
        read_idx(write(gzip.compress(gzip.compress(LABELS))), axes=1)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_what_is_no_file_is_called_what_it_is_and_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")      # to open it would wait for a writer
    for place, what in ((tmp_path, "a folder"), (tmp_path / "pipe", "a pipe or device")):
        with pytest.raises(DataError, match=f"expected a file, got {what}"):
            read_idx(place, axes=1)
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(DataError, match="expected a file, got a broken link"):
        read_idx(tmp_path / "link", axes=1)
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "gone", axes=1)
    with pytest.raises(DataError, match=r"cannot be read \(File name too long\)"):
        read_idx(tmp_path / ("a" * 5000), axes=1)


def test_the_content_sum_is_that_of_the_unpacked_file():
    import hashlib

    for array in small_idx_set()[1].values():
        assert idx.content_sum(array) == hashlib.sha256(idx_bytes(array)).hexdigest()


def test_each_header_is_read_before_any_values_and_with_its_values_and_no_third_time(tmp_path, monkeypatch):
    write_set(tmp_path, small_idx_set()[0])
    reads, read_header = [], idx._read_header

    def noted(stream, path, *rest):
        reads.append(path.name)
        return read_header(stream, path, *rest)

    monkeypatch.setattr(idx, "_read_header", noted)
    datasets.load(str(tmp_path))
    assert sorted(reads) == sorted(2 * [path.name for path in tmp_path.iterdir()])
    assert len({*reads[:4]}) == 4
