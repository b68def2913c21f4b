"""Initial values of parameters.

If a layer's weights are too large, its outputs grow from layer to layer; if they are too small, its outputs shrink. The same
holds for the gradients in backward. An output is a sum of fan_in products w·x, so, for independent w of mean 0,

    var(out) = fan_in · var(w) · E[x²]              and in backward          var(dx) = fan_out · var(w) · E[dout²]

where fan_in = KH·KW·C is the number of inputs that an output is computed from, and fan_out = KH·KW·F is, at stride 1, the number of
outputs that are computed from an input. The rules differ in which variance they keep:

    LeCun      var(w) = 1 / fan_in                     the outputs keep the variance of the inputs
    He         var(w) = 2 / fan_in                     the same after a ReLU, which sets half of the numbers to 0
    Glorot     var(w) = 2 / (fan_in + fan_out)         a compromise between forward, 1 / fan_in, and backward, 1 / fan_out

LeCun's rule assumes inputs of mean 0: then E[x²] = var(x), and var(out) = var(x). Inputs x = max(0, z) have another mean. If z is
symmetric around 0, the ReLU keeps half of its squares: E[x²] = ½ E[z²] = ½ var(z). With He's factor 2, var(out) = var(z).

Each may be drawn from a uniform distribution on [-limit, limit], which has the variance limit² / 3, or from a normal one. Keras
cuts the normal distribution off at two standard deviations, which leaves 0.8796 of its deviation; the rules divide by that. Biases
start at 0.

A rule is used by its name, `Dense(10, kernel_initializer="he_normal")`, or as an object with arguments,
`kernel_initializer=HeNormal(seed=3)`, or as a function of your own of (shape, rng). PyTorch calls Glorot's rules `xavier_uniform_`
and `xavier_normal_`, and He's `kaiming_uniform_` and `kaiming_normal_`; its default, `kaiming_uniform_(a=√5)`, is
var(w) = 1 / (3·fan_in).

Source: LeCun, Bottou, Orr & Müller, *Efficient BackProp* (1998), equation 16; Glorot & Bengio, *Understanding the difficulty of
training deep feedforward neural networks* (2010), equations 12 and 16; He et al., *Delving deep into rectifiers* (2015), equation
10; Saxe, McClelland & Ganguli, *Exact solutions to the nonlinear dynamics of learning in deep linear neural networks* (2014) for
`Orthogonal`. Names, arguments and defaults are those of `keras.initializers`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from math import prod, sqrt
from typing import Any, TypeAlias

import numpy as np

from scratchnet.support.checking import check_choice, check_count, check_number, check_seed, check_shape, plain_array, shortened
from scratchnet.support.config import config_of
from scratchnet.support.keywords import name_arguments

Rule: TypeAlias = Callable[[tuple[int, ...], np.random.Generator], np.ndarray]

TRUNCATED = 0.87962566103423978
"""The standard deviation of a standard normal distribution that is cut off at ±2: √(1 - 4φ(2) / (2Φ(2) - 1)),
with its density φ and its distribution function Φ."""

LARGEST = float(np.finfo(float).max)


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return (fan_in, fan_out) of a kernel (KH, KW, C, F), a matrix (D, U) or a bias (U,).

    As in Keras, a vector (D,) has the fans D and D, and a parameter without axes has 1 and 1.

    Examples
    --------
    >>> fans((3, 3, 32, 64)), fans((128, 10)), fans((5,)), fans(())
    ((288, 576), (128, 10), (5, 5), (1, 1))
    """
    shape = check_shape("fans", shape)
    if len(shape) < 2:
        return prod(shape), prod(shape)
    window = prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


