"""Drawing many figures at a time: each outline becomes a distance field once, and every image samples a distorted field.

A *distance field* holds, at each point of a square around a figure, the distance to the figure's outline, positive inside
and negative outside. It is smooth where an image of the figure has hard edges, so a small field, interpolated between its
points, still has a sharp outline at any size; and adding a constant to it makes every stroke thicker by that constant.

    outline (polygons)  --distance_field-->  field  --sample at distorted coordinates-->  distances  --coverage-->  pixels

Coordinates are (x, y) with y upwards as in a font; the figure's larger side extends from -1 to 1. Each image has its own
affine map from its pixels to the figure (`affine_maps`) and its own elastic displacement (`elastic_shifts`, after Simard,
Steinkraus and Platt, 2003, "Best practices for convolutional neural networks", section 2).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

REACH = 1.6
"""A field covers [-REACH, REACH] in both directions: the figure, and a margin for thicker strokes."""


def fit_to_unit(polygons: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return an outline centred on the origin and scaled so that its larger side extends from -1 to 1.

    Parameters
    ----------
    polygons : sequence of (n, 2) arrays
        The closed loops of one outline, in any unit.

    Returns
    -------
    list of (n, 2) float64 arrays

    Examples
    --------
    >>> fit_to_unit([np.array([[0, 0], [4, 0], [4, 2], [0, 2]])])[0].tolist()
    [[-1.0, -0.5], [1.0, -0.5], [1.0, 0.5], [-1.0, 0.5]]
    """
    corners = np.concatenate(polygons)
    low, high = corners.min(axis=0), corners.max(axis=0)
    return [(polygon - (low + high) / 2) * (2 / (high - low).max()) for polygon in polygons]


def distance_field(polygons: Sequence[np.ndarray], size: int) -> np.ndarray:
    """Return the distance to an outline at the points of a size x size grid over [-REACH, REACH], positive inside.

    The distance to a segment from a to b is that to its nearest point a + t (b - a), with t clipped to [0, 1]. Inside is
    where the winding number is not zero, as in fonts, so a hole is a loop in the opposite direction.

    Parameters
    ----------
    polygons : sequence of (n, 2) arrays
        The closed loops of one outline; the last corner is connected to the first.
    size : int
        Points on a side.

    Returns
    -------
    (size, size) float32 array
        Row 0 is the lowest y, column 0 the lowest x.

    Examples
    --------
    >>> square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    >>> field = distance_field([square], 33)       # points are 0.1 apart; the middle one is the origin
    >>> field[16, [16, 21, 29, 32]].round(3).tolist() == np.float32([1, 0.5, -0.3, -0.6]).tolist()
    True
    """
    loops = [np.asarray(polygon, dtype=np.float32) for polygon in polygons]
    ax, ay = np.concatenate(loops).T                                                  # (S,) segments from a to b
    bx, by = np.concatenate([np.roll(loop, -1, axis=0) for loop in loops]).T
    proper = (ax != bx) | (ay != by)                # a repeated corner is a segment of length 0: t would be 0 / 0
    ax, ay, bx, by = ax[proper], ay[proper], bx[proper], by[proper]
    ux, uy = bx - ax, by - ay
    side = np.linspace(-REACH, REACH, size, dtype=np.float32)
    field = np.empty((size, size), np.float32)
    for row, y in enumerate(side):                  # a row at a time: (size, S) fits into the processor's cache
        px, py = side[:, None] - ax, y - ay
        t = np.clip((px * ux + py * uy) / (ux * ux + uy * uy), 0, 1)
        distance = np.sqrt(((px - t * ux) ** 2 + (py - t * uy) ** 2).min(axis=1))
        # The winding number: of the segments that a ray from the point to the right crosses, those going up minus those going down.
        # A segment is to the right of the point if the point is to the left of one going up, or to the right of one going down.
        left = ux * py - uy * px > 0                # the point is to the left of the line from a to b
        winding = (left & (ay <= y) & (y < by)).sum(axis=1) - (~left & (by <= y) & (y < ay)).sum(axis=1)
        field[row] = np.where(winding != 0, distance, -distance)
    return field


def affine_maps(radius: np.ndarray, angle: np.ndarray, stretch: np.ndarray, shear: np.ndarray) -> np.ndarray:
    """Return each image's map from pixels to the figure: the inverse of stretch, then shear, then rotation, then size.

    Parameters
    ----------
    radius : (N,) array
        Half the figure's larger side, in pixels.
    angle : (N,) array
        Rotation to the left, in radians.
    stretch : (N,) array
        Factor on the width.
    shear : (N,) array
        The distance by which a point at height 1 moves to the right.

    Returns
    -------
    (N, 2, 2) float32 array
        M with (x, y) of the figure = M @ (x, y) in pixels from the figure's centre, y upwards.

    Examples
    --------
    >>> quarter_turn = affine_maps(np.array([10.0]), np.array([np.pi / 2]), np.array([1.0]), np.array([0.0]))
    >>> np.allclose(quarter_turn[0] @ [0, 10], [1, 0], atol=1e-6)     # the figure's right end is above the centre
    True
    """
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], -2)
    form = np.stack([np.stack([stretch, shear], -1), np.stack([0 * shear, 1 + 0 * shear], -1)], -2)
    return np.linalg.inv(radius[:, None, None] * turn @ form).astype(np.float32)


