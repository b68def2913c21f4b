"""The exercises, in the order of the list."""

from __future__ import annotations

from scratchnet.exercises.activations_and_losses import RELU, SOFTMAX_CROSS_ENTROPY
from scratchnet.exercises.adam import ADAM
from scratchnet.exercises.batch_normalization import BATCHNORM_BACKWARD
from scratchnet.exercises.convolution import CONV2D_BACKWARD, CONV2D_FORWARD, IM2COL
from scratchnet.exercises.dense import DENSE_BACKWARD, DENSE_FORWARD
from scratchnet.exercises.dropout import DROPOUT
from scratchnet.exercises.exercise import Exercise
from scratchnet.exercises.pooling import MAXPOOL_BACKWARD
from scratchnet.exercises.training_step import TRAINING_STEP

EXERCISES: dict[str, Exercise] = {
    exercise.name: exercise
    for exercise in [
        DENSE_FORWARD,
        DENSE_BACKWARD,
        RELU,
        SOFTMAX_CROSS_ENTROPY,
        IM2COL,
        CONV2D_FORWARD,
        CONV2D_BACKWARD,
        MAXPOOL_BACKWARD,
        ADAM,
        BATCHNORM_BACKWARD,
        DROPOUT,
        TRAINING_STEP,
    ]
}


def find(name: str) -> Exercise:
    """Return an exercise.

    Raises
    ------
    ValueError
        For an unknown name; it lists the known ones.
    """
    if name not in EXERCISES:
        raise ValueError(f"exercise: expected the name of an exercise, got {name!r:.80}. Choose one of {', '.join(EXERCISES)}")
    return EXERCISES[name]