def truncated_standard_normal(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return float64 numbers of a standard normal distribution; those beyond ±2 are drawn again."""
    z = np.array(rng.standard_normal(shape))
    while (far := abs(z) > 2).any():
        z[far] = rng.standard_normal(far.sum())
    return z


class Initializer:
    """The base class of the rules.

    `rule(shape, rng)` returns a float64 array. With a seed of its own, a rule draws the same numbers in each call, as in Keras; by
    default it draws from `rng`, the generator of the model. With other arguments than a shape, `rule(...)` returns a rule of the
    same class with these arguments: so `he_normal`, which is HeNormal(), can be called as in Keras: he_normal(seed=3).
    """

    seed: int | None = None

    def __init_subclass__(cls) -> None:
        name_arguments(cls)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return an array of `shape`, drawn from `rng`; or, for arguments of the constructor, a rule with these arguments."""
        if "shape" not in kwargs and not (args and isinstance(args[0], (tuple, list))):
            return type(self)(*args, **kwargs)
        return self._drawn(*args, **kwargs)

    def _drawn(self, shape: tuple[int, ...], rng: np.random.Generator | None = None) -> np.ndarray:
        if rng is None or self.seed is not None:
            rng = np.random.default_rng(self.seed)
        return self.draw(check_shape(type(self).__name__, shape), rng)

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Return the values. Every rule overrides this method."""
        raise NotImplementedError(f"{type(self).__name__} needs a method draw(self, shape, rng)")

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that re-create this rule, as values for JSON."""
        return config_of(self, lambda name, value: config_name(value) if isinstance(value, Initializer) else value)

    def __repr__(self) -> str:
        settings = ", ".join(f"{key}={value!r}" for key, value in self.get_config().items() if value is not None)
        return f"{type(self).__name__}({settings})"


# -- a variance that the shape determines ------------------------------------------------------------------------------


class VarianceScaling(Initializer):
    """Draw numbers of mean 0 and variance scale / n, where n is fan_in, fan_out or their mean.

    Parameters
    ----------
    scale : float
    mode : {"fan_in", "fan_out", "fan_avg"}
    distribution : {"truncated_normal", "untruncated_normal", "uniform"}
    seed : int, optional

    Examples
    --------
    >>> w = VarianceScaling(2.0, "fan_out", "uniform")((100, 50), np.random.default_rng(0))
    >>> bool(abs(w).max() < np.sqrt(3 * 2 / 50)), round(float(w.var()), 3)
    (True, 0.04)
    """

    def __init__(
        self, scale: float = 1.0, mode: str = "fan_in", distribution: str = "truncated_normal", seed: int | None = None
    ):
        self.scale = check_number("scale", scale, lowest=float(np.nextafter(0, 1)))
        self.mode = check_choice("mode", mode, ("fan_in", "fan_out", "fan_avg"))
        known = ("truncated_normal", "untruncated_normal", "uniform")
        self.distribution = check_choice("distribution", "truncated_normal" if distribution == "normal" else distribution, known)
        self.seed = check_seed("seed", seed)

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Return float64 numbers of variance scale / n."""
        fan_in, fan_out = fans(shape)
        variance = self.scale / {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        if self.distribution == "uniform":
            limit = sqrt(3 * variance)
            return rng.uniform(-limit, limit, shape)
        if self.distribution == "untruncated_normal":
            return sqrt(variance) * rng.standard_normal(shape)
        return sqrt(variance) / TRUNCATED * truncated_standard_normal(shape, rng)


class GlorotUniform(VarianceScaling):
    """Draw uniformly between ±√(6 / (fan_in + fan_out)); the default of every kernel.

    Parameters
    ----------
    seed : int, optional

    Examples
    --------
    >>> w = GlorotUniform()((100, 50), np.random.default_rng(0))
    >>> bool(abs(w).max() < 0.2), round(float(w.std()), 2)
    (True, 0.12)
    """

    def __init__(self, seed: int | None = None):
        super().__init__(1.0, "fan_avg", "uniform", seed)


class GlorotNormal(VarianceScaling):
    """Draw from a truncated normal distribution of variance 2 / (fan_in + fan_out); the argument is `seed`."""

    def __init__(self, seed: int | None = None):
        super().__init__(1.0, "fan_avg", "truncated_normal", seed)


class HeUniform(VarianceScaling):
    """Draw uniformly between ±√(6 / fan_in); the argument is `seed`."""

    def __init__(self, seed: int | None = None):
        super().__init__(2.0, "fan_in", "uniform", seed)


class HeNormal(VarianceScaling):
    """Draw from a truncated normal distribution of variance 2 / fan_in; the argument is `seed`."""

    def __init__(self, seed: int | None = None):
        super().__init__(2.0, "fan_in", "truncated_normal", seed)


class LecunUniform(VarianceScaling):
    """Draw uniformly between ±√(3 / fan_in); the argument is `seed`."""

    def __init__(self, seed: int | None = None):
        super().__init__(1.0, "fan_in", "uniform", seed)


class LecunNormal(VarianceScaling):
    """Draw from a truncated normal distribution of variance 1 / fan_in; the argument is `seed`."""

    def __init__(self, seed: int | None = None):
        super().__init__(1.0, "fan_in", "truncated_normal", seed)


# -- a distribution that is given -------------------------------------------------------------------------------------


class RandomUniform(Initializer):
    """Draw uniformly from [minval, maxval].

    Parameters
    ----------
    minval, maxval : float
    seed : int, optional
    """

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None):
        self.minval = check_number("minval", minval, -LARGEST)
        self.maxval = check_number("maxval", maxval, self.minval)
        self.seed = check_seed("seed", seed)

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Return float64 numbers from minval to maxval."""
        return rng.uniform(self.minval, self.maxval, shape)


class RandomNormal(Initializer):
    """Draw from a normal distribution.

    Parameters
    ----------
    mean, stddev : float
    seed : int, optional

    Examples
    --------
    >>> w = RandomNormal(stddev=0.01)((100, 50), np.random.default_rng(0))
    >>> round(float(w.std()), 3)
    0.01
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None):
        self.mean, self.stddev = check_number("mean", mean, -LARGEST), check_number("stddev", stddev)
        self.seed = check_seed("seed", seed)

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Return mean + stddev · z for standard normal z, float64."""
        return self.mean + self.stddev * rng.standard_normal(shape)


class TruncatedNormal(RandomNormal):
    """Draw from a normal distribution that is cut off at mean ± 2·stddev, so that the deviation of the numbers is 0.8796·stddev.

    Parameters
    ----------
    mean, stddev : float
    seed : int, optional
    """

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Return mean + stddev · z for standard normal z within ±2, float64."""
        return self.mean + self.stddev * truncated_standard_normal(shape, rng)


# -- matrices that keep lengths ---------------------------------------------------------------------------------------


class Orthogonal(Initializer):
    """Draw a matrix with orthonormal columns, or orthonormal rows if it has fewer rows than columns.

    With gain 1, a product with it changes no length, only directions: x @ w if the rows are orthonormal, and dout @ w.T, in
    backward, if the columns are. A kernel (KH, KW, C, F) is used as the matrix (KH·KW·C, F).

    In the QR factorization of a matrix of standard normal numbers, Q is uniformly distributed among all such matrices if the
    diagonal of R is positive. So each column of Q is multiplied by the sign of the number on R's diagonal (Mezzadri, *How to
    generate random matrices from the classical compact groups*, 2007, section 5). The factorization is LAPACK's, and its last bits
    may depend on that library.

    Parameters
    ----------
    gain : float
        All numbers are multiplied by it.
    seed : int, optional

    Examples
    --------
    >>> w = Orthogonal()((4, 3), np.random.default_rng(0))
    >>> bool(np.allclose(w.T @ w, np.eye(3)))
    True
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None):
        self.gain, self.seed = check_number("gain", gain, -LARGEST), check_seed("seed", seed)

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Return gain · Q, float64."""
        if len(shape) < 2:
            raise ValueError(f"Orthogonal: expected a shape of two or more axes, got {shape}. For a bias use 'zeros'")
        rows, columns = prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
        q = q * np.sign(np.diag(r))
        return self.gain * (q if rows >= columns else q.T).reshape(shape)


class Identity(Initializer):
    """Make a dense layer return its input: a matrix with `gain` on its diagonal, and 0 elsewhere. For kernels see `Dirac`.

    Parameters
    ----------
    gain : float

    Examples
    --------
    >>> Identity()((2, 3))
    array([[1., 0., 0.],
           [0., 1., 0.]])
    """

    def __init__(self, gain: float = 1.0):
        self.gain = check_number("gain", gain, -LARGEST)

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Return gain · I, float64."""
        if len(shape) != 2:
            raise ValueError(f"Identity: expected the shape (D, U) of a matrix, got {shape}. A convolution's kernel takes 'dirac'")
        return self.gain * np.eye(*shape)


