"""Pictures of one digit on paper of many kinds, as people take them: for the tests of what a network is shown."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIZE = 200


def enlarged(digit, size=140, top=30, left=30, canvas=(SIZE, SIZE)):
    """The digit, uint8 (28, 28), as ink from 0 to 1 of `size` pixels a side on a canvas."""
    ink = np.zeros(canvas)
    large = Image.fromarray(digit).resize((size, size), Image.Resampling.BICUBIC)
    ink[top : top + size, left : left + size] = np.asarray(large) / 255
    return ink


def shown(ink, paper, pen):
    """An 8-bit grey picture of ink of brightness `pen` on paper of brightness `paper`, a number or (h, w)."""
    return Image.fromarray((255 * np.clip(paper * (1 - ink) + pen * ink, 0, 1)).astype(np.uint8))


def coloured(ink, paper, pen):
    ink = ink[:, :, None]
    return Image.fromarray((255 * (np.array(paper) * (1 - ink) + np.array(pen) * ink)).astype(np.uint8))


def framed(picture, width, at=0):
    sides = (at, at, picture.width - 1 - at, picture.height - 1 - at)
    ImageDraw.Draw(picture).rectangle(sides, outline=30, width=width)
    return picture


def lit(ink, paper, pen, light):
    """Ink on paper under a light that falls from 1 to less, (h, w)."""
    return shown(np.zeros_like(ink), (paper * (1 - ink) + pen * ink) * light, 0)


def ramp(low):
    return np.linspace(1, low, SIZE)[None].repeat(SIZE, axis=0)


def shadow():
    y, x = np.mgrid[:SIZE, :SIZE]
    return 0.45 + 0.55 * np.clip((x + y / 2 - 150) / 5, 0, 1)


def lamp():
    y, x = np.mgrid[:SIZE, :SIZE]
    return 0.3 + 0.7 * np.exp(-((x - 50) ** 2 + (y - 40) ** 2) / 130**2)


def specked(ink, rng, count, size):
    picture = shown(ink, 0.97, 0.2)
    for y, x in rng.integers(4, SIZE - 8, (count, 2)):
        ImageDraw.Draw(picture).rectangle((x, y, x + size - 1, y + size - 1), fill=0)
    return picture


def small(digit, rng, frame=False, speck=False, corner=False):
    """A dark-on-light picture of 28 × 28 pixels."""
    grey = 255 - digit
    if corner:
        y, x = np.nonzero(digit)
        part = grey[y.min() : y.max() + 1, x.min() : x.max() + 1]
        grey = np.full_like(grey, 255)
        top, left = rng.choice([0, 28 - part.shape[0]]), rng.choice([0, 28 - part.shape[1]])
        grey[top : top + part.shape[0], left : left + part.shape[1]] = part
    if frame:
        grey[[0, -1]] = grey[:, [0, -1]] = 30
    if speck:
        grey[rng.integers(0, 28), rng.integers(0, 28)] = 0
    return Image.fromarray(grey)


def ruled(digit, brightness, step, both=False):
    paper = np.full((SIZE, SIZE), 0.97)
    paper[step // 2 :: step] = brightness
    if both:
        paper[:, step // 2 :: step] = brightness
    return shown(enlarged(digit), paper, 0.1)


def tight(digit):
    y, x = np.nonzero(digit > 50)
    part = Image.fromarray(255 - digit[y.min() : y.max() + 1, x.min() : x.max() + 1])
    return part.resize((7 * part.width, 7 * part.height), Image.Resampling.BICUBIC)


def transparent(ink, pen):
    alpha = Image.fromarray((255 * ink).astype(np.uint8).clip(0, 255))
    return Image.merge("LA", (Image.new("L", alpha.size, pen), alpha))


def rough(digit, rng, paper, pen, noise):
    ink = enlarged(digit)
    return shown(np.zeros_like(ink), paper * (1 - ink) + pen * ink + rng.normal(0, noise, ink.shape), 0)


def with_a_blot(digit):
    picture = shown(enlarged(digit, 110, 10, 10), 0.95, 0.1)
    ImageDraw.Draw(picture).ellipse((150, 150, 185, 185), fill=50)
    return picture


def two(digit):
    return shown(np.maximum(enlarged(digit, 90, 55, 5), enlarged(digit, 90, 55, 105)), 0.95, 0.1)


def on_a_table(digit):
    paper = shown(enlarged(digit, 140, 10, 5, (160, 150)), 0.93, 0.1).convert("LA")
    paper = paper.rotate(12, expand=True, resample=Image.Resampling.BICUBIC, fillcolor=(0, 0))
    table = Image.new("L", (SIZE + 30, SIZE + 30), 70)
    table.paste(paper.getchannel(0), (15, 12), paper.getchannel(1))
    return table


def tilted(digit):
    picture = lit(enlarged(digit), 0.95, 0.1, ramp(0.5).T)
    corners = (0, 0, 25, SIZE, SIZE - 25, SIZE, SIZE, 0)
    return picture.transform((SIZE, SIZE), Image.Transform.QUAD, corners, Image.Resampling.BICUBIC)


# Each takes a digit, uint8 (28, 28), light on black, and a generator.
ANSWERED = {
    "plain paper": lambda d, rng: shown(enlarged(d), 0.97, 0.08),
    "plain, 28 pixels": lambda d, rng: small(d, rng),
    "light on black": lambda d, rng: shown(enlarged(d), 0.0, 1.0),
    "grey paper": lambda d, rng: shown(enlarged(d), 0.42, 0.08),
    "grey paper, rough": lambda d, rng: rough(d, rng, 0.45, 0.15, 0.04),
    "chalk board": lambda d, rng: rough(d, rng, 0.28, 0.85, 0.03),
    "light board": lambda d, rng: shown(enlarged(d), 0.6, 0.97),
    "thin dark frame": lambda d, rng: framed(shown(enlarged(d), 0.97, 0.08), 3),
    "frame inside": lambda d, rng: framed(shown(enlarged(d), 0.97, 0.08), 2, 9),
    "frame, 28 pixels": lambda d, rng: small(d, rng, frame=True),
    "light from one side": lambda d, rng: lit(enlarged(d), 1.0, 0.1, ramp(0.3)),
    "chalk, light from one side": lambda d, rng: lit(enlarged(d), 0.3, 0.95, ramp(0.4)),
    "shadow": lambda d, rng: lit(enlarged(d), 0.95, 0.1, shadow()),
    "lamp": lambda d, rng: lit(enlarged(d), 0.98, 0.1, lamp()),
    "one speck": lambda d, rng: specked(enlarged(d), rng, 1, 4),
    "many specks": lambda d, rng: specked(enlarged(d), rng, 15, 2),
    "one speck, 28 pixels": lambda d, rng: small(d, rng, speck=True),
    "in a corner, 28 pixels": lambda d, rng: small(d, rng, corner=True),
    "small, anywhere": lambda d, rng: shown(enlarged(d, 40, *rng.integers(0, 160, 2)), 0.95, 0.1),
    "wide paper": lambda d, rng: shown(enlarged(d, 140, 20, 60, (180, 600)), 0.9, 0.2),
    "cut to the ink": lambda d, rng: tight(d),
    "lined paper": lambda d, rng: ruled(d, 0.7, 24),
    "squared paper": lambda d, rng: ruled(d, 0.75, 12, both=True),
    "blue on white": lambda d, rng: coloured(enlarged(d), (1, 1, 1), (0.1, 0.15, 0.75)),
    "red on yellow": lambda d, rng: coloured(enlarged(d), (1, 0.95, 0.2), (0.85, 0.1, 0.1)),
    "yellow on white": lambda d, rng: coloured(enlarged(d), (1, 1, 1), (1, 0.95, 0.2)),
    "red on green": lambda d, rng: coloured(enlarged(d), (0, 0.5, 0), (1, 0, 0)),
    "white on transparency": lambda d, rng: transparent(enlarged(d), 255),
    "black on transparency": lambda d, rng: transparent(enlarged(d), 0),
    "blurred": lambda d, rng: shown(enlarged(d), 0.95, 0.1).filter(ImageFilter.GaussianBlur(3)),
    "noise": lambda d, rng: rough(d, rng, 0.8, 0.2, 0.1),
    "pencil": lambda d, rng: rough(d, rng, 0.9, 0.65, 0.02),
    "at an angle": lambda d, rng: tilted(d),
}
REFUSED = {
    "strong lines": lambda d, rng: ruled(d, 0.2, 24),
    "blot": lambda d, rng: with_a_blot(d),
    "two digits": lambda d, rng: two(d),
    "paper on a dark table": lambda d, rng: on_a_table(d),
}
