"""Augmentation: flips, crops and translations compared with NumPy's own; edges; what is drawn; inference."""

import numpy as np
import pytest

from scratchnet import Dense, Flatten, Input, Model, RandomCrop, RandomFlip, RandomTranslation, load_model, preprocessing
from scratchnet.callbacks import Callback
from scratchnet.datasets import cifar10
from scratchnet.kernels.draws import uniform
from scratchnet.kernels.threads import limit
from scratchnet.layers import augmentation
from scratchnet.layers.augmentation import taps
from scratchnet.optimizers import SGD

KINDS = {
    "flip": lambda **given: RandomFlip(**given),
    "translation": lambda **given: RandomTranslation(0.4, (-0.3, 0.9), **given),
    "constant": lambda **given: RandomTranslation(1.0, 1.0, "constant", fill_value=-2.5, **given),
    "nearest": lambda **given: RandomTranslation(0.7, 0.6, "nearest", interpolation="nearest", **given),
    "crop": lambda **given: RandomCrop(3, 4, **given),
}
EDGES = {"reflect": {"mode": "symmetric"}, "nearest": {"mode": "edge"}, "constant": {"mode": "constant", "constant_values": 7}}
EACH = pytest.mark.parametrize("implementation", ["loops", "im2col", "fused"])
EACH_KIND = pytest.mark.parametrize("kind", KINDS)


def images(shape=(40, 5, 7, 3), dtype="float32", seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def moved(x, down, across, fill_mode, fill_value=0.0, implementation="im2col"):
    """Return x moved by (down, across) pixels, of which the layer draws fractions."""
    H, W = x.shape[1:3]
    layer = RandomTranslation((down / H,) * 2, (across / W,) * 2, fill_mode, fill_value=fill_value, implementation=implementation)
    return layer.build(x.shape[1:], dtype=x.dtype).forward(x, training=True)


# -- one map, three implementations -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(3, 5, 7, 3), (1, 3, 4, 1), (2, 9, 4, 2)])
@EACH_KIND
def test_all_implementations_agree(kind, shape, dtype):
    x = images(shape, dtype)
    results = {}
    for implementation in ("loops", "im2col", "fused"):
        layer = KINDS[kind](seed=4, implementation=implementation).build(shape[1:], dtype=dtype)
        out = layer.forward(x, training=True)
        dout = images(out.shape, dtype, seed=1)
        results[implementation] = out, layer.backward(dout)
    close = {"rtol": 1e-5, "atol": 1e-6} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-13}
    for got in results.values():
        for a, b in zip(got, results["loops"], strict=True):
            np.testing.assert_allclose(a, b, **close)
            assert (a.dtype, a.shape) == (b.dtype, b.shape)


@EACH_KIND
def test_all_implementations_agree_on_real_images(kind, real_data):
    (x, _), _ = cifar10.load_data()
    x = preprocessing.normalize_images(x[:32]).astype("float32")
    layers = [KINDS[kind](seed=2, implementation=name).build((32, 32, 3)) for name in ("im2col", "fused")]
    page, fused = (layer.forward(x, training=True) for layer in layers)
    np.testing.assert_allclose(fused, page, rtol=1e-5, atol=1e-6)
    if kind in ("flip", "crop", "nearest"):                     # whole pixels: numbers are copied, not computed
        np.testing.assert_array_equal(fused, page)
    a, b = (layer.backward(page) for layer in layers)
    np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-5)


@EACH_KIND
def test_backward_is_the_transposed_map(kind):
    layer = KINDS[kind](seed=4).build((5, 7, 3), dtype="float64")
    layer.fill_value = 0.0                                      # else the map is linear only up to a constant
    x = images(dtype="float64")
    out = layer.forward(x, training=True)
    dout = images(out.shape, "float64", seed=1)
    assert np.vdot(dout, out) == pytest.approx(np.vdot(layer.backward(dout), x), rel=1e-12)


