"""Small data, small runs and the errors of the command, for the tests of the command and its tools."""

import gzip

import numpy as np

from scratchnet import cli


def write_idx(path, array):
    """Write bytes as an idx file, compressed if its name ends in .gz."""
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    content = header + array.tobytes()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def write_bars(folder, n_train=48, n_test=24, shape=(9, 7), classes=4, shift=0):
    """Write a folder of images: noise with a bright bar, whose height is the class; test labels are wrong by `shift`."""
    rng = np.random.default_rng(5)
    folder.mkdir(parents=True)
    for split, n, suffix in (("train", n_train, ""), ("t10k", n_test, ".gz")):
        labels = (np.arange(n) % classes).astype(np.uint8)
        images = rng.integers(0, 60, (n, *shape), dtype=np.uint8)
        images[np.arange(n), 2 * labels] = 250
        write_idx(folder / f"{split}-images-idx3-ubyte{suffix}", images)
        if split == "t10k":
            labels = ((labels + shift) % classes).astype(np.uint8)
        write_idx(folder / f"{split}-labels-idx1-ubyte{suffix}", labels)
    return folder


def train(data, folder, *words):
    """Train for one epoch on the data in a folder; `words` are further arguments."""
    return cli.main(["train", "--data", str(data), "--epochs", "1", "--batch-size", "16", "--out", str(folder), *words])


def refused(capsys, code, *words):
    """Run the command, check that it fails with `code` and one line on stderr, and return that line."""
    capsys.readouterr()
    assert cli.main([str(word) for word in words]) == code
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("scratchnet: ")
    return printed.err
