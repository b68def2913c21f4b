"""Augmentation: in training, each image is replaced by a random variation of it that shows the same class.

The pixels of a variation are read from other places of the same image. Row p of the output is read at row a + s·p of
the input, and column q at column b + t·q:

    flip          rows: a = H - 1, s = -1             where the image is flipped, and a = 0, s = 1 where it is not
    crop          rows: a = the first row, s = 1
    translation   rows: a = -d, s = 1                 d rows down; d may be a fraction

and in the same way for columns, with numbers of their own. A place y between two rows is read as their weighted mean. With
i = ⌊y⌋ and f = y - i,

    row y  =  (1 - f) · row i  +  f · row (i + 1)

Outside the image, rows are those of an infinite image:

    reflect     d c b a | a b c d | d c b a         the edge itself is repeated
    nearest     a a a a | a b c d | d d d d
    constant    v v v v | a b c d | v v v v         v is fill_value; these rows are read from an additional row H, which holds v

So each row of the output has two indices and two weights: its `taps`, as the coefficients of a filter are called. Write the
weights of image n into a matrix A with a row for each output row, A[p, i] += 1 - f, A[p, i + 1] += f (an i outside the image is
first replaced as above), and those of the columns into B. For a translation by 1/2 with "reflect", and a flip,

        [ 1    0    0   ]             [ 0  0  1 ]
    A = [ 1/2  1/2  0   ]         A = [ 0  1  0 ]
        [ 0    1/2  1/2 ]             [ 1  0  0 ]

Every image n and channel c is then multiplied from both sides,

    out[p, q] = Σ_h Σ_w A[p, h] · x[h, w] · B[q, w]                         out = A x Bᵀ                         (1)

The matrices do not depend on x, so ∂out[p, q]/∂x[h, w] = A[p, h] · B[q, w], and backward is the transposed map:

    dx[h, w] = Σ_p Σ_q A[p, h] · dout[p, q] · B[q, w]                       dx = Aᵀ dout B                       (2)

A pixel that is read several times, as near an edge that reflects, has several nonzero numbers in its column of A, and receives
the sum of the gradients. The gradient of the additional row and column is dropped, since v is a constant.

All random numbers of an image are computed from a random integer, the key, and the image's index (kernels/draws.py). A key is
drawn for each batch, and the index is that in the batch; RandomFlip with `alternate` draws one key, and the index is that in the
data.

Source: Simard, Steinkraus & Platt, *Best practices for convolutional neural networks applied to visual document analysis*
(2003), section 2; Jaderberg et al., *Spatial transformer networks* (2015), equations 5 to 7, for bilinear reading and its gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scratchnet import reference
from scratchnet.kernels import resampling as fused
from scratchnet.kernels.draws import uniform
from scratchnet.kernels.structures import Taps
from scratchnet.layers.base import Layer, Pair, Samples, Shape
from scratchnet.support.checking import check_choice, check_count, check_flag, check_number, check_seed, shortened


def taps(place: np.ndarray, size: int, fill_mode: str, dtype: Any = "float64") -> Taps:
    """Return the two rows that each place is read from, and their weights: places (N, O) -> index and weight (N, O, 2).

    O is the number of rows, or of columns, of the output: OH or OW.

    Examples
    --------
    >>> places = np.array([[-1.5, 0, 2.25]])
    >>> taps(places, 3, "reflect").index[0]                   # row -2 is row 1, row -1 is row 0, and row 3 is row 2
    array([[1, 0],
           [0, 1],
           [2, 2]])
    >>> taps(places, 3, "constant").index[0]                  # row 3 holds the fill value
    array([[3, 3],
           [0, 1],
           [2, 3]])
    >>> taps(places, 3, "constant").weight[0]
    array([[0.5 , 0.5 ],
           [1.  , 0.  ],
           [0.75, 0.25]])
    """
    low = np.floor(place)
    f = place - low
    index = low.astype(np.int64)[:, :, None] + np.arange(2)                 # (N, O) -> (N, O, 2): i and i + 1
    if fill_mode == "reflect":
        index %= 2 * size                                                   # the image and its reflection, again and again
        index = np.minimum(index, 2 * size - 1 - index)
    elif fill_mode == "nearest":
        index = np.clip(index, 0, size - 1)
    else:
        index = np.where((index >= 0) & (index < size), index, size)
    return Taps(index, np.stack([1 - f, f], axis=2).astype(dtype))


def _matrices(taps: Taps, size: int, dtype: np.dtype) -> np.ndarray:
    """Return A for each image, with a column for the fill value at the end: (N, O, 2) -> (N, O, size + 1)."""
    N, O, _ = taps.index.shape
    n, p = np.ogrid[:N, :O]
    A = np.zeros((N, O, size + 1), dtype)
    for t in range(2):
        A[n, p, taps.index[:, :, t]] += taps.weight[:, :, t]
    return A


def resample_forward(x: np.ndarray, rows: Taps, cols: Taps, fill_value: float) -> np.ndarray:
    """Return (1), the image multiplied by both matrices: (N, H, W, C), taps (N, OH, 2) and (N, OW, 2) -> (N, OH, OW, C)."""
    _, H, W, _ = x.shape
    A, B = _matrices(rows, H, x.dtype), _matrices(cols, W, x.dtype)                         # (N, OH, H + 1), (N, OW, W + 1)
    x = np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=fill_value)             # -> (N, H + 1, W + 1, C)
    return np.einsum("nph,nhwc,nqw->npqc", A, x, B, optimize=True)                          # -> (N, OH, OW, C)


def resample_backward(dout: np.ndarray, x_shape: Shape, rows: Taps, cols: Taps) -> np.ndarray:
    """Return dx, which is (2), without the additional row and column: (N, OH, OW, C) -> (N, H, W, C)."""
    _, H, W, _ = x_shape
    A, B = _matrices(rows, H, dout.dtype), _matrices(cols, W, dout.dtype)
    dx = np.einsum("nph,npqc,nqw->nhwc", A, dout, B, optimize=True)                         # -> (N, H + 1, W + 1, C)
    return np.ascontiguousarray(dx[:, :H, :W])


# -- the layers -------------------------------------------------------------------------------------------------------


class _Augmentation(Layer):
    """The base of the three layers. Each of them defines `places`: where rows and columns start, and in which direction they go."""

    implementations = {
        "loops": (reference.resample_forward, reference.resample_backward),
        "im2col": (resample_forward, resample_backward),
        "fused": (fused.resample_forward, fused.resample_backward),
    }
    draws = samples_of_parts_only = True
    fill_mode, fill_value = "nearest", 0.0

    def compute_output_shape(self, *input_shapes: Shape) -> Shape:
        """Return (H, W, C), after a check that these are images."""
        (shape,) = input_shapes
        if len(shape) != 3:
            raise ValueError(
                f"{self._title}: expected images of shape (H, W, C), got {shape}. For grey images use"
                " preprocessing.add_channel_axis"
            )
        return shape

    def places(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the start and the step of rows and columns, both (N, 2), from u (N, 2): two numbers in [0, 1) for each image."""
        raise NotImplementedError

    def start_in_inference(self) -> Pair:
        """Return the start of rows and columns in inference."""
        return 0, 0

    def forward(self, x: np.ndarray, training: bool = False, samples: Samples | None = None) -> np.ndarray:
        """Return the images: (N, H, W, C) -> (N, OH, OW, C). In training each is a random variation.

        If x is a part of a batch, as `samples` says, the variations are those that the images have in the whole batch.
        """
        self.check_input(x)
        N = len(x)
        if training:
            first = 0 if samples is None else 2 * samples.first
            start, step = self.places(uniform(int(self.rng.integers(2**63)), (N, 2), first))
        elif self.output_shape == self.input_shape:
            self.cache = (None, None)
            return x.copy()
        else:
            start, step = np.tile(self.start_in_inference(), (N, 1)), np.ones((N, 2))
        at = [start[:, k, None] + step[:, k, None] * np.arange(self.output_shape[k]) for k in range(2)]     # (N, OH), (N, OW)
        rows, cols = (taps(at[k], self.input_shape[k], self.fill_mode, x.dtype) for k in range(2))
        self.cache = (rows, cols)
        return self.forward_function(x, rows, cols, self.fill_value)

    def backward(self, dout: np.ndarray, need_dx: bool = True) -> np.ndarray:
        """Return dx: (N, OH, OW, C) -> (N, H, W, C)."""
        rows, cols = self.cached(dout)
        return dout.copy() if rows is None else self.backward_function(dout, (len(dout), *self.input_shape), rows, cols)


