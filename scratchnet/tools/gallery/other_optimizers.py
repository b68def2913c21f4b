"""Bugs of Adagrad, Adadelta and momentum: what is remembered, from which start, and in which order."""

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
    """Return the check of an optimizer, and of a dense layer, in which these bugs must not show."""
    return lambda: join_reports(check_optimizer(optimizer), check_layer(Dense(2), (3,)))


def bug_of(optimizer: Optimizer, net: str) -> Callable[..., Any]:
    """Return the decorator `bug` for another rule of an optimizer."""
    return partial(bug, run_checks=check(optimizer), put=replace.step_of(type(optimizer)), net=SmallNet(optimizer=net))


adagrad_bug = bug_of(Adagrad(), "adagrad")
adadelta_bug = bug_of(Adadelta(), "adadelta")
momentum_bug = bug_of(SGD(0.1, 0.9), "momentum")


@adagrad_bug("adagrad-from-zero", put=replace.attribute(Adagrad, "make_state"))
def adagrad_from_zero(adagrad, p):
    """Start from 0 whatever initial_accumulator_value is."""
    return [np.zeros_like(p)]


@adagrad_bug("adagrad-decays")
def adagrad_decays(adagrad, p, g, a):
    """Average the squares instead of summing them."""
    a[...] = 0.95 * a + 0.05 * g * g
    p -= adagrad.learning_rate * g / np.sqrt(a + adagrad.epsilon)


@adagrad_bug("adagrad-epsilon-outside-root", run_checks=check(Adagrad(0.01, 0.0)))
def adagrad_epsilon_outside_root(adagrad, p, g, a):
    """Add ε to the root."""
    a += g * g
    p -= adagrad.learning_rate * g / (np.sqrt(a) + adagrad.epsilon)


@adadelta_bug("adadelta-accumulators-in-wrong-order")
def adadelta_accumulators_in_wrong_order(adadelta, p, g, a, d):
    """Compute the step before its gradient is accumulated."""
    step = np.sqrt(d + adadelta.epsilon) / np.sqrt(a + adadelta.epsilon) * g
    a[...] = adadelta.rho * a + (1 - adadelta.rho) * g * g
    d[...] = adadelta.rho * d + (1 - adadelta.rho) * step * step
    p -= adadelta.learning_rate * step


@adadelta_bug("adadelta-lr-inside")
def adadelta_lr_inside(adadelta, p, g, a, d):
    """Scale the step before it is accumulated."""
    a[...] = adadelta.rho * a + (1 - adadelta.rho) * g * g
    step = adadelta.learning_rate * np.sqrt(d + adadelta.epsilon) / np.sqrt(a + adadelta.epsilon) * g
    d[...] = adadelta.rho * d + (1 - adadelta.rho) * step * step
    p -= step


@adadelta_bug("adadelta-missing-root")
def adadelta_missing_root(adadelta, p, g, a, d):
    """Multiply by the mean square instead of its root."""
    a[...] = adadelta.rho * a + (1 - adadelta.rho) * g * g
    step = (d + adadelta.epsilon) / np.sqrt(a + adadelta.epsilon) * g
    d[...] = adadelta.rho * d + (1 - adadelta.rho) * step * step
    p -= adadelta.learning_rate * step


@momentum_bug("momentum-velocity-reset")
def momentum_velocity_reset(sgd, p, g, u):
    """Never use the velocity that was kept."""
    u = np.zeros_like(p)
    u = sgd.momentum * u - sgd.learning_rate * g
    p += u


@momentum_bug("momentum-dampened")
def momentum_dampened(sgd, p, g, u):
    """Average instead of adding."""
    u[...] = sgd.momentum * u - (1 - sgd.momentum) * sgd.learning_rate * g
    p += u


@momentum_bug("momentum-one-step-stale")
def momentum_one_step_stale(sgd, p, g, u):
    """Move before the velocity is updated."""
    p += u
    u[...] = sgd.momentum * u - sgd.learning_rate * g


@bug_of(SGD(0.1, 0.9, nesterov=True), "nesterov")("nesterov-velocity-updated-first")
def nesterov_velocity_updated_first(sgd, p, g, u):
    """Count the newest gradient once too often."""
    mu = sgd.momentum
    u[...] = mu * u - sgd.learning_rate * g
    p += mu * mu * u - (1 + mu) * sgd.learning_rate * g
