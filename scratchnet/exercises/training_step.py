"""The last exercise: one step of training, of a network with one hidden layer."""

from __future__ import annotations

from functools import partial

import numpy as np

from scratchnet import reference
from scratchnet.exercises import activations_and_losses, dense
from scratchnet.exercises.exercise import Case, Exercise, Function, normal
from scratchnet.exercises.pictures import number

PARAMETERS = ("w1", "b1", "w2", "b2")


def gradients(x, y, w1, b1, w2, b2, *, dense_backward, relu, cross_entropy):
    """Return the loss and the gradients of the four parameters, computed with these functions."""
    z = reference.dense_forward(x, w1, b1)
    h, _ = relu(z, z)
    loss, dlogits = cross_entropy(reference.dense_forward(h, w2, b2), y)
    dh, dw2, db2 = dense_backward(dlogits, h, w2)
    _, dz = relu(z, dh)
    _, dw1, db1 = dense_backward(dz, x, w1)
    return loss, dw1, db1, dw2, db2


def step_with(
    dense_backward: Function = reference.dense_backward,
    relu: Function = activations_and_losses.relu_definition,
    cross_entropy: Function = activations_and_losses.cross_entropy_definition,
) -> Function:
    """Return a training step made of these functions."""
    parts = {"dense_backward": dense_backward, "relu": relu, "cross_entropy": cross_entropy}

    def training_step(x, y, w1, b1, w2, b2, learning_rate):
        loss, *found = gradients(x, y, w1, b1, w2, b2, **parts)
        return loss, *(p - learning_rate * g for p, g in zip((w1, b1, w2, b2), found, strict=True))

    return training_step


def cases(rng: np.random.Generator) -> list[Case]:
    """Return one image of two numbers, batches, and images with large logits, a label of probability 0, and a z of exactly 0."""
    first = {
        "x": np.array([[1.0, 2.0]]),
        "y": np.array([[1.0, 0.0]]),
        "w1": np.array([[1.0, -1.0], [0.5, 0.0]]),
        "b1": np.array([0.0, 0.5]),
        "w2": np.array([[1.0, 0.0], [-1.0, 2.0]]),
        "b2": np.array([0.0, 1.0]),
        "learning_rate": 0.5,
    }
    found = [Case(first)]
    for N, D, U, K, learning_rate in [(2, 3, 4, 2, 0.5), (3, 2, 5, 3, 1.0), (5, 4, 6, 3, 0.2)]:
        shapes = {"w1": (D, U), "b1": (U,), "w2": (U, K), "b2": (K,)}
        batch = {"x": normal(rng, (N, D)), "y": np.eye(K)[rng.integers(0, K, N)]}
        found.append(Case({**batch, **{n: normal(rng, s) for n, s in shapes.items()}, "learning_rate": learning_rate}))
    # The larger logit of each image, which has the wrong label, and how much smaller the other one is.
    for *scales, gap in [(900.0, 840.0, 60.0), (900.0, -800.0, 60.0), (-1100.0, 840.0, 60.0), (10000.0, 9000.0, 2000.0)]:
        x, y = np.array([[2.0, -1.0], [1.0, 1.0]]), np.array([[0.0, 1.0], [1.0, 0.0]])
        w1, b1 = np.array([[1.0, -1.0, 1.0], [-1.0, 1.0, 2.0]]), np.zeros(3)        # z = [3, -3, 0] and [0, 0, 3]
        w2 = np.array([[scales[0], scales[0] - gap], [1.0, 2.0], [scales[1] - gap, scales[1]]]) / 3
        found.append(Case({"x": x, "y": y, "w1": w1, "b1": b1, "w2": w2, "b2": np.zeros(2), "learning_rate": 0.5}))
    K = len(activations_and_losses.EPSILONS)
    improbable = {"w2": np.stack([np.zeros(K), -np.log(activations_and_losses.EPSILONS)], axis=1), "b2": np.zeros(2)}
    y = np.repeat([[1.0, 0.0]], K, axis=0)
    found.append(Case({"x": np.eye(K), "y": y, "w1": np.eye(K), "b1": np.zeros(K), **improbable, "learning_rate": 0.5}))
    return found