class RandomFlip(_Augmentation):
    """Flip each image with probability 1/2 in training, and do nothing in inference.

    Parameters
    ----------
    mode : {"horizontal_and_vertical", "horizontal", "vertical"}
        "horizontal" exchanges left and right, "vertical" top and bottom. With "horizontal_and_vertical" the two are drawn
        independently. (Keras 3 draws once for both, so that an image is either turned by 180 degrees or left as it is.)
    seed : int, optional
        Of the layer's own random numbers. By default the model's seed decides.
    alternate : bool
        Draw once for each image of the data, and flip it in every other epoch: an image that is flipped in one epoch is not
        flipped in the next. Two epochs then show both forms of every image; with independent draws, half of the images appear
        twice in the same form.
    implementation, name
        As for every `Layer`.

    Raises
    ------
    ValueError
        For an unknown mode, an input that is not images, or training with `alternate` outside `fit`: only `fit` knows the epoch
        and the index of each image.

    Notes
    -----
    The source of `alternate` is Jordan, *94% on CIFAR-10 in 3.29 seconds on a single GPU* (2024), section 3.6.

    Examples
    --------
    >>> layer = RandomFlip("horizontal", seed=1).build((1, 3, 1))
    >>> x = np.array([1, 2, 3, 1, 2, 3, 1, 2, 3], "float32").reshape(3, 1, 3, 1)
    >>> layer.forward(x, training=True)[:, 0, :, 0]
    array([[1., 2., 3.],
           [3., 2., 1.],
           [3., 2., 1.]], dtype=float32)
    """

    def __init__(
        self,
        mode: str = "horizontal_and_vertical",
        seed: int | None = None,
        *,
        alternate: bool = False,
        implementation: str | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name, implementation=implementation)
        self.mode = check_choice("mode", mode, ("horizontal_and_vertical", "horizontal", "vertical"))
        self.seed = check_seed("seed", seed)
        self.alternate = check_flag("alternate", alternate)
        self.samples_of_parts_only = not self.alternate
        self.samples: Samples | None = None

    def make_state(self) -> dict[str, np.ndarray]:
        """Return the key of the numbers that are drawn once, which is 0 until the first batch draws it."""
        return {"key": np.zeros(1)} if self.alternate else {}

    def forward(self, x: np.ndarray, training: bool = False, samples: Samples | None = None) -> np.ndarray:
        """Return the images, some of them flipped in training; `samples` says which images of the data they are."""
        self.samples = samples
        return super().forward(x, training, samples)

    def places(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return start and step: the last row (or column) and -1 where an image is flipped, and 0 and 1 elsewhere."""
        drawn = self.alternating_flips() if self.alternate else u < 0.5
        flips = drawn & np.array(["vertical" in self.mode, "horizontal" in self.mode])
        return np.where(flips, np.array(self.input_shape[:2]) - 1, 0), np.where(flips, -1, 1)

    def alternating_flips(self) -> np.ndarray:
        """Return for each image of the batch whether its rows, and its columns, are reversed in this epoch: (N, 2)."""
        if self.samples is None:
            raise ValueError(
                f"{self._title}: expected samples, which fit passes to alternate flips, got none. Train with fit, or leave out"
                " alternate=True"
            )
        key = self.state["key"]
        if not key:
            key[...] = self.rng.integers(1, 2**24)          # exact in float32
        rows, epoch = self.samples.rows, self.samples.epoch
        # Image i has row i of the key's numbers, in every epoch and every batch. `uniform` computes rows 0, 1, 2, … without gaps:
        # all up to the largest index of this batch. Of these, the rows of its images are taken.
        return (uniform(int(key[0]), (int(rows.max()) + 1, 2))[rows] < 0.5) ^ bool(epoch % 2)


class RandomTranslation(_Augmentation):
    """Move each image by a random distance in training, and do nothing in inference.

    Parameters
    ----------
    height_factor, width_factor : float or (float, float)
        The smallest and the largest movement, as fractions of the height and of the width, from -1 to 1; positive is down and to
        the right. One number f stands for (-f, f).
    fill_mode : {"reflect", "constant", "nearest"}
        What is read outside the image: its reflection, `fill_value`, or the nearest pixel. (Keras also has "wrap".)
    interpolation : {"bilinear", "nearest"}
        Whether a movement by a fraction of a pixel is computed as the weighted mean of neighbours, or rounded to whole pixels.
    seed : int, optional
        Of the layer's own random numbers. By default the model's seed decides.
    fill_value : float
        What `fill_mode="constant"` reads outside the image.
    implementation, name
        As for every `Layer`.

    Raises
    ------
    ValueError
        For an argument out of its range, an unknown name, or an input that is not images.

    Examples
    --------
    >>> layer = RandomTranslation(0, (0.25, 0.25), fill_mode="constant", fill_value=9).build((1, 4, 1))
    >>> layer.forward(np.array([1, 2, 3, 4], "float32").reshape(1, 1, 4, 1), training=True)[0, :, :, 0]
    array([[9., 1., 2., 3.]], dtype=float32)
    """

    def __init__(
        self,
        height_factor: float | Sequence[float],
        width_factor: float | Sequence[float],
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        *,
        implementation: str | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name, implementation=implementation)
        self.height_factor = _factor("height_factor", height_factor)
        self.width_factor = _factor("width_factor", width_factor)
        self.fill_mode = check_choice("fill_mode", fill_mode, ("reflect", "constant", "nearest"))
        self.interpolation = check_choice("interpolation", interpolation, ("bilinear", "nearest"))
        self.seed = check_seed("seed", seed)
        self.fill_value = check_number("fill_value", fill_value, lowest=-np.inf)

    def places(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the negative movements, drawn between the two ends of the ranges, and the step 1."""
        ranges = [sorted(f) if isinstance(f, tuple) else (-abs(f), abs(f)) for f in (self.height_factor, self.width_factor)]
        lower, upper = np.transpose(ranges)                                 # of rows and columns, (2,)
        moved = (lower + (upper - lower) * u) * self.input_shape[:2]        # (N, 2), in pixels, down and to the right
        return -(np.round(moved) if self.interpolation == "nearest" else moved), np.ones_like(u)


class RandomCrop(_Augmentation):
    """Cut a window out of each image: at a random place in training, and in the centre in inference.

    Each image has its own window, and the window must fit into the image. (Keras 3.15 cuts the same window out of all images of a
    batch, resizes images that are smaller, and in inference returns images uncropped.)

    Parameters
    ----------
    height, width : int
        The size of the window.
    seed : int, optional
        Of the layer's own random numbers. By default the model's seed decides.
    padding : int
        Rows and columns that the window may extend beyond each edge of the image. (Keras has no such argument; torchvision has.)
    fill_mode : {"reflect", "nearest", "constant"}
        What is read there, as in `RandomTranslation`; "constant" reads zeros.
    implementation, name
        As for every `Layer`.

    Raises
    ------
    ValueError
        For an argument out of its range, an input that is not images, or images that are smaller than the window.

    Examples
    --------
    >>> layer = RandomCrop(1, 2).build((3, 4, 1))
    >>> layer.forward(np.arange(12, dtype="float32").reshape(1, 3, 4, 1))[0, :, :, 0]
    array([[5., 6.]], dtype=float32)
    """

    def __init__(
        self,
        height: int,
        width: int,
        seed: int | None = None,
        *,
        padding: int = 0,
        fill_mode: str = "reflect",
        implementation: str | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name, implementation=implementation)
        self.height = check_count("height", height, "RandomCrop(28, 28)")
        self.width = check_count("width", width, "RandomCrop(28, 28)")
        self.seed = check_seed("seed", seed)
        self.padding = check_count("padding", padding, "RandomCrop(32, 32, padding=4)", lowest=0)
        self.fill_mode = check_choice("fill_mode", fill_mode, ("reflect", "nearest", "constant"))

    def compute_output_shape(self, *input_shapes: Shape) -> Shape:
        """Return (height, width, C) for (H, W, C)."""
        H, W, C = super().compute_output_shape(*input_shapes)
        H, W = H + 2 * self.padding, W + 2 * self.padding
        if self.height > H or self.width > W:
            raise ValueError(
                f"{self._title}: expected images of at least {(self.height, self.width)} pixels, got {(H, W)}, padding included."
                f" Choose a smaller window, such as RandomCrop({min(self.height, H)}, {min(self.width, W)})"
            )
        return self.height, self.width, C

    @property
    def spare(self) -> np.ndarray:
        """How many more rows and columns the image has than the window, padding included."""
        return np.array(self.input_shape[:2]) + 2 * self.padding - np.array(self.output_shape[:2])

    def places(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return for each image a first row and column, all possible ones with the same probability, and the step 1."""
        return np.floor(u * (self.spare + 1)) - self.padding, np.ones_like(u)

    def start_in_inference(self) -> Pair:
        """Return the first row and column of the window in the centre; if `spare` is odd, one more row is left after it."""
        return tuple(self.spare // 2 - self.padding)


def _factor(name: str, factor: Any) -> float | tuple[float, ...]:
    """Return one number or two from -1 to 1, or raise ValueError."""
    two = isinstance(factor, (tuple, list)) and len(factor) == 2
    try:
        numbers = [check_number(name, number, lowest=-1) for number in (factor if two else [factor])]
    except ValueError:
        numbers = [np.inf]
    if max(numbers) > 1:
        raise ValueError(
            f"{name}: expected a number from -1 to 1, or two of them, got {shortened(factor)}. It is a fraction of the size:"
            f" {name}=0.1 moves an image by up to a tenth"
        )
    return tuple(numbers) if two else numbers[0]
