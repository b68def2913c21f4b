"""The exercises of ReLU and of softmax cross-entropy."""

from __future__ import annotations

import numpy as np

from scratchnet import losses, reference
from scratchnet.exercises.exercise import Case, Exercise, Trait, installed, normal
from scratchnet.exercises.pictures import number, rows

EPSILONS = (1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 1e-15)     # that are in use to avoid log 0
RARE_EPSILONS = (1e-5, 1e-6, np.finfo(float).eps)
SHOWN = 10                      # columns of a row of logits that a picture shows


# -- ReLU ---------------------------------------------------------------------------------------------------------------


def relu_definition(x, dout):
    """Call the definition, forward and backward."""
    out = reference.relu_forward(x)
    return out, reference.relu_backward(dout, out)


def relu_cases(rng: np.random.Generator) -> list[Case]:
    """Return a row with a zero, and arrays of one to four axes; some of their numbers are 0."""
    cases = [Case({"x": np.array([[-2.0, 0.0, 8.0]]), "dout": np.array([[5.0, -7.0, 4.0]])})]
    for shape in [(4,), (2, 3), (2, 3, 4), (2, 3, 4, 2)]:
        x = normal(rng, shape) * rng.integers(0, 2, shape)
        x.flat[0] = 0.0         # as padding and dead units are
        cases.append(Case({"x": x, "dout": normal(rng, shape)}))
    return cases


def relu_picture(arguments, result, index):
    """Show x, out and dout of the element, and of its neighbours in the row."""
    x, dout = arguments["x"], arguments["dout"]
    *front, k = index
    row = [(*front, j) for j in range(max(0, k - 2), min(x.shape[-1], k + 3))]
    table: list[tuple[str, ...]] = [("index", "x", "out", "dout", "dx", "")]
    for at in row:
        open_ = x[at] > 0
        name = "[" + ", ".join(map(str, at)) + "]"
        numbers = [x[at], max(x[at], 0.0), dout[at], dout[at] if open_ else 0.0]
        table.append((name, *map(number, numbers), "<- here" if at == index else ""))
    return ["out is x where x > 0, else 0. dx is dout where x > 0, else 0, also at x = 0.", "", *rows(table)]


RELU = Exercise(
    name="relu",
    title="ReLU and its gradient, also at 0",
    returns=("out", "dx"),
    definition=relu_definition,
    cases=relu_cases,
    picture=relu_picture,
    traits=[
        ("arrays of one axis", lambda a: a["x"].ndim == 1),
        ("several rows", lambda a: a["x"].ndim > 1 and len(a["x"]) > 1),
        ("arrays of three axes", lambda a: a["x"].ndim == 3),
        ("arrays of four axes", lambda a: a["x"].ndim == 4),
    ],
    mistakes=[
        ("relu-gradient-at-zero", lambda x, dout: (np.maximum(x, 0), np.where(x >= 0, dout, 0.0))),
        ("relu-mask-from-output", lambda x, dout: (np.maximum(x, 0), dout.copy())),
        ("relu-is-identity", lambda x, dout: (x.copy(), relu_definition(x, dout)[1])),
        ("relu-is-identity", lambda x, dout: (x.copy(), dout.copy())),
    ],
    writes={"dout": "relu-writes-into-dout", "x": "relu-writes-into-x"},
)


# -- softmax cross-entropy ----------------------------------------------------------------------------------------------


def cross_entropy_page(logits, y):
    """Call the library's loss."""
    return losses.softmax_cross_entropy(logits, y)


def cross_entropy_definition(logits, y):
    """Call the definition of the loss, and (p - y) / N."""
    return reference.softmax_cross_entropy(logits, y), (reference.softmax_forward(logits) - y) / len(logits)


def cross_entropy_cases(rng: np.random.Generator) -> list[Case]:
    """Return one row, batches, improbable labels, and logits too large for exp; labels are one-hot, as answers may assume."""

    def labels(N, K):
        return np.eye(K)[rng.integers(0, K, N)]

    cases = [
        Case({"logits": np.array([[1.0, 2.0, 0.0]]), "y": np.array([[1.0, 0.0, 0.0]])}),
        Case({"logits": np.array([[2.0, -1.0], [0.0, 3.0]]), "y": np.array([[0.0, 1.0], [0.0, 1.0]])}),
    ]
    cases += [Case({"logits": 2 * normal(rng, (N, K)), "y": labels(N, K)}) for N, K in [(3, 4), (5, 10), (4, 3)]]
    cases.append(Case({"logits": np.array([[40.0, 0.0], [1.0, 2.0]]), "y": np.array([[0.0, 1.0], [1.0, 0.0]])}))
    sure = np.array([[3.0, 60.0, 0.0], [0.0, 50.0, 1.0]])
    cases.append(Case({"logits": sure, "y": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])}))
    improbable = np.array([[-np.log(epsilon), 0.0] for epsilon in EPSILONS])
    cases.append(Case({"logits": improbable, "y": np.repeat([[0.0, 1.0]], len(EPSILONS), axis=0)}))
    cases.append(Case({"logits": np.array([[1000.0, 998.0]]), "y": np.array([[0.0, 1.0]])}))
    far = np.array([[-1000.0, -1001.0, -1002.0], [1000.0, 1001.0, 1002.0]])
    cases.append(Case({"logits": far, "y": np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])}))
    for y in ([0.0, 1.0], [1.0, 0.0]):      # p[1] is rounded to 0, whose log is -inf; the right loss is 10000, and then 0
        cases.append(Case({"logits": np.array([[10000.0, 0.0]]), "y": np.array([y])}))
    rising = normal(rng, (4, 5)) + np.array([[-900.0], [-1.0], [2.0], [900.0]])
    cases.append(Case({"logits": rising, "y": labels(4, 5)}))
    return cases


