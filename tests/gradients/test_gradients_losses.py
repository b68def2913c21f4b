"""The gradient of softmax cross-entropy."""

import numpy as np
import pytest

from scratchnet.gradcheck import check_function, check_loss
from scratchnet.losses import softmax_cross_entropy, softmax_cross_entropy_losses


@pytest.mark.parametrize("shape", [(5, 4), (1, 2), (7, 1), (2, 10)])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_loss_of_logits_agrees(shape, seed):
    check_loss(shape=shape, seed=seed, raise_on_failure=True)


def test_complex_steps_agree_to_twelve_digits():
    rng = np.random.default_rng(8)
    logits, y = rng.standard_normal((4, 6)), rng.dirichlet(np.ones(6), 4)
    check_function(
        lambda z: np.asarray(softmax_cross_entropy_losses(z, y).mean()),
        lambda dout, z: dout * softmax_cross_entropy(z, y)[1],
        [logits],
        complex_step=True,
        raise_on_failure=True,
    )
