"""Networks that leave this package, and networks that enter it: the files of other runtimes and other frameworks.

Each module needs an optional library, which it imports when it is used.
"""

from scratchnet.exchange.safetensors_files import load_safetensors, save_safetensors

__all__ = ["load_safetensors", "save_safetensors"]
