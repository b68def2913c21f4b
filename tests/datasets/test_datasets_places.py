import errno
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pooch
import pytest
from conftest import idx_bytes, small_idx_set, write_set
from test_datasets_cifar import tar_gz

from scratchnet import datasets
from scratchnet.datasets import DataError, cifar10, fashion_mnist, idx, mnist
from scratchnet.datasets.download import Source

CONTENTS, ARRAYS = small_idx_set()
CIFAR10_MEANS = [142.37, 116.70, 119.41, 116.23, 111.78, 117.39, 106.56, 118.89, 133.48, 124.28]


def assert_is_set(splits, arrays):
    for got, want in zip([a for split in splits for a in split], arrays.values(), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.fixture
def small_mnist(monkeypatch, mirror):
    """The addresses and checksums of MNIST and of Fashion-MNIST are those of a small set on a local server."""
    packed = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in CONTENTS.items()}
    for image_set in (mnist.SET, fashion_mnist.SET):
        monkeypatch.setattr(image_set, "files", {name: hashlib.sha256(data).hexdigest() for name, data in packed.items()})
        monkeypatch.setattr(image_set, "mirrors", (f"{mirror.url}/first/", f"{mirror.url}/second/"))
    for name, data in packed.items():
        mirror.add(f"/second/{name}", data)
    return mirror


def records(count, seed):
    rng = np.random.default_rng(seed)
    return b"".join(bytes([label % 10]) + rng.bytes(3072) for label in range(count))


BATCHES = {f"{batch}.bin": records(20, seed) for seed, batch in enumerate(cifar10.BATCHES)}


def write_cifar(folder):
    folder.mkdir(parents=True)
    for name, content in BATCHES.items():
        (folder / name).write_bytes(content)


def test_the_cache_is_the_folder_of_the_variable_or_the_systems_folder_for_caches(monkeypatch, tmp_path):
    assert datasets.cache_dir() == tmp_path / "cache"
    for unset in (lambda: monkeypatch.setenv("SCRATCHNET_CACHE", ""), lambda: monkeypatch.delenv("SCRATCHNET_CACHE")):
        unset()
        assert datasets.cache_dir() == Path(pooch.os_cache("scratchnet")).absolute()


def test_an_empty_variable_names_no_data_folder(monkeypatch):
    monkeypatch.setenv("SCRATCHNET_DATA", "")
    assert datasets.data_dir() is None
    monkeypatch.setenv("SCRATCHNET_DATA", "~")
    assert datasets.data_dir() == Path.home()



@pytest.mark.parametrize("packed", [False, True])
def test_mnist_in_the_named_folder_is_used_whatever_its_checksum(small_mnist, tmp_path, monkeypatch, packed):
    other, arrays = small_idx_set(seed=1, train=17, test=5)
    write_set(tmp_path / "mine" / "mnist", other, packed=packed)
    monkeypatch.setenv("SCRATCHNET_DATA", str(tmp_path / "mine"))
    assert_is_set(mnist.load_data(), arrays)
    assert small_mnist.asked == []
    assert datasets.verify("mnist").note == "17 + 5 images of 28×28, 10 classes; structure is right"


def test_mnist_is_downloaded_once_and_then_found_in_the_cache(small_mnist, cache):
    assert datasets.status()[2].place == ""
    assert_is_set(mnist.load_data(), ARRAYS)
    asked = len(small_mnist.asked)
    assert asked == 8  # for each of four files the first mirror fails
    assert_is_set(mnist.load_data(), ARRAYS)
    assert len(small_mnist.asked) == asked
    row = datasets.status()[2]
    assert (row.name, row.place, row.folder) == ("mnist", "cache", cache / "mnist")
    assert row.size == sum(file.stat().st_size for file in (cache / "mnist").iterdir())
    assert "checksums and structure are right" in datasets.verify("mnist").note


