"""Dropout: its formula, its expectation, what is dropped, inference, the same bits in each implementation and process."""

import subprocess
import sys

import numpy as np
import pytest

from scratchnet import Dense, Dropout, Flatten, Input, Model, RandomFlip, Sequential, SpatialDropout2D, load_model, preprocessing
from scratchnet.datasets import mnist
from scratchnet.kernels import dropout as fused
from scratchnet.kernels.threads import limit
from scratchnet.layers import dropout as page

EACH = pytest.mark.parametrize("implementation", ["loops", "im2col", "fused"])
CASES = [((3, 5, 4, 2), None), ((3, 5, 4, 2), (3, 1, 1, 2)), ((2, 7), (1, 7)), ((4, 3), (4, 1)), ((1, 1), None), ((0, 3), None)]


def same_bits(*arrays):
    return len({(a.dtype.str, a.shape, a.tobytes()) for a in arrays}) == 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rate", [0, 0.1, 0.5, 1 / 3, 0.999])
@pytest.mark.parametrize(("shape", "noise_shape"), CASES)
def test_all_implementations_have_the_same_bits(shape, noise_shape, rate, dtype):
    rng = np.random.default_rng(1)
    for _ in range(3):
        x, key = rng.normal(size=shape).astype(dtype), int(rng.integers(2**63))
        for pass_ in range(2):
            assert same_bits(*(pair[pass_](x, rate, key, noise_shape) for pair in Dropout.implementations.values()))


@pytest.mark.parametrize("rate", [0.0, 2**-32, 2**-33, 0.3, 1 - 2**-32, 1 - 2**-40])
@pytest.mark.parametrize("size", [1, 4095, 4096, 4097, 30_011])
def test_page_and_kernel_have_the_same_bits_at_every_size_and_rate(size, rate):
    x = np.linspace(-3, 1e4, size, dtype="float32")
    assert same_bits(page.dropout_forward(x, rate, size), fused.dropout_forward(x, rate, size))


def test_page_and_kernel_have_the_same_bits_for_real_images(real_data):
    (x, _), _ = mnist.load_data()
    x = preprocessing.normalize_images(x[:64]).astype("float32")[..., None]
    for noise_shape in (None, (64, 1, 28, 1)):
        assert same_bits(page.dropout_forward(x, 0.25, 7, noise_shape), fused.dropout_forward(x, 0.25, 7, noise_shape))


@pytest.mark.parametrize("noise_shape", [None, (1, 500), (40, 1)])
@pytest.mark.parametrize("values", [np.inf, -np.inf, np.nan, 3e38, -0.0, 1e-45])
def test_extreme_values_have_the_same_bits_and_what_is_dropped_is_0(values, noise_shape):
    x = np.full((40, 500), values, "float32")
    with np.errstate(all="ignore"):
        out, expected = fused.dropout_forward(x, 0.5, 3, noise_shape), page.dropout_forward(x, 0.5, 3, noise_shape)
    np.testing.assert_array_equal(out, expected)
    ones = page.dropout_forward(np.ones_like(x), 0.5, 3, noise_shape)
    assert (out[ones == 0] == 0).all()
    assert (ones == 0).any()


@EACH
@pytest.mark.parametrize("order", ["C", "F"])
def test_any_memory_layout_and_read_only_arrays_are_taken(order, implementation):
    x = np.asarray(np.random.default_rng(0).normal(size=(3, 4, 5)), order=order)
    x.flags.writeable = False
    forward, _ = Dropout.implementations[implementation]
    np.testing.assert_array_equal(forward(x, 0.4, 9), page.dropout_forward(x.copy(order="C"), 0.4, 9))


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
def test_the_expectation_of_the_output_is_the_input(rate):
    draws = 400_000
    out = fused.dropout_forward(np.full(draws, 3.0), rate, key=21)
    kept = out != 0
    assert abs(kept.mean() - (1 - rate)) <= 5 * np.sqrt(rate * (1 - rate) / draws)
    np.testing.assert_allclose(out[kept], 3 / (1 - rate), rtol=1e-15)
    assert abs(out.mean() - 3) <= 5 * 3 * np.sqrt(rate / (1 - rate) / draws)


