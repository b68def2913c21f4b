"""glyphs: 12,000 + 2,000 printed digits, 28×28, grey, drawn with the typefaces that come with matplotlib.

White on black and about as large as MNIST's digits: a substitute for MNIST that needs no download. Each image uses one of
21 typefaces; the digit is rotated, sheared, stretched, moved and bent, its strokes are made thicker or thinner, it is
dimmed and blurred, and noise is added. A linear classifier predicts nearly 90 % of the test images correctly.
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
    uniform_per_image,
)
from scratchnet.datasets.generated import TEST, TRAIN, Draw, GeneratedSet
from scratchnet.datasets.places import DataError
from scratchnet.datasets.sets import Splits
from scratchnet.support.keywords import named_arguments

CLASS_NAMES = tuple("0123456789")
SIZE = 28
FACES = (
    *(f"DejaVu{kind}{style}" for kind in ("Sans", "SansMono") for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")),
    *("cmr10", "cmb10", "cmss10", "cmtt10", "cmmi10"),
)


def digit_fields() -> np.ndarray:
    """Return the distance fields of the ten digits in every typeface, from the outlines in matplotlib's font files.

    Returns
    -------
    (210, 72, 72) float32 array
        Digit k of typeface f is field 10 f + k.

    Raises
    ------
    DataError
        If a font file is missing.

    Examples
    --------
    >>> len(FACES)
    21
    """
    from pathlib import Path

    import matplotlib
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    fields = []
    for face in FACES:
        file = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{face}.ttf"
        if not file.is_file():
            raise DataError(f"{file} is missing. It is part of matplotlib: pip install --force-reinstall matplotlib")
        properties = FontProperties(fname=str(file))
        for digit in CLASS_NAMES:
            # at size 40 a curve becomes a few segments, all within a fortieth of a pixel of it
            outline = TextPath((0, 0), digit, size=40, prop=properties).to_polygons()
            fields.append(distance_field(fit_to_unit([np.asarray(loop) for loop in outline]), 72))
    return np.stack(fields)


def _prepare() -> Draw:
    fields = digit_fields()

    def draw(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        digits = rng.permutation(np.arange(count) % 10)
        faces = rng.integers(len(FACES), size=count)
        radius = rng.uniform(8, 11, count)
        angle = np.deg2rad(rng.uniform(-12, 12, count))
        stretch, shear = np.exp(rng.uniform(-0.2, 0.2, count)), rng.uniform(-0.15, 0.15, count)
        maps = affine_maps(radius, angle, stretch, shear)
        positions = pixel_positions(maps, rng.uniform(-2, 2, (count, 2)), SIZE)
        positions += elastic_shifts(rng, count, SIZE) * uniform_per_image(rng, 0, 0.12, count)[..., None]
        distances = sample(fields, faces * 10 + digits, positions) + uniform_per_image(rng, -0.02, 0.09, count)
        images = coverage(distances, rng.uniform(1, 2, count) / radius) * uniform_per_image(rng, 0.75, 1, count)
        images += rng.standard_normal((count, SIZE, SIZE), dtype=np.float32) * uniform_per_image(rng, 0, 0.1, count)
        return np.clip(images * 255, 0, 255).round().astype(np.uint8), digits.astype(np.uint8)

    return draw


SET = GeneratedSet("glyphs", CLASS_NAMES, 1, _prepare)


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
        As `load_data` returns them, (train, 28, 28) and (test, 28, 28); the classes are of equal size as far as possible.

    Examples
    --------
    >>> (x_train, y_train), (x_test, y_test) = generate(20, 10, seed=1)
    >>> x_train.shape, x_train.dtype, sorted(y_test.tolist())
    ((20, 28, 28), dtype('uint8'), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """
    return SET.generate(train, test, seed)


@named_arguments
def load_data() -> Splits:
    """Return glyphs from the cache; otherwise draw the set (about 3 s) and keep it there.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        uint8 images (12000, 28, 28) and (2000, 28, 28), 0 (background) to 255 (ink); uint8 labels (12000,) and (2000,).

    Warns
    -----
    RuntimeWarning
        If the cache cannot be written to.

    Examples
    --------
    >>> (x_train, y_train), (x_test, y_test) = load_data()     # doctest: +SKIP
    >>> x_train.shape, x_test.shape                            # doctest: +SKIP
    ((12000, 28, 28), (2000, 28, 28))
    """
    return SET.load()
