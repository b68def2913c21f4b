"""Convolution: every output is a weighted sum of the pixels in a small window, with the same weights at each position.

"Convolution" means cross-correlation here, as in all convolutional networks: the kernel is not flipped, so the index of x in (1)
has + i, where a convolution in mathematics has - i.

    out[n, oh, ow, f] = b[f] + Σ_i Σ_j Σ_c  x[n, oh·SH + i - top, ow·SW + j - left, c] · w[i, j, c, f]           (1)

Pixels outside the image count as 0; `top` and `left` are the rows and columns of padding above it and to its left (padding.py).
Number the windows by r = (n, oh, ow) and the cells of a window by q = (i, j, c), and lay each window out as a row of a matrix,
cols[r, q] (`im2col`, with its picture in kernels/im2col.py). The triple sum is then one matrix product:

    out[r, f] = b[f] + Σ_q cols[r, q] · w[q, f]                                                                  (2)

    cols (N·OH·OW, KH·KW·C)  @  w (KH·KW·C, F)  +  b (F,)  =  out (N·OH·OW, F)

Backward receives dout[r, f] = ∂L/∂out[r, f], where L is the loss. By the chain rule, a number a from which out is computed
has the gradient da = Σ_r Σ_f dout[r, f] · ∂out[r, f]/∂a. With δ_kl = 1 where k = l, and 0 elsewhere, (2) gives

    ∂out[r, f]/∂b[g]       = δ_fg                  db[g]       = Σ_r dout[r, g]                    = dout.sum(axis=0)[g]
    ∂out[r, f]/∂w[q, g]    = cols[r, q] · δ_fg     dw[q, g]    = Σ_r cols[r, q] · dout[r, g]       = (colsᵀ @ dout)[q, g]
    ∂out[r, f]/∂cols[s, q] = δ_rs · w[q, f]        dcols[s, q] = Σ_f dout[s, f] · w[q, f]          = (dout @ wᵀ)[s, q]

A pixel is copied into every window that covers it, so its gradient is the sum of the gradients of its copies. The pixel in row
h and column v (the letter w is the kernel) is cell (i, j) of the window at (oh, ow) where h = oh·SH + i - top and
v = ow·SW + j - left:

    dx[n, h, v, c] = Σ_{oh, i : oh·SH + i - top = h}  Σ_{ow, j : ow·SW + j - left = v}  dcols[(n, oh, ow), (i, j, c)]
                   = col2im(dcols)[n, h, v, c]

At stride 1, oh = h + top - i and ow = v + left - j, so, with 0 for a dout outside the output,

    dx[n, h, v, c] = Σ_i Σ_j Σ_f  dout[n, h + top - i, v + left - j, f] · w[i, j, c, f]

With its minus signs this is a convolution with the flipped kernel, as textbooks write it; here col2im computes it.

Backward computes `cols` a second time. Forward does not keep it, because `cols` holds every pixel up to KH·KW times. For the
second convolution of net_1 on 128 MNIST images, x is 13 MB and cols 116 MB, while computing cols takes less than a tenth of
backward's time (docs/im2col_share.py measures both).

Source: LeCun, Bottou, Bengio & Haffner, *Gradient-based learning applied to document recognition* (1998), section II;
Chellapilla, Puri & Simard (2006), section 2, for im2col.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scratchnet import initializers, reference, regularizers
from scratchnet.initializers import initialize
from scratchnet.kernels import conv2d as fused
from scratchnet.kernels.im2col import col2im, im2col
from scratchnet.layers.activations import activation_layer, relu_backward, relu_forward
from scratchnet.layers.base import Fold, Shape, pair
from scratchnet.layers.window import WindowLayer
from scratchnet.padding import Pads, check_kernel, window_output_shape
from scratchnet.support.checking import check_count, check_flag


def conv2d_forward(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, strides: tuple[int, int], pads: Pads, *, relu: bool = False
) -> np.ndarray:
    """Return every window times every filter, summed, plus b: (N, H, W, C), (KH, KW, C, F), (F,) or None -> (N, OH, OW, F).

    With `relu`, the ReLU after the convolution is computed too.
    """
    N, F = x.shape[0], w.shape[-1]
    cols = im2col(x, w.shape[:2], strides, pads)                # (N, H, W, C) -> (N·OH·OW, KH·KW·C)
    out = cols @ w.reshape(-1, F)                               # (N·OH·OW, KH·KW·C) @ (KH·KW·C, F) -> (N·OH·OW, F)
    if b is not None:
        out = out + b
    if relu:
        out = relu_forward(out)
    return out.reshape(N, *window_output_shape(x.shape, w.shape[:2], strides, pads), F)


def conv2d_backward(
    dout: np.ndarray,
    x: np.ndarray,
    w: np.ndarray,
    strides: tuple[int, int],
    pads: Pads,
    need_dx: bool = True,
    *,
    need_dw: bool = True,
    relu_x: bool = False,
) -> tuple[np.ndarray | None, ...]:
    """Return the gradients dx, dw and db; the docstring of this module derives each line.

    dw is a sum over all windows, dcols over all filters, and db over all outputs of a filter. With `relu_x`, x is the output of
    a ReLU, whose backward is computed too. Without `need_dx`, dx is None; without `need_dw`, both dw and db are None.
    """
    F = w.shape[-1]
    dout = dout.reshape(-1, F)                                  # (N, OH, OW, F) -> (N·OH·OW, F)
    dx = dw = db = None
    if need_dw:
        cols = im2col(x, w.shape[:2], strides, pads)            # as in forward
        dw = (cols.T @ dout).reshape(w.shape)                   # (KH·KW·C, N·OH·OW) @ (N·OH·OW, F) -> (KH, KW, C, F)
        db = dout.sum(axis=0)                                   # (N·OH·OW, F) -> (F,)
    if need_dx:
        dcols = dout @ w.reshape(-1, F).T                       # (N·OH·OW, F) @ (F, KH·KW·C) -> (N·OH·OW, KH·KW·C)
        dx = col2im(dcols, x.shape, w.shape[:2], strides, pads) # -> (N, H, W, C)
        if relu_x:
            dx = relu_backward(dx, x)
    return dx, dw, db


class Conv2D(WindowLayer):
    """A convolution over images.

    Parameters
    ----------
    filters : int
        Number F of filters, which is the number of output channels.
    kernel_size : int or (int, int)
        Height and width of the kernel.
    strides : int or (int, int)
        Pixels from one window to the next.
    padding : {"valid", "same"}
        "valid" stays inside the image; "same" pads with 0 so that the output has ceil(H / SH) rows and
        ceil(W / SW) columns.
    activation : str, function or layer, optional
        Added after this layer in the graph: a name or a function as for `Activation`, or a layer such as LeakyReLU(0.1).
    use_bias : bool
    kernel_initializer, bias_initializer : str or callable
        See `scratchnet.initializers`.
    kernel_regularizer, bias_regularizer : str or Regularizer, optional
        A penalty for large weights, which is added to the loss; see `scratchnet.regularizers`.
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

    # `build` chooses one pair, "fused" by default, and forward and backward below call it. To run exactly the two functions
    # above: Conv2D(..., implementation="im2col"), or Model(..., implementation="im2col") for a whole network.
    implementations = {
        "loops": (reference.conv2d_forward, reference.conv2d_backward),
        "im2col": (conv2d_forward, conv2d_backward),
        "direct": (fused.direct_forward, fused.direct_backward),
        "fused": (fused.conv2d_forward, fused.conv2d_backward),
    }
    joins_relu = True

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = (1, 1),
        padding: str = "valid",
        *,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        implementation: str | None = None,
        name: str | None = None,
    ):
        self.filters = check_count("filters", filters, "Conv2D(32, 3)")
        self.kernel_size = pair("kernel_size", kernel_size)
        super().__init__(self.kernel_size, pair("strides", strides), padding, implementation=implementation, name=name)
        self.activation = activation_layer(activation)
        self.use_bias = check_flag("use_bias", use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.regularizers = {"kernel": self.kernel_regularizer, "bias": self.bias_regularizer}

    def compute_output_shape(self, *input_shapes: Shape) -> Shape:
        """Return (OH, OW, F) for (H, W, C)."""
        (shape,) = input_shapes
        size = self.output_size(shape)
        check_kernel(self.kernel_size, self.padding, shape[:2], self.strides)
        return (*size, self.filters)

    def compute_param_shapes(self, *input_shapes: Shape) -> dict[str, Shape]:
        """Return the shapes of the kernel, (KH, KW, C, F), and of the bias, (F,)."""
        (shape,) = input_shapes
        return {"kernel": (*self.kernel_size, shape[2], self.filters), **({"bias": (self.filters,)} if self.use_bias else {})}

    def make_params(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return the kernel (KH, KW, C, F) and the bias (F,)."""
        initializer_of = {"kernel": self.kernel_initializer, "bias": self.bias_initializer}
        shapes = self.compute_param_shapes(self.input_shape)
        return {key: initialize(initializer_of[key], shape, rng) for key, shape in shapes.items()}

    @property
    def kernel_and_bias(self) -> tuple[np.ndarray, np.ndarray | None]:
        """The kernel (KH, KW, C, F), and the bias (F,) if there is one."""
        return self.params["kernel"], self.params.get("bias")

    def forward(self, x: np.ndarray, *, fold: Fold | None = None, **joined: bool) -> np.ndarray:
        """Return the output: (N, H, W, C) -> (N, OH, OW, F).

        With `relu=True`, which plan.py chooses, also compute the ReLU after it. `fold`, which plan.py chooses too, is a function
        that changes w and b, so that the convolution includes the batch normalization after the layer.
        """
        self.check_input(x)
        self.cache = (x,)
        w, b = self.kernel_and_bias
        if fold is not None:
            w, b = fold(w, b)
        return self.forward_function(x, w, b, self.steps, self.pads, **joined)

    def backward(self, dout: np.ndarray, need_dx: bool = True, **joined: bool) -> np.ndarray | None:
        """Return dx and store dw and db in `grads`: (N, OH, OW, F) -> (N, H, W, C).

        With `relu_x=True`, which plan.py chooses, x is the output of a ReLU, whose backward is computed too.
        """
        (x,) = self.cached(dout)
        if not self.trainable:
            joined["need_dw"] = False
        dx, dw, db = self.backward_function(dout, x, self.kernel_and_bias[0], self.steps, self.pads, need_dx, **joined)
        self.grads = {name: gradient for name, gradient in (("kernel", dw), ("bias", db)) if name in self.params}
        return dx