def _of_logits(has, a):
    """Return whether the logits have a trait."""
    return has({"logits": np.maximum(a["x"] @ a["w1"] + a["b1"], 0) @ a["w2"] + a["b2"], "y": a["y"]})


def picture(arguments, result, index):
    """Show the steps of forward, and the gradient of one weight and what it is multiplied by."""
    x, y, w1, b1, w2, b2, learning_rate = arguments.values()
    z = x @ w1 + b1
    logits = np.maximum(z, 0) @ w2 + b2
    p = reference.softmax_forward(logits)
    shown = 6

    def row(a):
        more = ", …" if len(a) > shown else ""
        return "[" + ", ".join(number(value) for value in a[:shown]) + more + "]"

    lines = [
        "Image 0:",
        "",
        f"  z = x @ w1 + b1        =  {row(z[0])}",
        f"  h = relu(z)            =  {row(np.maximum(z[0], 0))}",
        f"  logits = h @ w2 + b2   =  {row(logits[0])}",
        f"  p = softmax(logits)    =  {row(p[0])}",
        f"  y                      =  {row(y[0])}",
        f"  dlogits = (p - y) / N  =  {row((p[0] - y[0]) / len(x))},  N = {len(x)}",
        "",
    ]
    if result == "loss":
        loss = reference.softmax_cross_entropy(logits, y)
        return [*lines, f"The loss is the mean of -Σ_k y[n, k] · log p[n, k] over n: {number(loss)}."]
    parts = {"dense_backward": reference.dense_backward, "relu": activations_and_losses.relu_definition}
    found = gradients(x, y, w1, b1, w2, b2, **parts, cross_entropy=activations_and_losses.cross_entropy_definition)
    g, before = found[1 + PARAMETERS.index(result)][index], arguments[result][index]
    at = f"[{', '.join(map(str, index))}]"
    return [
        *lines,
        f"d{result}{at} = {number(g)}, computed with all parameters from before the step, so",
        f"{result}{at} = {number(before)} - {number(learning_rate)} · {number(g)}  =  {number(before - learning_rate * g)}",
    ]


def _from(exercise, part):
    """Return the bugs of another exercise, each in a whole step; one that does not appear in these cases is left out."""
    return [(name, step_with(**{part: function})) for name, function in exercise.mistakes if name in BUGS]


BUGS = [
    "dense-bias-gradient-averaged",
    "dense-bias-gradient-summed-over-units",
    "relu-gradient-at-zero",
    "relu-mask-from-output",
    "relu-is-identity",
    "softmax-wrong-sign",
    "ce-gradient-from-logits",
    "ce-missing-one-over-n",
    "ce-clipped",
    "ce-epsilon-inside-log",
    "softmax-no-shift",
    "softmax-shift-batch-max",
    "softmax-diagonal-jacobian",
    "softmax-backward-passes-through",
]
TRAINING_STEP = Exercise(
    name="training_step",
    title="the training step: forward, loss, backward, update",
    returns=("loss", *PARAMETERS),
    definition=step_with(),
    cases=cases,
    picture=picture,
    traits=[
        ("several images", lambda a: len(a["x"]) > 1),
        ("more than two classes", lambda a: a["y"].shape[1] > 2),
        ("a hidden unit of exactly 0 before the ReLU", lambda a: (a["x"] @ a["w1"] + a["b1"] == 0).any()),
        *((trait, partial(_of_logits, has)) for trait, has in activations_and_losses.LARGE_LOGITS),
    ],
    mistakes=[
        *_from(activations_and_losses.SOFTMAX_CROSS_ENTROPY, "cross_entropy"),
        *_from(activations_and_losses.RELU, "relu"),
        *_from(dense.DENSE_BACKWARD, "dense_backward"),
    ],
)
