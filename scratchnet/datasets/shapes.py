"""shapes: 12,000 + 2,000 coloured shapes on textured backgrounds, 32×32, red, green and blue.

A substitute for CIFAR-10 that needs no download. Only the outline depends on the class: shape and background have random hues,
either of them may be lighter, and the background is striped, chequered, blotched or grained. A linear classifier, whose
logits are weighted sums of pixels, learns almost nothing.
"""

from __future__ import annotations

import numpy as np

from scratchnet.datasets.drawing import (
    affine_maps,
    coverage,
    distance_field,
    elastic_shifts,
    fit_to_unit,
    pixel_positions,
    sample,
    spline_weights,
    uniform_per_image,
)
from scratchnet.datasets.generated import TEST, TRAIN, Draw, GeneratedSet
from scratchnet.datasets.sets import Splits
from scratchnet.support.keywords import named_arguments

SIZE = 32


def _arc(centre: float, radius: float, start: float, stop: float, corners: int) -> np.ndarray:
    angle = np.deg2rad(np.linspace(start, stop, corners))
    return np.stack([centre + radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _regular(corners: int, first: float) -> np.ndarray:
    return _arc(0, 1, first, first + 360 * (corners - 1) / corners, corners)


def _heart() -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 80, endpoint=False)
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([16 * np.sin(t) ** 3, y], axis=1)


def _crescent(shift: float = 0.5, bite: float = 0.8) -> np.ndarray:
    x = (1 - bite**2 + shift**2) / (2 * shift)      # where the unit circle intersects the circle that is cut out of it
    y = np.sqrt(1 - x**2)
    outer, inner = np.rad2deg(np.arctan2(y, x)), np.rad2deg(np.arctan2(y, x - shift))
    return np.concatenate([_arc(0, 1, outer, 360 - outer, 60), _arc(shift, bite, 360 - inner, inner, 50)])


def outlines() -> dict[str, list[np.ndarray]]:
    """Return the ten shapes by name, as closed loops of corners; a loop in the opposite direction is a hole.

    Returns
    -------
    dict of str to list of (n, 2) arrays

    Examples
    --------
    >>> ", ".join(outlines())
    'circle, ring, triangle, square, star, cross, heart, crescent, arrow, hourglass'
    """
    circle = _regular(64, first=0)
    star = _regular(10, first=90)
    star[1::2] *= 0.42
    quarter = np.array([(1, -0.3), (1, 0.3), (0.3, 0.3)])
    quarter_turn = np.array([[0, 1], [-1, 0]])
    cross = np.concatenate([quarter @ np.linalg.matrix_power(quarter_turn, turns) for turns in range(4)])
    arrow = np.array([(1, 0), (0.1, 0.8), (0.1, 0.28), (-1, 0.28), (-1, -0.28), (0.1, -0.28), (0.1, -0.8)])
    side = np.array([(0.8, -1), (0.8, -0.95), (0.12, 0), (0.8, 0.95), (0.8, 1)])
    return {
        "circle": [circle],
        "ring": [circle, circle[::-1] * 0.5],
        "triangle": [_regular(3, first=90)],
        "square": [_regular(4, first=45)],
        "star": [star],
        "cross": [cross],
        "heart": [_heart()],
        "crescent": [_crescent()],
        "arrow": [arrow],
        "hourglass": [np.concatenate([side, -side])],
    }


CLASS_NAMES = tuple(outlines())


def colours(hue: np.ndarray, saturation: np.ndarray, lightness: np.ndarray) -> np.ndarray:
    """Convert hue, saturation and lightness to red, green and blue.

    Parameters
    ----------
    hue : (N,) array
        As a fraction of the colour circle: 0 red, 1/3 green, 2/3 blue, 1 red again.
    saturation, lightness : (N,) arrays in [0, 1]

    Returns
    -------
    (N, 3) float32 array in [0, 1]
        Formula: CSS Color Module Level 4, section 7.1, "Converting HSL colors to sRGB".

    Examples
    --------
    >>> colours(np.array([0, 1 / 3]), np.ones(2), np.full(2, 0.5)).round(6).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    k = (np.array([0, 8, 4]) + hue[:, None] * 12) % 12
    amplitude = (saturation * np.minimum(lightness, 1 - lightness))[:, None]
    return (lightness[:, None] - amplitude * np.clip(np.minimum(k - 3, 9 - k), -1, 1)).astype(np.float32)


def textures(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draw backgrounds: each is striped, chequered, blotched, or a gradient with grain, at random.

    Parameters
    ----------
    rng : numpy Generator
    count : int
        Number of images, N.

    Returns
    -------
    (N, 32, 32) float32 array, approximately in [-1, 1]

    Examples
    --------
    >>> textures(np.random.default_rng(0), 5).shape
    (5, 32, 32)
    """
    line = np.arange(SIZE, dtype=np.float32) - np.float32((SIZE - 1) / 2)
    angle = uniform_per_image(rng, 0, np.pi, count)
    across = line * np.cos(angle) + line[:, None] * np.sin(angle)
    along = line[:, None] * np.cos(angle) - line * np.sin(angle)
    pitch = uniform_per_image(rng, 0.6, 1.6, count)                  # radians per pixel: waves of 4 to 10 pixels
    waves = np.sin(across * pitch + uniform_per_image(rng, 0, 2 * np.pi, count))
    chequers = waves * np.sin(along * pitch + uniform_per_image(rng, 0, 2 * np.pi, count))
    weights = spline_weights(SIZE, 9)
    blotches = weights @ rng.standard_normal((count, 9, 9), dtype=np.float32) @ weights.T
    grain = rng.standard_normal((count, SIZE, SIZE), dtype=np.float32)
    hard = [np.clip(gain * soft, -1, 1) for gain, soft in ((3, waves), (4, chequers), (2, blotches))]
    kinds = np.stack([*hard, across / 16 + np.float32(0.15) * grain])
    return kinds[rng.integers(4, size=count), np.arange(count)]


def _prepare() -> Draw:
    fields = np.stack([distance_field(fit_to_unit(loops), 72) for loops in outlines().values()])
    height = np.linspace(0.5, -0.5, SIZE, dtype=np.float32)[:, None, None]

    def draw(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        shapes = rng.permutation(np.arange(count) % 10)
        radius = rng.uniform(9, 12.5, count)
        angle = np.deg2rad(rng.uniform(-25, 25, count))
        stretch, shear = np.exp(rng.uniform(-0.1, 0.1, count)), rng.uniform(-0.1, 0.1, count)
        maps = affine_maps(radius, angle, stretch, shear)
        positions = pixel_positions(maps, rng.uniform(-1.8, 1.8, (count, 2)), SIZE)
        positions += elastic_shifts(rng, count, SIZE, knots=5) * uniform_per_image(rng, 0, 0.06, count)[..., None]
        inside = coverage(sample(fields, shapes, positions), 1.2 / radius)[..., None]

        # light on dark or dark on light, at random: lightness must not reveal the class either
        light_background = rng.random(count) < 0.5
        lightness = np.where(light_background, rng.uniform(0.68, 0.82, count), rng.uniform(0.15, 0.32, count))
        shape_lightness = np.where(light_background, rng.uniform(0.15, 0.4, count), rng.uniform(0.55, 0.8, count))
        hue, contrast = rng.random(count), rng.uniform(0.03, 0.12, count)
        dark = colours(hue, rng.uniform(0.2, 0.7, count), lightness - contrast)
        light = colours(hue + rng.uniform(-0.12, 0.12, count), rng.uniform(0.2, 0.7, count), lightness + contrast)
        colour = colours(rng.random(count), rng.uniform(0.5, 1, count), shape_lightness)
        background = _per_pixel(dark) + _per_pixel(light - dark) * (0.5 + 0.5 * textures(rng, count)[..., None])
        images = background + (_per_pixel(colour) * (1 + 0.24 * height) - background) * inside
        noise = rng.standard_normal((count, SIZE, SIZE, 3), dtype=np.float32)
        images += noise * uniform_per_image(rng, 0, 0.04, count)[..., None]
        return np.clip(images * 255, 0, 255).round().astype(np.uint8), shapes.astype(np.uint8)

    return draw


def _per_pixel(colour: np.ndarray) -> np.ndarray:
    return colour[:, None, None]                                     # (N, 3) -> (N, 1, 1, 3)


SET = GeneratedSet("shapes", CLASS_NAMES, 1, _prepare)


def generate(train: int = TRAIN, test: int = TEST, *, seed: int = 0) -> Splits:
    """Draw a set of any size from any seed. The cache is not used.

    Parameters
    ----------
    train, test : int
        Images in each split, at least 1.
    seed : int
        The same seed gives the same images, on one machine with the same versions.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        As `load_data` returns them, (train, 32, 32, 3) and (test, 32, 32, 3); the classes are of equal size as far as possible.

    Examples
    --------
    >>> (x_train, y_train), (x_test, y_test) = generate(20, 10, seed=1)
    >>> x_train.shape, x_train.dtype, sorted(y_test.tolist())
    ((20, 32, 32, 3), dtype('uint8'), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """
    return SET.generate(train, test, seed)


@named_arguments
def load_data() -> Splits:
    """Return shapes from the cache; otherwise draw the set (about 4 s) and keep it there.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        uint8 images (12000, 32, 32, 3) and (2000, 32, 32, 3), red, green, blue, 0 to 255; uint8 labels (12000,) and
        (2000,).

    Warns
    -----
    RuntimeWarning
        If the cache cannot be written to.

    Examples
    --------
    >>> (x_train, y_train), (x_test, y_test) = load_data()     # doctest: +SKIP
    >>> x_train.shape, x_test.shape                            # doctest: +SKIP
    ((12000, 32, 32, 3), (2000, 32, 32, 3))
    """
    return SET.load()