def test_a_named_folder_without_the_set_is_skipped(small_mnist, tmp_path, monkeypatch):
    incomplete = dict(list(CONTENTS.items())[:3])
    write_set(tmp_path / "mine" / "mnist", incomplete)
    monkeypatch.setenv("SCRATCHNET_DATA", str(tmp_path / "mine"))
    assert "does not hold the whole set" in datasets.status()[2].note
    assert datasets.fetch("mnist").place == "cache"
    assert len(list((tmp_path / "mine" / "mnist").iterdir())) == 3  # nothing is written there


def test_the_error_for_a_set_that_cannot_be_downloaded_names_every_file(small_mnist, cache):
    small_mnist.pages.clear()
    with pytest.raises(DataError) as caught:
        mnist.load_data()
    for name, sha256 in mnist.SET.files.items():
        assert f"  {name}\n    sha256 {sha256}" in str(caught.value)
    assert str(cache / "mnist") in str(caught.value)


def test_verify_detects_damage_in_the_cache_and_fetch_repairs_it(small_mnist, cache):
    datasets.fetch("mnist")
    file = cache / "mnist" / "t10k-labels-idx1-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-1] + b"\1")
    with pytest.raises(DataError, match=f"{file}: its SHA-256 is not"):
        datasets.verify("mnist")
    datasets.fetch("mnist")
    datasets.verify("mnist")


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("train-labels-idx1-ubyte", np.full(30, 10, np.uint8), "expected labels from 0 to 9, got 10"),
        ("train-images-idx3-ubyte", np.zeros((30, 27, 28), np.uint8), r"expected images of the same size, got \(27, 28\)"),
        ("t10k-labels-idx1-ubyte", np.zeros(19, np.uint8), "expected 20 labels, .*, got 19"),
    ],
)
def test_a_damaged_set_in_the_named_folder_is_refused(small_mnist, tmp_path, monkeypatch, name, array, message):
    write_set(tmp_path / "mine" / "mnist", {**CONTENTS, name: idx_bytes(array)})
    monkeypatch.setenv("SCRATCHNET_DATA", str(tmp_path / "mine"))
    with pytest.raises(DataError, match=message):
        mnist.load_data()
    assert small_mnist.asked == []


