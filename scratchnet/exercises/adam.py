"""The exercise of an optimizer: one step of Adam."""

from __future__ import annotations

import math

import numpy as np

from scratchnet.exercises.exercise import Case, Exercise, installed, normal
from scratchnet.exercises.pictures import number
from scratchnet.optimizers import Adam


def adam(p, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    """Call the library's rule, on copies, and return them."""
    p, m, v = p.copy(), m.copy(), v.copy()
    Adam.implementations["numpy"](p, g, m, v, t, learning_rate, beta_1, beta_2, epsilon)
    return p, m, v


def one(p, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    """Return p, m and v of one weight after the step, and the rate with the bias correction."""
    m = beta_1 * m + (1 - beta_1) * g
    v = beta_2 * v + (1 - beta_2) * g**2
    rate = learning_rate * math.sqrt(1 - beta_2**t) / (1 - beta_1**t)
    return p - rate * m / (math.sqrt(v) + epsilon), m, v, rate


def definition(p, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    """Return p, m and v after the step, one weight after the other."""
    after = tuple(np.zeros(p.shape) for _ in "pmv")
    for k in np.ndindex(p.shape):
        new = one(p[k], g[k], m[k], v[k], t, learning_rate, beta_1, beta_2, epsilon)
        after[0][k], after[1][k], after[2][k] = new[:3]
    return after


def cases(rng: np.random.Generator) -> list[Case]:
    """Return the first step, and later ones; most with large rates and epsilons, so that each letter of the formula matters."""
    names = ("t", "learning_rate", "beta_1", "beta_2", "epsilon")
    first = {"p": np.array([1.0, -2.0]), "g": np.array([0.5, -4.0]), "m": np.zeros(2), "v": np.zeros(2)}
    found = [Case({**first, **dict(zip(names, (1, 0.1, 0.9, 0.99, 0.01), strict=True))})]
    for shape, *settings in [
        ((3,), 2, 0.1, 0.9, 0.99, 0.01),
        ((2, 3), 3, 0.5, 0.8, 0.9, 0.1),
        ((2, 3), 10, 1.0, 0.9, 0.95, 0.5),
        ((3, 2, 2), 100, 1.0, 0.5, 0.999, 0.1),
    ]:
        draws = {name: normal(rng, shape) for name in ("p", "g", "m")}
        found.append(Case({**draws, "v": rng.random(shape), **dict(zip(names, settings, strict=True))}))
    rare = {name: normal(rng, 4) for name in ("p", "g", "m")} | {"v": rng.random(4)}
    rare["g"][:2], rare["m"][0], rare["v"][0] = 0.0, 0.0, 0.0       # a weight that no step has moved, and one that only m moves
    found.append(Case({**rare, **dict(zip(names, (10000, 0.1, 0.9, 0.999, 1e-7), strict=True))}))
    return found


def picture(arguments, result, index):
    """Show the formulas, with the numbers of one weight."""
    p, g, m, v, t, learning_rate, beta_1, beta_2, epsilon = arguments.values()
    at = f"[{', '.join(map(str, index))}]"
    after, m_after, v_after, rate = one(p[index], g[index], m[index], v[index], t, learning_rate, beta_1, beta_2, epsilon)
    n = number
    return [
        f"The step t = {t} of the weight {at}, with g = {n(g[index])}:",
        "",
        "  m    = β₁ · m + (1 - β₁) · g",
        f"       = {n(beta_1)} · {n(m[index])} + {n(1 - beta_1)} · {n(g[index])}  =  {n(m_after)}",
        "  v    = β₂ · v + (1 - β₂) · g²",
        f"       = {n(beta_2)} · {n(v[index])} + {n(1 - beta_2)} · {n(g[index] ** 2)}  =  {n(v_after)}",
        "  rate = learning_rate · √(1 - β₂ᵗ) / (1 - β₁ᵗ)",
        f"       = {n(learning_rate)} · {n(math.sqrt(1 - beta_2**t))} / {n(1 - beta_1**t)}  =  {n(rate)}",
        "  p    = p - rate · m / (√v + ε)",
        f"       = {n(p[index])} - {n(rate)} · {n(m_after)} / ({n(math.sqrt(v_after))} + {n(epsilon)})  =  {n(after)}",
    ]


def stepping(step):
    """Return Adam with another step, a function of the new m and v, of 1 - β₁ᵗ and 1 - β₂ᵗ, of 1 - β₁ and 1 - β₂, and of ε."""

    def wrong(p, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
        _, m, v = adam(p, g, m, v, t, learning_rate, beta_1, beta_2, epsilon)
        factors = 1 - beta_1**t, 1 - beta_2**t, 1 - beta_1, 1 - beta_2
        return p - learning_rate * step(m, v, *factors, epsilon), m, v

    return wrong


def aliased(divided, corrected):
    """Return Adam whose step is the array m itself, multiplied by the rate, and divided by the root of v if `divided`."""

    def wrong(p, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
        after, m, v = adam(p, g, m, v, t, learning_rate, beta_1, beta_2, epsilon)
        correction = np.sqrt(1 - beta_2**t) / (1 - beta_1**t) if corrected else 1.0
        return after, m * learning_rate * correction / (np.sqrt(v) + epsilon if divided else 1.0), v

    return wrong


def _one_beta_reversed(which):
    """Return Adam whose m (0) or v (1) uses its β as 1 - β, and the other one does not."""

    def wrong(p, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
        used = [beta_1, beta_2]
        used[which] = 1 - used[which]
        m, v = used[0] * m + (1 - used[0]) * g, used[1] * v + (1 - used[1]) * g**2
        rate = learning_rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
        return p - rate * m / (np.sqrt(v) + epsilon), m, v

    return wrong


def _state_reset(p, g, m, v, *settings):
    return adam(p, g, np.zeros_like(m), np.zeros_like(v), *settings)


def _state_not_returned(p, g, m, v, *settings):
    return _state_reset(p, g, m, v, *settings)[0], m.copy(), v.copy()


ADAM = Exercise(
    name="adam",
    title="one step of Adam",
    returns=("p", "m", "v"),
    definition=definition,
    cases=cases,
    picture=picture,
    traits=[
        ("t above 1", lambda a: a["t"] > 1),
        ("m and v other than 0", lambda a: a["m"].any() and a["v"].any()),
        ("arrays of two axes", lambda a: a["p"].ndim == 2),
        ("arrays of three axes", lambda a: a["p"].ndim == 3),
        ("a gradient of 0", lambda a: (a["g"] == 0).any()),
        ("a weight whose v stays 0", lambda a: ((a["g"] == 0) & (a["v"] == 0)).any()),
    ],
    mistakes=[
        *(
            installed(f"adam-{bug}", adam)
            for bug in (
                "no-correction",
                "correction-without-t",
                "correction-multiplied",
                "epsilon-inside-root",
                "epsilon-on-corrected-v",
                "moment-aliased",
                "betas-reversed",
            )
        ),
        ("adam-correction-without-t", stepping(lambda m, v, c1, c2, d1, d2, e: m / d1 / (np.sqrt(v / d2) + e))),
        ("adam-correction-multiplied", stepping(lambda m, v, c1, c2, d1, d2, e: c1 / np.sqrt(c2) * m / (np.sqrt(v) + e))),
        ("adam-epsilon-inside-root", stepping(lambda m, v, c1, c2, d1, d2, e: m / c1 / np.sqrt(v / c2 + e))),
        *(("adam-moment-aliased", aliased(*how)) for how in [(False, False), (False, True), (True, False), (True, True)]),
        *(("adam-betas-reversed", _one_beta_reversed(which)) for which in (0, 1)),
        ("adam-state-reset-each-step", lambda **arguments: _state_reset(*arguments.values())),
        ("adam-state-reset-each-step", lambda **arguments: _state_not_returned(*arguments.values())),
    ],
)