def spline_weights(size: int, knots: int) -> np.ndarray:
    """Return the matrix that turns a few values into a smooth curve at many points: the uniform cubic B-spline.

    The curve follows the values but does not pass through them: at a knot it is 4/6 of that value plus 1/6 of each neighbour.

    Parameters
    ----------
    size : int
        Number of points, evenly spaced.
    knots : int
        Number of values, at least 4; each point depends on four of them.

    Returns
    -------
    (size, knots) float32 array
        Each row sums to 1.

    Examples
    --------
    >>> weights = spline_weights(28, 6)
    >>> weights.shape, bool(np.allclose(weights.sum(axis=1), 1))
    ((28, 6), True)
    """
    position = np.linspace(0, knots - 3, size, endpoint=False)
    distance = np.abs(position[:, None] + 1 - np.arange(knots))                       # from each point to each knot
    near = (4 - 6 * distance**2 + 3 * distance**3) / 6
    far = np.clip(2 - distance, 0, None) ** 3 / 6
    return np.where(distance < 1, near, far).astype(np.float32)


def elastic_shifts(rng: np.random.Generator, count: int, size: int, knots: int = 6) -> np.ndarray:
    """Return a smooth random displacement for each pixel of each image; its standard deviation is about 1.

    Parameters
    ----------
    rng : numpy Generator
    count : int
        Images, N.
    size : int
        Pixels on a side.
    knots : int
        Random values on a side, between which the displacement is interpolated; more of them make it vary faster.

    Returns
    -------
    (N, size, size, 2) float32 array

    Examples
    --------
    >>> elastic_shifts(np.random.default_rng(0), 3, 28).shape
    (3, 28, 28, 2)
    """
    weights = spline_weights(size, knots)
    weights /= np.sqrt((weights**2).sum(axis=1, keepdims=True))      # so that a sum of unit normals has variance 1
    bumps = rng.standard_normal((2, count, knots, knots), dtype=np.float32)
    shifts = weights @ bumps @ weights.T         # (size, knots) @ (2, N, knots, knots) @ (knots, size)
    return np.moveaxis(shifts, 0, -1)


def pixel_positions(maps: np.ndarray, centres: np.ndarray, size: int) -> np.ndarray:
    """Return the position of each pixel of each image in the figure's coordinates.

    Parameters
    ----------
    maps : (N, 2, 2) array
        From `affine_maps`.
    centres : (N, 2) array
        The figure's centre, in pixels (x, y) from the image's centre, y upwards.
    size : int
        Pixels on a side.

    Returns
    -------
    (N, size, size, 2) float32 array
        Row 0 is the image's top.

    Examples
    --------
    >>> positions = pixel_positions(np.eye(2)[None] / 2, np.zeros((1, 2)), 4)
    >>> positions[0, 0, 0].tolist(), positions[0, 3, 3].tolist()
    ([-0.75, 0.75], [0.75, -0.75])
    """
    line = np.arange(size, dtype=np.float32) - np.float32((size - 1) / 2)
    grid = np.stack(np.meshgrid(line, -line), axis=-1).reshape(1, size * size, 2)
    offsets = grid - centres[:, None].astype(np.float32)                              # (N, size·size, 2)
    return (offsets @ maps.transpose(0, 2, 1).astype(np.float32)).reshape(-1, size, size, 2)


def sample(fields: np.ndarray, which: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Return the distances at any positions, by bilinear interpolation between the points of the fields.

    Parameters
    ----------
    fields : (T, S, S) float32 array
        Distance fields over [-REACH, REACH].
    which : (N,) integer array
        The index of each image's field.
    positions : (N, H, W, 2) array
        Coordinates (x, y); a position outside the field takes the value at its edge.

    Returns
    -------
    (N, H, W) float32 array

    Examples
    --------
    >>> field = distance_field([np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])], 33)
    >>> float(sample(field[None], np.array([0]), np.array([[[[0.25, 0.0]]]])).round(3)[0, 0, 0])
    0.75
    """
    S = fields.shape[-1]
    scaled = np.clip((positions + np.float32(REACH)) * np.float32((S - 1) / (2 * REACH)), 0, np.float32(S - 1.001))
    corner = scaled.astype(np.int32)
    fx, fy = np.moveaxis(scaled - corner, -1, 0)
    index = corner[..., 1] * S + corner[..., 0] + (which * (S * S)).astype(np.int32)[:, None, None]
    flat = fields.reshape(-1)
    lower = flat[index] * (1 - fx) + flat[index + 1] * fx
    upper = flat[index + S] * (1 - fx) + flat[index + S + 1] * fx
    return (lower * (1 - fy) + upper * fy).astype(np.float32, copy=False)


def coverage(distances: np.ndarray, pixel: np.ndarray) -> np.ndarray:
    """Return the share of each pixel that a figure covers: 0 outside, 1 inside, linear over one pixel's width in between.

    Parameters
    ----------
    distances : (N, H, W) array
        To the outline, positive inside.
    pixel : (N,) array
        A pixel's width in the figure's units; a larger value blurs the outline.

    Returns
    -------
    (N, H, W) float32 array in [0, 1]

    Examples
    --------
    >>> coverage(np.array([[[-0.2, -0.025, 0.0, 0.2]]]), np.array([0.1])).tolist()
    [[[0.0, 0.25, 0.5, 1.0]]]
    """
    return np.clip(distances / pixel[:, None, None] + 0.5, 0, 1).astype(np.float32, copy=False)


def uniform_per_image(rng: np.random.Generator, low: float, high: float, count: int) -> np.ndarray:
    """Draw one random number from [low, high) for each image, in a shape that multiplies (N, H, W).

    Returns
    -------
    (N, 1, 1) float32 array

    Examples
    --------
    >>> uniform_per_image(np.random.default_rng(0), 0, 1, 3).shape
    (3, 1, 1)
    """
    return rng.uniform(low, high, (count, 1, 1)).astype(np.float32)
