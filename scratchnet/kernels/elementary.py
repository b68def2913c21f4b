"""Exponentials, the logistic function, the hyperbolic tangent and the normal distribution, for vectors of float32.

A call of the C library's `exp` or `erf` for each number takes 5 to 20 ns. The functions below consist of additions,
multiplications, divisions, shifts, and comparisons that select one of two numbers. So LLVM compiles a loop that calls them into
vector instructions, for 8 numbers at a time with AVX2 (tests/test_elementary.py reads the compiled code). A number passes through
the same operations wherever it stands in its array, so the result has the same bits for any number of threads.

The exponential
---------------
With n the integer that is nearest to x / ln 2, and r = x - n ln 2,

    eˣ = 2ⁿ · eʳ          |r| ≤ ½ ln 2          eʳ = 1 + r + r² · E(r), E a polynomial of degree 5

To round to an integer, 1.5 · 2²³ is added, which moves the integer to the last bits of a float32, and then subtracted. (From 2²³ to
2²⁴ the last bit of a float32 is worth 1. 1.5 · 2²³ is the middle of this range, so the sum stays in it for a negative number too.)
n ln 2 is subtracted in two parts, since ln 2 is written as a sum of two constants; n times the first is exact. The bits of the
float32 2ⁿ are those of n + 127, shifted by 23.

Nothing here needs eˣ of a positive x: all functions are written with e^{-|x|}, e^{-2|x|} or e^{-x²/2}, which cannot overflow.
Where eˣ is below 2⁻¹²⁶, the smallest normal float32, the result is 0.

The normal distribution
-----------------------
Φ(x) is the probability that a standard normal number is below x: Φ(x) = ½ (1 + erf(x / √2)). At negative x the two terms of this
sum nearly cancel, so the tail is computed directly, as in equation 7.1.26 of Abramowitz & Stegun, but with more terms:

    Φ(-t) = e^{-t²/2} · w · Q(w)      w = 1 / (1 + 0.296875 t)      t ≥ 0, Q a polynomial of degree 9      Φ(t) = 1 - Φ(-t)

The exponential would multiply the relative rounding error of t² / 2 by up to 87. So t² is computed as the sum of two numbers,
h² + (t - h)(t + h), where h has the first 12 bits of t, and h² is exact.

Accuracy
--------
The polynomials interpolate at Chebyshev's nodes, and their coefficients are rounded to float32. Largest error of each function, in
units in the last place of its float32 result; rounding the exact result alone costs 0.5:

    exp 1.0     expm1 0.9     log1p 2.0     sigmoid 2.5     tanh 1.6     normal_tail 6.7 (1.0 on average for t < 3)

tests/test_elementary.py computes the coefficients again, and measures these errors.

There are no such functions for float64. It is used to check gradients, where the functions on the pages of the layers are fast
enough.

Source: Cody & Waite, *Software manual for the elementary functions* (1980), chapter 6; Abramowitz & Stegun, *Handbook of
mathematical functions* (1964), equation 7.1.26.
"""

from __future__ import annotations

import numpy as np

from scratchnet.kernels.jit import jit

# Python's own numbers would turn the arithmetic into float64, and sums of two int32 are int64 in numba: hence the many np.int32.
F, I = np.float32, np.int32
ZERO, HALF, ONE, TWO = F(0), F(0.5), F(1), F(2)

# The coefficients, lowest power first.
E = E0, E1, E2, E3, E4, E5 = tuple(map(F, (0.5, 0.16666667, 0.041666467, 0.0083333105, 0.001393365, 0.00019890991)))
L = L0, L1, L2, L3, L4 = tuple(map(F, (0.33333334, 0.19999853, 0.14296179, 0.108532876, 0.11612164)))
T = T0, T1, T2, T3, T4 = tuple(map(F, (-0.3333333, 0.13333113, -0.05390943, 0.021309389, -0.0066102277)))
Q = Q0, Q1, Q2, Q3, Q4, Q5, Q6, Q7, Q8, Q9 = tuple(map(F, (
    0.11844427, 0.118233986, 0.11015272, 0.073892705, 0.11014068, -0.10468328, 0.22585817, -0.24852686, 0.11740806, -0.020920448,
)))  # fmt: skip

