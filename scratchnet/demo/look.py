"""What the demo's page shows about a drawing: the network's input, its probabilities, its feature maps, and a gradient.

The drawing arrives as ink on a canvas of SIDE × SIDE pixels. It is prepared as MNIST's digits are, by the function that
``scratchnet predict`` uses, and rounded to 256 levels, as MNIST's pixels are. So the image that the page shows is exactly the
image that the network receives.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from scratchnet.model import Model
from scratchnet.tools import inputs
from scratchnet.tools.pictures import placed

SIDE = 224   # pixels of the canvas, 8 × 28
INK = 0.1    # the least ink of a pixel that belongs to the drawing
MAPS = 64    # the largest number of feature maps that are shown for a layer
BRIGHT = 0.998  # the quantile of a layer's values that is shown brightest: one pixel that is far brighter would make the rest dark


class Frame(NamedTuple):
    """Where the network's input lies on the canvas, in the canvas's pixels."""

    top: float
    left: float
    height: float
    width: float


class Seen(NamedTuple):
    """The network's input, uint8 (28, 28), and where it lies on the canvas."""

    image: np.ndarray
    frame: Frame


class Maps(NamedTuple):
    """The feature maps of one layer, uint8 (H, W, C), bright where a feature was found."""

    name: str
    pixels: np.ndarray
    channels: int  # of the layer, which may be more than are shown


def check_input(model: Model) -> None:
    """Raise ValueError unless `model` takes images of 28×28×1 and returns one number for each class."""
    shape, K = inputs.form(model)
    if shape != (28, 28, 1) or len(model.output_shape) != 2 or K < 2:
        raise ValueError(
            f"the network: expected one that classifies images of 28×28×1, got one of {inputs.times(shape)} with {K} outputs. "
            "Name a run on mnist, fashion-mnist or glyphs."
        )


def seen(ink: np.ndarray) -> Seen | None:
    """Return the network's input for `ink`, uint8 (SIDE, SIDE), or None if nothing is drawn.

    >>> ink = np.zeros((SIDE, SIDE), "uint8")
    >>> seen(ink) is None
    True
    >>> ink[50:150, 100:120] = 255
    >>> seen(ink).frame                     # 100 rows of ink become 20 of the 28
    Frame(top=30.0, left=40.0, height=140.0, width=140.0)
    """
    drawn = ink / 255
    rows, columns = np.flatnonzero((drawn >= INK).any(axis=1)), np.flatnonzero((drawn >= INK).any(axis=0))
    if not len(rows):
        return None
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    x, place = placed(drawn[top:bottom, left:right], 28, 28)
    high, wide = (bottom - top) / place.height, (right - left) / place.width  # of one of the 28 × 28 pixels, on the canvas
    frame = Frame(*(float(n) for n in (top - place.top * high, left - place.left * wide, 28 * high, 28 * wide)))
    return Seen(np.round(255 * x).astype(np.uint8), frame)


def feature_maps(model: Model, x: np.ndarray) -> list[Maps]:
    """Return the output of every layer that returns images, for one image x (1, 28, 28, 1), as pixels on one scale per layer."""
    found = []
    for name, maps in inputs.feature_maps(model, x).items():
        out = maps[0, :, :, :MAPS]
        low = min(0.0, float(out.min()))
        bright = float(np.quantile(out, BRIGHT)) or float(out.max())
        shade = np.clip((out - low) / max(bright - low, 1e-12), 0, 1)
        found.append(Maps(name, np.round(255 * shade).astype(np.uint8), maps.shape[-1]))
    return found


def gradient(model: Model, x: np.ndarray, k: int) -> np.ndarray:
    """Return the gradient (28, 28) of class k's logit with respect to the pixels of one image, x (1, 28, 28, 1).

    Where it is positive, more ink raises the score of class k (Simonyan, Vedaldi and Zisserman, arXiv:1312.6034, section 3).
    The logit is used and not the probability, whose gradient is nearly 0 when the network is certain.
    """
    logits = model.forward(x, to=model.logits)
    dlogits = np.zeros_like(logits)
    dlogits[0, k] = 1
    dx = model.backward(dlogits, start=model.logits)
    assert dx is not None  # need_dx is True
    return dx[0, :, :, 0]


class Net:
    """A network that many threads ask about drawings, one after the other.

    Parameters
    ----------
    model : Model
        It must classify images of 28×28×1; for any other, a ValueError is raised.
    title : str
        What the page calls it, such as "net_2 on mnist".
    class_names : sequence of str
    """

    def __init__(self, model: Model, title: str, class_names: Sequence[str]):
        check_input(model)
        self.model, self.title, self.class_names = model, title, list(class_names)
        x = np.zeros((1, 28, 28, 1), np.float32)
        self.layers = feature_maps(model, x)
        gradient(model, x, 0)  # the first call of each kernel compiles it, or loads it from the cache
        inputs.probabilities(model, x)
        self.lock = threading.Lock()  # a layer keeps what its forward computed for its backward: one thread at a time

    def look(self, ink: np.ndarray, k: int | None = None) -> dict[str, Any]:
        """Return all that the page shows about `ink`, uint8 (SIDE, SIDE), as values for JSON; `image` is None without any ink.

        Images are bytes in base64. `k` is the class whose gradient is wanted.
        """
        found = seen(ink)
        if found is None:
            return {"image": None}
        x = inputs.net_inputs(found.image[None])  # (1, 28, 28, 1)
        with self.lock:
            p = inputs.probabilities(self.model, x)[0]
            maps = feature_maps(self.model, x)
            slope = None if k is None else gradient(self.model, x, k)
        if not np.isfinite(p).all() or not np.isfinite(slope if slope is not None else 0).all():
            raise ValueError("the network: expected finite probabilities and gradients, got NaN or infinity. Train it again.")
        return {
            "image": base64_of(found.image),
            "frame": found.frame._asdict(),
            "probabilities": p.tolist(),
            "maps": [{"shape": pixels.shape, "pixels": base64_of(pixels)} for _, pixels, _ in maps],
            "gradient": None if slope is None else slope.ravel().tolist(),
        }


def base64_of(pixels: np.ndarray) -> str:
    """Return the bytes of an array as text."""
    return base64.b64encode(pixels.tobytes()).decode("ascii")
