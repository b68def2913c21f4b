"""Bugs of Adagrad, Adadelta and momentum: what is accumulated, from which initial value, and in which order.

Each has the signature of the rule that it replaces, `adagrad_update` and the like in optimizers.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from scratchnet.gradcheck import Report, check_layer, check_optimizer
from scratchnet.layers import Dense
from scratchnet.optimizers import SGD, Adadelta, Adagrad, Optimizer
from scratchnet.tools.gallery import replace
from scratchnet.tools.gallery.entry import bug, join_reports
from scratchnet.tools.gallery.small_net import SmallNet


def check(optimizer: Optimizer) -> Callable[[], Report]:
    """Return the check of an optimizer, and of a dense layer, which these bugs must not change."""
    return lambda: join_reports(check_optimizer(optimizer), check_layer(Dense(2), (3,)))


def bug_of(optimizer: Optimizer, net: str) -> Callable[..., Any]:
    """Return the decorator `bug` for another rule of an optimizer."""
    rule = replace.rule_of(type(optimizer).implementations)
    return partial(bug, run_checks=check(optimizer), put=rule, net=SmallNet(optimizer=net))


adagrad_bug = bug_of(Adagrad(), "adagrad")
adadelta_bug = bug_of(Adadelta(), "adadelta")
momentum_bug = bug_of(SGD(0.1, 0.9), "momentum")


@adagrad_bug("adagrad-from-zero", put=replace.attribute(Adagrad, "make_state"))
def adagrad_from_zero(adagrad, p):
    """Start from 0 whatever initial_accumulator_value is."""
    return [np.zeros_like(p)]


@adagrad_bug("adagrad-decays")
def adagrad_decays(p, g, a, learning_rate, epsilon):
    """Average the squares instead of summing them."""
    a[...] = 0.95 * a + 0.05 * g * g
    p -= learning_rate * g / np.sqrt(a + epsilon)


@adagrad_bug("adagrad-epsilon-outside-root", run_checks=check(Adagrad(0.01, 0.0)))
def adagrad_epsilon_outside_root(p, g, a, learning_rate, epsilon):
    """Add ε to the root."""
    a += g * g
    p -= learning_rate * g / (np.sqrt(a) + epsilon)


@adadelta_bug("adadelta-accumulators-in-wrong-order")
def adadelta_accumulators_in_wrong_order(p, g, a, d, learning_rate, rho, epsilon):
    """Compute the step before its gradient is accumulated."""
    step = np.sqrt(d + epsilon) / np.sqrt(a + epsilon) * g
    a[...] = rho * a + (1 - rho) * g * g
    d[...] = rho * d + (1 - rho) * step * step
    p -= learning_rate * step


@adadelta_bug("adadelta-lr-inside")
def adadelta_lr_inside(p, g, a, d, learning_rate, rho, epsilon):
    """Scale the step before it is accumulated."""
    a[...] = rho * a + (1 - rho) * g * g
    step = learning_rate * np.sqrt(d + epsilon) / np.sqrt(a + epsilon) * g
    d[...] = rho * d + (1 - rho) * step * step
    p -= step


@adadelta_bug("adadelta-missing-root")
def adadelta_missing_root(p, g, a, d, learning_rate, rho, epsilon):
    """Multiply by the mean square instead of its root."""
    a[...] = rho * a + (1 - rho) * g * g
    step = (d + epsilon) / np.sqrt(a + epsilon) * g
    d[...] = rho * d + (1 - rho) * step * step
    p -= learning_rate * step


@momentum_bug("momentum-velocity-reset")
def momentum_velocity_reset(p, g, u, learning_rate, momentum, nesterov):
    """Start from 0 instead of the stored velocity."""
    u = np.zeros_like(p)
    u = momentum * u - learning_rate * g
    p += u


@momentum_bug("momentum-dampened")
def momentum_dampened(p, g, u, learning_rate, momentum, nesterov):
    """Average instead of adding."""
    u[...] = momentum * u - (1 - momentum) * learning_rate * g
    p += u


@momentum_bug("momentum-one-step-stale")
def momentum_one_step_stale(p, g, u, learning_rate, momentum, nesterov):
    """Move before the velocity is updated."""
    p += u
    u[...] = momentum * u - learning_rate * g


@bug_of(SGD(0.1, 0.9, nesterov=True), "nesterov")("nesterov-velocity-updated-first")
def nesterov_velocity_updated_first(p, g, u, learning_rate, momentum, nesterov):
    """Count the newest gradient once too often."""
    u[...] = momentum * u - learning_rate * g
    p += momentum * momentum * u - (1 + momentum) * learning_rate * g
