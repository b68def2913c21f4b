"""The saboteurs of ReLU, softmax and cross-entropy: kinks, signs, and what exp and log do far from 0."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

import numpy as np

from scratchnet import losses
from scratchnet.gradcheck import Report, check_layer, check_loss
from scratchnet.layers import Activation, ReLU, Softmax
from scratchnet.tools.saboteurs.entry import activation, saboteur, together
from scratchnet.tools.saboteurs.small_net import SmallNet


def _check_relu() -> Report:
    return check_layer(ReLU(), (3, 4, 2))


def _check_loss() -> Report:
    return check_loss(losses.softmax_cross_entropy)


def _loss(loss: Callable[..., tuple[float, np.ndarray]]) -> AbstractContextManager[Any]:
    return patch.object(losses, "softmax_cross_entropy", loss)


def _dlogits(change: Callable[..., np.ndarray]) -> AbstractContextManager[Any]:
    """Break the gradient of the loss and leave its value: `change` gets p, y and the logits."""
    right = losses.softmax_cross_entropy

    def loss(logits: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
        value, dlogits = right(logits, y)
        return value, change(losses.softmax(logits), y, logits).astype(dlogits.dtype)

    return _loss(loss)


@saboteur(
    "relu-gradient-at-zero",
    title="ReLU's gradient at 0 from the other side",
    operation="ReLU, backward",
    witness="definition",
    fools=("gradient", "contract"),
    right="dx = dout * (x > 0)",
    wrong="dx = dout * (x >= 0)",
    looks_right="There is no derivative at 0, and random floats are never exactly 0. But a black background with a bias of 0"
    " is, everywhere.",
    source="https://github.com/oreilly-japan/deep-learning-from-scratch/blob/07b11618/common/functions.py",
    seen="grad[x>=0] = 1",
    convention="Any number from 0 to 1 will do, if it is the same everywhere; in that repository the layer has 0 and the"
    " function 1. Ours is 0, as in Keras.",
    check=_check_relu,
)
def relu_gradient_at_zero() -> AbstractContextManager[Any]:
    """Keep the input, which knows more than the output, and let 0 through."""
    right = Activation.forward

    def forward(self: Activation, x: np.ndarray) -> np.ndarray:
        out = right(self, x)
        if self.function == "relu":
            self.cache = (x,)
        return out

    def backward(dout: np.ndarray, x: np.ndarray) -> np.ndarray:
        return np.where(x >= 0, dout, dout.dtype.type(0))

    return together(patch.object(Activation, "forward", forward), activation("relu", backward=backward))


@saboteur(
    "relu-mask-from-output",
    title="ReLU's mask is out >= 0",
    operation="ReLU, backward",
    witness="gradient",
    fools=("contract",),
    right="dx = dout * (out > 0)",
    wrong="dx = dout * (out >= 0)",
    looks_right="x > 0 and relu(x) > 0 are one mask, so the output will do; but relu(x) >= 0 is true everywhere. The book's"
    " net learned its training images to the last one.",
    source="https://github.com/iamtrask/Grokking-Deep-Learning/pull/13",
    seen="relu2deriv = lambda x: x>=0",
    check=_check_relu,
)
def relu_mask_from_output() -> AbstractContextManager[Any]:
    """Let every gradient through."""
    return activation("relu", backward=lambda dout, out: np.where(out >= 0, dout, dout.dtype.type(0)))


@saboteur(
    "relu-is-identity",
    title="np.max(x, 0) for np.maximum(x, 0)",
    operation="ReLU, forward",
    witness="definition",
    fools=("contract",),
    right="np.maximum(x, 0)",
    wrong="np.max(x, 0)                  # of one number: 0 is the axis",
    looks_right="max(x, 0) is the formula. Given one number at a time, np.max gives it back, negative or not, and the net"
    " is a linear one.",
    source="https://github.com/ahmedfgad/NumPyCNN/issues/4",
    seen="numpy.max(feature_map[r, c, map_num], 0)",
    check=_check_relu,
)
def relu_is_identity() -> AbstractContextManager[Any]:
    """Give x."""
    return activation("relu", forward=lambda x: x.copy())


@saboteur(
    "softmax-diagonal-jacobian",
    title="Softmax's derivative is taken for a sigmoid's",
    operation="softmax, backward",
    witness="gradient",
    fools=("contract",),
    right="dx = p * (dout - (dout * p).sum(axis=-1, keepdims=True))",
    wrong="dx = dout * p * (1 - p)",
    looks_right="p (1 - p) is what stands on the diagonal of the Jacobian; what stands beside it is forgotten.",
    source="https://github.com/eriklindernoren/ML-From-Scratch/blob/2067d12c/mlfromscratch/deep_learning/activation_functions.py",
    seen="return p * (1 - p)",
    check=lambda: check_layer(Softmax(), (5,)),
    net=SmallNet(hidden="softmax"),
)
def softmax_diagonal_jacobian() -> AbstractContextManager[Any]:
    """Let each output depend on its own input alone."""
    return activation("softmax", backward=lambda dout, p: dout * p * (1 - p))


@saboteur(
    "softmax-backward-passes-through",
    title="Softmax's backward gives dout as it is",
    operation="softmax, backward",
    witness="gradient",
    fools=("contract",),
    right="dx = p * (dout - (dout * p).sum(axis=-1, keepdims=True))",
    wrong="dx = dout",
    looks_right="Where the loss gives p - y, softmax's own derivative is in it already, and the layer has to pass it on."
    " Under any other loss, or in the middle of a net, it is wrong.",
    source="https://github.com/SkalskiP/ILearnDeepLearning.py/blob/53ab1961/01_mysteries_of_neural_networks/"
    "06_numpy_convolutional_neural_net/src/activation/softmax.py",
    seen="return da_curr",
    check=lambda: check_layer(Softmax(), (5,)),
    net=SmallNet(hidden="softmax"),
)
def softmax_backward_passes_through() -> AbstractContextManager[Any]:
    """Give a copy of dout."""
    return activation("softmax", backward=lambda dout, p: dout.copy())


@saboteur(
    "softmax-shift-batch-max",
    title="Softmax shifted by the whole batch's maximum",
    operation="softmax of the loss",
    witness="definition",
    fools=("gradient", "contract"),
    right="shifted = logits - logits.max(axis=-1, keepdims=True)",
    wrong="shifted = logits - logits.max()",
    looks_right="Any number taken from a row cancels, so the batch's maximum is as good as the row's: until a row lies far"
    " below it, and all its exponentials are 0.",
    source="https://shusei-e.github.io/deep%20learning/softmax_without_overflow/",
    seen="e = np.exp(x - np.max(x))",
    check=_check_loss,
)
def softmax_shift_batch_max() -> AbstractContextManager[Any]:
    """Take one maximum for all rows."""

    def log_softmax(logits: np.ndarray) -> np.ndarray:
        shifted = logits - logits.max()
        return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))

    return patch.object(losses, "log_softmax", log_softmax)


@saboteur(
    "softmax-no-shift",
    title="Softmax without any shift",
    operation="softmax of the loss",
    witness="definition",
    fools=("gradient", "contract"),
    right="e = np.exp(logits - logits.max(axis=-1, keepdims=True))",
    wrong="e = np.exp(logits)",
    looks_right="It is the definition to the letter, and right to the last digit for small logits. exp overflows at 89 in"
    " float32, at 710 in float64.",
    source="https://github.com/vzhou842/cnn-from-scratch/blob/36ee9b85/softmax.py",
    seen="exp = np.exp(totals)",
    check=_check_loss,
)
def softmax_no_shift() -> AbstractContextManager[Any]:
    """Take nothing from any row."""
    return patch.object(losses, "log_softmax", lambda z: z - np.log(np.exp(z).sum(axis=-1, keepdims=True)))


@saboteur(
    "softmax-wrong-sign",
    title="Softmax cross-entropy's gradient with the sign turned",
    operation="cross-entropy, backward",
    witness="gradient",
    fools=("contract",),
    right="dlogits = (p - y) / N",
    wrong="dlogits = (y - p) / N",
    looks_right="Half of the literature writes y - p and adds the step, the other half p - y and subtracts it. A test with"
    " upstream ones through a softmax finds 0 = 0. This one at least shows in training.",
    source="https://github.com/deeplearning4j/deeplearning4j/issues/349",
    seen="labels.sub(pYGivenX)",
    check=_check_loss,
)
def softmax_wrong_sign() -> AbstractContextManager[Any]:
    """Go uphill."""
    return _dlogits(lambda p, y, logits: (y - p) / len(y))


@saboteur(
    "ce-gradient-from-logits",
    title="Cross-entropy's gradient takes the logits for the probabilities",
    operation="cross-entropy, backward",
    witness="gradient",
    fools=("contract",),
    right="dlogits = (p - y) / N",
    wrong="dlogits = (logits - y) / N",
    looks_right="Both are (N, K), both are 'the output'. It is the gradient of least squares, which find classes too.",
    source="https://github.com/borgwang/tinynn/blob/031b5fa7/core/losses.py",
    seen="grad = np.copy(logits) … grad -= labels",
    check=_check_loss,
)
def ce_gradient_from_logits() -> AbstractContextManager[Any]:
    """Drive the logits to the labels."""
    return _dlogits(lambda p, y, logits: (logits - y) / len(y))


@saboteur(
    "ce-missing-one-over-n",
    title="The gradient of a mean without its 1/N",
    operation="cross-entropy, backward",
    witness="gradient",
    fools=("contract",),
    right="dlogits = (p - y) / N",
    wrong="dlogits = p - y",
    looks_right="It is one image's formula. The direction is right, and a learning rate takes up the factor N; Adam takes up any.",
    source="https://github.com/eriklindernoren/ML-From-Scratch/blob/2067d12c/mlfromscratch/deep_learning/neural_network.py",
    seen="loss = np.mean(self.loss_function.loss(y, y_pred)), beside a gradient without the mean",
    check=_check_loss,
)
def ce_missing_one_over_n() -> AbstractContextManager[Any]:
    """Sum over the batch."""
    return _dlogits(lambda p, y, logits: p - y)


@saboteur(
    "ce-clipped",
    title="Cross-entropy of clipped probabilities",
    operation="cross-entropy, forward",
    witness="definition",
    fools=("gradient", "contract"),
    right="loss = -(y * log_softmax(logits)).sum(axis=-1)",
    wrong="loss = -(y * np.log(np.clip(p, 1e-7, 1 - 1e-7))).sum(axis=-1)",
    looks_right="Clipping prevents log(0), and changes nothing for ordinary outputs. The surest mistake of all then costs"
    " 16.1, whatever its logits.",
    source="https://github.com/keras-team/keras/issues/7563",
    seen="categorical_crossentropy: 8.05904786964 … tf.nn.softmax_cross_entropy_with_logits: 150.0",
    check=_check_loss,
)
def ce_clipped() -> AbstractContextManager[Any]:
    """Keep the gradient; let the value saturate."""
    right = losses.softmax_cross_entropy

    def loss(logits: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
        p = np.clip(losses.softmax(logits.astype(np.float64)), 1e-7, 1 - 1e-7)
        return float(-(y * np.log(p)).sum(axis=-1).mean()), right(logits, y)[1]

    return _loss(loss)


@saboteur(
    "ce-epsilon-inside-log",
    title="A small number inside the logarithm",
    operation="cross-entropy, forward",
    witness="definition",
    fools=("contract",),
    right="loss = -(y * log_softmax(logits)).sum(axis=-1)",
    wrong="loss = -(y * np.log(p + 1e-7)).sum(axis=-1)",
    looks_right="1e-7 seems too little to matter. A sure and right answer gets a loss below 0, a sure and wrong one 16.1.",
    source="https://github.com/oreilly-japan/deep-learning-from-scratch/blob/07b11618/common/functions.py",
    seen="np.log(y[np.arange(batch_size), t] + 1e-7)",
    check=_check_loss,
)
def ce_epsilon_inside_log() -> AbstractContextManager[Any]:
    """Add 1e-7 to every probability."""
    right = losses.softmax_cross_entropy

    def loss(logits: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
        p = losses.softmax(logits.astype(np.float64))
        return float(-(y * np.log(p + 1e-7)).sum(axis=-1).mean()), right(logits, y)[1]

    return _loss(loss)
