"""Input: the first node of a graph, which receives the images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import DTypeLike

from scratchnet.layers.base import Layer, Node, Shape
from scratchnet.support.checking import check_count, check_dtype, shortened
from scratchnet.support.keywords import named_arguments


class InputLayer(Layer):
    """The layer where a graph begins; `Input(shape)` makes one."""

    def __init__(self, shape: Sequence[int] | None, *, name: str | None = None):
        super().__init__(name=name)
        if not isinstance(shape, (tuple, list)) or not shape:
            raise ValueError(
                f"Input: expected the shape of one sample, in positive integers, got shape={shortened(shape)}."
                " For example Input(shape=(28, 28, 1))"
            )
        self.shape = tuple(check_count("Input(shape=...)", size, "Input(shape=(28, 28, 1))") for size in shape)
        self.sources = ()

    def compute_output_shape(self, *input_shapes: Shape) -> Shape:
        """Return the shape of one sample."""
        return self.shape


@named_arguments
def Input(  # noqa: N802 - the name that Keras users know
    shape: Sequence[int] | None = None,
    batch_size: int | None = None,
    dtype: DTypeLike | None = None,
    *,
    batch_shape: Sequence[Any] | None = None,
    name: str | None = None,
) -> Node:
    """Return the first node of a graph, for samples of this shape, without the batch axis.

    Parameters
    ----------
    shape : tuple of int
        (H, W, C) for images.
    batch_size : int, optional
        A model takes batches of any size, so this changes nothing.
    dtype : {"float32", "float64"}, optional
        It changes nothing: the dtype of the computation is an argument of `Model`.
    batch_shape : tuple, optional
        The shape with the batch axis, (None, H, W, C), in place of `shape`.
    name : str, optional

    Returns
    -------
    Node
        The argument of the first layer.

    Raises
    ------
    ValueError
        When `shape` is not a tuple or list of positive integers.

    Examples
    --------
    >>> Input(shape=(28, 28, 1)).shape
    (28, 28, 1)
    """
    if batch_size is not None:
        check_count("Input: batch_size", batch_size, "Input(shape=(28, 28, 1), batch_size=32)")
    if dtype is not None:
        check_dtype("Input", dtype)
    if shape is None and isinstance(batch_shape, (tuple, list)):
        shape = batch_shape[1:]         # an axis of unknown length is refused below
    return InputLayer(shape, name=name).node  # type: ignore[return-value]  # an input layer is connected from the start