def test_the_bits_are_the_same_for_1_2_and_3_threads():
    x = np.random.default_rng(0).normal(size=(128, 3001)).astype("float32")
    results = []
    for threads in (1, 2, 3):
        with limit(threads):
            results.append(fused.dropout_forward(x, 0.3, 5))
    assert same_bits(*results)


def test_image_n_is_masked_by_the_numbers_of_the_key_and_n():
    whole = fused.dropout_forward(np.ones((6, 50)), 0.5, key=4)
    expected = [np.where(page.uniform_numpy(4, (50,), first=50 * n) >= 0.5, 2.0, 0.0) for n in range(6)]
    np.testing.assert_array_equal(whole, expected)
    np.testing.assert_array_equal(fused.dropout_forward(np.ones((2, 50)), 0.5, key=4), whole[:2])      # a smaller last batch


# -- the layer --------------------------------------------------------------------------------------------------------


@EACH
def test_inference_changes_nothing_and_draws_nothing(implementation):
    layer = Dropout(0.5, implementation=implementation).build((4,))
    x = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    before = layer.rng.bit_generator.state
    out = layer.forward(x)
    np.testing.assert_array_equal(out, x)
    assert not np.shares_memory(out, x)
    np.testing.assert_array_equal(layer.backward(x), x)
    assert layer.rng.bit_generator.state == before


def test_backward_drops_the_gradients_of_what_forward_dropped():
    layer = Dropout(0.75, seed=3).build((1000,))
    out = layer.forward(np.ones((2, 1000), "float32"), training=True)
    dx = layer.backward(np.full((2, 1000), -5.0, "float32"))
    np.testing.assert_array_equal(dx, -5 * out)


def test_each_batch_has_another_mask_and_a_seed_repeats_them():
    x = np.ones((2, 300), "float32")
    layers = [Dropout(0.5, seed=seed).build((300,)) for seed in (1, 1, 2)]
    first, again, other = ([layer.forward(x, training=True) for _ in range(2)] for layer in layers)
    assert not same_bits(*first)
    assert same_bits(first[0], again[0])
    assert same_bits(first[1], again[1])
    assert not same_bits(first[0], other[0])


def test_spatial_dropout_drops_whole_channels_of_single_images():
    layer = SpatialDropout2D(0.5, seed=0).build((5, 6, 40))
    out = layer.forward(np.ones((3, 5, 6, 40), "float32"), training=True)
    np.testing.assert_array_equal(out, np.broadcast_to(out[:, :1, :1], out.shape))
    assert 30 < (out[:, 0, 0] == 0).sum() < 90
    assert not same_bits(out[0], out[1])


def test_a_mask_of_one_image_masks_all():
    layer = Dropout(0.5, (1, None), seed=0).build((50,))
    out = layer.forward(np.ones((4, 50), "float32"), training=True)
    assert same_bits(*out)


@pytest.mark.parametrize("rate", [1, 1.0, -0.1, 50, np.nan, np.inf, "0.5", None, True, [0.5]])
def test_a_rate_out_of_range_is_refused(rate):
    with pytest.raises(ValueError, match=r"^Dropout: expected a rate of at least 0 and below 1, got .*such as Dropout\(0.5\)$"):
        Dropout(rate)
    with pytest.raises(ValueError, match=r"^SpatialDropout2D: expected a rate"):
        SpatialDropout2D(rate)


@pytest.mark.parametrize("noise_shape", ["ab", 3, (0, 1), (1.0, 2), (True, 1), (None, -1)])
def test_a_noise_shape_that_is_none_is_refused(noise_shape):
    with pytest.raises(ValueError, match="expected noise_shape as a tuple of integers"):
        Dropout(0.5, noise_shape)


