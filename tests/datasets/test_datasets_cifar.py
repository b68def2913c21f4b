import io
import pickle
import struct
import tarfile

import numpy as np
import pytest

from scratchnet.datasets import DataError, cifar
from scratchnet.datasets.cifar import BATCH_PIXELS, batch_contents, read_binary_batch, read_python_batch

ROWS = np.random.default_rng(0).integers(256, size=(10_000, 3072), dtype=np.uint8)
LABELS = [int(k) for k in np.random.default_rng(1).integers(10, size=10_000)]


def python_2_pickle(labels=LABELS, data=ROWS, extra=b""):
    """Return a batch as Python 2's cPickle wrote it: names as byte strings, lists appended to a thousand numbers at a time."""
    numbers = [b"K" + bytes([k]) if 0 <= k < 256 else b"J" + struct.pack("<i", k) for k in labels]
    parts = [b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x15training batch 1 of 5q\x03U\x06labelsq\x04]q\x05"]
    parts += [b"(" + b"".join(numbers[i : i + 1000]) + b"e" for i in range(0, len(numbers), 1000)]
    parts += [b"U\x04dataq\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08"]
    parts += [b"K\x00\x85U\x01b\x87Rq\x09(K\x01M\x10'M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"]
    parts += [b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"]
    parts += [b"T" + struct.pack("<i", data.size) + data.tobytes() + b"tb", extra]
    parts += [b"U\x09filenamesq\x0a]q\x0b(U\x05a.pngU\x05b.pnge", b"u."]
    return b"".join(parts)


def tar_gz(path, members):
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return path


def test_colour_planes_become_the_colours_of_pixels():
    row = np.concatenate([np.full(1024, 10), np.full(1024, 20), np.arange(1024) % 256]).astype(np.uint8)
    image = cifar.planes_to_pixels(row[None])[0]
    assert image[0, 0].tolist() == [10, 20, 0]
    assert image[0, 31].tolist() == [10, 20, 31]  # the next row is 32 bytes later
    assert image[1, 0].tolist() == [10, 20, 32]
    assert image.flags.c_contiguous


def test_a_binary_batch_is_a_label_before_each_image():
    content = b"".join(bytes([label]) + ROWS[n].tobytes() for n, label in enumerate((3, 0, 9)))
    images, labels = read_binary_batch(content, "batch")
    assert labels.tolist() == [3, 0, 9]
    np.testing.assert_array_equal(images.transpose(0, 3, 1, 2).reshape(3, -1), ROWS[:3])


@pytest.mark.parametrize("length", [0, 1, 3072, 3074, 2 * 3073 - 1])
def test_a_binary_batch_of_broken_records_is_refused(length):
    with pytest.raises(DataError, match=f"batch: expected a whole number of records .*, got {length:,} bytes"):
        read_binary_batch(bytes(length), "batch")


def test_a_binary_label_above_nine_is_refused():
    with pytest.raises(DataError, match="expected labels from 0 to 9, got 10"):
        read_binary_batch(bytes([10]) + bytes(3072), "batch")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(python_2_pickle, id="Python 2"),
        pytest.param(lambda: pickle.dumps({b"data": ROWS, b"labels": LABELS}, protocol=3), id="Python 3, bytes"),
        pytest.param(lambda: pickle.dumps({"labels": LABELS, "data": ROWS.tobytes()}, protocol=4), id="protocol 4"),
    ],
)
def test_a_pickled_batch_is_read_as_an_unpickler_would_read_it(content):
    images, labels = read_python_batch(content(), "batch")
    np.testing.assert_array_equal(images.transpose(0, 3, 1, 2).reshape(10_000, -1), ROWS)
    assert labels.tolist() == LABELS
    assert labels.dtype == np.uint8


def test_a_pickle_that_would_run_a_program_is_read_without_running_it(tmp_path):
    marker = tmp_path / "executed"
    attack = b"cos\nmkdir\n(V" + str(marker).encode() + b"\ntR0"
    content = python_2_pickle(extra=attack)
    with pytest.raises(Exception):  # noqa: B017  the attack is real: an unpickler gets as far as running it
        pickle.loads(b"\x80\x02" + attack + b"(.")
    assert marker.exists()
    marker.rmdir()
    images, _ = read_python_batch(content, "batch")
    assert len(images) == 10_000
    assert not marker.exists()