def test_mnist_of_another_size_is_refused(tmp_path, monkeypatch):
    write_set(tmp_path / "mnist", small_idx_set(side=32)[0])
    monkeypatch.setenv("SCRATCHNET_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"expected MNIST's images of \(28, 28\), got images of \(32, 32\)"):
        mnist.load_data()


def assert_is_cifar(splits):
    (x_train, y_train), (x_test, y_test) = splits
    assert (x_train.shape, y_train.shape) == ((100, 32, 32, 3), (100, 1))
    assert (x_test.shape, y_test.shape) == ((20, 32, 32, 3), (20, 1))
    third = np.frombuffer(BATCHES["data_batch_3.bin"], np.uint8).reshape(20, 3073)
    np.testing.assert_array_equal(x_train[40:60].transpose(0, 3, 1, 2).reshape(20, -1), third[:, 1:])
    assert y_test[:3, 0].tolist() == [0, 1, 2]


@pytest.mark.parametrize("form", ["folder", "archive"])
def test_cifar10_is_read_from_the_named_folder_unpacked_or_not(tmp_path, monkeypatch, form):
    if form == "folder":
        write_cifar(tmp_path / "cifar10" / "cifar-10-batches-bin")
    else:
        (tmp_path / "cifar10").mkdir()
        tar_gz(tmp_path / "cifar10" / "cifar-10-binary.tar.gz", BATCHES.items())
    monkeypatch.setenv("SCRATCHNET_DATA", str(tmp_path))
    assert_is_cifar(cifar10.load_data())
    dataset = datasets.load("cifar10")
    assert dataset.y_train.shape == (100,)
    assert dataset.class_names[6] == "frog"
    assert datasets.verify("cifar10").size > 0


def test_cifar10_with_a_batch_missing_is_skipped(tmp_path, monkeypatch, mirror):
    folder = tmp_path / "cifar10" / "cifar-10-batches-bin"
    write_cifar(folder)
    (folder / "test_batch.bin").unlink()
    monkeypatch.setenv("SCRATCHNET_DATA", str(tmp_path))
    monkeypatch.setattr(cifar10, "SOURCES", (Source(mirror.url + "/gone", *cifar10.BINARY),))
    with pytest.raises(DataError, match="does not hold the whole set"):
        cifar10.load_data()


def test_cifar10_is_downloaded_from_the_first_address_that_works(tmp_path, monkeypatch, mirror):
    archive = tar_gz(tmp_path / "any.tar.gz", [(f"bin/{name}", data) for name, data in BATCHES.items()]).read_bytes()
    binary = ("cifar-10-binary.tar.gz", hashlib.sha256(archive).hexdigest())
    monkeypatch.setattr(cifar10, "BINARY", binary)
    monkeypatch.setattr(
        cifar10,
        "SOURCES",
        (Source(mirror.url + "/gone", *cifar10.PYTHON), Source(mirror.add("/bin.tar.gz", archive), *binary)),
    )
    assert_is_cifar(cifar10.load_data())
    assert_is_cifar(cifar10.load_data())
    assert mirror.asked == ["/gone", "/bin.tar.gz"]
    assert datasets.verify("cifar10").place == "cache"
    (datasets.cache_dir() / "cifar10" / binary[0]).write_bytes(archive[:-1])
    with pytest.raises(DataError, match="SHA-256"):
        datasets.verify("cifar10")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "rename",
    [
        lambda name: name,
        lambda name: name.replace("t10k", "test"),
        lambda name: name.replace("-idx", ".idx"),
        lambda name: "emnist-letters-" + name.replace("t10k", "test"),
    ],
)
def test_any_folder_of_idx_files_loads_by_its_path(tmp_path, packed, rename):
    contents, arrays = small_idx_set(side=9, classes=4)
    write_set(tmp_path / "fashion", {rename(name): content for name, content in contents.items()}, packed=packed)
    dataset = datasets.load(tmp_path / "fashion")
    assert_is_set(((dataset.x_train, dataset.y_train), (dataset.x_test, dataset.y_test)), arrays)
    assert (dataset.name, dataset.class_names) == ("fashion", ("0", "1", "2", "3"))
    assert "4 classes; structure is right" in datasets.verify(str(tmp_path / "fashion")).note


SETS = ("balanced", "byclass", "bymerge", "digits", "letters", "mnist")


def emnist(name, seed=0, **shape):
    contents, arrays = small_idx_set(seed, **shape)
    return {f"emnist-{name}-{file.replace('t10k', 'test')}": content for file, content in contents.items()}, arrays


def test_all_four_files_come_from_one_set_or_the_folder_is_refused_with_the_sets_in_it(tmp_path):
    digits, letters = emnist("digits")[0], emnist("letters", 1, classes=26)[0]
    for missing in digits:      # whichever file of the first set is missing, that of the second has the right count
        folder = tmp_path / missing
        write_set(folder, {name: content for name, content in (digits | letters).items() if name != missing})
        part = missing.removeprefix("emnist-digits-").split("-idx")[0]
        with pytest.raises(DataError, match=r"expected the four files of one set, got files of 2 sets") as caught:
            datasets.load(folder)
        assert f"emnist-digits-train-images-idx3-ubyte (without {part})" in str(caught.value)
        assert "emnist-letters-train-images-idx3-ubyte (whole)" in str(caught.value)