@EACH_KIND
def test_any_memory_layout_read_only_arrays_and_an_empty_batch_are_taken(kind):
    x = np.asfortranarray(images())
    x.flags.writeable = False
    first, second = (KINDS[kind](seed=4).build((5, 7, 3)) for _ in range(2))
    np.testing.assert_array_equal(first.forward(x, training=True), second.forward(x.copy(order="C"), training=True))
    assert len(first.forward(x[:0], training=True)) == 0
    assert len(first.backward(np.zeros((0, *first.output_shape), "float32"))) == 0


@EACH_KIND
def test_the_bits_are_the_same_for_1_2_and_3_threads(kind):
    x = images((64, 24, 20, 3))
    results = set()
    for threads in (1, 2, 3):
        with limit(threads):
            layer = KINDS[kind](seed=4).build(x.shape[1:])
            out = layer.forward(x, training=True)
            results.add((out.tobytes(), layer.backward(out).tobytes()))
    assert len(results) == 1


# -- flips ------------------------------------------------------------------------------------------------------------


@EACH
@pytest.mark.parametrize(
    ("mode", "allowed"),
    [("horizontal", [(0, 0), (0, 1)]), ("vertical", [(0, 0), (1, 0)]), (None, [(0, 0), (0, 1), (1, 0), (1, 1)])],
)
def test_each_image_is_flipped_as_numpy_flips_it(mode, allowed, implementation):
    x = images((60, 3, 4, 2))
    layer = RandomFlip(*([mode] if mode else []), seed=1, implementation=implementation).build((3, 4, 2))
    found = []
    for before, after in zip(x, layer.forward(x, training=True), strict=True):
        matches = [(v, h) for v, h in np.ndindex(2, 2) if np.array_equal(before[:: 1 - 2 * v, :: 1 - 2 * h], after)]
        assert len(matches) == 1
        found += matches
    assert set(found) == set(allowed)
    for flips in allowed:                                       # each about equally often
        assert abs(found.count(flips) - 60 / len(allowed)) < 20


def test_an_image_is_flipped_where_its_number_is_below_one_half():
    x = images((20, 3, 4, 2))
    layer = RandomFlip("horizontal", seed=1).build((3, 4, 2))
    key = int(np.random.default_rng(1).integers(2**63))
    flipped = uniform(key, (20, 2))[:, 1] < 0.5
    np.testing.assert_array_equal(layer.forward(x, training=True), np.where(flipped[:, None, None, None], x[:, :, ::-1], x))


# -- translations -----------------------------------------------------------------------------------------------------


@EACH
@pytest.mark.parametrize("fill_mode", EDGES)
@pytest.mark.parametrize(("down", "across"), [(0, 0), (1, 0), (0, -2), (2, 3), (-4, 6), (5, -7), (-1, 7)])
def test_whole_pixels_are_moved_as_a_window_of_the_padded_image(down, across, fill_mode, implementation):
    x = images((2, 5, 7, 2), "float64")
    padded = np.pad(x, ((0, 0), (5, 5), (7, 7), (0, 0)), **EDGES[fill_mode])
    expected = padded[:, 5 - down : 10 - down, 7 - across : 14 - across]
    np.testing.assert_allclose(moved(x, down, across, fill_mode, 7.0, implementation), expected, atol=1e-12)


@EACH
@pytest.mark.parametrize("fill_mode", EDGES)
@pytest.mark.parametrize(("down", "across"), [(0.5, 0), (0, -0.25), (1.75, 2.5), (-3.3, 6.1), (4.9, -6.9)])
def test_fractions_of_a_pixel_are_weighted_means_of_the_padded_image(down, across, fill_mode, implementation):
    x = images((2, 5, 7, 2), "float64")
    padded = np.pad(x, ((0, 0), (6, 6), (8, 8), (0, 0)), **EDGES[fill_mode])
    expected = np.zeros_like(x)
    for p, q in np.ndindex(5, 7):
        y, z = p - down + 6, q - across + 8
        i, j = int(np.floor(y)), int(np.floor(z))
        for s, t in np.ndindex(2, 2):
            expected[:, p, q] += (1 - abs(y - i - s)) * (1 - abs(z - j - t)) * padded[:, i + s, j + t]
    np.testing.assert_allclose(moved(x, down, across, fill_mode, 7.0, implementation), expected, atol=1e-12)


