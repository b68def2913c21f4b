"""Saboteurs whose numbers are right, the first time: what they overwrite, and what they keep."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

import numpy as np

from scratchnet.gradcheck import check_layer
from scratchnet.layers import Conv2D, Dense, Flatten, Layer, ReLU, Softmax
from scratchnet.layers import dense as dense_page
from scratchnet.tools.saboteurs.entry import activation, saboteur, telling, together
from scratchnet.tools.saboteurs.small_net import SmallNet


@saboteur(
    "relu-writes-into-dout",
    title="ReLU's backward writes into dout",
    operation="ReLU, backward",
    witness="contract",
    fools=("gradient", "definition"),
    right="dx = np.where(out > 0, dout, 0)",
    wrong="dout[out <= 0] = 0;  dx = dout",
    looks_right="In a chain nobody needs dout any more. In a graph its other reader gets a gradient with holes.",
    source="https://github.com/oreilly-japan/deep-learning-from-scratch/blob/0781cbef/common/layers.py",
    seen="dout[self.mask] = 0 … dx = dout",
    check=lambda: check_layer(ReLU(), (3, 4, 2)),
)
def relu_writes_into_dout() -> AbstractContextManager[Any]:
    """Save an array."""

    def backward(dout: np.ndarray, out: np.ndarray) -> np.ndarray:
        dout[out <= 0] = 0
        return dout

    return activation("relu", backward=backward)


@saboteur(
    "relu-writes-into-x",
    title="ReLU's forward writes into its input",
    operation="ReLU, forward",
    witness="contract",
    fools=("definition",),
    right="out = np.maximum(x, 0)",
    wrong="x[x <= 0] = 0;  out = x",
    looks_right="The numbers are right, and a copy is saved. What the layer below gave, and may have kept, has changed.",
    source="https://github.com/Alescontrela/Numpy-CNN/blob/228d2c25/CNN/forward.py",
    seen="X[X<=0] = 0 … return X",
    check=lambda: check_layer(ReLU(), (3, 4, 2)),
)
def relu_writes_into_x() -> AbstractContextManager[Any]:
    """Save an array, the caller's."""

    def forward(x: np.ndarray) -> np.ndarray:
        x[x <= 0] = 0
        return x

    return activation("relu", forward=forward)


@saboteur(
    "softmax-writes-into-saved-output",
    title="Softmax's backward writes its result over the output that was kept",
    operation="softmax, backward",
    witness="contract",
    fools=("gradient",),
    right="return out * (dout - total)",
    wrong="out *= dout - total;  return out",
    looks_right="The kept output is read for the last time here: unless backward runs twice, or somebody looks at the"
    " probabilities.",
    source="https://github.com/ggml-org/ggml/pull/1521",
    seen="ggml_vec_cpy_f32  (nc, dx, dy);  // dx = dy … ggml_vec_mul_f32  (nc, dx, dx, y);  // re-reads y",
    check=lambda: check_layer(Softmax(), (5,)),
    net=SmallNet(hidden="softmax"),
)
def softmax_writes_into_saved_output() -> AbstractContextManager[Any]:
    """Use the memory of p for dx."""

    def backward(dout: np.ndarray, out: np.ndarray) -> np.ndarray:
        out *= dout - (dout * out).sum(axis=-1, keepdims=True)
        return out

    return activation("softmax", backward=backward)


@saboteur(
    "gradient-kept-from-last-step",
    title="Gradients of the step before are kept",
    operation="dense and convolution, backward",
    witness="contract",
    fools=("gradient", "definition"),
    right="self.grads = {'kernel': dw, 'bias': db}",
    wrong="self.grads['kernel'] += dw;  self.grads['bias'] += db",
    looks_right="Within a step, adding up is right where paths meet. The first step is right too; from then on every step"
    " takes all former ones along.",
    source="https://github.com/jcjohnson/pytorch-examples/issues/31",
    seen="if you forget to zero gradients before calling backward the model will sometimes train anyway",
    check=lambda: check_layer(Dense(3), (4,)),
)
def gradient_kept_from_last_step() -> AbstractContextManager[Any]:
    """Add to what is there."""

    def adding(kind: type[Layer]) -> AbstractContextManager[Any]:
        right = kind.backward

        def backward(self: Layer, dout: np.ndarray, need_dx: bool = True) -> Any:
            before = self.grads
            dx = right(self, dout, need_dx)
            self.grads = {name: before[name] + g if name in before else g for name, g in self.grads.items()}
            return dx

        return patch.object(kind, "backward", backward)

    return together(adding(Dense), adding(Conv2D))


@saboteur(
    "stale-backward-cache",
    title="Forward keeps its input only if it has none yet",
    operation="dense, forward",
    witness="contract",
    fools=("gradient", "definition"),
    right="self.cache = (x,)",
    wrong="if self.cache is None:\n    self.cache = (x,)",
    looks_right="It reads like thrift, and the first gradient, which is the one that is tested, is right.",
    source="https://github.com/bshillingford/autobw.torch/pull/7",
    seen="the gradient would be computed incorrectly every time except the first time it was evaluated",
    check=lambda: check_layer(Dense(3), (4,)),
)
def stale_backward_cache() -> AbstractContextManager[Any]:
    """Go on with the first batch."""
    right = Dense.forward

    def forward(self: Dense, x: np.ndarray) -> np.ndarray:
        kept = self.cache
        out = right(self, x)
        self.cache = self.cache if kept is None or len(kept[0]) != len(x) else kept
        return out

    return patch.object(Dense, "forward", forward)


@saboteur(
    "stale-weight-cache",
    title="A cache of the weights that knows them by address",
    operation="dense, forward",
    witness="gradient",
    fools=("definition", "contract"),
    right="w = prepared(self.params['kernel'])",
    wrong="w = cache.setdefault(id(kernel), prepared(kernel))",
    looks_right="The array is the same object, so what was prepared from it seems good for ever; an update in place changes"
    " what is in it. Finite differences turn the weights in place as well, and see that nothing moves.",
    source="https://github.com/ooples/AiDotNet/pull/1488",
    seen="the next forward reads STALE weights and the model NEVER LEARNS on GPU — loss frozen at ln(V) even though the"
    " gradient is correct",
    check=lambda: check_layer(Dense(3), (4,)),
)
def stale_weight_cache() -> AbstractContextManager[Any]:
    """Copy each kernel once, and use the copy."""
    cache: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # with the kernel itself, so that its address stays its own

    def forward(x: np.ndarray, w: np.ndarray, b: np.ndarray | None) -> np.ndarray:
        _, w = cache.setdefault(id(w), (w, w.copy()))
        return dense_page.dense_forward(x, w, b)

    return telling(Dense, forward=forward)


@saboteur(
    "batch-of-one-squeezed",
    title="A batch of one loses its axis",
    operation="flatten, forward",
    witness="contract",
    fools=("gradient", "definition"),
    right="out = x.reshape(N, -1)",
    wrong="out = np.squeeze(x.reshape(N, -1))",
    looks_right="squeeze drops the axes of length 1 that were in the way, and one more on the day when the last batch has a"
    " single image.",
    source="https://github.com/layumi/Person_reID_baseline_pytorch/issues/77",
    seen="Sometimes there may be only one sample in the last batch of data loader",
    check=lambda: check_layer(Flatten(), (2, 3, 2)),
)
def batch_of_one_squeezed() -> AbstractContextManager[Any]:
    """Drop every axis of length 1."""
    return telling(Flatten, forward=lambda x: np.squeeze(x.reshape(len(x), -1)))
