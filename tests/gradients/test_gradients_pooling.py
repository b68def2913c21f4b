"""The gradients of pooling: windows that overlap and that do not, same and valid, ties."""

import numpy as np
import pytest

from scratchnet import AveragePooling2D, MaxPooling2D, MinPooling2D
from scratchnet.gradcheck import check_layer

KINDS = [MaxPooling2D, MinPooling2D, AveragePooling2D]
CASES = [
    # window, strides, padding, image
    ((2, 2), (1, 1), "same", (4, 5, 3)),           # as in net_1: overlapping windows, the odd padded cell at the end
    ((2, 2), (2, 2), "valid", (5, 4, 2)),
    ((3, 2), (1, 2), "same", (5, 6, 2)),
    ((3, 3), (2, 1), "valid", (7, 5, 1)),
    ((2, 3), (3, 4), "same", (7, 9, 2)),           # a stride larger than the window
    ((5, 4), (1, 1), "same", (3, 3, 1)),           # a window larger than the image
]


@pytest.mark.parametrize("implementation", ["loops", "im2col", "fused"])
@pytest.mark.parametrize(("window", "strides", "padding", "shape"), CASES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_gradient_agrees(kind, window, strides, padding, shape, implementation, runnable):
    layer = kind(window, strides, padding, implementation=runnable(implementation))
    check_layer(layer, shape, batch=2, raise_on_failure=True)


@pytest.mark.parametrize("implementation", ["loops", "im2col", "fused"])
@pytest.mark.parametrize("kind", [MaxPooling2D, MinPooling2D])
def test_at_a_tie_the_first_cell_in_row_major_order_gets_all(kind, implementation, runnable):
    layer = kind((2, 2), 2, implementation=runnable(implementation)).build((2, 4, 1), dtype="float64")
    x = np.array([[7.0, 7.0, 1.0, 1.0], [7.0, 7.0, 1.0, 1.0]]).reshape(1, 2, 4, 1)
    layer.forward(x)
    dx = layer.backward(np.array([3.0, 5.0]).reshape(1, 1, 2, 1))
    assert dx[0, :, :, 0].tolist() == [[3.0, 0.0, 5.0, 0.0], [0.0, 0.0, 0.0, 0.0]]


@pytest.mark.parametrize("implementation", ["loops", "im2col", "fused"])
def test_overlapping_windows_add_their_gradients(implementation, runnable):
    layer = MaxPooling2D((2, 2), 1, implementation=runnable(implementation)).build((3, 3, 1), dtype="float64")
    x = np.zeros((1, 3, 3, 1))
    x[0, 1, 1, 0] = 9.0                            # the largest of all four windows
    layer.forward(x)
    dx = layer.backward(np.array([1.0, -2.0, 4.0, 8.0]).reshape(1, 2, 2, 1))
    assert dx[0, 1, 1, 0] == 11.0
    assert np.count_nonzero(dx) == 1


@pytest.mark.parametrize(("kind", "sign"), [(MaxPooling2D, 1), (MinPooling2D, -1)])
def test_the_branch_pattern_is_the_real_cell_that_wins_in_each_window(kind, sign):
    layer = kind((2, 2), 1, "same").build((2, 2, 1), dtype="float64")
    assert layer.branch_pattern() == []                          # before a forward nothing has been chosen
    x = sign * np.array([[-3.0, -1.0], [-2.0, -4.0]]).reshape(1, 2, 2, 1)
    layer.forward(x)
    (chosen,) = layer.branch_pattern()
    assert chosen.ravel().tolist() == [1, 0, 0, 0]             # a zero of the margin would be the largest of all
    x[0, 0, 0] = sign * -0.5
    layer.forward(x)
    (chosen,) = layer.branch_pattern()
    assert chosen.ravel().tolist() == [0, 0, 0, 0]


def test_an_average_pool_has_no_branch_pattern():
    layer = AveragePooling2D(2).build((2, 2, 1))
    layer.forward(np.ones((1, 2, 2, 1), "float32"))
    assert layer.branch_pattern() == []