def test_literals_of_keras():
    """What keras.ops.image.affine_transform of Keras 3.15 (TensorFlow) returns for the row 1 2 3 4 5."""
    row = np.arange(1.0, 6).reshape(1, 1, 5, 1)
    literals = {
        ("reflect", 2): [2, 1, 1, 2, 3],
        ("reflect", -2): [3, 4, 5, 5, 4],
        ("reflect", 0.4): [1, 1.6, 2.6, 3.6, 4.6],
        ("reflect", 1.5): [1.5, 1, 1.5, 2.5, 3.5],
        ("reflect", 5): [5, 4, 3, 2, 1],
        ("reflect", -4.5): [5, 4.5, 3.5, 2.5, 1.5],
        ("constant", 0.4): [4.2, 1.6, 2.6, 3.6, 4.6],
        ("constant", -0.5): [1.5, 2.5, 3.5, 4.5, 7],
        ("constant", -4.5): [7, 9, 9, 9, 9],
        ("nearest", 1.5): [1, 1, 1.5, 2.5, 3.5],
        ("nearest", -4.5): [5, 5, 5, 5, 5],
    }
    for (fill_mode, across), expected in literals.items():
        np.testing.assert_allclose(moved(row, 0, across, fill_mode, 9.0)[0, 0, :, 0], expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("factor", "lowest", "highest"),
    [(0.5, -5, 5), (-0.5, -5, 5), ((0.2, 0.4), 2, 4), ((0.4, -0.3), -3, 4), ((1, 1), 10, 10), (0, 0, 0)],
)
def test_movements_are_uniform_between_the_two_factors(factor, lowest, highest):
    layer = RandomTranslation(factor, 0).build((10, 10, 1))
    u = uniform(3, (20_000, 2))
    start, step = layer.places(u)
    down = -start[:, 0]
    assert lowest <= down.min() <= down.max() <= highest
    assert abs(down.mean() - (lowest + highest) / 2) <= 5 * (highest - lowest) / np.sqrt(12 * 20_000)
    if lowest < highest:
        assert down.max() - down.min() > 0.99 * (highest - lowest)
    np.testing.assert_array_equal(start[:, 1], 0)
    np.testing.assert_array_equal(step, 1)


def test_interpolation_nearest_moves_by_whole_pixels():
    layer = RandomTranslation(0.3, 0.3, interpolation="nearest").build((10, 10, 1))
    start, _ = layer.places(uniform(3, (500, 2)))
    assert set(start[:, 0]) == {-3, -2, -1, 0, 1, 2, 3}


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("fill_mode", EDGES)
def test_places_far_outside_are_read_from_rows_that_exist(fill_mode, size):
    index, weight = taps(np.linspace(-3.5 * size, 3.5 * size, 200)[None], size, fill_mode)
    assert index.min() >= 0
    assert index.max() <= (size if fill_mode == "constant" else size - 1)
    np.testing.assert_allclose(weight.sum(axis=2), 1)
    assert weight.min() >= 0


# -- crops ------------------------------------------------------------------------------------------------------------


@EACH
def test_each_image_has_a_window_of_its_own_and_all_windows_occur(implementation):
    x = np.arange(200 * 4 * 6, dtype="float32").reshape(200, 4, 6, 1)
    layer = RandomCrop(3, 4, seed=1, implementation=implementation).build((4, 6, 1))
    starts = []
    for n, window in enumerate(layer.forward(x, training=True)):
        top, left = divmod(int(window[0, 0, 0]) - n * 24, 6)
        np.testing.assert_array_equal(window, x[n, top : top + 3, left : left + 4])
        starts.append((top, left))
    assert set(starts) == set(np.ndindex(2, 3))
    assert min(starts.count(start) for start in set(starts)) > 10


