"""Both nets follow their golden trajectories, which others have confirmed: see make_golden.py.

A test that fails here says that some number of the arithmetic has moved, not which. If that was not meant, the tests of the
layers, losses and optimizers tell where to look.
"""

import numpy as np
import pytest
from make_golden import (
    NETS,
    START,
    TRAJECTORIES,
    batches,
    follow,
    initial_weights,
    main,
    norm,
    one_page_gradients,
    trajectory,
)

from scratchnet import net_2

# A float64 trajectory of another implementation or machine is off by some 1e-15, a float32 one by some 1e-7.
TOLERANCE = {"float32": 1e-5, "float64": 1e-9}

each_net = pytest.mark.parametrize("name", NETS)
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


@pytest.fixture(scope="module")
def start():
    return dict(np.load(START))


@pytest.fixture(scope="module")
def golden():
    return dict(np.load(TRAJECTORIES))


def assert_on_the_path(result, golden, name, tolerance):
    for key, values in result.items():
        np.testing.assert_allclose(values, golden[f"{name}/{key}"], rtol=tolerance, err_msg=f"{name}: {key}")


@pytest.mark.parametrize("implementation", ["im2col", pytest.param("fused", marks=pytest.mark.compiled)])
@each_dtype
@each_net
def test_a_net_follows_its_golden_trajectory(name, dtype, implementation, start, golden):
    assert_on_the_path(trajectory(start, name, dtype, implementation), golden, name, TOLERANCE[dtype])


@pytest.mark.compiled
@each_net
def test_a_net_of_layers_that_join_nothing_follows_the_same_trajectory(name, start, golden):
    assert_on_the_path(trajectory(start, name, "float64", "fused", fuse=False), golden, name, TOLERANCE["float64"])


def test_the_one_page_net_follows_net_2s_golden_trajectory(start, golden):
    assert_on_the_path(follow(one_page_gradients, start, "net_2"), golden, "net_2", TOLERANCE["float64"])


def test_the_loops_have_the_one_page_nets_loss_and_gradient_norm_on_the_first_image(start):
    model = net_2(NETS["net_2"][1], 3, dtype="float64", implementation="loops")
    model.set_weights(initial_weights(start, "net_2"))
    model.compile()
    x, y = (array[:1] for array in batches(start, "net_2", "float64")[0])
    loss, grads = one_page_gradients(model.get_weights(), x, y)
    assert model.train_on_batch(x, y) == pytest.approx(loss, rel=1e-9)
    assert norm(model.grads.values()) == pytest.approx(norm(grads), rel=1e-9)


def test_the_stored_start_is_exact_in_float32(start):
    for name in NETS:
        for weights in initial_weights(start, name):
            np.testing.assert_array_equal(weights.astype("float32"), weights.astype("float64"))
        for (x, _), (exact, _) in zip(batches(start, name, "float32"), batches(start, name, "float64"), strict=True):
            np.testing.assert_array_equal(x, exact)


def test_no_two_rows_of_the_repeated_pattern_are_equal(start):
    for name in NETS:
        kernel = initial_weights(start, name)[4]
        assert len(np.unique(kernel, axis=0)) == len(kernel)


def test_the_stored_arrays_stay_under_200_kilobytes():
    assert START.stat().st_size + TRAJECTORIES.stat().st_size < 200_000


def test_the_golden_trajectories_are_overwritten_only_on_request():
    before = TRAJECTORIES.read_bytes()
    with pytest.raises(SystemExit, match="--force"):
        main([])
    assert TRAJECTORIES.read_bytes() == before
