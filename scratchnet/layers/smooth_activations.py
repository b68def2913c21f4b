"""Activation functions made of exponentials: sigmoid, tanh, softplus, ELU, SELU, SiLU and GELU.

All are computed elementwise, out_i = f(x_i). So ∂out_i/∂x_j = f'(x_i) where i = j, and 0 elsewhere. Only one term of the chain
rule's sum, dx_j = Σ_i dout_i · ∂out_i/∂x_j, remains:

    dx_i = dout_i · f'(x_i)

Where f' can be computed from out, backward uses out and not x. The next layer, a convolution or a dense layer, keeps the same
array for its own backward, so no additional array is stored, and most of these f' need no second exponential. SiLU and GELU have
a minimum, so that two values of x give the same out; their backward uses x.

Sigmoid, σ(x), is 1 / (1 + e⁻ˣ). By the quotient rule σ'(x) = e⁻ˣ / (1 + e⁻ˣ)². One factor 1 / (1 + e⁻ˣ) is σ, and the remaining
e⁻ˣ / (1 + e⁻ˣ) is 1 - σ:

    out = 1 / (1 + e⁻ˣ)                             dx = dout · out (1 - out)

Tanh is sinh(x) / cosh(x), and sinh' = cosh, cosh' = sinh. So tanh'(x) = (cosh² - sinh²) / cosh² = 1 - tanh²(x):

    out = tanh(x)                                   dx = dout · (1 - out²)

Softplus is a ReLU with a round corner. Its derivative is eˣ / (1 + eˣ) = σ(x). Since e⁻ᵒᵘᵗ = 1 / (1 + eˣ) = 1 - σ(x),

    out = ln(1 + eˣ)                                dx = dout · (1 - e⁻ᵒᵘᵗ)

ELU approaches -α as x goes to -∞. At negative x its derivative is α eˣ = out + α. SELU is ELU with α = 1.6733, times a scale of
1.0507. With these constants the outputs of a deep network tend to mean 0 and variance 1. For negative x,
scale · α eˣ = out + scale · α:

    out = scale · (x if x > 0, else α (eˣ - 1))     dx = dout · (scale where out > 0, else out + scale · α)

SiLU, also called swish, multiplies x by its own sigmoid s = σ(x), and GELU multiplies it by Φ(x), the probability that a standard
normal number is below x. Φ' is the normal density φ(x) = e^{-x²/2} / √(2π). The product rule gives

    out = x s                                       dx = dout · (s + x s (1 - s))
    out = x Φ(x),  Φ(x) = ½ (1 + erf(x / √2))       dx = dout · (Φ(x) + x φ(x))

The tanh form of GELU replaces Φ(x) by ½ (1 + tanh(v)) with v = √(2/π) (x + 0.044715 x³). It differs from Φ(x) by less than 0.0003.
Since ½ (1 + tanh(v)) is σ(2v), it is a sigmoid s = σ(u) of u = 2v, and the chain rule adds the factor
u' = 2 √(2/π) (1 + 3 · 0.044715 x²):

    out = x σ(u)                                    dx = dout · (s + x s (1 - s) u')

Written as above, eˣ would overflow at large x and e⁻ˣ at large negative x, and eˣ - 1 would lose its digits near x = 0. The
functions below use e^{-|x|}, which is at most 1, and NumPy's `expm1(x)` and `log1p(x)`, which are eˣ - 1 and ln(1 + x) to the
last digit.

Source: Rumelhart, Hinton & Williams (1986), equation 2, for the sigmoid; LeCun, Bottou, Orr & Müller, *Efficient backprop* (1998),
section 4.4, for tanh; Dugas et al. (2001), equation 3, for softplus; Clevert, Unterthiner & Hochreiter (2016), equations 15 and 16,
for ELU; Klambauer, Unterthiner, Mayr & Hochreiter (2017), equation 2, for SELU; Elfwing, Uchibe & Doya (2018), equations 5 and 6,
for SiLU; Hendrycks & Gimpel, *Gaussian error linear units* (2016), section 2, for both forms of GELU.
"""

from __future__ import annotations

import math

import numpy as np

from scratchnet.support.arithmetic import quiet

# -- sigmoid, tanh, softplus ------------------------------------------------------------------------------------------