class Dirac(Initializer):
    """Make the first C filters of a convolution return its C channels: filter c is 1 at the centre of channel c, and 0 elsewhere.

    For odd KH and KW it is PyTorch's `dirac_`; Keras has no rule of this kind. The centre is the cell that padding="same" puts over
    the pixel itself.

    Parameters
    ----------
    others : str or callable
        The rule for the filters after the first C; they are 0 by default, as in PyTorch.
    seed : int, optional
    channels : int, optional
        How many channels have such a filter, if not all C. A channel that is the same for all images needs none.

    Examples
    --------
    >>> w = Dirac()((3, 3, 1, 2))
    >>> w[:, :, 0, 0]
    array([[0., 0., 0.],
           [0., 1., 0.],
           [0., 0., 0.]])
    """

    def __init__(self, others: Any = "zeros", seed: int | None = None, *, channels: int | None = None):
        self.others, self.seed = get(others), check_seed("seed", seed)
        self.channels = None if channels is None else check_count("channels", channels, "Dirac(channels=24)", lowest=0)

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Return a kernel (KH, KW, C, F), float64."""
        if len(shape) != 4:
            raise ValueError(f"Dirac: expected the shape (KH, KW, C, F) of a kernel, got {shape}. For dense layers use 'identity'")
        KH, KW, C, F = shape
        w = initialize(self.others, shape, rng).astype(float)
        C = C if self.channels is None else min(C, self.channels)
        w[..., :C] = 0
        same = range(min(C, F))
        w[(KH - 1) // 2, (KW - 1) // 2, same, same] = 1
        return w


# -- constants --------------------------------------------------------------------------------------------------------


class Constant(Initializer):
    """Set every number to `value`.

    Parameters
    ----------
    value : float
    """

    def __init__(self, value: float = 0.0):
        self.value = check_number("value", value, -LARGEST)

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Return an array of `value`, float64."""
        return np.full(shape, self.value)


