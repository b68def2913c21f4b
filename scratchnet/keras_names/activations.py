"""Keras's namespace `activations`: the activation functions, for arrays and for the results of layers."""

from __future__ import annotations

from scratchnet.layers.activations import FUNCTIONS

globals().update(FUNCTIONS)

__all__ = [*FUNCTIONS]
