"""Pictures of your own: read from any kind of PNG, and converted to a network's input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from scratchnet.tools.ink import background, contrast, find_ink, strokes
from scratchnet.tools.pictures import coverage, middle, prepare, read_picture, resize
from scratchnet.tools.predict import drawing_paths


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def drawing(H=60, W=90, top=10, left=50, size=30):
    """A dark L on light paper, off the centre."""
    paper = np.full((H, W), 0.93)
    paper[top : top + size, left : left + 5] = 0.1
    paper[top + size - 5 : top + size, left : left + size // 2] = 0.1
    return paper


def centred_ink(grey, H, W):
    """The network's input (H, W) for a grey picture."""
    return prepare(np.repeat(grey[:, :, None], 3, axis=2), (H, W, 1)).x[:, :, 0]


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "1", "I;16"])
def test_every_kind_of_png_is_read_as_the_same_picture(tmp_path, mode):
    black_on_white = np.full((5, 7), 255, np.uint8)
    black_on_white[1:3, 2:6] = 0
    if mode == "I;16":
        image = Image.fromarray(black_on_white.astype(np.uint16) * 257)
    else:
        image = Image.fromarray(black_on_white).convert(mode)
    image.save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png")
    assert picture.shape == (5, 7, 3)
    np.testing.assert_allclose(picture, np.repeat(black_on_white[:, :, None] / 255, 3, axis=2), atol=1e-6)


def test_transparent_pixels_are_blended_with_white(tmp_path):
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0, 0] = (255, 0, 0, 255)
    pixels[0, 1] = (255, 0, 0, 51)  # a fifth of red over four fifths of white
    Image.fromarray(pixels).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png")
    np.testing.assert_allclose(picture, [[[1, 0, 0], [1, 0.8, 0.8]], [[1, 1, 1], [1, 1, 1]]], atol=1e-6)


def test_a_jpeg_is_read(tmp_path):
    Image.new("RGB", (16, 8), (255, 0, 0)).save(tmp_path / "a.jpg", quality=95)
    picture = read_picture(tmp_path / "a.jpg")
    assert picture.shape == (8, 16, 3)
    np.testing.assert_allclose(picture, np.broadcast_to([1.0, 0.0, 0.0], (8, 16, 3)), atol=0.02)