class Zeros(Initializer):
    """Set every number to 0; the default of every bias."""

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Return zeros, float64."""
        return np.zeros(shape)


class Ones(Initializer):
    """Set every number to 1."""

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Return ones, float64."""
        return np.ones(shape)


# -- the use of a rule ------------------------------------------------------------------------------------------------


def get(initializer: Any) -> Rule:
    """Return a rule by its name, from its class, or from what `config_name` returned; or a function of (shape, rng) itself.

    Raises
    ------
    ValueError
        For anything that is neither a known name nor a function; the message lists the known names.
    """
    if isinstance(initializer, type) and issubclass(initializer, Initializer):
        return initializer()
    if callable(initializer):
        return initializer
    name, config = initializer, {}
    if isinstance(initializer, dict) and isinstance(initializer.get("config", {}), dict):
        name, config = initializer.get("class_name"), initializer.get("config", {})
    classes = {type(rule).__name__: known for known, rule in KNOWN.items()}
    rule = KNOWN.get(OTHER_NAMES.get(name) or classes.get(name) or name) if isinstance(name, str) else None
    if rule is None:
        known = ", ".join(map(repr, KNOWN))
        raise ValueError(
            f"initializer: expected {known} or a function of (shape, rng), got {shortened(initializer)}. For example"
            " kernel_initializer='he_normal'"
        )
    return type(rule)(**config) if config else rule


def initialize(initializer: Any, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return an array of `shape` from an initializer given by name or as a function of (shape, rng).

    Raises
    ------
    ValueError
        For an unknown name, or a function that returns another shape or no numbers.
    TypeError
        For a function that cannot be called with (shape, rng).
    """
    function, shape = get(initializer), check_shape("initialize", shape)
    try:
        values = plain_array("initializer", "its result", function(shape, rng))
    except TypeError as error:
        raise TypeError(
            f"initializer: expected a function of (shape, rng), got {shortened(function)}, which fails: {error}"
        ) from error
    if values.dtype.kind not in "fiub":
        raise ValueError(f"initializer: expected an array of real numbers, got {values.dtype}. Return what rng draws, or floats")
    if values.shape != shape:
        raise ValueError(f"initializer: expected an array of shape {shape}, got {values.shape}. Return the shape that is passed in")
    return values


def config_name(initializer: Any) -> str | dict[str, Any]:
    """Return an initializer for a saved model: its name, or its class and arguments if they are not the defaults.

    Any other function becomes "zeros", since the file has the weights.

    Examples
    --------
    >>> config_name(HeNormal()), config_name(Constant(2))
    ('he_normal', {'class_name': 'Constant', 'config': {'value': 2.0}})
    """
    rule = get(initializer)
    name = _name(type(rule))
    if not isinstance(rule, Initializer) or type(rule) is not type(KNOWN.get(name)):
        return "zeros"
    config = rule.get_config()
    return name if config == KNOWN[name].get_config() else {"class_name": type(rule).__name__, "config": config}


def _name(kind: type) -> str:
    """Return the name of a rule: GlorotUniform -> glorot_uniform."""
    return re.sub(r"(?<=[a-z])([A-Z])", r"_\1", kind.__name__).lower()


# -- names ------------------------------------------------------------------------------------------------------------

glorot_uniform, glorot_normal = GlorotUniform(), GlorotNormal()
he_uniform, he_normal = HeUniform(), HeNormal()
lecun_uniform, lecun_normal = LecunUniform(), LecunNormal()
random_uniform, random_normal, truncated_normal = RandomUniform(), RandomNormal(), TruncatedNormal()
variance_scaling = VarianceScaling()
zeros, ones, constant = Zeros(), Ones(), Constant()
orthogonal, identity = Orthogonal(), Identity()
dirac = Dirac(zeros)


KNOWN: dict[str, Initializer] = {
    _name(type(rule)): rule
    for rule in (
        glorot_uniform, glorot_normal, he_uniform, he_normal, lecun_uniform, lecun_normal, random_uniform, random_normal,
        truncated_normal, variance_scaling, zeros, ones, constant, orthogonal, identity, dirac,
    )
}  # fmt: skip
OTHER_NAMES = {"uniform": "random_uniform", "normal": "random_normal", "zero": "zeros", "one": "ones"}
