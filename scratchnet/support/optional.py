"""Libraries that only some functions need: imported when such a function is called."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def optional(name: str, extra: str, who: str) -> Any:
    """Return an imported module of a library that may not be installed.

    Parameters
    ----------
    name : str
        The module, such as "onnx".
    extra : str
        The extra of this package that installs it.
    who : str
        The function that needs it, for the message.

    Raises
    ------
    ImportError
        When the library is not installed; the message has the command that installs it.

    Examples
    --------
    >>> optional("json", "onnx", "export_onnx").__name__
    'json'
    >>> optional("no_such_library", "onnx", "export_onnx")
    Traceback (most recent call last):
    ...
    ImportError: export_onnx: expected the library no_such_library, but it is not installed. pip install "scratchnet[onnx]"
    """
    try:
        return import_module(name)
    except ImportError as error:
        if error.name != name.partition(".")[0]:        # it is installed, and lacks something itself
            raise
        message = f'{who}: expected the library {name}, but it is not installed. pip install "scratchnet[{extra}]"'
        raise ImportError(message, name=error.name) from None
