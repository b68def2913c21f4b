"""Bugs of Adam: each is the rule with one thing changed, and most of them train."""

from __future__ import annotations

from functools import partial

import numpy as np

from scratchnet.gradcheck import Report, check_layer, check_optimizer
from scratchnet.layers import Dense
from scratchnet.optimizers import Adam, adam_rate
from scratchnet.tools.gallery import replace
from scratchnet.tools.gallery.entry import bug, join_reports


def check_adam() -> Report:
    """Check Adam, and a dense layer, in which these bugs must not show."""
    return join_reports(check_optimizer(Adam()), check_layer(Dense(2), (3,)))


def update_moments(adam, g, m, v):
    """Update both moments, correctly."""
    m[...] = adam.beta_1 * m + (1 - adam.beta_1) * g
    v[...] = adam.beta_2 * v + (1 - adam.beta_2) * g * g


def rate(adam, t):
    """Return the learning rate of step t with the bias correction, correctly."""
    return adam_rate(t, adam.learning_rate, adam.beta_1, adam.beta_2)


adam_bug = partial(bug, run_checks=check_adam, put=replace.step_of(Adam))


@adam_bug("adam-no-correction")
def adam_no_correction(adam, p, g, m, v):
    """Divide m by √v as they are."""
    update_moments(adam, g, m, v)
    p -= adam.learning_rate * m / (np.sqrt(v) + adam.epsilon)


@adam_bug("adam-correction-without-t")
def adam_correction_without_t(adam, p, g, m, v):
    """Correct every step like the first."""
    update_moments(adam, g, m, v)
    p -= rate(adam, 1) * m / (np.sqrt(v) + adam.epsilon)


@adam_bug("adam-correction-multiplied")
def adam_correction_multiplied(adam, p, g, m, v):
    """Multiply both moments by what they should be divided by."""
    t = adam.iterations
    update_moments(adam, g, m, v)
    m_hat, v_hat = m * (1 - adam.beta_1**t), v * (1 - adam.beta_2**t)
    p -= adam.learning_rate * m_hat / (np.sqrt(v_hat) + adam.epsilon)


@adam_bug("adam-t-per-parameter", put=None)
def adam_t_per_parameter():
    """Count in the rule, which is called for each parameter."""
    update = Adam.update

    def counted(self, params, grads):
        self.calls = self.calls if self.state else 0
        update(self, params, grads)

    def rule(self, p, g, m, v):
        self.calls += 1
        update_moments(self, g, m, v)
        p -= rate(self, self.calls) * m / (np.sqrt(v) + self.epsilon)

    return replace.all_of(replace.attribute(Adam, "update")(counted), replace.step_of(Adam)(rule))


@adam_bug("adam-epsilon-inside-root")
def adam_epsilon_inside_root(adam, p, g, m, v):
    """Add ε to v."""
    update_moments(adam, g, m, v)
    p -= rate(adam, adam.iterations) * m / np.sqrt(v + adam.epsilon)


@adam_bug("adam-epsilon-on-corrected-v")
def adam_epsilon_on_corrected_v(adam, p, g, m, v):
    """Follow algorithm 1 of the paper."""
    t = adam.iterations
    update_moments(adam, g, m, v)
    m_hat, v_hat = m / (1 - adam.beta_1**t), v / (1 - adam.beta_2**t)
    p -= adam.learning_rate * m_hat / (np.sqrt(v_hat) + adam.epsilon)


@adam_bug("adam-state-reset-each-step")
def adam_state_reset_each_step(adam, p, g, m, v):
    """Remember nothing."""
    m, v = np.zeros_like(p), np.zeros_like(p)
    update_moments(adam, g, m, v)
    p -= rate(adam, adam.iterations) * m / (np.sqrt(v) + adam.epsilon)


@adam_bug("adam-moment-aliased")
def adam_moment_aliased(adam, p, g, m, v):
    """Scale the first moment together with the step."""
    update_moments(adam, g, m, v)
    update = m
    update *= rate(adam, adam.iterations)
    p -= update / (np.sqrt(v) + adam.epsilon)


@adam_bug("adam-betas-reversed")
def adam_betas_reversed(adam, p, g, m, v):
    """Forget quickly what should be kept for long."""
    m[...] = (1 - adam.beta_1) * m + adam.beta_1 * g
    v[...] = (1 - adam.beta_2) * v + adam.beta_2 * g * g
    p -= rate(adam, adam.iterations) * m / (np.sqrt(v) + adam.epsilon)