@pytest.mark.parametrize(("size", "window", "first"), [(6, 3, 1), (7, 3, 2), (5, 5, 0), (5, 4, 0), (28, 24, 2)])
def test_inference_crops_the_centre(size, window, first):
    x = images((2, size, size + 2, 1))
    layer = RandomCrop(window, window + 2).build(x.shape[1:])
    out = layer.forward(x)
    np.testing.assert_array_equal(out, x[:, first : first + window, first : first + window + 2])
    dx = layer.backward(out)
    assert dx.sum() == pytest.approx(out.sum(), rel=1e-4)
    np.testing.assert_array_equal(dx[:, first : first + window, first : first + window + 2], out)


# -- all three --------------------------------------------------------------------------------------------------------


@EACH_KIND
def test_an_image_draws_from_the_key_and_its_index_alone(kind):
    x = images()
    whole, part = (KINDS[kind](seed=4).build((5, 7, 3)) for _ in range(2))
    out = whole.forward(x, training=True)
    other = np.concatenate([x[:10], images(seed=9)[10:20]])                # a smaller batch, with other images
    np.testing.assert_array_equal(part.forward(other, training=True)[:10], out[:10])
    assert not np.array_equal(whole.forward(x, training=True), out)         # the next batch has another key


@pytest.mark.parametrize("kind", ["flip", "translation", "constant", "nearest"])
def test_inference_copies_the_images_and_draws_nothing(kind):
    layer = KINDS[kind]().build((5, 7, 3))
    before, x = layer.rng.bit_generator.state, images()
    out = layer.forward(x)
    np.testing.assert_array_equal(out, x)
    np.testing.assert_array_equal(layer.backward(x), x)
    assert not np.shares_memory(out, x)
    assert layer.rng.bit_generator.state == before


@EACH_KIND
def test_a_layer_is_made_again_from_its_settings(kind):
    layer = KINDS[kind](seed=4, name="a")
    again = type(layer)(**layer.get_config())
    assert repr(again) == repr(layer)
    x = images()
    outs = [made.build((5, 7, 3)).forward(x, training=True) for made in (layer, again)]
    np.testing.assert_array_equal(*outs)


@pytest.mark.parametrize("factor", [1.1, -1.5, (0.1, 2), (0.1,), (0.1, 0.2, 0.3), "0.1", None, np.nan, (0, np.inf), True])
def test_a_factor_out_of_range_is_refused(factor):
    with pytest.raises(ValueError, match=r"^height_factor: expected a number from -1 to 1, or two of them, .* by up to a tenth$"):
        RandomTranslation(factor, 0.1)
    with pytest.raises(ValueError, match=r"^width_factor: expected a number from -1 to 1"):
        RandomTranslation(0.1, factor)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: RandomFlip("both"), "mode: expected one of 'horizontal_and_vertical', 'horizontal', 'vertical', got 'both'"),
        (lambda: RandomTranslation(0.1, 0.1, "wrap"), "fill_mode: expected one of 'reflect', 'constant', 'nearest', got 'wrap'"),
        (lambda: RandomTranslation(0.1, 0.1, interpolation="cubic"), "interpolation: expected one of 'bilinear', 'nearest'"),
        (lambda: RandomTranslation(0.1, 0.1, fill_value=np.nan), "fill_value: expected a finite number"),
        (lambda: RandomFlip(seed=-1), "seed: expected None or an integer of at least 0"),
        (lambda: RandomCrop(0, 4), "height: expected an integer from 1"),
        (lambda: RandomCrop(4, 3.0), "width: expected an integer from 1"),
        (lambda: RandomCrop(8, 3).build((5, 7, 1)), r"at least \(8, 3\) pixels, got \(5, 7\).*RandomCrop\(5, 3\)"),
        (lambda: RandomFlip().build((28, 28)), r"expected images of shape \(H, W, C\), got \(28, 28\)"),
        (lambda: RandomCrop(3, 3).build((28,)), r"expected images of shape \(H, W, C\), got \(28,\)"),
    ],
)
def test_bad_arguments_are_refused(make, reason):
    with pytest.raises(ValueError, match=reason):
        make()