SMALL = np.zeros((1, 5), np.uint8)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: python_2_pickle(data=SMALL), "1 string of 30,720,000 bytes .* got 0 strings and 10,000 labels"),
        (lambda: python_2_pickle(labels=LABELS[:-1]), "got 1 strings and 9,999 labels"),
        (lambda: python_2_pickle(labels=LABELS[:-1] + [10]), "expected labels from 0 to 9, got 10"),
        (lambda: python_2_pickle(labels=LABELS[:-1] + [-1]), "expected labels from 0 to 9, got -1 to 9"),
        (lambda: python_2_pickle(labels=LABELS[:-1] + [256]), "expected labels from 0 to 9, got 0 to 256"),
        (lambda: pickle.dumps({"labels": LABELS, "a": bytes(BATCH_PIXELS), "b": bytearray(BATCH_PIXELS)}), "got 2 strings"),
        (lambda: python_2_pickle()[:-40], "expected a pickle"),
        (lambda: python_2_pickle()[:1_000_000], "expected a pickle"),
        (lambda: b"", "expected a pickle"),
        (lambda: b"N0" * 600_000 + b".", "got a pickle of over 1,000,000 instructions"),
    ],
)
def test_a_pickle_that_is_not_a_batch_is_refused_with_the_reason(content, message):
    with pytest.raises(DataError, match=message):
        read_python_batch(content(), "batch")


def test_batches_are_read_in_the_order_asked_for_from_a_folder_and_from_an_archive(tmp_path):
    (tmp_path / "b").write_bytes(b"two")
    (tmp_path / "a").write_bytes(b"one")
    archive = tar_gz(tmp_path / "x.tar.gz", [("set/b", b"two"), ("set/readme", b"?"), ("set/a", b"one")])
    for source in (tmp_path, archive):
        assert [content for _, content in batch_contents(source, ["a", "b"])] == [b"one", b"two"]


def test_a_path_in_an_archive_that_points_outside_writes_nothing(tmp_path):
    inner = tmp_path / "deep" / "inner"
    inner.mkdir(parents=True)
    archive = tar_gz(inner / "x.tar.gz", [("../../a", b"one"), ("/tmp/../b", b"two")])
    before = sorted(tmp_path.rglob("*"))
    assert len(list(batch_contents(archive, ["a", "b"]))) == 2
    assert sorted(tmp_path.rglob("*")) == before


def test_a_link_in_an_archive_is_not_followed(tmp_path):
    archive = tar_gz(tmp_path / "x.tar.gz", [("set/a", None)])
    with pytest.raises(DataError, match="has no a"):
        list(batch_contents(archive, ["a"]))


@pytest.mark.parametrize("kept", [0, 1, 60, 400])
def test_a_damaged_archive_is_refused(tmp_path, kept):
    content = np.random.default_rng(0).bytes(2000)
    archive = tar_gz(tmp_path / "x.tar.gz", [("set/a", content)])
    archive.write_bytes(archive.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"damaged|has no a"):
        list(batch_contents(archive, ["a"]))


def test_an_archive_that_unpacks_to_too_much_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar, "MOST_UNPACKED", 1_000_000)
    archive = tar_gz(tmp_path / "x.tar.gz", [("set/filler", bytes(3_000_000)), ("set/a", b"one")])
    with pytest.raises(DataError, match="unpacks to over 1,000,000 bytes"):
        list(batch_contents(archive, ["a"]))


def test_a_file_far_larger_than_a_batch_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar, "MOST_BYTES", 10)
    (tmp_path / "a").write_bytes(bytes(11))
    with pytest.raises(DataError, match="expected a CIFAR-10 batch of about 31 MB, got 11 bytes"):
        list(batch_contents(tmp_path, ["a"]))