def test_six_whole_sets_in_one_folder_are_refused_with_their_names(tmp_path):
    for seed, name in enumerate(SETS):
        write_set(tmp_path, emnist(name, seed)[0])
    for function in (datasets.load, datasets.fetch, datasets.verify):
        with pytest.raises(DataError, match="files of 6 sets") as caught:
            function(tmp_path)
        assert all(f"emnist-{name}-train-images" in str(caught.value) for name in SETS)


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: f"fashion-{name}",
        lambda name: name.replace("-idx", ".idx"),
        lambda name: name.replace("t10k", "test"),
    ],
    ids=["a prefix", "a dot", "the word for testing"],
)
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("whole", [True, False])
def test_files_that_differ_in_more_than_what_tells_the_four_apart_are_never_one_set(tmp_path, rename, count, whole):
    mine, _ = small_idx_set(0)
    others = dict(list(small_idx_set(1)[0].items())[-count:])
    write_set(tmp_path, {name: content for name, content in mine.items() if whole or name not in others})
    write_set(tmp_path, {rename(name): content for name, content in others.items() if rename(name) != name})
    with pytest.raises(DataError, match=r"of one set|has no"):
        datasets.load(tmp_path)


def test_a_plain_file_and_its_packed_copy_are_one_file_only_if_they_are_equal(tmp_path):
    contents, arrays = small_idx_set(0)
    write_set(tmp_path, contents, packed=True)
    write_set(tmp_path, contents, packed=False)
    dataset = datasets.load(tmp_path)
    assert_is_set(((dataset.x_train, dataset.y_train), (dataset.x_test, dataset.y_test)), arrays)
    other = small_idx_set(1)[0]["t10k-images-idx3-ubyte"]
    for packed in (False, True):
        write_set(tmp_path, contents, packed=True)
        write_set(tmp_path, contents, packed=False)
        write_set(tmp_path, {"t10k-images-idx3-ubyte": other}, packed=packed)
        with pytest.raises(DataError, match=r"expected the contents of t10k-images-idx3-ubyte, got others"):
            datasets.load(tmp_path)


def test_files_that_the_system_keeps_beside_a_set_are_no_other_set(tmp_path):
    contents, _ = emnist("letters")
    write_set(tmp_path, contents)
    write_set(tmp_path, {f"._{name}": b"Mac OS X" for name in contents})
    (tmp_path / "emnist-letters-mapping.txt").write_text("1 65 97")
    assert datasets.load(tmp_path, transpose=True).name == tmp_path.name


def test_emnist_is_said_to_be_transposed_when_it_is_loaded_unless_it_is_turned(tmp_path, monkeypatch, caplog):
    contents, arrays = emnist("letters")
    plain = {name.removeprefix("emnist-letters-"): content for name, content in contents.items()}
    for folder, files in (("any", contents), ("EMNIST-gzip", plain), ("mine/mnist", contents)):
        write_set(tmp_path / folder, files)
    monkeypatch.setenv("SCRATCHNET_DATA", str(tmp_path / "mine"))
    for source in (tmp_path / "any", tmp_path / "EMNIST-gzip", "mnist"):
        caplog.clear()
        datasets.load(source)
        assert "EMNIST's images are stored transposed" in caplog.text
        assert "--transpose" in caplog.text
        assert "EMNIST's images are stored transposed" in datasets.verify(source).checked
        caplog.clear()
        turned = datasets.load(source, transpose=True)
        assert caplog.text == ""
        np.testing.assert_array_equal(turned.x_train, arrays["train-images-idx3-ubyte"].transpose(0, 2, 1))
        np.testing.assert_array_equal(turned.x_test, arrays["t10k-images-idx3-ubyte"].transpose(0, 2, 1))
        assert turned.x_test.flags.c_contiguous


def test_nothing_is_said_of_other_sets(tmp_path, caplog):
    write_set(tmp_path / "fashion-mnist", CONTENTS)
    datasets.load(tmp_path / "fashion-mnist")
    assert caplog.text == ""