@pytest.mark.parametrize("noise_shape", [(None, 1), (None, 1, 1, 4), (8, 1, 1, 3), (None, 2, 1, 1)])
def test_a_noise_shape_that_does_not_suit_the_input_is_refused(noise_shape):
    with pytest.raises(ValueError, match=r"expected noise_shape to have a length for each axis of \(N, 5, 6, 3\), got"):
        Dropout(0.5, noise_shape).build((5, 6, 3))
    with pytest.raises(ValueError, match="expected noise_shape"):
        SpatialDropout2D(0.5).build((5,))


# -- in a model -------------------------------------------------------------------------------------------------------


def network(seed=5):
    model = Sequential(
        [
            Input(shape=(6, 5, 2)),
            RandomFlip(),
            SpatialDropout2D(0.2),
            Flatten(),
            Dense(16, activation="relu"),
            Dropout(0.4),
            Dropout(0.2, seed=8),
            Dense(3, activation="softmax"),
        ],
        seed=seed,
    )
    model.compile("adam", metrics=["accuracy"])
    return model


def data():
    rng = np.random.default_rng(2)
    return rng.random((50, 6, 5, 2), "float32"), np.eye(3)[rng.integers(3, size=50)]


def weights(model):
    return [w.tobytes() for w in model.get_weights()]


def test_two_models_of_one_seed_train_to_the_same_bits_and_another_seed_to_others():
    models = [network(seed) for seed in (5, 5, 6)]
    for model in models:
        model.fit(*data(), batch_size=16, epochs=2, verbose=0)
    first, again, other = map(weights, models)
    assert first == again != other


def test_training_goes_on_from_a_file_with_the_same_bits(tmp_path):
    whole, half = network(), network()
    whole.fit(*data(), batch_size=16, epochs=4, verbose=0)
    half.fit(*data(), batch_size=16, epochs=2, verbose=0)
    half.save(tmp_path / "half.npz")
    resumed = load_model(tmp_path / "half.npz")
    assert weights(resumed) == weights(half) != weights(whole)
    resumed.fit(*data(), batch_size=16, initial_epoch=2, epochs=4, verbose=0)
    assert weights(resumed) == weights(whole)
    assert [layer.get_config() for layer in resumed.layers] == [layer.get_config() for layer in whole.layers]


def test_prediction_and_evaluation_draw_nothing():
    model = network()
    x, y = data()
    first = model.predict(x, verbose=0)
    model.evaluate(x, y, verbose=0)
    assert first.tobytes() == model.predict(x, verbose=0).tobytes()
    other = network()
    other.fit(x, y, batch_size=16, epochs=1, verbose=0)
    model.fit(x, y, batch_size=16, epochs=1, verbose=0)
    assert weights(model) == weights(other)


def test_another_process_trains_to_the_same_bits():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_dropout as t; m = t.network();"
        " m.fit(*t.data(), batch_size=16, epochs=1, verbose=0); print(b''.join(t.weights(m)).hex())"
    )
    folder = __file__.rpartition("/")[0]
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, timeout=120, check=True)
    model = network()
    model.fit(*data(), batch_size=16, epochs=1, verbose=0)
    assert done.stdout.strip() == b"".join(weights(model)).hex()


def test_a_layer_of_rate_0_trains_as_none():
    def trained(*more):
        x = Input(shape=(30,))
        y = Dense(8, activation="relu", name="a")(x)
        for layer in more:
            y = layer(y)
        model = Model(x, Dense(3, activation="softmax", name="b")(y), seed=1)
        model.compile("adam")
        model.fit(data()[0].reshape(50, -1)[:, :30], data()[1], epochs=1, verbose=0)
        return weights(model)

    assert trained() == trained(Dropout(0.0))
