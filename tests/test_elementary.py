"""The functions of kernels/elementary.py: their errors in units in the last place, their ends, and that they are vector code."""

import math
import re

import numba
import numpy as np
import pytest
from numpy.polynomial import chebyshev, polynomial

from scratchnet.kernels import elementary
from scratchnet.kernels.jit import COMPILED

pytestmark = pytest.mark.compiled

erfc = np.vectorize(math.erfc, otypes=[float])


def sigmoid(x):
    return np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))


def tail(t):
    return erfc(t / math.sqrt(2)) / 2


# The definition in float64, the numbers for which a function is written, and its largest error in units in the last place.
FUNCTIONS = {
    "exp": (np.exp, (-87.336, 0), 1.0),
    "expm1": (np.expm1, (-87.336, 0), 0.9),
    "log1p": (np.log1p, (0, 1), 2.0),
    "sigmoid": (sigmoid, (-87.336, 87.336), 2.5),
    "tanh": (np.tanh, (-20, 20), 1.6),
    "normal_tail": (tail, (0, 13.2), 6.7),
}


def loop(name):
    """Return a compiled loop over two arrays, x and the results."""
    function = getattr(elementary, name)
    if not COMPILED:
        return None
    if name == "normal_tail":

        def over(x, out):
            for k in range(len(x)):
                out[k] = function(x[k])[0]
    else:

        def over(x, out):
            for k in range(len(x)):
                out[k] = function(x[k])

    return numba.njit(error_model="numpy")(over)


LOOPS = {name: loop(name) for name in FUNCTIONS}


def compute(name, x):
    out = np.empty_like(x)
    LOOPS[name](x, out)
    return out


def errors(name, x):
    """Return the errors in units in the last place of the right result, where that is a normal number."""
    right = FUNCTIONS[name][0](x.astype(float))
    unit = np.spacing(np.abs(right).astype(np.float32)).astype(float)
    return np.where(np.abs(right) >= np.finfo(np.float32).tiny, np.abs(compute(name, x) - right) / unit, 0)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_error_is_at_most_that_of_the_docstring(name):
    _, (lowest, highest), most = FUNCTIONS[name]
    rng = np.random.default_rng(0)
    near = np.clip(rng.standard_normal(200_000), lowest, highest)
    small = np.clip(np.exp(rng.uniform(-60, 0, 50_000)) * rng.choice([-1, 1], 50_000), lowest, highest)
    x = np.concatenate([near, small, rng.uniform(lowest, highest, 100_000)]).astype(np.float32)
    assert errors(name, x).max() <= most


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_error_is_at_most_that_of_the_docstring_for_many_millions_of_float32(name):
    _, (lowest, highest), most = FUNCTIONS[name]
    worst, counted = 0.0, 0
    for first in range(0, 1 << 32, 1 << 26):
        bits = np.arange(first, first + (1 << 26), 97 if name == "normal_tail" else 11, dtype=np.uint32)
        x = bits.view(np.float32)
        x = x[(x >= lowest) & (x <= highest) & (np.abs(x) > np.finfo(np.float32).tiny)]
        for part in np.array_split(x, 16):
            if len(part):
                worst, counted = max(worst, float(errors(name, part).max())), counted + len(part)
    assert counted > 10**7
    assert worst <= most, (worst, counted)


ENDS = np.array([0.0, -0.0, 1e-45, -1e-45, 1e-30, -1e-30, 1e4, -1e4, 1e30, -1e30, np.inf, -np.inf, np.nan], np.float32)


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_the_ends_are_exact_and_a_nan_stays(name):
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(compute(name, ENDS), FUNCTIONS[name][0](ENDS))


@pytest.mark.parametrize("name", ["exp", "expm1"])
def test_the_exponential_of_a_large_negative_number_is_zero_and_a_nan_stays(name):
    x = np.array([-0.0, -1e-45, -1e-30, -88, -1e4, -1e30, -np.inf, np.nan], np.float32)
    right = np.array([-0.0, -1e-45, -1e-30, -1, -1, -1, -1, np.nan], np.float32)
    np.testing.assert_array_equal(compute(name, x), right + np.float32(name == "exp"))


def test_the_tail_of_the_normal_distribution_begins_at_one_half_and_ends_at_zero():
    x = np.array([0.0, 1e-45, 14, 1e4, 1e30, np.inf, np.nan], np.float32)
    np.testing.assert_array_equal(compute("normal_tail", x), np.array([0.5, 0.5, 0, 0, 0, 0, np.nan], np.float32))


def test_the_exponential_ends_where_float32_has_no_normal_numbers_left():
    x = np.nextafter(elementary.LOWEST, np.float32([-100, 0]))
    below, above = compute("exp", x)
    assert below == 0
    assert above == pytest.approx(np.finfo(np.float32).tiny, rel=1e-4)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_number_has_the_same_bits_wherever_it_stands(name):
    _, (lowest, highest), _ = FUNCTIONS[name]
    x = np.random.default_rng(1).uniform(lowest, highest, 61).astype(np.float32)
    alone = np.concatenate([compute(name, x[k : k + 1]) for k in range(len(x))])
    for first in range(9):
        np.testing.assert_array_equal(compute(name, x[first:]), alone[first:])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_loop_is_vector_code(name):
    compute(name, ENDS)
    (code,) = LOOPS[name].inspect_llvm().values()
    assert re.search(r"fmul <\d+ x float>", code)
    assert not re.search(r"call .*@(exp|erf|tanh|log)", code)


# -- coefficients -----------------------------------------------------------------------------------------------------


def interpolant(function, lowest, highest, degree):
    """Return the coefficients, lowest power first, of the polynomial that equals `function` at Chebyshev's nodes."""
    middle, half = (lowest + highest) / 2, (highest - lowest) / 2
    total = np.zeros(1)
    for c in chebyshev.cheb2poly(chebyshev.chebinterpolate(lambda z: function(middle + half * z), degree))[::-1]:
        total = polynomial.polyadd(polynomial.polymul(total, [-middle / half, 1 / half]), [c])
    return total


def series(*factors):
    return lambda x: sum(factor * x**k for k, factor in enumerate(factors))


def tanh_rest(square):
    x = np.sqrt(square)
    return np.where(square < 1e-4, -1 / 3 + 2 * square / 15 - 17 * square**2 / 315, (np.tanh(x) / x - 1) / square)


def scaled_tail(w):
    t = (1 / w - 1) / float(elementary.TAIL_SCALE)
    return tail(t) * np.exp(t * t / 2) / w


END = 1 / (1 + 13.25 * float(elementary.TAIL_SCALE))
LN2 = math.log(2) / 2 * 1.0001
COEFFICIENTS = {
    "E": interpolant(series(*(1 / math.factorial(k + 2) for k in range(20))), -LN2, LN2, 5),
    "L": interpolant(series(*(1 / (2 * k + 3) for k in range(60))), 0, 1 / 9, 4),
    "T": interpolant(tanh_rest, 0, float(elementary.TANH_SMALL) ** 2, 4),
    "Q": interpolant(scaled_tail, END, 1, 9),
}


@pytest.mark.parametrize("name", COEFFICIENTS)
def test_the_coefficients_are_those_of_the_interpolating_polynomial(name):
    np.testing.assert_allclose(getattr(elementary, name), COEFFICIENTS[name], rtol=2e-5)
