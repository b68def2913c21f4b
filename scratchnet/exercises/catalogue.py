"""The exercises, in the order of the list."""

from __future__ import annotations

from scratchnet.exercises.dense import DENSE_BACKWARD, DENSE_FORWARD
from scratchnet.exercises.exercise import Exercise
from scratchnet.exercises.pooling import MAXPOOL_BACKWARD

EXERCISES: dict[str, Exercise] = {
    exercise.name: exercise
    for exercise in [
        DENSE_FORWARD,
        DENSE_BACKWARD,
        MAXPOOL_BACKWARD,
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
        raise ValueError(f"exercise: expected the name of an exercise, got {name!r}. Choose one of {', '.join(EXERCISES)}")
    return EXERCISES[name]