def test_colours_stay_where_they_are_when_images_are_transposed(tmp_path, monkeypatch):
    write_cifar(tmp_path / "cifar10" / "cifar-10-batches-bin")
    monkeypatch.setenv("SCRATCHNET_DATA", str(tmp_path))
    turned, plain = datasets.load("cifar10", transpose=True), datasets.load("cifar10")
    np.testing.assert_array_equal(turned.x_train, plain.x_train.transpose(0, 2, 1, 3))


def test_a_folder_in_the_place_of_a_file_is_called_a_folder(tmp_path, monkeypatch):
    write_set(tmp_path / "mnist", dict(list(CONTENTS.items())[1:]))
    (tmp_path / "mnist" / "train-images-idx3-ubyte").mkdir()
    monkeypatch.setenv("SCRATCHNET_DATA", str(tmp_path))
    for source in (tmp_path / "mnist", "mnist"):
        with pytest.raises(DataError, match="train-images-idx3-ubyte is a folder, expected a file"):
            datasets.load(source)


@pytest.mark.parametrize("form", ["cifar-10-binary.tar.gz", "cifar-10-batches-bin", "cifar-10-batches-bin/test_batch.bin"])
def test_what_cifar10_is_stored_in_is_called_what_it_is(tmp_path, monkeypatch, form):
    place = tmp_path / "cifar10" / form
    write_cifar(tmp_path / "other")
    place.parent.mkdir(parents=True)
    if form.endswith("batches-bin"):
        place.write_bytes(b"")
    else:
        place.mkdir()
    monkeypatch.setenv("SCRATCHNET_DATA", str(tmp_path))
    found, wanted = ("a file", "a folder") if form.endswith("batches-bin") else ("a folder", "a file")
    for function in (datasets.load, datasets.fetch, datasets.verify):
        with pytest.raises(DataError, match=f"{form}: expected {wanted}, got {found}"):
            function("cifar10")


def test_a_page_in_the_place_of_an_archive_is_called_a_page(tmp_path, monkeypatch):
    (tmp_path / "cifar10").mkdir()
    (tmp_path / "cifar10" / "cifar-10-binary.tar.gz").write_bytes(b"<html>Not found</html>")
    monkeypatch.setenv("SCRATCHNET_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"expected a \.tar\.gz, got a file that starts with 3c 68 74 6d \(an HTML or XML page\)"):
        datasets.load("cifar10")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "got ''"),
        ("a" * 300, "File name too long"),
        ("a/" * 5000, r"a/a/a/….* \(9,999 characters\): cannot be read \(File name too long\)"),
        ("nul\0", r"got 'nul\\x00'"),
        ("~no such account/data", "got '~no such account/data'"),
        (None, "got a value of type NoneType"),
        (["mnist"], "got a value of type list"),
        (b"mnist", "got a value of type bytes"),
    ],
    ids=["empty", "long name", "long path", "null", "account", "None", "list", "bytes"],
)
def test_a_path_that_cannot_be_a_set_is_refused_in_one_short_sentence(name, message):
    for function in (datasets.load, datasets.fetch, datasets.verify):
        with pytest.raises(DataError, match=message) as caught:
            function(name)
        assert len(str(caught.value)) < 600


def test_a_file_where_a_folder_should_be_is_called_a_file(tmp_path):
    write_set(tmp_path, CONTENTS)
    with pytest.raises(DataError, match=r"got a file, .*Name the folder that holds the set"):
        datasets.load(tmp_path / "train-images-idx3-ubyte.gz")


def forbid(monkeypatch, folder):
    """Make a folder unreadable, for root too."""
    real = os.stat

    def stat(path, *args, **kwargs):
        if isinstance(path, (str, os.PathLike)) and os.fspath(path).startswith(f"{folder}{os.sep}"):
            raise PermissionError(errno.EACCES, "Permission denied", os.fspath(path))
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "stat", stat)


