"""Add: the sum of two or more paths of a graph, as in a residual block.

    out = a + b            da = dout,  db = dout

∂out/∂a = ∂out/∂b = 1, so each input receives dout unchanged.

Source: He et al., *Deep residual learning for image recognition* (2016), equation 1.
"""

from __future__ import annotations

import numpy as np

from scratchnet.layers.base import Layer, Shape


class Add(Layer):
    """Add outputs of the same shape: `Add()([a, b])`.

    Parameters
    ----------
    name : str, optional

    Raises
    ------
    ValueError
        For fewer than two inputs, or inputs of different shapes.

    Examples
    --------
    >>> layer = Add().build([(2,), (2,)])
    >>> layer.forward(np.array([[1, 2]], "float32"), np.array([[10, 20]], "float32"))
    array([[11., 22.]], dtype=float32)
    """

    def __init__(self, *, name: str | None = None):
        super().__init__(name=name)

    def compute_output_shape(self, *input_shapes: Shape) -> Shape:
        """Return the one shape that all inputs have."""
        if len(input_shapes) < 2:
            raise ValueError(f"Add: expected two or more inputs, got {len(input_shapes)}. Call it with a list: Add()([a, b])")
        if len(set(input_shapes)) > 1:
            shapes = ", ".join(map(str, input_shapes))
            raise ValueError(f"Add: expected inputs of the same shape, got {shapes}. Make their shapes equal before Add")
        return input_shapes[0]

    def forward(self, *xs: np.ndarray) -> np.ndarray:
        """Return the sum of the inputs, added from first to last."""
        self.check_inputs(xs)
        self.cache = (len(xs),)
        out = xs[0] + xs[1]
        for x in xs[2:]:
            out = out + x
        return out

    def backward(self, dout: np.ndarray, need_dx: bool = True) -> tuple[np.ndarray, ...]:
        """Return dout once for each input: the same array, which no layer modifies."""
        (count,) = self.cached(dout)
        return (dout,) * count
