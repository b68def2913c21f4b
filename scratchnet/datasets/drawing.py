"""Figures drawn many at a time: an outline becomes a distance field once, and every image bends and samples that field.

A *distance field* holds, at each point of a square around a figure, how far the figure's outline is, positive inside
and negative outside. It is smooth where a picture of the figure has hard edges, so a small one sampled between its
points still gives a crisp edge at any size, and adding a constant to it makes every stroke thicker by that constant.

    outline (polygons)  --distance_field-->  field  --sample at bent coordinates-->  distances  --coverage-->  pixels

Coordinates are (x, y) with y upwards as in a font, the figure's larger side reaching from -1 to 1. An image's pixels
are taken to the figure by an affine map of their own (`affine_maps`) and an elastic displacement (`elastic_shifts`,
after Simard, Steinkraus and Platt, 2003, "Best practices for convolutional neural networks", section 2).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

REACH = 1.6
"""A field covers [-REACH, REACH] in both directions: the figure itself and room for strokes to thicken."""


def fit_to_unit(polygons: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Centre an outline on the origin and scale it until its larger side reaches from -1 to 1.

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
    """Distance to an outline at the points of a size x size grid over [-REACH, REACH], positive inside.

    The distance to a segment from a to b is that to its nearest point a + t (b - a), t held in [0, 1]; inside is where
    the winding number is not zero, as fonts have it, so that a hole is a loop that runs the other way round.

    Parameters
    ----------
    polygons : sequence of (n, 2) arrays
        The closed loops of one outline; the last corner is joined to the first.
    size : int
        Points on a side.

    Returns
    -------
    (size, size) float32 array
        Row 0 is the lowest y, column 0 the lowest x.

    Examples
    --------
    >>> square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    >>> field = distance_field([square], 33)       # 0.1 from point to point, the middle one at the origin
    >>> field[16, [16, 21, 29, 32]].round(3).tolist() == np.float32([1, 0.5, -0.3, -0.6]).tolist()
    True
    """
    loops = [np.asarray(polygon, dtype=np.float32) for polygon in polygons]
    ax, ay = np.concatenate(loops).T                                                  # (S,) segments from a to b
    bx, by = np.concatenate([np.roll(loop, -1, axis=0) for loop in loops]).T
    moving = (ax != bx) | (ay != by)                # a repeated corner is a segment of no length: t would be 0 / 0
    ax, ay, bx, by = ax[moving], ay[moving], bx[moving], by[moving]
    ux, uy = bx - ax, by - ay
    side = np.linspace(-REACH, REACH, size, dtype=np.float32)
    field = np.empty((size, size), np.float32)
    for row, y in enumerate(side):                  # a row at a time: (size, S) stays in the processor's cache
        px, py = side[:, None] - ax, y - ay
        t = np.clip((px * ux + py * uy) / (ux * ux + uy * uy), 0, 1)
        distance = np.sqrt(((px - t * ux) ** 2 + (py - t * uy) ** 2).min(axis=1))
        left = ux * py - uy * px > 0                # the point lies to the left of the line through a and b
        winding = (left & (ay <= y) & (y < by)).sum(axis=1) - (~left & (by <= y) & (y < ay)).sum(axis=1)
        field[row] = np.where(winding != 0, distance, -distance)
    return field


def affine_maps(radius: np.ndarray, angle: np.ndarray, stretch: np.ndarray, shear: np.ndarray) -> np.ndarray:
    """Maps from pixels to the figure, one an image: the inverse of shear, then stretch, then turn, then size.

    Parameters
    ----------
    radius : (N,) array
        Half the figure's larger side, in pixels.
    angle : (N,) array
        Turn to the left, in radians.
    stretch : (N,) array
        Factor on the width.
    shear : (N,) array
        How far a point at height 1 moves to the right.

    Returns
    -------
    (N, 2, 2) float32 array
        M with (x, y) of the figure = M @ (x, y) in pixels from the figure's centre, y upwards.

    Examples
    --------
    >>> quarter_turn = affine_maps(np.array([10.0]), np.array([np.pi / 2]), np.array([1.0]), np.array([0.0]))
    >>> np.allclose(quarter_turn[0] @ [0, 10], [1, 0], atol=1e-6)     # above the centre is the figure's right end
    True
    """
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], -2)
    form = np.stack([np.stack([stretch, shear], -1), np.stack([0 * shear, 1 + 0 * shear], -1)], -2)
    return np.linalg.inv(radius[:, None, None] * turn @ form).astype(np.float32)


def spline_weights(size: int, knots: int) -> np.ndarray:
    """Matrix that spreads a few values over many points smoothly: the uniform cubic B-spline.

    Parameters
    ----------
    size : int
        Points, spread evenly over the line.
    knots : int
        Values, four of which weigh on each point; at least 4.

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
    distance = np.abs(position[:, None] + 1 - np.arange(knots))                       # of each point to each knot
    near = (4 - 6 * distance**2 + 3 * distance**3) / 6
    far = np.clip(2 - distance, 0, None) ** 3 / 6
    return np.where(distance < 1, near, far).astype(np.float32)


def elastic_shifts(rng: np.random.Generator, count: int, size: int, knots: int = 6) -> np.ndarray:
    """Smooth random displacements, of deviation about 1, one field an image.

    Parameters
    ----------
    rng : numpy Generator
    count : int
        Images, N.
    size : int
        Pixels on a side.
    knots : int
        Random values on a side that the displacement is made of: more of them bend it more sharply.

    Returns
    -------
    (N, size, size, 2) float32 array

    Examples
    --------
    >>> elastic_shifts(np.random.default_rng(0), 3, 28).shape
    (3, 28, 28, 2)
    """
    weights = spline_weights(size, knots)
    weights /= np.sqrt((weights**2).sum(axis=1, keepdims=True))      # so that a sum of unit normals has deviation 1
    bumps = rng.standard_normal((2, count, knots, knots), dtype=np.float32)
    shifts = weights @ bumps @ weights.T         # (size, knots) @ (2, N, knots, knots) @ (knots, size)
    return np.moveaxis(shifts, 0, -1)


def pixel_positions(maps: np.ndarray, centres: np.ndarray, size: int) -> np.ndarray:
    """Where each pixel of each image lies in the figure's coordinates.

    Parameters
    ----------
    maps : (N, 2, 2) array
        From `affine_maps`.
    centres : (N, 2) array
        Where the figure's centre lies, in pixels (x, y) from the image's centre, y upwards.
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
    """Distances at any position, between the points of the fields (bilinear interpolation).

    Parameters
    ----------
    fields : (T, S, S) float32 array
        Distance fields over [-REACH, REACH].
    which : (N,) integer array
        The field each image is drawn from.
    positions : (N, H, W, 2) array
        Coordinates (x, y); what lies beyond the field takes the value at its rim.

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
    """Share of each pixel that a figure covers: 0 outside, 1 inside, a ramp over one pixel's width between.

    Parameters
    ----------
    distances : (N, H, W) array
        To the outline, positive inside.
    pixel : (N,) array
        A pixel's width in the figure's units; a larger value blurs the edge.

    Returns
    -------
    (N, H, W) float32 array in [0, 1]

    Examples
    --------
    >>> coverage(np.array([[[-0.2, -0.025, 0.0, 0.2]]]), np.array([0.1])).tolist()
    [[[0.0, 0.25, 0.5, 1.0]]]
    """
    return np.clip(distances / pixel[:, None, None] + 0.5, 0, 1).astype(np.float32, copy=False)
