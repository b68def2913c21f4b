"""What convolution and pooling share: a window that moves over the image. The arithmetic is in padding.py."""

from __future__ import annotations

from scratchnet.layers.base import Layer, Pair, Shape
from scratchnet.padding import Pads, check_window, clip_window, window_output_shape, window_pads


class WindowLayer(Layer):
    """The base class of layers that move a window over images.

    Parameters
    ----------
    window : (int, int)
        Its height and width, KH and KW.
    strides : (int, int)
        Pixels from one window to the next, SH and SW.
    padding : {"valid", "same"}
    implementation, name
        As for every `Layer`.

    Raises
    ------
    ValueError
        For an unknown padding.
    """

    def __init__(self, window: Pair, strides: Pair, padding: str, *, implementation: str | None, name: str | None):
        super().__init__(name=name, implementation=implementation)
        padding = padding.lower() if isinstance(padding, str) else padding
        check_window(window, padding)
        self.window, self.strides, self.padding = window, strides, padding

    @property
    def pads(self) -> Pads:
        """Cells of padding ((top, bottom), (left, right)) around the images that the layer was built for."""
        return window_pads(self.padding, self.input_shape[:2], self.window, self.strides)

    @property
    def real_window(self) -> tuple[Pair, Pair, Pads]:
        """The window, strides and pads without those cells of the window that cover only padding at every position."""
        return clip_window(self.input_shape[:2], self.window, self.strides, self.pads)

    @property
    def steps(self) -> Pair:
        """The strides of `real_window`: at most the size of the padded image, since the stride of a single window does not matter.

        (These are steps of the window. Elsewhere, a step is an update of the parameters.)
        """
        return self.real_window[1]

    def output_size(self, input_shape: Shape) -> Pair:
        """Return (OH, OW) for images of (H, W, C)."""
        check_window(self.window, self.padding, input_shape)
        pads = window_pads(self.padding, input_shape[:2], self.window, self.strides)
        return window_output_shape(input_shape, self.window, self.strides, pads)