@pytest.mark.parametrize(
    ("place", "expected"), [(np.arange(3) - 0.5, [[1, 0, 0], [0.5, 0.5, 0], [0, 0.5, 0.5]]), (2.0 - np.arange(3), np.eye(3)[::-1])]
)
def test_the_derivation_has_the_matrices_of_its_examples(place, expected):
    A = augmentation._matrices(taps(place[None], 3, "reflect"), 3, np.dtype("float64"))
    np.testing.assert_array_equal(A[0, :, :3], expected)


# -- crops beyond the edge, and flips that alternate -------------------------------------------------------------------


@pytest.mark.parametrize("fill_mode", ["reflect", "nearest", "constant"])
def test_a_padded_crop_is_a_window_of_the_padded_image(fill_mode):
    x = np.random.default_rng(0).standard_normal((40, 5, 4, 2)).astype("float32")
    mode = {"reflect": "symmetric", "nearest": "edge", "constant": "constant"}[fill_mode]
    padded = np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)), mode=mode)
    out = RandomCrop(5, 4, padding=2, fill_mode=fill_mode, seed=3).build((5, 4, 2)).forward(x, training=True)
    seen = set()
    for n in range(len(x)):
        windows = {(i, j): padded[n, i : i + 5, j : j + 4] for i in range(5) for j in range(5)}
        places = [place for place, window in windows.items() if np.array_equal(window, out[n])]
        assert len(places) == 1
        seen.update(places)
    assert {i for i, _ in seen} == {j for _, j in seen} == set(range(5))


def test_a_padded_crop_of_the_images_own_size_changes_nothing_in_inference():
    x = np.random.default_rng(0).random((2, 5, 4, 1), "float32")
    np.testing.assert_array_equal(RandomCrop(5, 4, padding=2).build((5, 4, 1)).forward(x), x)
    np.testing.assert_array_equal(RandomCrop(3, 2, padding=1).build((5, 4, 1)).forward(x), x[:, 1:4, 1:3])


def alternating(seed=0):
    x = Input(shape=(2, 2, 1))
    out = Dense(2, activation="softmax", use_bias=False)(Flatten()(RandomFlip("horizontal", alternate=True)(x)))
    model = Model(x, out, seed=seed)
    model.compile(SGD(0.0))
    return model


def flips_of(model, epochs, **options):
    """Return for each epoch which of 64 images were flipped."""
    flips = []

    class Watch(Callback):
        def on_epoch_begin(self, epoch, logs=None):
            flips.append(np.zeros(64, bool))

    x = np.zeros((64, 2, 2, 1), "float32")
    x[:, :, 1, 0] = np.arange(1, 65)[:, None]
    layer = model.layers[1]
    forward = layer.forward

    def watched(batch, **mode):
        out = forward(batch, **mode)
        flips[-1][batch[:, 0, 1, 0].astype(int) - 1] = out[:, 0, 0, 0] != 0
        return out

    layer.forward = watched
    model.fit(x, np.eye(2)[np.arange(64) % 2], batch_size=24, epochs=epochs, verbose=0, callbacks=[Watch()], **options)
    del layer.forward
    return flips


def test_an_alternating_flip_turns_every_image_over_from_epoch_to_epoch():
    first, second, third = flips_of(alternating(), 3)
    np.testing.assert_array_equal(first, ~second)
    np.testing.assert_array_equal(first, third)
    assert 16 < first.sum() < 48


def test_alternating_flips_go_on_after_a_model_is_loaded(tmp_path):
    model = alternating()
    first, _ = flips_of(model, 2)
    model.save(tmp_path / "model.npz")
    (third,) = flips_of(load_model(tmp_path / "model.npz"), 3, initial_epoch=2)
    np.testing.assert_array_equal(third, first)
    assert (flips_of(alternating(seed=1), 1)[0] != first).any()


def test_alternating_flips_need_fit():
    with pytest.raises(ValueError, match=r"expected samples.*Train with fit"):
        alternating().train_on_batch(np.ones((2, 2, 2, 1), "float32"), np.eye(2))