@quiet
def sigmoid_forward(x: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + e⁻ˣ), for any shape; for negative x, computed in the equivalent form eˣ / (1 + eˣ).

    Examples
    --------
    >>> sigmoid_forward(np.array([-1e4, 0.0, 1e4]))
    array([0. , 0.5, 1. ])
    """
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, x.dtype.type(1)) / (1 + e)


@quiet
def sigmoid_backward(dout: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Return dx = dout · out (1 - out)."""
    return dout * (out * (1 - out))


@quiet
def tanh_forward(x: np.ndarray) -> np.ndarray:
    """Return tanh(x), for any shape."""
    return np.tanh(x)


@quiet
def tanh_backward(dout: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Return dx = dout · (1 - out²)."""
    return dout * (1 - out * out)


@quiet
def softplus_forward(x: np.ndarray) -> np.ndarray:
    """Return ln(1 + eˣ), for any shape; since 1 + eˣ = eˣ (1 + e⁻ˣ), it is x + ln(1 + e⁻ˣ) for positive x.

    Examples
    --------
    >>> softplus_forward(np.array([-1e4, 0.0, 1e4]))
    array([0.00000000e+00, 6.93147181e-01, 1.00000000e+04])
    """
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


@quiet
def softplus_backward(dout: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Return dx = dout · (1 - e⁻ᵒᵘᵗ)."""
    return dout * -np.expm1(-out)


# -- ELU and SELU -----------------------------------------------------------------------------------------------------

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


@quiet
def elu_forward(x: np.ndarray, alpha: float = 1.0, scale: float = 1.0) -> np.ndarray:
    """Return scale · x where x is positive, and scale · α (eˣ - 1) elsewhere, for any shape.

    Examples
    --------
    >>> elu_forward(np.array([-1e4, 0.0, 2.0]), alpha=0.5)
    array([-0.5,  0. ,  2. ])
    """
    return scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


@quiet
def elu_backward(dout: np.ndarray, out: np.ndarray, alpha: float = 1.0, scale: float = 1.0) -> np.ndarray:
    """Return dx: dout times `scale` where out is positive, and times out + scale · α elsewhere, also at x = 0."""
    return dout * np.where(out > 0, dout.dtype.type(scale), out + scale * alpha)


# -- SiLU and GELU ----------------------------------------------------------------------------------------------------


@quiet
def silu_forward(x: np.ndarray) -> np.ndarray:
    """Return x σ(x), for any shape."""
    return x * sigmoid_forward(x)


@quiet
def silu_backward(dout: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return dx = dout · (s + x s (1 - s)), where s = σ(x)."""
    s = sigmoid_forward(x)
    return dout * (s * (1 + x * (1 - s)))


@quiet
def normal_cdf(x: np.ndarray) -> np.ndarray:
    """Return Φ(x) = ½ (1 + erf(x / √2)) as ½ erfc(-x / √2), where erfc = 1 - erf: this way no digits of a small Φ cancel.

    NumPy has neither erf nor erfc, so `math.erfc` is called for each number.

    Examples
    --------
    >>> normal_cdf(np.array([-1.96, 0.0, 1.96])).round(3)
    array([0.025, 0.5  , 0.975])
    """
    erfc = np.vectorize(math.erfc, otypes=[np.float64])
    return (erfc(-x / math.sqrt(2)) / 2).astype(x.dtype)


@quiet
def gelu_forward(x: np.ndarray) -> np.ndarray:
    """Return x Φ(x), for any shape."""
    return x * normal_cdf(x)


@quiet
def gelu_backward(dout: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return dx = dout · (Φ(x) + x φ(x))."""
    density = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    return dout * (normal_cdf(x) + x * density)


TANH_SCALE = 2 * math.sqrt(2 / math.pi)


@quiet
def gelu_tanh_forward(x: np.ndarray) -> np.ndarray:
    """Return x σ(u) with u = 2 √(2/π) (x + 0.044715 x³), for any shape."""
    return x * sigmoid_forward(TANH_SCALE * (x + 0.044715 * x * x * x))


@quiet
def gelu_tanh_backward(dout: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return dx = dout · (s + x s (1 - s) u'), where s = σ(u).

    x is clipped to ±30: beyond, dx is 0 or dout, and x² could overflow.
    """
    x = np.clip(x, -30, 30)
    s = sigmoid_forward(TANH_SCALE * (x + 0.044715 * x * x * x))
    return dout * (s + x * s * (1 - s) * (TANH_SCALE * (1 + 3 * 0.044715 * x * x)))
