"""Damaged data files: a flipped bit or a missing end is refused, or changes nothing; it never changes an image or a label.

Every form in which a packed set may be stored is damaged at random. `pytest -m slow` damages large files 300 times.
"""

import pickle

import numpy as np
import pytest
from conftest import small_idx_set, write_set
from test_datasets_cifar import tar_gz

from scratchnet import datasets
from scratchnet.datasets import DataError, cifar10
from scratchnet.datasets.generated import GeneratedSet

FORMS = ("idx", "cifar-10-binary.tar.gz", "cifar-10-python.tar.gz", "drawn")


def damage(content, rng):
    """Return `content` with one to three flipped bits, or cut short; in a third of all cases near an end of the file."""
    if rng.random() < 0.4:
        at = rng.integers(len(content)) if rng.random() < 0.6 else max(0, len(content) - 1 - int(rng.integers(40)))
        return content[:at]
    damaged = np.frombuffer(content, np.uint8).copy()
    near = rng.random() < 0.35
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(min(40, len(damaged)))) if near else int(rng.integers(len(damaged)))
        damaged[-1 - at if rng.random() < 0.5 else at] ^= 1 << rng.integers(8)
    return damaged.tobytes()


def images(count, seed):
    """Return images that compress as photographs do: smooth, with noise."""
    rng = np.random.default_rng(seed)
    return (np.cumsum(rng.integers(-9, 10, (count, 3072)), axis=1) % 256).astype(np.uint8)


def binary(count, seed):
    labels = np.random.default_rng(seed).integers(10, size=(count, 1), dtype=np.uint8)
    return np.hstack([labels, images(count, seed)]).tobytes()


def pickled(seed):
    labels = np.random.default_rng(seed).integers(10, size=10_000)
    return pickle.dumps({"labels": labels.tolist(), "data": np.tile(images(100, seed), (100, 1))}, protocol=2)


def stored(form, folder, count, monkeypatch):
    """Store a set of `count` images a file in `folder`; return its packed files, and the function that loads it."""
    folder.mkdir()
    monkeypatch.setenv("SCRATCHNET_DATA", str(folder))
    if form == "idx":
        write_set(folder / "mnist", small_idx_set(train=count, test=count)[0])
        return sorted((folder / "mnist").iterdir()), datasets.mnist.load_data
    if form == "drawn":
        def draw(rng, n):
            return rng.integers(256, size=(n, 4, 4), dtype=np.uint8), rng.integers(10, size=n, dtype=np.uint8)

        drawn = GeneratedSet("noise", "0123456789", 1, lambda: draw)
        monkeypatch.setattr("scratchnet.datasets.generated.TRAIN", count)
        monkeypatch.setattr("scratchnet.datasets.generated.TEST", count)
        found = drawn.fetch()
        return list(found.files), lambda: drawn.read(found)
    (folder / "cifar10").mkdir()
    make, suffix = (pickled, "") if "python" in form else (lambda seed: binary(count, seed), ".bin")
    members = [(f"set/{batch}{suffix}", make(seed)) for seed, batch in enumerate(cifar10.BATCHES)]
    return [tar_gz(folder / "cifar10" / form, members)], cifar10.load_data


def outcome(load):
    """Return why the set is refused, and no arrays; or no reason, and its arrays."""
    try:
        return "", [array for split in load() for array in split]
    except DataError as error:
        return str(error), []


def campaign(form, folder, count, damages, monkeypatch):
    """Damage the files of a set `damages` times, load it each time, and return how often it was refused and how often read."""
    files, load = stored(form, folder, count, monkeypatch)
    right = [array for split in load() for array in split]
    rng = np.random.default_rng(damages)
    refused = 0
    for n in range(damages):
        file = files[n % len(files)]
        whole = file.read_bytes()
        damaged = damage(whole, rng)
        file.write_bytes(damaged)
        reason, got = outcome(load)
        if reason:
            refused += 1
            assert str(file) in reason
            assert "\n" not in reason
        else:
            same = [a.shape == b.shape and np.array_equal(a, b) for a, b in zip(got, right, strict=True)]
            assert all(same), f"damage {n} of {form}: other images were read in silence"
        file.write_bytes(whole)
    return refused, damages - refused


@pytest.mark.parametrize(("form", "damages"), [("idx", 60), ("cifar-10-binary.tar.gz", 30), ("drawn", 60)])
def test_damaged_packed_files_are_refused_or_read_as_they_were(tmp_path, monkeypatch, form, damages):
    refused, _ = campaign(form, tmp_path / "data", 12, damages, monkeypatch)
    assert refused > damages * 0.7


@pytest.mark.slow
@pytest.mark.parametrize(("form", "count", "damages"), list(zip(FORMS, (5000, 1000, 0, 4000), (110, 110, 20, 60), strict=True)))
def test_300_damages_of_large_packed_files_are_refused_or_read_as_they_were(tmp_path, monkeypatch, form, count, damages):
    refused, same = campaign(form, tmp_path / "data", count, damages, monkeypatch)
    print(f"{form}: {damages} damages, {refused} refused, {same} read as they were, 0 read otherwise")
    assert refused > damages * 0.7


def test_the_checksum_at_the_end_of_an_archive_is_compared(tmp_path, monkeypatch):
    (file,), load = stored("cifar-10-binary.tar.gz", tmp_path / "data", 2, monkeypatch)
    whole = file.read_bytes()
    for at in range(len(whole) - 8, len(whole)):      # the checksum and the length
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        with pytest.raises(DataError, match="the gzip stream is damaged"):
            load()
    file.write_bytes(whole + b"more")
    with pytest.raises(DataError, match="the gzip stream is damaged"):
        load()
    file.write_bytes(whole + bytes(512))      # tape drives pad with zeros, and gzip allows it
    load()


def test_an_archive_with_two_batches_of_one_name_is_refused(tmp_path, monkeypatch):
    (file,), load = stored("cifar-10-binary.tar.gz", tmp_path / "data", 2, monkeypatch)
    tar_gz(file, [(f"{folder}/{batch}.bin", binary(2, 0)) for folder in "ab" for batch in cifar10.BATCHES])
    with pytest.raises(DataError, match=r"expected one data_batch_1\.bin, got two"):
        load()


def test_a_batch_that_is_far_too_large_is_refused_before_it_is_read(tmp_path, monkeypatch):
    _, load = stored("cifar-10-binary.tar.gz", tmp_path / "data", 2, monkeypatch)
    monkeypatch.setattr("scratchnet.datasets.cifar.MOST_BYTES", 6000)
    with pytest.raises(DataError, match="expected a batch of about 31 MB, got 6,146 bytes"):
        load()