def test_colours_are_read_in_their_order(tmp_path, rng):
    pixels = rng.integers(0, 256, (4, 3, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_allclose(read_picture(tmp_path / "a.png"), pixels / 255, atol=1e-6)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_a_file_that_is_not_a_picture_is_refused_by_name(tmp_path, content):
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.png: expected a readable picture"):
        read_picture(path)


def test_half_a_png_is_refused_by_name(tmp_path, rng):
    Image.fromarray(rng.integers(0, 256, (40, 40), dtype=np.uint8)).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"half\.png: expected a readable picture"):
        read_picture(tmp_path / "half.png")


def test_a_missing_picture_is_refused_by_name(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.png: expected a picture file, got a path that does not exist"):
        read_picture(tmp_path / "nothing.png")


@given(st.integers(1, 40), st.integers(1, 40))
def test_each_new_pixel_is_a_mean_of_old_ones(n, N):
    weights = coverage(n, N)
    assert weights.shape == (N, n)
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(axis=1), 1)


@given(st.integers(1, 12), st.integers(1, 6))
def test_shrinking_by_a_whole_factor_is_the_mean_of_blocks(N, factor):
    x = np.random.default_rng(N).random((N * factor, 3))
    np.testing.assert_allclose(resize(x, N, 3), x.reshape(N, factor, 3).mean(axis=1), atol=1e-12)


@given(st.integers(1, 30), st.integers(1, 30))
def test_shrinking_keeps_the_mean_of_a_picture(n, N):
    n, N = max(n, N), min(n, N)
    x = np.random.default_rng(n).random((n, n, 3))
    np.testing.assert_allclose(resize(x, N, N).mean(axis=(0, 1)), x.mean(axis=(0, 1)), atol=1e-12)


def test_enlarging_a_ramp_gives_a_ramp():
    ramp = np.arange(4.0)[None, :]
    np.testing.assert_allclose(np.diff(resize(ramp, 1, 8)[0][1:-1]), 0.5)


def test_dark_on_light_is_inverted_and_light_on_dark_is_not():
    grey = drawing()
    np.testing.assert_allclose(contrast(grey, dark=True), 0.93 - grey, atol=1e-12)
    np.testing.assert_allclose(contrast(1.0 - grey, dark=False), 0.93 - grey, atol=1e-12)
    assert find_ink(grey).dark
    assert not find_ink(1.0 - grey).dark


def test_a_drawing_is_scaled_to_20_pixels_and_centred_by_its_mass():
    out = centred_ink(drawing(), 28, 28)
    assert out.shape == (28, 28)
    rows, columns = np.flatnonzero(out.any(axis=1)), np.flatnonzero(out.any(axis=0))
    assert len(rows) == 20  # the L is 30 high and 15 wide
    assert len(columns) == 10
    assert out.max() == pytest.approx(1.0)
    mass = out.sum()
    assert abs(out.sum(axis=1) @ np.arange(28) / mass - 14) <= 0.5
    assert abs(out.sum(axis=0) @ np.arange(28) / mass - 14) <= 0.5


def test_the_position_of_a_drawing_on_its_paper_makes_no_difference():
    here, there = drawing(top=10, left=50), drawing(H=200, W=120, top=150, left=3)
    np.testing.assert_allclose(centred_ink(here, 28, 28), centred_ink(there, 28, 28), atol=1e-6)


def test_faint_dirt_on_the_paper_is_not_ink():
    dirty = drawing()
    dirty[2, 2] -= 0.1
    np.testing.assert_allclose(centred_ink(dirty, 28, 28), centred_ink(drawing(), 28, 28), atol=1e-12)


def test_an_asymmetric_drawing_is_not_cut_off():
    grey = np.ones((100, 100))
    grey[:, 10:20] = 0.0
    grey[98:, 10:95] = 0.0  # heavy on the left, a thin foot to the right
    out = centred_ink(grey, 28, 28)
    rows, columns = np.flatnonzero(out.any(axis=1)), np.flatnonzero(out.any(axis=0))
    assert (len(rows), len(columns)) == (20, 17)


def test_an_image_prepared_like_the_training_images_is_not_changed(rng):
    digit = np.zeros((28, 28))
    digit[4:24, 12:17] = rng.uniform(0.5, 0.9, (20, 5))  # 20 pixels high, about its centre
    np.testing.assert_allclose(centred_ink(digit, 28, 28), digit, atol=1e-6)
    np.testing.assert_allclose(centred_ink(1.0 - digit, 28, 28), digit, atol=1e-6)


def test_an_image_that_fills_the_input_from_side_to_side_stays_in_place():
    bar = np.zeros((28, 28))
    bar[5] = 0.75
    np.testing.assert_allclose(centred_ink(bar, 28, 28), bar, atol=1e-6)
    np.testing.assert_allclose(centred_ink(1.0 - bar, 28, 28), bar, atol=1e-6)


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_a_blank_picture_is_refused(level):
    for shape in [(50, 40), (28, 28), (1, 1), (700, 3)]:
        with pytest.raises(ValueError, match="got a blank picture"):
            centred_ink(np.full(shape, level), 28, 28)


def test_a_drawing_is_fitted_to_a_network_of_another_size():
    out = centred_ink(drawing(), 14, 12)
    assert out.shape == (14, 12)
    assert len(np.flatnonzero(out.any(axis=1))) == 10


def test_the_middle_of_a_wide_picture_is_taken():
    picture = np.zeros((8, 20, 3))
    picture[:, 6:14] = 0.5
    out = middle(picture, 4, 4)
    np.testing.assert_allclose(out, 0.5)
    np.testing.assert_allclose(middle(picture.transpose(1, 0, 2), 4, 4), 0.5)


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (12, 10, 3)])
def test_a_picture_becomes_an_input_of_the_network(shape, rng):
    picture = rng.random((41, 53, 3)) if shape[2] == 3 else np.repeat(drawing()[:, :, None], 3, axis=2)
    x = prepare(picture, shape).x
    assert x.shape == shape
    assert x.dtype == np.float32
    assert x.min() >= 0
    assert x.max() <= 1


def test_a_single_pixel_is_enlarged_for_a_colour_net():
    np.testing.assert_allclose(prepare(np.full((1, 1, 3), 0.25), (6, 5, 3)).x, 0.25)


@pytest.mark.parametrize("shape", [(10,), (28, 28, 2)])
def test_a_network_that_takes_no_pictures_is_refused(shape):
    with pytest.raises(ValueError, match=r"expected an input shape of a picture, \(H, W, 1\) or \(H, W, 3\)"):
        prepare(np.zeros((4, 4, 3)), shape)


def test_grey_weights_colours_by_their_perceived_brightness():
    picture = np.zeros((9, 7, 3))
    picture[3] = (0, 1, 0)
    assert prepare(picture, (9, 7, 1)).x[3, 3, 0] == pytest.approx(0.587)


def test_a_drawing_never_overwrites_a_given_picture(tmp_path):
    given = [str(tmp_path / "one.png"), str(tmp_path / "one-prediction.png")]
    paths = drawing_paths(tmp_path, given)
    assert [path.name for path in paths] == ["one-prediction-2.png", "one-prediction-prediction.png"]