@pytest.mark.parametrize("variable", ["SCRATCHNET_DATA", "SCRATCHNET_CACHE"])
@pytest.mark.parametrize("kind", ["forbidden", "long name", "long path", "loop"])
def test_a_place_that_cannot_be_read_hides_no_other_set_and_ends_in_one_sentence(tmp_path, monkeypatch, variable, kind):
    place = {"long name": tmp_path / ("a" * 300), "long path": tmp_path / ("a/" * 4000)}.get(kind, tmp_path / "place")
    if kind == "loop":
        place.symlink_to(place)
    monkeypatch.setenv(variable, str(place))
    if kind == "forbidden":
        forbid(monkeypatch, place)
    rows = {row.name: row for row in datasets.status()}
    assert "cannot be read" in rows["mnist"].note
    assert ("cannot be read" in rows["glyphs"].note) == (variable == "SCRATCHNET_CACHE")
    for name in ("mnist", "fashion-mnist", "cifar10"):
        for function in (datasets.load, datasets.fetch, datasets.verify):
            with pytest.raises(DataError, match="cannot be read"):
                function(name)


def test_a_set_in_plain_files_is_compared_with_the_published_contents(tmp_path, monkeypatch):
    monkeypatch.setattr(idx, "MNIST_SUMS", tuple(map(idx.content_sum, ARRAYS.values())))
    monkeypatch.setattr(mnist.SET, "counts", (30, 20))
    monkeypatch.setenv("SCRATCHNET_DATA", str(tmp_path))
    folder = tmp_path / "mnist"
    for packed, sums in ((False, "4 of 4 files are plain, without a checksum"), (True, "gzip checksums are right")):
        write_set(folder, CONTENTS, packed)
        for name in ("mnist", folder):
            assert datasets.verify(name).checked == f"{sums}; the contents are those of the published MNIST"
        for file in folder.iterdir():
            file.unlink()
    write_set(folder, CONTENTS, packed=False)
    file = folder / "train-images-idx3-ubyte"
    content = bytearray(file.read_bytes())
    content[5000] ^= 1
    file.write_bytes(content)
    for name in ("mnist", folder):
        with pytest.raises(DataError, match=f"{file}: expected the published MNIST, as in the other files, got other contents"):
            datasets.verify(name)
    for part, content in small_idx_set(1)[0].items():
        array = np.frombuffer(content, np.uint8).copy()
        array[-1] ^= 1
        (folder / part).write_bytes(array.tobytes())
    assert datasets.verify(folder).checked.endswith("without a checksum; no published sums are known for the contents")
    with pytest.raises(DataError, match="expected the contents of the published MNIST, got others"):
        datasets.verify("mnist")


def test_a_stored_cifar10_is_compared_with_whatever_is_published_of_it(tmp_path, monkeypatch):
    monkeypatch.setenv("SCRATCHNET_DATA", str(tmp_path))
    folder = tmp_path / "cifar10" / "cifar-10-batches-bin"
    write_cifar(folder)
    assert datasets.verify("cifar10").checked == "plain files have no checksum; no published sums are known for the contents"
    monkeypatch.setattr(cifar10, "TRAIN", 100)
    monkeypatch.setattr(cifar10, "TEST", 20)
    datasets.verify("cifar10")
    (folder / "data_batch_2.bin").write_bytes(b"\1" + BATCHES["data_batch_2.bin"][1:])
    with pytest.raises(DataError, match=r"expected 10 images of each class, got \[9, 11, 10"):
        datasets.verify("cifar10")
    shutil.rmtree(folder)
    archive = tar_gz(tmp_path / "cifar10" / "cifar-10-binary.tar.gz", BATCHES.items())
    assert datasets.verify("cifar10").checked == "the gzip checksum is right; it is not the published archive"
    monkeypatch.setattr(cifar10, "BINARY", (archive.name, hashlib.sha256(archive.read_bytes()).hexdigest()))
    assert datasets.verify("cifar10").checked == "the gzip checksum is right; it is the published archive"


