"""Convolution: one small kernel looks at every place of the image.

"Convolution" here is what all such networks compute, the cross-correlation: the kernel is not turned round.

    out[n, oh, ow, f] = b[f] + Σ_i Σ_j Σ_c  x[n, oh·SH + i - top, ow·SW + j - left, c] · w[i, j, c, f]

Cells outside the image count as 0. Lay each window of the image out as a row (`im2col`, with its picture in
kernels/im2col.py) and the threefold sum is one matrix product, forward and backward:

    cols (N·OH·OW, KH·KW·C)  @  w (KH·KW·C, F)  +  b (F,)  =  out (N·OH·OW, F)

Source: LeCun, Bottou, Bengio & Haffner, *Gradient-based learning applied to document recognition* (1998), section II;
Chellapilla, Puri & Simard (2006), section 2, for the columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scratchnet import initializers, reference
from scratchnet.initializers import config_name, initialize
from scratchnet.kernels import conv2d as fused
from scratchnet.kernels.im2col import col2im, im2col
from scratchnet.layers.activations import activation_layer
from scratchnet.layers.base import Layer, Shape, pair
from scratchnet.padding import Pads, check_window, window_output_shape, window_pads


def conv2d_forward(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, strides: tuple[int, int], pads: Pads) -> np.ndarray:
    """Multiply every window with every filter: (N, H, W, C), (KH, KW, C, F), (F,) or None -> (N, OH, OW, F)."""
    N, F = x.shape[0], w.shape[-1]
    cols = im2col(x, w.shape[:2], strides, pads)                # (N, H, W, C) -> (N·OH·OW, KH·KW·C)
    out = cols @ w.reshape(-1, F)                               # (N·OH·OW, KH·KW·C) @ (KH·KW·C, F) -> (N·OH·OW, F)
    if b is not None:
        out = out + b
    return out.reshape(N, *window_output_shape(x.shape, w.shape[:2], strides, pads), F)


def conv2d_backward(
    dout: np.ndarray, x: np.ndarray, w: np.ndarray, strides: tuple[int, int], pads: Pads, need_dx: bool = True
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """Give dx, dw, db: of out = cols @ w + b, the product rule and the sum over all that used a number.

    w met every row of cols: dw = colsᵀ @ dout sums over the N·OH·OW windows. Each row of cols met all of w:
    dcols = dout @ wᵀ sums over the filters, and `col2im` adds up the windows that a pixel stood in. b was added to
    every row: db sums the rows.
    """
    F = w.shape[-1]
    cols = im2col(x, w.shape[:2], strides, pads)                # as in forward
    dout = dout.reshape(-1, F)                                  # (N, OH, OW, F) -> (N·OH·OW, F)
    db = dout.sum(axis=0)                                       # -> (F,)
    dw = (cols.T @ dout).reshape(w.shape)                       # (KH·KW·C, N·OH·OW) @ (N·OH·OW, F) -> (KH, KW, C, F)
    dx = None
    if need_dx:
        dcols = dout @ w.reshape(-1, F).T                       # (N·OH·OW, F) @ (F, KH·KW·C) -> (N·OH·OW, KH·KW·C)
        dx = col2im(dcols, x.shape, w.shape[:2], strides, pads) # -> (N, H, W, C)
    return dx, dw, db


class Conv2D(Layer):
    """A convolution over images.

    Parameters
    ----------
    filters : int
        Number F of maps that it makes.
    kernel_size : int or (int, int)
        Height and width of the kernel.
    strides : int or (int, int)
        Pixels from one window to the next.
    padding : {"valid", "same"}
        "valid" stays inside the image; "same" pads with 0 so that the output has ceil(H / stride) rows.
    activation : {"relu", "softmax", "linear"}, optional
        Adds an `Activation` layer behind this one in the graph.
    use_bias : bool
    kernel_initializer, bias_initializer : str or callable
        See `scratchnet.initializers`.
    implementation, name
        As for every `Layer`.

    Raises
    ------
    ValueError
        For an argument out of its range, an unknown name, or a kernel larger than the image under "valid".

    Examples
    --------
    >>> layer = Conv2D(4, (3, 3), strides=2, padding="same").build((9, 11, 2))
    >>> layer.forward(np.ones((1, 9, 11, 2), "float32")).shape
    (1, 5, 6, 4)
    >>> {name: p.shape for name, p in layer.params.items()}
    {'kernel': (3, 3, 2, 4), 'bias': (4,)}
    """

    tellings = {
        "loops": (reference.conv2d_forward, reference.conv2d_backward),
        "im2col": (conv2d_forward, conv2d_backward),
        "direct": (fused.direct_forward, fused.direct_backward),
        "fused": (fused.conv2d_forward, fused.conv2d_backward),
    }

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = (1, 1),
        padding: str = "valid",
        *,
        activation: str | None = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        implementation: str | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name, implementation=implementation)
        if not isinstance(filters, (int, np.integer)) or filters < 1:
            raise ValueError(f"filters is the number of maps, an integer of at least 1; got {filters!r}")
        self.filters = int(filters)
        self.kernel_size = pair("kernel_size", kernel_size)
        self.strides = pair("strides", strides)
        self.padding = padding
        self.activation = activation_layer(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        check_window(self.kernel_size, self.padding)

    def compute_output_shape(self, *input_shapes: Shape) -> Shape:
        """(H, W, C) -> (OH, OW, F)."""
        (shape,) = input_shapes
        check_window(self.kernel_size, self.padding, shape)
        pads = window_pads(self.padding, shape[:2], self.kernel_size, self.strides)
        return (*window_output_shape(shape, self.kernel_size, self.strides, pads), self.filters)

    def make_params(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Make the kernel (KH, KW, C, F) and the bias (F,)."""
        self.pads = window_pads(self.padding, self.input_shape[:2], self.kernel_size, self.strides)
        params = {"kernel": initialize(self.kernel_initializer, (*self.kernel_size, self.input_shape[2], self.filters), rng)}
        if self.use_bias:
            params["bias"] = initialize(self.bias_initializer, (self.filters,), rng)
        return params

    def forward(self, x: np.ndarray) -> np.ndarray:
        """(N, H, W, C) -> (N, OH, OW, F)."""
        self.check_input(x)
        self.cache = (x,)
        return self.forward_function(x, self.params["kernel"], self.params.get("bias"), self.strides, self.pads)

    def backward(self, dout: np.ndarray, need_dx: bool = True) -> np.ndarray | None:
        """(N, OH, OW, F) -> (N, H, W, C); fills `grads`."""
        (x,) = self.cached(dout)
        dx, dw, db = self.backward_function(dout, x, self.params["kernel"], self.strides, self.pads, need_dx)
        self.grads = {"kernel": dw, "bias": db} if self.use_bias else {"kernel": dw}
        return dx

    def get_config(self) -> dict[str, Any]:
        """Give the arguments that make this layer again."""
        return {
            "filters": self.filters,
            "kernel_size": list(self.kernel_size),
            "strides": list(self.strides),
            "padding": self.padding,
            "activation": self.activation.get_config()["activation"] if self.activation else None,
            "use_bias": self.use_bias,
            "kernel_initializer": config_name(self.kernel_initializer),
            "bias_initializer": config_name(self.bias_initializer),
            **super().get_config(),
        }
