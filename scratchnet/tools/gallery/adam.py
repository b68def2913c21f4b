"""Bugs of Adam: each is the rule `adam_update` with one change, and most of them still train."""

from __future__ import annotations

from functools import partial

import numpy as np

from scratchnet.gradcheck import Report, check_layer, check_optimizer
from scratchnet.layers import Dense
from scratchnet.optimizers import Adam, adam_rate, adam_update
from scratchnet.tools.gallery import replace
from scratchnet.tools.gallery.entry import bug, join_reports


def check_adam() -> Report:
    """Check Adam, and a dense layer, which these bugs must not change."""
    return join_reports(check_optimizer(Adam()), check_layer(Dense(2), (3,)))


def update_moments(g, m, v, beta_1, beta_2):
    """Update both moments, correctly."""
    m[...] = beta_1 * m + (1 - beta_1) * g
    v[...] = beta_2 * v + (1 - beta_2) * g * g


adam_bug = partial(bug, run_checks=check_adam, put=replace.rule_of(Adam.implementations))


@adam_bug("adam-no-correction")
def adam_no_correction(p, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    """Divide m by √v as they are."""
    update_moments(g, m, v, beta_1, beta_2)
    p -= learning_rate * m / (np.sqrt(v) + epsilon)


@adam_bug("adam-correction-without-t")
def adam_correction_without_t(p, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    """Correct every step like the first."""
    update_moments(g, m, v, beta_1, beta_2)
    p -= adam_rate(1, learning_rate, beta_1, beta_2) * m / (np.sqrt(v) + epsilon)


@adam_bug("adam-correction-multiplied")
def adam_correction_multiplied(p, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    """Multiply both moments by what they should be divided by."""
    update_moments(g, m, v, beta_1, beta_2)
    m_hat, v_hat = m * (1 - beta_1**t), v * (1 - beta_2**t)
    p -= learning_rate * m_hat / (np.sqrt(v_hat) + epsilon)


@adam_bug("adam-t-per-parameter", put=replace.attribute(Adam, "step"))
def adam_t_per_parameter(adam, p, g, state):
    """Count in `step`, which is called for each parameter."""
    adam.calls = getattr(adam, "calls", 0) + 1
    m, v = state
    adam_update(p, g, m, v, adam.calls, adam.learning_rate, adam.beta_1, adam.beta_2, adam.epsilon)


@adam_bug("adam-epsilon-inside-root")
def adam_epsilon_inside_root(p, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    """Add ε to v."""
    update_moments(g, m, v, beta_1, beta_2)
    p -= adam_rate(t, learning_rate, beta_1, beta_2) * m / np.sqrt(v + epsilon)


@adam_bug("adam-epsilon-on-corrected-v")
def adam_epsilon_on_corrected_v(p, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    """Follow algorithm 1 of the paper."""
    update_moments(g, m, v, beta_1, beta_2)
    m_hat, v_hat = m / (1 - beta_1**t), v / (1 - beta_2**t)
    p -= learning_rate * m_hat / (np.sqrt(v_hat) + epsilon)


@adam_bug("adam-state-reset-each-step")
def adam_state_reset_each_step(p, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    """Start both moments from 0 at every step."""
    m, v = np.zeros_like(p), np.zeros_like(p)
    update_moments(g, m, v, beta_1, beta_2)
    p -= adam_rate(t, learning_rate, beta_1, beta_2) * m / (np.sqrt(v) + epsilon)


@adam_bug("adam-moment-aliased")
def adam_moment_aliased(p, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    """Scale the first moment together with the step."""
    update_moments(g, m, v, beta_1, beta_2)
    update = m
    update *= adam_rate(t, learning_rate, beta_1, beta_2)
    p -= update / (np.sqrt(v) + epsilon)


@adam_bug("adam-betas-reversed")
def adam_betas_reversed(p, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    """Exchange the weights of the old average and of the new gradient."""
    update_moments(g, m, v, 1 - beta_1, 1 - beta_2)
    p -= adam_rate(t, learning_rate, beta_1, beta_2) * m / (np.sqrt(v) + epsilon)