def below_largest(a):
    """Return how much the logit of each right class is below the largest of its row."""
    return a["logits"].max(axis=1) - (a["logits"] * a["y"]).sum(axis=1)


# exp(709) is near the largest float, exp(x) is 0 for x below about -745, and exp(-37) is lost beside 1.
LARGE_LOGITS: list[Trait] = [
    ("a probability of the right class below 1e-16", lambda a: (below_largest(a) > 37).any()),
    ("a logit too large for exp", lambda a: (a["logits"] > 709).any()),
    ("a row in which each exp is rounded to 0", lambda a: (a["logits"].max(axis=1) < -745).any()),
    ("a probability of the right class that is rounded to 0", lambda a: (below_largest(a) > 745).any()),
    ("a probability of a wrong class that is rounded to 0", lambda a: (np.ptp(a["logits"], axis=1) > 745).any()),
]


def cross_entropy_picture(arguments, result, index):
    """Show logits, shifted logits, probabilities and labels of a row, and what follows for the loss or the gradient."""
    logits, y = arguments["logits"], arguments["y"]
    N, K = logits.shape
    log_p = logits - logits.max(axis=1, keepdims=True)
    log_p = log_p - np.log(np.exp(log_p).sum(axis=1, keepdims=True))
    table: list[tuple[str, ...]]
    if result == "loss":
        each = -(y * log_p).sum(axis=1)
        table = [("n", "largest logit", "loss of the row, -Σ_k y[n, k] · log p[n, k]")]
        table += [(str(n), number(logits[n].max()), number(each[n])) for n in range(min(N, SHOWN))]
        return [*rows(table), "", f"The loss is their mean: {number(each.sum())} / {N} = {number(each.mean())}."]
    n, k = index
    table = [("k", "logit", "minus the largest", "p", "y", "(p - y) / N", "")]
    for j in range(max(0, min(k - SHOWN // 2, K - SHOWN)), K)[:SHOWN]:
        p = np.exp(log_p[n, j])
        numbers = [logits[n, j], logits[n, j] - logits[n].max(), p, y[n, j], (p - y[n, j]) / N]
        table.append((str(j), *map(number, numbers), "<- here" if j == k else ""))
    return [f"Row {n} of {N}:", "", *rows(table)]


def from_probabilities(softmax):
    """Return the loss and the gradient computed from the probabilities that a softmax returns."""

    def loss(logits, y):
        p = softmax(logits)
        return -(y * np.log(p)).sum() / len(y), (p - y) / len(y)

    return loss


def through_softmax(backward):
    """Return the loss, and the gradient computed by the chain rule, through a backward of softmax."""

    def loss(logits, y):
        value, _ = cross_entropy_page(logits, y)
        p = losses.softmax(logits)
        with np.errstate(all="ignore"):
            return value, backward(-y / p / len(y), p)

    return loss


def with_gradient(gradient):
    """Return the right loss, and another gradient of p, y and the logits."""
    return lambda logits, y: (cross_entropy_page(logits, y)[0], gradient(losses.softmax(logits), y, logits))


def with_value(log):
    """Return the loss with another logarithm of p, and the right gradient."""
    return lambda logits, y: (-(y * log(losses.softmax(logits))).sum() / len(y), cross_entropy_page(logits, y)[1])


def _clipped(epsilon):
    return lambda p: np.log(np.clip(p, epsilon, 1 - epsilon))


def _clipped_below(epsilon):
    return lambda p: np.log(np.maximum(p, epsilon))


def _added(epsilon):
    return lambda p: np.log(p + epsilon)


def _no_shift(logits):
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def _batch_shift(logits):
    return _no_shift(logits - logits.max())


SOFTMAX_CROSS_ENTROPY = Exercise(
    name="softmax_cross_entropy",
    title="softmax cross-entropy: the loss and its gradient",
    returns=("loss", "dlogits"),
    definition=cross_entropy_definition,
    cases=cross_entropy_cases,
    picture=cross_entropy_picture,
    traits=[
        ("several images", lambda a: len(a["logits"]) > 1),
        ("more than three classes", lambda a: a["logits"].shape[1] > 3),
        *LARGE_LOGITS,
    ],
    mistakes=[
        *(
            installed(bug, cross_entropy_page)
            for bug in (
                "softmax-wrong-sign",
                "ce-gradient-from-logits",
                "ce-missing-one-over-n",
                "softmax-shift-batch-max",
                "softmax-no-shift",
            )
        ),
        *(("ce-clipped", with_value(_clipped(epsilon))) for epsilon in EPSILONS),
        *(("ce-clipped", with_value(_clipped_below(epsilon))) for epsilon in (*EPSILONS, *RARE_EPSILONS)),
        *(("ce-epsilon-inside-log", with_value(_added(epsilon))) for epsilon in (*EPSILONS, *RARE_EPSILONS)),
        ("softmax-no-shift", from_probabilities(_no_shift)),
        ("softmax-shift-batch-max", from_probabilities(_batch_shift)),
        ("softmax-diagonal-jacobian", through_softmax(lambda dp, p: dp * p * (1 - p))),
        ("softmax-diagonal-jacobian", with_gradient(lambda p, y, logits: -y * (1 - p) / len(y))),
        ("softmax-backward-passes-through", through_softmax(lambda dp, p: dp)),
    ],
    forward=lambda logits, y: np.array(reference.softmax_cross_entropy(logits, y)),
    gradients=("logits",),
)
