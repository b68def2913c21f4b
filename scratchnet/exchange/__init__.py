"""Networks and weights to and from other programs: ONNX files, the state dicts of PyTorch, and safetensors files.

A module that needs an optional library imports it only when a function needs it.
"""

from scratchnet.exchange.safetensors_files import load_safetensors, save_safetensors

__all__ = ["load_safetensors", "save_safetensors"]
