"""Safetensors files: arrays by name. PyTorch and other libraries read and write them, and unlike pickles they contain no code.

The library safetensors reads and writes them: `pip install "scratchnet[safetensors]"`.

Source: the description of the format, https://huggingface.co/docs/safetensors.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from scratchnet.exchange.state_dict import array_of, check_state_dict, natural, refuse_pickles
from scratchnet.support.files import as_path, write_whole
from scratchnet.support.optional import optional

DTYPES = {              # NumPy's names of the types of numbers that a file may contain
    "F64": "float64", "F32": "float32", "F16": "float16", "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip


def save_safetensors(state_dict: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write arrays by name into a file of safetensors, completely or not at all.

    Parameters
    ----------
    state_dict : dict of str to array
        What `Model.to_torch_state_dict` returns, or any dict of arrays or of PyTorch's tensors.
    path : path
        The exact name of the file, such as "net.safetensors". An existing file is replaced.

    Raises
    ------
    ImportError
        When safetensors is not installed.
    TypeError
        When `state_dict` is not a dict of arrays.
    ValueError
        For the name of a pickle, such as "net.pt", and for an array that does not hold numbers, such as one of strings.
    """
    who = "save_safetensors"
    save = optional("safetensors.numpy", "safetensors", who).save
    refuse_pickles(who, path)
    arrays = {}
    for key, tensor in check_state_dict(who, state_dict).items():
        array = array_of(who, key, tensor)
        if array.dtype.name not in DTYPES.values():
            raise ValueError(f"{who}: expected {key!r} to hold floats or whole numbers, got {array.dtype}. Convert or remove it")
        arrays[key] = np.array(array, order="C")            # the library writes wrong numbers if an array is not contiguous
    content = save(arrays, metadata={"format": "pt"})
    write_whole(path, lambda file: file.write(content))


def load_safetensors(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Return the arrays of a file of safetensors by name, for `Model.from_torch_state_dict`.

    The names are sorted, numbers as numbers: "2.weight" is before "10.weight". A file does not keep the order in which PyTorch made
    them. bfloat16 becomes float32, which can represent all of its numbers.

    Raises
    ------
    ImportError
        When safetensors is not installed.
    FileNotFoundError, IsADirectoryError
    ValueError
        For a pickle, such as "net.pt", which is not read; for any other file that is not a safetensors file, or is damaged; and
        for a type of numbers that NumPy lacks.
    """
    who = "load_safetensors"
    library = optional("safetensors", "safetensors", who)
    refuse_pickles(who, path)
    path = as_path(path)
    if path.exists() and not path.is_file():            # a folder, or a pipe: reading it may wait for ever
        raise IsADirectoryError(f"{who}: expected a file, got {path}, which is not a file. Name one")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        fix = "save_safetensors(state_dict, path) writes one"
        raise FileNotFoundError(f"{who}: expected a file of safetensors, got no file at {path}. {fix}") from None
    try:
        stored = dict(library.deserialize(content))
    except library.SafetensorError as error:
        raise ValueError(
            f"{who}: expected a file of safetensors, got {path}, which is another file or damaged ({error})."
            " save_safetensors(state_dict, path) writes one"
        ) from None
    return {key: _array(f"{who}: {path}", key, stored[key]) for key in sorted(stored, key=natural)}


def _array(who: str, key: str, stored: Mapping[str, Any]) -> np.ndarray:
    """Return an array of what the library read: its type, its shape and its bytes."""
    kind, shape, data = stored["dtype"], stored["shape"], stored["data"]
    if kind == "BF16":                                  # the upper half of a float32
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)
    if kind not in DTYPES:
        raise ValueError(f"{who}: expected {key!r} to hold floats or whole numbers, got {kind}. Save it with tensor.float()")
    return np.frombuffer(data, np.dtype(DTYPES[kind]).newbyteorder("<")).reshape(shape)
