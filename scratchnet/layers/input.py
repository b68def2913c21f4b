"""Input: the first node of a graph, which receives the images."""

from __future__ import annotations

from collections.abc import Sequence

from scratchnet.layers.base import Layer, Node, Shape
from scratchnet.support.checking import check_count, shortened
from scratchnet.support.keywords import named_arguments


class InputLayer(Layer):
    """The layer where a graph begins; `Input(shape)` makes one."""

    def __init__(self, shape: Sequence[int], *, name: str | None = None):
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
def Input(shape: Sequence[int], *, name: str | None = None) -> Node:  # noqa: N802 - the name that Keras users know
    """Return the first node of a graph, for samples of this shape, without the batch axis.

    Parameters
    ----------
    shape : tuple of int
        (H, W, C) for images.
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
    return InputLayer(shape, name=name).node  # type: ignore[return-value]  # an input layer is connected from the start