def test_the_pickles_of_cifar10_are_compared_with_their_published_sums(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar10, "read_python_batch", cifar10.read_binary_batch)
    folder = tmp_path / "cifar10" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for name, content in BATCHES.items():
        (folder / name.removesuffix(".bin")).write_bytes(content)
    monkeypatch.setenv("SCRATCHNET_DATA", str(tmp_path))
    assert datasets.verify("cifar10").checked.endswith("the contents are not those of the published files")
    sums = {name.removesuffix(".bin"): hashlib.md5(content).hexdigest() for name, content in BATCHES.items()}
    monkeypatch.setattr(cifar10, "PICKLE_MD5", sums)
    assert datasets.verify("cifar10").checked.endswith("the contents are those of the published CIFAR-10")
    monkeypatch.setattr(cifar10, "PICKLE_MD5", {**sums, "data_batch_4": "0"})
    with pytest.raises(DataError, match="data_batch_4: expected the published CIFAR-10, as in the other files"):
        datasets.verify("cifar10")


def test_the_real_mnist_has_the_published_contents(real_data):
    real_data("mnist")
    assert datasets.verify("mnist").checked.endswith("the contents are those of the published MNIST")


def test_a_folder_with_a_file_missing_is_refused_with_its_name(tmp_path):
    write_set(tmp_path, {name: content for name, content in CONTENTS.items() if "t10k-labels" not in name})
    for function in (datasets.load, datasets.fetch, datasets.verify):
        with pytest.raises(DataError, match=r"has no t10k-labels-idx1-ubyte \(plain or \.gz\)"):
            function(tmp_path)


def test_splits_with_different_image_sizes_are_refused(tmp_path):
    write_set(tmp_path, {**CONTENTS, "t10k-images-idx3-ubyte": idx_bytes(np.zeros((20, 5, 5), np.uint8))})
    with pytest.raises(DataError, match=r"expected images of the same size, got \(28, 28\) for training and \(5, 5\) for testing"):
        datasets.load(tmp_path)


def test_the_error_for_an_unknown_name_lists_the_known_names():
    known = "expected glyphs, shapes, mnist, fashion-mnist, cifar10, or an idx folder, got 'mnits'"
    for function in (datasets.load, datasets.fetch, datasets.verify):
        with pytest.raises(DataError, match=known):
            function("mnits")


def test_verifying_a_set_that_is_not_there_fetches_nothing(mirror, cache):
    with pytest.raises(DataError, match="mnist is not stored yet"):
        datasets.verify("mnist")
    assert not cache.exists()


def test_importing_the_datasets_imports_neither_matplotlib_nor_pooch():
    program = "import sys, scratchnet.datasets; sys.exit(len({'matplotlib', 'pooch', 'requests'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], env=os.environ, check=False).returncode == 0


def test_the_real_mnist_is_the_one_the_study_used(real_data):
    real_data("mnist")
    (x_train, y_train), (x_test, y_test) = mnist.load_data()
    assert (x_train.shape, x_test.shape) == ((60_000, 28, 28), (10_000, 28, 28))
    assert np.bincount(y_train).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert x_train.mean() == pytest.approx(33.318, abs=0.001)


def test_the_real_cifar10_is_the_one_the_study_used(real_data):
    real_data("cifar10")
    (x_train, y_train), (x_test, y_test) = cifar10.load_data()
    assert (x_train.shape, x_test.shape) == ((50_000, 32, 32, 3), (10_000, 32, 32, 3))
    assert (y_train.shape, y_test.shape) == ((50_000, 1), (10_000, 1))
    assert np.bincount(y_train[:, 0]).tolist() == [5000] * 10
    assert np.bincount(y_test[:, 0]).tolist() == [1000] * 10
    by_class = [x_train[y_train[:, 0] == label].mean() for label in range(10)]
    assert by_class == pytest.approx(CIFAR10_MEANS, abs=0.01)  # copies may differ in order, so no image is named
    assert x_train.mean(axis=(0, 1, 2)) == pytest.approx([125.307, 122.950, 113.865], abs=0.001)


