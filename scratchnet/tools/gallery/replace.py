"""How a bug is installed: context managers that replace a correct function by a wrong one.

`forward_of(Dense.implementations)` and the like take the table that contains the correct function. They return a function
that takes the wrong one and returns the context manager; the decorator `bug` accepts them as `put`. A layer's "page" is its
own file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import wraps
from types import ModuleType
from typing import Any
from unittest.mock import patch

from scratchnet.layers import activations

Patch = AbstractContextManager[Any]
Put = Callable[[Any], Patch]


def pair(table: Any, forward: Any = None, backward: Any = None) -> Patch:
    """Replace the pair of functions in the table of a layer or an activation; one that is not given is the page's."""
    page_forward, page_backward = table["im2col"]
    both = (_joins_relu(forward) if forward else page_forward, _masks_relu(backward) if backward else page_backward)
    return patch.dict(table, {"im2col": both, "fused": both})


def forward_of(table: Any) -> Put:
    """Replace the forward function in the table of a layer or an activation."""
    return lambda forward: pair(table, forward=forward)


def backward_of(table: Any) -> Put:
    """Replace the backward function in the table of a layer or an activation."""
    return lambda backward: pair(table, backward=backward)


def _joins_relu(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with the keyword `relu`, which plan.py passes to layers that join a ReLU."""

    @wraps(forward)
    def forward_and_relu(*arguments: Any, relu: bool = False) -> Any:
        out = forward(*arguments)
        if not relu:
            return out
        if isinstance(out, tuple):  # of a layer that returns more than its output
            return activations.relu_forward(out[0]), *out[1:]
        return activations.relu_forward(out)

    return forward_and_relu


def _masks_relu(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with the keyword `relu_x`, which plan.py passes to layers whose x comes from a ReLU."""

    @wraps(backward)
    def backward_and_mask(dout: Any, x: Any, *others: Any, relu_x: bool = False, **mode: Any) -> Any:
        gradients = backward(dout, x, *others, **mode)
        if not relu_x or gradients[0] is None:
            return gradients
        return activations.relu_backward(gradients[0], x), *gradients[1:]

    return backward_and_mask


def page_with(table: Any, page: ModuleType, **functions: Any) -> Patch:
    """Run a layer as its page defines it, but replace some of the functions that the page calls."""
    return all_of(pair(table), patch.multiple(page, **functions))


def rule_of(table: Any) -> Put:
    """Replace the rule in the table of an optimizer."""
    return lambda rule: patch.dict(table, dict.fromkeys(table, rule))


def attribute(owner: Any, name: str) -> Put:
    """Replace a function of a module, or a method of a class."""
    return lambda function: patch.object(owner, name, function)


@contextmanager
def all_of(*patches: Patch) -> Iterator[None]:
    """Replace several things at once."""
    with ExitStack() as stack:
        for one in patches:
            stack.enter_context(one)
        yield
