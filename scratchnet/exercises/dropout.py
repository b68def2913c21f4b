"""The exercise of dropout: forward and backward, in training and in inference."""

from __future__ import annotations

import numpy as np

from scratchnet.exercises.exercise import Case, Exercise, normal
from scratchnet.exercises.pictures import number, rows


def definition(x, dout, rate, u, training):
    """Return x / (1 - rate) where u >= rate, else 0, in training, and x in inference; and the same for dout."""
    out, dx = np.zeros_like(x), np.zeros_like(dout)
    for k in np.ndindex(x.shape):
        if not training:
            out[k], dx[k] = x[k], dout[k]
        elif u[k] >= rate:
            out[k], dx[k] = x[k] / (1 - rate), dout[k] / (1 - rate)
    return out, dx


def cases(rng: np.random.Generator) -> list[Case]:
    """Return rows and images, in training and in inference; a third of the numbers of x are 0, as after a ReLU."""
    found = [
        Case({
            "x": np.array([[2.0, -4.0, 6.0, 0.0]]),
            "dout": np.array([[1.0, 3.0, -5.0, 7.0]]),
            "rate": 0.2,
            "u": np.array([[0.1, 0.2, 0.9, 0.15]]),      # the second is equal to the rate: kept
            "training": True,
        })
    ]
    for shape, rate, training in [
        ((2, 3), 0.4, False),
        ((3, 4), 0.4, True),
        ((2, 3, 4), 0.25, True),
        ((2, 3, 2), 0.25, False),
        ((4, 10), 0.8, True),
    ]:
        draws = {"x": normal(rng, shape) * (rng.random(shape) > 1 / 3), "dout": normal(rng, shape), "rate": rate}
        found.append(Case({**draws, "u": rng.random(shape), "training": training}, {"u": rng.random(shape)} if training else {}))
    draws = {"x": normal(rng, 5), "dout": normal(rng, 5), "rate": 0.0}
    found.append(Case({**draws, "u": np.array([0.0, 0.5, 0.999, 0.0, 0.1]), "training": True}))     # all are kept, 0 >= 0 too
    return found


def picture(arguments, result, index):
    """Show the numbers drawn around an element, which of them are kept, and what follows."""
    x, dout, rate, u, training = arguments.values()
    if not training:
        given, name = (x, "x") if result == "out" else (dout, "dout")
        return [f"training is False: dropout does nothing, and {result} is {name}, here {number(given[index])}."]
    *front, k = index
    given, name = (x, "x") if result == "out" else (dout, "dout")
    table: list[tuple[str, ...]] = [("index", "u", f"u >= {number(rate)}", name, result, "")]
    for j in range(max(0, k - 3), min(x.shape[-1], k + 4)):
        at = (*front, j)
        kept = u[at] >= rate
        value = given[at] / (1 - rate) if kept else 0.0
        name_at = "[" + ", ".join(map(str, at)) + "]"
        cells = [number(u[at]), "kept" if kept else "dropped", number(given[at]), number(value)]
        table.append((name_at, *cells, "<- here" if at == index else ""))
    return [f"What is kept is divided by 1 - rate = {number(1 - rate)}, in forward and in backward:", "", *rows(table)]


def masking(keep, factor):
    """Return dropout in training with another mask or another factor, each a function of u and rate."""

    def dropout(x, dout, rate, u, training):
        mask = keep(u, rate) * factor(rate) if training else 1.0
        return x * mask, dout * mask

    return dropout


def _keep(u, rate):
    return u >= rate


def _scaled(rate):
    return 1 / (1 - rate)


def _by_rate(rate):
    return np.divide(1.0, rate)         # infinity for a rate of 0, where 1 / rate would raise an error


def _without_mask(x, dout, rate, u, training):
    return definition(x, dout, rate, u, training)[0], dout / (1 - rate) if training else dout


def _mask_from_values(x, dout, rate, u, training):
    out, _ = definition(x, dout, rate, u, training)
    return out, np.where(x == 0, dout, dout * out / np.where(x == 0, 1, x))


def _mask_from_output(x, dout, rate, u, training):
    out, dx = definition(x, dout, rate, u, training)
    return out, np.where(out == 0, 0, dout / (1 - rate)) if training else dx


def _unscaled_then_scaled(x, dout, rate, u, training):
    mask = u >= rate if training else rate
    return x * mask, dout * mask


def _inference_scaled(x, dout, rate, u, training):
    out, dx = definition(x, dout, rate, u, training)
    return (out, dx) if training else (out * rate, dx * rate)


def _seeded(x, dout, rate, u, training):
    return definition(x, dout, rate, np.random.default_rng(0).random(x.shape), training)


DROPOUT = Exercise(
    name="dropout",
    title="dropout, in training and in inference",
    returns=("out", "dx"),
    definition=definition,
    cases=cases,
    picture=picture,
    traits=[
        ("training = False", lambda a: not a["training"]),
        ("several rows", lambda a: a["x"].ndim > 1 and len(a["x"]) > 1),
        ("arrays of three axes", lambda a: a["x"].ndim == 3),
        ("a rate above 0.5", lambda a: a["rate"] > 0.5),
        ("a rate of 0", lambda a: a["rate"] == 0),
        ("arrays of one axis", lambda a: a["x"].ndim == 1),
    ],
    mistakes=[
        ("dropout-divides-by-rate", masking(_keep, _by_rate)),
        ("dropout-rate-is-kept", masking(lambda u, rate: u >= 1 - rate, _by_rate)),
        ("dropout-rate-is-kept", masking(lambda u, rate: u < rate, _by_rate)),
        ("dropout-rate-is-kept", masking(lambda u, rate: u < rate, _scaled)),
        ("dropout-backward-without-mask", _without_mask),
        ("dropout-mask-from-values", _mask_from_values),
        ("dropout-mask-from-values", _mask_from_output),
        ("dropout-active-in-inference", lambda x, dout, rate, u, training: definition(x, dout, rate, u, True)),
        ("dropout-inference-scaled-by-rate", _unscaled_then_scaled),
        ("dropout-inference-scaled-by-rate", _inference_scaled),
        ("dropout-same-mask-every-batch", _seeded),
    ],
    kept={"u": "dropout-same-mask-every-batch"},
    forward=lambda x, rate, u, training: definition(x, x, rate, u, training)[0],
    gradients=("x",),
)