# -- Fashion-MNIST ----------------------------------------------------------------------------------------------------


def test_fashion_mnist_is_downloaded_once_and_then_found_in_the_cache(small_mnist, cache):
    assert_is_set(fashion_mnist.load_data(), ARRAYS)
    asked = len(small_mnist.asked)
    assert_is_set(fashion_mnist.load_data(), ARRAYS)
    assert len(small_mnist.asked) == asked > 0
    (row,) = [row for row in datasets.status() if row.name == "fashion-mnist"]
    assert (row.place, row.folder) == ("cache", cache / "fashion-mnist")
    assert not (cache / "mnist").exists()
    assert "checksums and structure are right" in datasets.verify("fashion-mnist").note


def test_a_damaged_file_of_fashion_mnist_in_the_cache_is_detected(small_mnist, cache):
    datasets.fetch("fashion-mnist")
    file = cache / "fashion-mnist" / "t10k-labels-idx1-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(DataError, match=rf"{file}: its SHA-256 is not"):
        datasets.verify("fashion-mnist")


def test_fashion_mnist_in_the_named_folder_has_its_class_names_and_says_what_was_compared(tmp_path, monkeypatch, small_mnist):
    write_set(tmp_path / "fashion-mnist", CONTENTS)
    monkeypatch.setenv("SCRATCHNET_DATA", str(tmp_path))
    loaded = datasets.load("fashion-mnist")
    assert loaded.class_names[0] == "T-shirt/top"
    assert loaded.class_names[9] == "Ankle boot"
    assert small_mnist.asked == []
    checked = datasets.verify("fashion-mnist").checked
    assert checked == "gzip checksums are right; no published sums are known for the contents"
    for name, content in CONTENTS.items():      # with the bytes that the small set's sums were computed from
        (tmp_path / "fashion-mnist" / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))
    checked = datasets.verify("fashion-mnist").checked
    assert checked == "gzip checksums are right; the contents are those of the published Fashion-MNIST"


def test_mnist_in_the_place_of_fashion_mnist_is_refused_when_it_is_loaded(tmp_path, monkeypatch):
    contents, arrays = small_idx_set()
    arrays["train-labels-idx1-ubyte"][:2] = 7               # as in MNIST, classes of different sizes
    contents["train-labels-idx1-ubyte"] = idx_bytes(arrays["train-labels-idx1-ubyte"])
    write_set(tmp_path / "fashion-mnist", contents)
    monkeypatch.setenv("SCRATCHNET_DATA", str(tmp_path))
    fashion_mnist.load_data()                               # a part of the set may have any classes
    monkeypatch.setattr(fashion_mnist.SET, "counts", (30, 20))
    for function in (datasets.load, datasets.verify):
        with pytest.raises(DataError, match=r"expected Fashion-MNIST's 3 images of each class, got .* files of MNIST"):
            function("fashion-mnist")


def test_the_real_mnist_is_not_taken_for_fashion_mnist(real_data, tmp_path, monkeypatch):
    real_data("mnist")
    (tmp_path / "fashion-mnist").symlink_to(Path(os.environ["SCRATCHNET_DATA"]) / "mnist")
    monkeypatch.setenv("SCRATCHNET_DATA", str(tmp_path))
    with pytest.raises(DataError, match="expected Fashion-MNIST's 6,000 images of each class, got"):
        fashion_mnist.load_data()


def test_the_real_fashion_mnist_is_the_published_one(real_data):
    real_data("fashion-mnist")
    assert datasets.verify("fashion-mnist").checked.endswith("the contents are those of the published Fashion-MNIST")
    (x_train, y_train), (x_test, y_test) = fashion_mnist.load_data()
    assert (x_train.shape, x_test.shape) == ((60_000, 28, 28), (10_000, 28, 28))
    assert y_train[:5].tolist() == [9, 0, 0, 3, 0]
    assert y_test[:5].tolist() == [9, 2, 1, 1, 6]