def test_pixels_that_touch_at_a_corner_are_one_stroke(rng):
    assert strokes(np.eye(9, dtype=bool) | np.eye(9, dtype=bool)[::-1]).area.tolist() == [17]
    spiral = np.zeros((41, 41), bool)
    for k in range(0, 20, 4):  # rings, each joined to the next
        spiral[k, k : 41 - k] = spiral[40 - k, k : 41 - k] = spiral[k : 41 - k, k] = spiral[k : 41 - k, 40 - k] = True
        spiral[20, k : k + 4] = True
    assert len(strokes(spiral).area) == 1


def test_strokes_are_those_of_a_flood_fill(rng):
    for share in (0.1, 0.4, 0.7):
        mask = rng.random((23, 31)) < share
        number, seen = strokes(mask).number, set()
        assert ((number > 0) == mask).all()
        for start in zip(*np.nonzero(mask), strict=True):
            if start in seen:
                continue
            part, todo = set(), [start]
            while todo:
                y, x = todo.pop()
                if (y, x) in part or not (0 <= y < 23 and 0 <= x < 31 and mask[y, x]):
                    continue
                part.add((y, x))
                todo += [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
            assert {tuple(at) for at in np.argwhere(number == number[start])} == part
            seen |= part


def test_a_background_follows_the_edge_of_a_shadow():
    grey = np.where(np.arange(60) < 25, 0.9, 0.4)[None].repeat(60, axis=0)
    drawn = grey.copy()
    drawn[20:40, 10:13] = drawn[20:40, 40:43] = 0.1
    np.testing.assert_allclose(background(drawn, dark=True), grey)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_as_its_camera_says(tmp_path, orientation):
    upright = Image.fromarray((255 * drawing()).astype(np.uint8))
    turned = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's numbers of the inverse turns
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = upright if orientation == 1 else upright.transpose(Image.Transpose(turned[orientation]))
    image.save(tmp_path / "a.png", exif=exif)
    np.testing.assert_allclose(read_picture(tmp_path / "a.png")[:, :, 0], np.asarray(upright) / 255)


def test_the_kind_of_a_picture_is_read_from_its_content(tmp_path):
    Image.new("RGB", (16, 8), (255, 0, 0)).save(tmp_path / "a.jpg", quality=95)
    (tmp_path / "a.jpg").rename(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png").shape == (8, 16, 3)


def test_light_ink_on_transparency_is_blended_with_black(tmp_path):
    ink = Image.fromarray((255 * (1 - drawing())).astype(np.uint8))
    Image.merge("LA", (Image.new("L", ink.size, 255), ink)).save(tmp_path / "a.png")
    x, decision = prepare(read_picture(tmp_path / "a.png"), (28, 28, 1))
    assert decision.startswith("light on dark")
    np.testing.assert_allclose(x[:, :, 0], centred_ink(drawing(), 28, 28), atol=0.1)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LA", "PA", "F", "I"])
def test_unusual_kinds_of_pixels_show_the_same_drawing(tmp_path, mode):
    image = Image.fromarray((255 * drawing()).astype(np.uint8)).convert("RGB" if mode in ("CMYK", "YCbCr") else "L")
    image = image.convert("P").convert("PA") if mode == "PA" else image.convert(mode)
    suffix = {"LA": "png", "PA": "tiff", "YCbCr": "tiff"}.get(mode, "tiff")
    if mode == "PA":
        pytest.importorskip("PIL.PngImagePlugin")
        image, suffix = image.convert("RGBA").quantize(), "png"
    image.save(tmp_path / f"a.{suffix}")
    x = prepare(read_picture(tmp_path / f"a.{suffix}"), (28, 28, 1)).x
    np.testing.assert_allclose(x[:, :, 0], centred_ink(drawing(), 28, 28), atol=0.1)


def test_what_was_decided_is_said():
    grey = drawing()
    decided = prepare(np.repeat(grey[:, :, None], 3, axis=2), (28, 28, 1)).decision
    assert decided == "dark on light, inverted; 20 × 10 pixels of ink, centred"
    grey[:2] = grey[-2:] = grey[:, :2] = grey[:, -2:] = 0.2
    decided = prepare(np.repeat(grey[:, :, None], 3, axis=2), (28, 28, 1)).decision
    assert decided.endswith("; a frame or shadow at the edge is left out")
    assert prepare(np.zeros((60, 90, 3)), (32, 32, 3)).decision == "the middle of 90 × 60 pixels, averaged to 32 × 32"


def test_a_folder_in_place_of_a_picture_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"expected a picture file, got a folder\. Name the pictures in it, for example .*\*\.png"):
        read_picture(tmp_path)


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    Image.new("L", (300, 300), 255).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20_000)
    with pytest.raises(ValueError, match=r"a\.png: expected a picture of at most"):
        read_picture(tmp_path / "a.png")


def test_a_large_picture_is_reduced_before_it_is_converted_to_floats(tmp_path):
    Image.new("L", (9000, 100), 255).save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png").shape == (20, 1800, 3)
