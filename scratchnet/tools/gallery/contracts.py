"""Bugs whose first results are right: arrays that are overwritten, and results that are kept too long."""

from __future__ import annotations

from functools import partial

import numpy as np

from scratchnet.gradcheck import check_layer
from scratchnet.layers import Conv2D, Dense, Flatten, ReLU, Softmax
from scratchnet.layers import dense as page
from scratchnet.layers.activations import ACTIVATIONS
from scratchnet.tools.gallery import replace
from scratchnet.tools.gallery.entry import bug
from scratchnet.tools.gallery.padding_and_dense import check_dense
from scratchnet.tools.gallery.small_net import SmallNet

relu_bug = partial(bug, run_checks=lambda: check_layer(ReLU(), (3, 4, 2)))


@relu_bug("relu-writes-into-dout", put=replace.backward_of(ACTIVATIONS["relu"]))
def relu_writes_into_dout(dout, out):
    """Store dx in the array of dout, to save memory."""
    dout[out <= 0] = 0
    return dout


@relu_bug("relu-writes-into-x", put=replace.forward_of(ACTIVATIONS["relu"]))
def relu_writes_into_x(x):
    """Store out in the array of x, to save memory."""
    x[x <= 0] = 0
    return x


@bug(
    "softmax-writes-into-saved-output",
    lambda: check_layer(Softmax(), (5,)),
    replace.backward_of(ACTIVATIONS["softmax"]),
    net=SmallNet(hidden="softmax"),
)
def softmax_writes_into_saved_output(dout, out):
    """Use the memory of p for dx."""
    out *= dout - (dout * out).sum(axis=-1, keepdims=True)
    return out


@bug("gradient-kept-from-last-step", check_dense)
def gradient_kept_from_last_step():
    """Add to the gradients of the step before."""

    def adding(kind):
        right = kind.backward

        def backward(self, *arguments, **joined):
            before = self.grads
            dx = right(self, *arguments, **joined)
            self.grads = {name: before[name] + g if name in before else g for name, g in self.grads.items()}
            return dx

        return replace.attribute(kind, "backward")(backward)

    return replace.all_of(adding(Dense), adding(Conv2D))


@bug("stale-backward-cache", check_dense)
def stale_backward_cache():
    """Keep the first batch."""
    right = Dense.forward

    def forward(self, x, **joined):
        out = right(self, x, **joined)
        kept = getattr(self, "kept", None)
        self.kept = self.cache = self.cache if kept is None or len(kept[0]) != len(x) else kept
        return out

    return replace.attribute(Dense, "forward")(forward)


@bug("stale-weight-cache", check_dense)
def stale_weight_cache():
    """Copy each kernel once, and use the copy."""
    cache: dict = {}  # holds the kernel as well, so that no other array gets its address

    def forward(x, w, b):
        _, w = cache.setdefault(id(w), (w, w.copy()))
        return page.dense_forward(x, w, b)

    return replace.pair(Dense.implementations, forward)


@bug("batch-of-one-squeezed", lambda: check_layer(Flatten(), (2, 3, 2)), replace.forward_of(Flatten.implementations))
def batch_of_one_squeezed(x):
    """Remove every axis of length 1."""
    return np.squeeze(x.reshape(len(x), -1))
