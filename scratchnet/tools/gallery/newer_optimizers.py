"""Bugs of weight decay, clipping, Nadam, RMSprop and learning rate schedules."""

from __future__ import annotations

from functools import partial
from math import prod

import numpy as np

from scratchnet import optimizers
from scratchnet.gradcheck import check_schedule
from scratchnet.optimizers import SGD, AdamW, Nadam, Optimizer, RMSprop, nadam_factors, norm
from scratchnet.schedules import CosineDecay
from scratchnet.tools.gallery import replace
from scratchnet.tools.gallery.entry import bug
from scratchnet.tools.gallery.other_optimizers import bug_of, check
from scratchnet.tools.gallery.small_net import SmallNet


def step_instead_of_decay(kind, step):
    """Replace the step of an optimizer by one that also decays the weights, and switch off the usual decay."""
    nothing = dict.fromkeys(optimizers.DECAY, lambda p, learning_rate, weight_decay: None)
    return replace.all_of(replace.patch.dict(optimizers.DECAY, nothing), replace.attribute(kind, "step")(step))


decay_bug = partial(bug, run_checks=check(AdamW(0.01, weight_decay=0.1)), net=SmallNet(optimizer="adamw"))
nadam_bug = partial(bug, run_checks=check(Nadam()), net=SmallNet(optimizer="nadam"))
rmsprop_bug = bug_of(RMSprop(), "rmsprop")
clip = partial(bug, put=replace.attribute(optimizers, "clip_by_norm"))
warm_up_bug = partial(
    bug,
    run_checks=lambda: check_schedule(CosineDecay(0.0, 1000, warmup_target=0.1, warmup_steps=100)),
    put=replace.attribute(CosineDecay, "__call__"),
    net=SmallNet(optimizer="warm-up"),
)


@decay_bug("decay-inside-moments", put=partial(step_instead_of_decay, AdamW))
def decay_inside_moments(self, p, g, state):
    """Add the decay to the gradient, as the gradient of a penalty."""
    Optimizer.step(self, p, g + self.weight_decay * p, state)


@decay_bug("decay-after-step", put=partial(step_instead_of_decay, AdamW))
def decay_after_step(self, p, g, state):
    """Decay the weights that the step has moved."""
    Optimizer.step(self, p, g, state)
    p -= self.learning_rate * self.weight_decay * p


@nadam_bug("nadam-momentum-twice-in-product", put=replace.attribute(optimizers, "nadam_factors"))
def nadam_momentum_twice_in_product(t, beta_1, beta_2):
    """Multiply by μ_t a second time."""
    momenta = [beta_1 * (1 - 0.5 * 0.96**i) for i in range(1, t + 2)]
    _, of_g, of_v = nadam_factors(t, beta_1, beta_2)
    return momenta[t] / (1 - prod(momenta) * momenta[t - 1]), of_g, of_v


@nadam_bug(
    "nadam-gradient-times-decay",
    run_checks=check(Nadam(weight_decay=0.1)),
    put=partial(step_instead_of_decay, Nadam),
    net=SmallNet(optimizer="decayed nadam"),
)
def nadam_gradient_times_decay(self, p, g, state):
    """Multiply the gradient by what should be added to it."""
    Optimizer.step(self, p, g * (1 + self.weight_decay * p), state)


@rmsprop_bug("rmsprop-epsilon-outside-root")
def rmsprop_epsilon_outside_root(p, g, a, learning_rate, rho, epsilon):
    """Add ε to the root."""
    a[...] = rho * a + (1 - rho) * g * g
    p -= learning_rate * g / (np.sqrt(a) + epsilon)


@clip("clip-scales-up", check(SGD(0.1, clipnorm=1.0)), net=SmallNet(optimizer="clipped"))
def clip_scales_up(grads, highest):
    """Scale every gradient to the limit."""
    length = norm(*grads)
    return [g * (highest / length) if length else g for g in grads]


@clip("clip-each-array-apart", check(SGD(0.1, global_clipnorm=1.0)), net=SmallNet(optimizer="clipped together"))
def clip_each_array_apart(grads, highest):
    """Compare the norm of each array with the limit of all."""
    return [g * min(1.0, highest / max(norm(g), 1e-300)) for g in grads]


@warm_up_bug("warm-up-skipped-at-first-step")
def warm_up_skipped_at_first_step(self, step, right=CosineDecay.__call__):
    """Use the full rate in the first step."""
    return self.warmup_target if step == 0 and self.warmup_target is not None else right(self, step)


@warm_up_bug("cosine-counts-warm-up")
def cosine_counts_warm_up(self, step, right=CosineDecay.__call__):
    """Count the steps of the decay from the beginning of the warm-up."""
    warm = self.warmup_target is not None
    return right(self, step + self.warmup_steps if warm and step >= self.warmup_steps else step)