LOG2_E = F(1 / np.log(2))
LN2_HIGH, LN2_LOW = F(355 / 512), F(np.log(2) - 355 / 512)
TO_INTEGER, INTEGER_BITS = F(1.5 * 2**23), F(1.5 * 2**23).view(I)
BIAS, SHIFT = I(127), I(23)
LOWEST = F(-87.33654)               # ln 2⁻¹²⁶
FIRST_BITS = I(-(1 << 12))          # a mask of all but the last 12 bits: 12 of a float32's 24 binary digits remain
TANH_SMALL = F(0.55)                # up to here tanh is a polynomial
TAIL_SCALE = F(0.296875)


@jit
def _reduce(x, rest):
    """Return eʳ - 1 and 2ⁿ, for x + rest = n ln 2 + r, where x ≥ LOWEST and `rest` is small."""
    shifted = x * LOG2_E + TO_INTEGER
    n = shifted - TO_INTEGER
    r = (x - n * LN2_HIGH) + (rest - n * LN2_LOW)
    series = E0 + r * (E1 + r * (E2 + r * (E3 + r * (E4 + r * E5))))
    bits = np.int32(np.float32(shifted).view(np.int32) - INTEGER_BITS + BIAS)
    return r + r * r * series, np.int32(bits << SHIFT).view(np.float32)


@jit
def exp(x):
    """Return eˣ for x ≤ 0."""
    p, power = _reduce(x, ZERO)
    return ZERO if x < LOWEST else (ONE + p) * power        # a NaN is not below: it stays


@jit
def expm1(x):
    """Return eˣ - 1 for x ≤ 0. Near 0, where n = 0, it is eʳ - 1, without a difference of nearly equal numbers."""
    p, power = _reduce(x, ZERO)
    return -ONE if x < LOWEST else power * p + (power - ONE)


@jit
def log1p(x):
    """Return ln(1 + x) for 0 ≤ x ≤ 1: with s = x / (2 + x), it is 2 artanh(s) = 2 (s + s³/3 + s⁵/5 + …)."""
    s = x / (TWO + x)
    square = s * s
    return TWO * (s + s * square * (L0 + square * (L1 + square * (L2 + square * (L3 + square * L4)))))


@jit
def sigmoid(x):
    """Return 1 / (1 + e⁻ˣ); for negative x it is computed as eˣ / (1 + eˣ), which is equal."""
    e = exp(-abs(x))
    return (e if x < ZERO else ONE) / (ONE + e)


@jit
def tanh(x):
    """Return (1 - e^{-2|x|}) / (1 + e^{-2|x|}) with the sign of x; for small x, where the difference cancels, x + x³ T(x²)."""
    square = x * x
    small = x + x * square * (T0 + square * (T1 + square * (T2 + square * (T3 + square * T4))))
    e = exp(-TWO * abs(x))
    large = ONE - TWO * e / (ONE + e)
    return small if abs(x) < TANH_SMALL else (-large if x < ZERO else large)


@jit
def normal_tail(t):
    """Return Φ(-t) and e^{-t²/2} for t ≥ 0."""
    high = np.int32(np.float32(t).view(np.int32) & FIRST_BITS).view(np.float32)
    square = -HALF * high * high
    p, power = _reduce(square, -HALF * (t - high) * (t + high))
    e = ZERO if square < LOWEST else (ONE + p) * power
    w = ONE / (ONE + TAIL_SCALE * t)
    upper = Q5 + w * (Q6 + w * (Q7 + w * (Q8 + w * Q9)))
    return e * (w * (Q0 + w * (Q1 + w * (Q2 + w * (Q3 + w * (Q4 + w * upper)))))), e
