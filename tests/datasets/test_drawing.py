import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchnet.datasets.drawing import (
    REACH,
    affine_maps,
    coverage,
    distance_field,
    elastic_shifts,
    fit_to_unit,
    pixel_positions,
    sample,
    spline_weights,
)

CIRCLE = np.stack([np.cos(np.linspace(0, 2 * np.pi, 400)), np.sin(np.linspace(0, 2 * np.pi, 400))], axis=1)
SIDE = np.linspace(-REACH, REACH, 41)
RADIUS = np.hypot(*np.meshgrid(SIDE, SIDE))


def test_the_field_of_a_circle_is_one_minus_the_distance_from_its_centre():
    np.testing.assert_allclose(distance_field([CIRCLE], 41), 1 - RADIUS, atol=1e-3)


def test_a_loop_that_runs_the_other_way_round_is_a_hole():
    ring = distance_field([CIRCLE, CIRCLE[::-1] * 0.5], 41)
    np.testing.assert_allclose(ring, np.minimum(1 - RADIUS, RADIUS - 0.5), atol=1e-3)


def test_a_loop_inside_another_of_the_same_direction_is_no_hole():
    assert (distance_field([CIRCLE, CIRCLE * 0.5], 41)[RADIUS < 0.9] > 0).all()


def test_the_direction_of_a_single_loop_does_not_matter():
    np.testing.assert_array_equal(distance_field([CIRCLE[::-1]], 41) > 0, distance_field([CIRCLE], 41) > 0)


def test_an_outline_is_fitted_by_its_larger_side():
    (fitted,) = fit_to_unit([CIRCLE * [3, 12] + [100, -7]])
    np.testing.assert_allclose(fitted.max(axis=0), [0.25, 1], atol=1e-4)
    np.testing.assert_allclose(fitted.min(axis=0), [-0.25, -1], atol=1e-4)


def test_a_sampled_field_equals_the_field_between_its_points():
    rng = np.random.default_rng(0)
    positions = rng.uniform(-REACH, REACH, (3, 5, 4, 2))
    slopes = np.stack([SIDE + 0 * SIDE[:, None], 2 * SIDE[:, None] + 0 * SIDE, 0 * RADIUS]).astype(np.float32)
    sampled = sample(slopes, np.array([1, 0, 2]), positions)  # bilinear is exact on planes
    np.testing.assert_allclose(sampled[0], 2 * positions[0, ..., 1], atol=2e-3)
    np.testing.assert_allclose(sampled[1], positions[1, ..., 0], atol=2e-3)
    assert not sampled[2].any()


def test_a_position_beyond_the_field_takes_the_value_at_its_rim():
    field = distance_field([CIRCLE], 41)[None]
    far, rim = (sample(field, np.array([0]), np.array([[[[reach, 0.0]]]])) for reach in (50.0, REACH))
    np.testing.assert_allclose(far, rim)


@pytest.mark.parametrize("angle", [0.0, 0.5, -2.0])
def test_an_affine_map_undoes_size_turn_shear_and_stretch(angle):
    radius, stretch, shear = 9.0, 1.3, 0.2
    forward = radius * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    forward = forward @ np.array([[stretch, shear], [0, 1]])
    (inverse,) = affine_maps(*(np.array([value]) for value in (radius, angle, stretch, shear)))
    np.testing.assert_allclose(inverse @ forward, np.eye(2), atol=1e-6)


def test_a_figure_moved_right_and_up_is_drawn_right_and_up():
    positions = pixel_positions(np.eye(2)[None] / 4, np.array([[5.0, 2.0]]), 21)
    images = coverage(sample(distance_field([CIRCLE], 41)[None], np.array([0]), positions), np.array([0.25]))
    rows, columns = np.indices((21, 21))
    assert (images[0] * columns).sum() / images[0].sum() == pytest.approx(10 + 5, abs=0.01)
    assert (images[0] * rows).sum() / images[0].sum() == pytest.approx(10 - 2, abs=0.01)
    assert images[0].sum() == pytest.approx(np.pi * 16, rel=0.02)


@given(st.integers(4, 12), st.integers(1, 40))
def test_spline_weights_reproduce_a_straight_line(knots, size):
    weights = spline_weights(size, knots)
    along = np.linspace(0, knots - 3, size, endpoint=False) + 1
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights @ np.arange(knots), along, atol=1e-4)


def test_elastic_shifts_are_smooth_and_of_unit_deviation():
    shifts = elastic_shifts(np.random.default_rng(0), 400, 28)
    assert shifts.std(axis=0).mean() == pytest.approx(1, abs=0.05)
    assert np.abs(np.diff(shifts, axis=1)).mean() < 0.2
    assert abs(np.corrcoef(shifts[..., 0].ravel(), shifts[..., 1].ravel())[0, 1]) < 0.05
