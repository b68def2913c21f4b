"""Files of safetensors: what is written is read, what cannot be read is named, and no pickle is opened."""

import json
import os
import pickle
import struct
import sys

import numpy as np
import pytest
from paired_nets import SHAPES, ours

from scratchnet import exchange

NEEDED = "safetensors is not installed: pip install 'scratchnet[safetensors]'"


def file_of(header, data=b""):
    """The bytes of a file of safetensors, made by hand from the description of the format."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize("name", SHAPES)
def test_a_file_returns_every_weight(name, tmp_path):
    pytest.importorskip("safetensors", reason=NEEDED)
    model, other = ours(name, seed=1), ours(name, seed=2)
    exchange.save_safetensors(model.to_torch_state_dict(), tmp_path / "net.safetensors")
    other.from_torch_state_dict(exchange.load_safetensors(tmp_path / "net.safetensors"))
    for theirs, mine in zip(other.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(theirs, mine)
    assert [path.name for path in tmp_path.iterdir()] == ["net.safetensors"]


def test_names_that_are_numbers_are_sorted_as_numbers_so_that_a_stack_fits_in_order(tmp_path):
    pytest.importorskip("safetensors", reason=NEEDED)
    model, other = ours("net_3", seed=1), ours("net_3", seed=2)
    names = ["0", "2", "4", "6", "7", "11"]
    exchange.save_safetensors(model.to_torch_state_dict(names=names), tmp_path / "net.safetensors")
    loaded = exchange.load_safetensors(str(tmp_path / "net.safetensors"))
    assert list(dict.fromkeys(key.partition(".")[0] for key in loaded)) == names
    other.from_torch_state_dict(loaded)
    np.testing.assert_array_equal(other.get_weights()[-1], model.get_weights()[-1])


def test_the_file_is_that_of_the_library_and_the_library_reads_it(tmp_path):
    library = pytest.importorskip("safetensors.numpy", reason=NEEDED)
    arrays = {
        "transposed": np.arange(6, dtype="float32").reshape(2, 3).T,
        "every second": np.arange(8)[::2],
        "big-endian": np.array([1.5, 2], ">f8"),
        "number": np.array(3),
        "flags": np.array([True, False]),
        "empty": np.ones((0, 3), "float16"),
    }
    exchange.save_safetensors(arrays, tmp_path / "x")
    for loaded in (library.load_file(tmp_path / "x"), exchange.load_safetensors(tmp_path / "x")):
        assert loaded.keys() == arrays.keys()
        for key, array in arrays.items():
            np.testing.assert_array_equal(loaded[key], array, err_msg=key)
            assert loaded[key].shape == array.shape


def test_bfloat16_becomes_float32_exactly(tmp_path):
    pytest.importorskip("safetensors", reason=NEEDED)
    numbers = np.array([1, -2.5, 3.3895314e38, 1e-40, np.inf, 0.15625], "float32")
    upper = (numbers.view("<u4") >> 16).astype("<u2")
    header = {"w": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}}
    (tmp_path / "x").write_bytes(file_of(header, upper.tobytes()))
    (array,) = exchange.load_safetensors(tmp_path / "x").values()
    np.testing.assert_array_equal(array, (upper.astype("<u4") << 16).view("<f4").reshape(2, 3))
    assert array.dtype == np.float32
    assert array[0, 1] == -2.5


def test_a_type_that_numpy_lacks_is_named(tmp_path):
    pytest.importorskip("safetensors", reason=NEEDED)
    header = {"a.w": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}
    (tmp_path / "x").write_bytes(file_of(header, b"88"))
    with pytest.raises(ValueError, match=r"x: expected 'a.w' to hold floats or whole numbers, got F8_E4M3. Save"):
        exchange.load_safetensors(tmp_path / "x")


HEADER = {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"junk",
        pickle.dumps({"w": 1}),
        file_of(HEADER, bytes(4)),
        file_of(HEADER, bytes(9)),
        file_of({"w": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}, bytes(8)),
        file_of({"w": {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 8]}}, bytes(8)),
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        file_of(HEADER, bytes(8))[:30],
    ],
)
def test_a_file_that_is_damaged_or_another_is_refused(content, tmp_path):
    pytest.importorskip("safetensors", reason=NEEDED)
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ValueError, match=r"^load_safetensors: expected a file .*x, which is another file or damaged"):
        exchange.load_safetensors(tmp_path / "x")


@pytest.mark.parametrize("name", ["net.pt", "net.pth", "pytorch_model.bin", "a.ckpt", "NET.PT"])
def test_a_pickle_is_neither_read_nor_written(name, tmp_path):
    pytest.importorskip("safetensors", reason=NEEDED)

    class Harmful:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "harm"),))

    (tmp_path / name).write_bytes(pickle.dumps(Harmful()))
    fix = rf"'{name}', a pickle.*Convert it in PyTorch: safetensors.torch.save_file\(torch.load\('{name}', weights_only=True\)"
    with pytest.raises(ValueError, match=f"^load_safetensors: expected a file of safetensors, got {fix}"):
        exchange.load_safetensors(tmp_path / name)
    with pytest.raises(ValueError, match=r"^save_safetensors: expected a file of safetensors, got"):
        exchange.save_safetensors({"w": np.ones(2)}, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    pytest.importorskip("safetensors", reason=NEEDED)
    with pytest.raises(FileNotFoundError, match=r"expected a file of safetensors, got no file at .*none"):
        exchange.load_safetensors(tmp_path / "none")
    with pytest.raises(IsADirectoryError, match=r"expected a file, got .*which is not a file"):
        exchange.load_safetensors(tmp_path)


@pytest.mark.parametrize("array", [np.array(["a"]), np.ones(2, "complex64"), np.array([None])])
def test_arrays_that_a_file_cannot_have_are_refused_and_nothing_is_written(array, tmp_path):
    pytest.importorskip("safetensors", reason=NEEDED)
    with pytest.raises(ValueError, match="save_safetensors: expected 'w' to hold floats or whole numbers, got"):
        exchange.save_safetensors({"v": np.ones(2), "w": array}, tmp_path / "x")
    assert [*tmp_path.iterdir()] == []


def test_without_the_library_the_error_names_the_extra(monkeypatch, tmp_path):
    for name in ("safetensors", "safetensors.numpy"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, "path", [])
    for call in (lambda: exchange.load_safetensors(tmp_path / "x"), lambda: exchange.save_safetensors({}, tmp_path / "x")):
        with pytest.raises(ImportError, match=r'_safetensors: .*not installed.*pip install "scratchnet\[safetensors\]"'):
            call()


def test_pytorch_reads_our_file_and_we_read_its_file(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    library = pytest.importorskip("safetensors.torch", reason=NEEDED)
    exchange.save_safetensors(ours("net_2").to_torch_state_dict(), tmp_path / "ours")
    for key, tensor in library.load_file(tmp_path / "ours").items():
        np.testing.assert_array_equal(tensor.numpy(), ours("net_2").to_torch_state_dict()[key])
    theirs = {"a": torch.arange(6.0).reshape(2, 3), "half": torch.tensor([1.5, -2]).bfloat16(), "n": torch.tensor(3)}
    library.save_file(theirs, tmp_path / "theirs")
    exchange.save_safetensors(theirs, tmp_path / "both")
    for name in ("theirs", "both"):
        loaded = exchange.load_safetensors(tmp_path / name)
        assert loaded.keys() == theirs.keys()
        for key, tensor in theirs.items():
            np.testing.assert_array_equal(loaded[key], tensor.float().numpy())
