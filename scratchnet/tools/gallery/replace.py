"""How a bug is installed: each function returns a context manager that puts something in the place of a correct part.

`forward_of(Dense)` and the like return a function that takes the wrong function and returns that context manager; the
decorator `bug` takes them as `put`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from scratchnet.layers import Layer, activations

Patch = AbstractContextManager[Any]
Put = Callable[[Any], Patch]


def pair(kind: type[Layer], forward: Any = None, backward: Any = None) -> Patch:
    """Replace the pair of functions of a layer; a function that is not given is that of the layer's page."""
    page_forward, page_backward = kind.tellings["im2col"]
    both = (forward or page_forward, backward or page_backward)
    return patch.dict(kind.tellings, {"im2col": both, "fused": both})


def forward_of(kind: type[Layer]) -> Put:
    """Replace the forward function of a layer."""
    return lambda forward: pair(kind, forward=forward)


def backward_of(kind: type[Layer]) -> Put:
    """Replace the backward function of a layer."""
    return lambda backward: pair(kind, backward=backward)


def activation(name: str, forward: Any = None, backward: Any = None) -> Patch:
    """Replace one or both functions of an activation."""
    right_forward, right_backward = activations.FUNCTIONS[name]
    return patch.dict(activations.FUNCTIONS, {name: (forward or right_forward, backward or right_backward)})


def activation_forward(name: str) -> Put:
    """Replace the forward function of an activation."""
    return lambda forward: activation(name, forward=forward)


def activation_backward(name: str) -> Put:
    """Replace the backward function of an activation."""
    return lambda backward: activation(name, backward=backward)


def attribute(owner: Any, name: str) -> Put:
    """Replace a function of a module, or a method of a class."""
    return lambda function: patch.object(owner, name, function)


def step_of(kind: type) -> Put:
    """Replace the rule of an optimizer by a function (optimizer, p, g, *state), which changes p and state in place."""
    return lambda rule: patch.object(kind, "step", lambda self, p, g, state: rule(self, p, g, *state))


@contextmanager
def all_of(*patches: Patch) -> Iterator[None]:
    """Replace several things at once."""
    with ExitStack() as stack:
        for one in patches:
            stack.enter_context(one)
        yield
