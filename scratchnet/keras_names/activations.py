"""Keras's namespace `activations`: the activation functions, for arrays and for the results of layers."""

from __future__ import annotations

from typing import Any

from scratchnet.layers import activations as page

FUNCTIONS: dict[str, Any] = dict(getattr(page, "FUNCTIONS", {}))
globals().update(FUNCTIONS)

__all__ = [*FUNCTIONS]
