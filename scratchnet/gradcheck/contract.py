"""The contract check: conditions that a layer must meet besides returning the right values.

Each condition is a function (layer, xs, dout) -> str, which returns what is wrong, or "" if the condition holds. `CONTRACT`
lists them. Each receives copies of the arrays and of a layer that has not run, so that no condition depends on another.

This check does not detect numbers that are wrong in the same way every time.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from scratchnet.gradcheck.comparison import BATCH_TOLERANCE, DEFINITION_TOLERANCE, FLOAT32_TOLERANCE, agree
from scratchnet.gradcheck.report import Row
from scratchnet.gradcheck.under_test import backward, forward, fresh, in_mode, restore, run, training_of
from scratchnet.layers.base import Layer

Arrays = Sequence[np.ndarray]
REPEATS = 5  # calls that must return the same bits
COPIES, BATCHES = 8, 16  # copies of one image in a batch, and batches of them, for which a layer draws random numbers


def bits(arrays: Iterable[Any]) -> list[bytes]:
    """Return the bytes of each array, in row-major order; anything but arrays and numbers is left out."""
    return [np.asarray(a).tobytes() for a in arrays if isinstance(a, (np.ndarray, np.generic, float))]


def inputs_unchanged(layer: Layer, xs: Arrays, dout: np.ndarray) -> str:
    """Catch a forward or backward that writes into an array that it may only read: x, dout or a parameter."""
    read_only = [*xs, dout, *layer.params.values()]
    before = bits(read_only)
    for _ in range(2):  # the second run starts with what the first has kept
        run(layer, xs, dout)
    return "" if bits(read_only) == before else "forward or backward wrote into x, dout or a parameter"


def cache_unchanged(layer: Layer, xs: Arrays, dout: np.ndarray) -> str:
    """Catch a backward that writes into what forward kept for it, or into the output, which the next layer may have kept."""
    run(layer, xs, dout)
    out = forward(layer, xs)
    before = bits([*(layer.cache or ()), out])
    layer.backward(dout)
    return "" if bits([*(layer.cache or ()), out]) == before else "backward wrote into self.cache or into the output of forward"


def gradient_shapes(layer: Layer, xs: Arrays, dout: np.ndarray) -> str:
    """Catch a gradient that differs in shape or dtype from its array, and so is broadcast, or makes later results float64."""
    forward(layer, xs)
    gradients = list(backward(layer, dout, len(xs)).values())
    arrays = [*xs, *(layer.params[name] for name in layer.grads)]
    same = all(g.shape == a.shape and g.dtype == a.dtype for g, a in zip(gradients, arrays, strict=True))
    return "" if same else "a gradient differs in shape or dtype from the array that it belongs to"


def same_bits(layer: Layer, xs: Arrays, dout: np.ndarray) -> str:
    """Catch a race between threads, memory that was not initialized, and gradients that are added to those of the last call."""
    first = run(layer, xs, dout)
    second = backward(layer, dout, len(xs))  # twice after one forward
    same = bits(second.values()) == bits(first[name] for name in second)
    for _ in range(REPEATS):
        same = same and bits(run(layer, xs, dout).values()) == bits(first.values())
    return "" if same else f"{REPEATS} repeats of one call gave different bits, or gradients were added to earlier ones"


def need_dx_false(layer: Layer, xs: Arrays, dout: np.ndarray) -> str:
    """Catch a backward that computes other parameter gradients with need_dx=False, which `fit` passes to the first layer."""
    try:
        inspect.signature(layer.backward).bind(dout, False)
    except TypeError:
        return "fit calls backward(dout, need_dx): the signature must be backward(self, dout, need_dx=True)"
    expected = run(layer, xs, dout)
    forward(layer, xs)
    layer.grads = {}  # otherwise a backward that stores no gradients would pass with those of the call before
    layer.backward(dout, False)
    got = {f"d{name}": gradient.tobytes() for name, gradient in layer.grads.items()}
    same = got == {f"d{name}": expected[f"d{name}"].tobytes() for name in layer.params}
    return "" if same else "the gradients of the parameters differ from those with need_dx=True"


def no_stale_state(layer: Layer, xs: Arrays, dout: np.ndarray) -> str:
    """Catch a layer whose results depend on the previous batch."""
    first = run(layer, xs, dout)
    forward(layer, [np.roll(x, 1, axis=0) * 0.5 + 0.25 for x in xs])
    layer.backward(dout)
    return "" if bits(run(layer, xs, dout).values()) == bits(first.values()) else "results depend on the previous batch"


def own_memory(layer: Layer, xs: Arrays, dout: np.ndarray) -> str:
    """Catch a second call of forward or backward that overwrites what the first returned."""
    out = forward(layer, xs)
    gradients = list(backward(layer, dout, len(xs)).values())[: len(xs)]  # those of the parameters may be overwritten
    before = bits([out, *gradients])
    run(layer, [np.roll(x, 1, axis=0) * 0.5 + 0.25 for x in xs], 0.5 * dout)
    return "" if bits([out, *gradients]) == before else "a second call overwrote the output or the dx that the first returned"


def two_layers(layer: Layer, xs: Arrays, dout: np.ndarray) -> str:
    """Catch state that all layers of a class share, in the class or the module: a cache, gradients or parameters."""
    other = copy.deepcopy(layer)
    for p in other.params.values():
        p *= 0.5
    expected = run(layer, xs, dout)
    out = forward(layer, xs)
    run(other, [np.roll(x, 1, axis=0) * 0.5 + 0.25 for x in xs], 0.5 * dout)
    got = {"out": out, **backward(layer, dout, len(xs))}
    forward(other, xs)
    other.backward(0.5 * dout)
    got |= {f"d{name}": gradient for name, gradient in layer.grads.items()}
    same = all(bits([got[name]]) == bits([expected[name]]) for name in expected if name != "out")
    again = bits([forward(layer, xs)]) == bits([expected["out"]])
    return "" if same and again else "a second layer of the class changes the results of the first: they share a cache"


def memory_layout(layer: Layer, xs: Arrays, dout: np.ndarray) -> str:
    """Catch a layer that assumes that x and dout are contiguous in memory, in row-major order."""
    expected = run(layer, xs, dout)
    strided = [np.asfortranarray(np.repeat(x, 2, axis=-1))[..., ::2] for x in xs]
    got = run(layer, strided, np.repeat(dout, 2, axis=-1)[..., ::2])
    same = all(agree(got[name], expected[name], DEFINITION_TOLERANCE) for name in expected)
    return "" if same else "non-contiguous arrays give other results"


def batch_of_one(layer: Layer, xs: Arrays, dout: np.ndarray) -> str:
    """Catch a layer that drops an axis of length 1, mixes images, or averages gradients over the batch.

    A layer that declares `couples_batch` may mix images in training, but its results must not depend on their order. What a layer
    draws for an image may depend on the place of the image in the batch, so images one by one give other results; see
    `_draws_for_each_image`.
    """
    if layer.draws and training_of(layer):
        return _draws_for_each_image(layer, xs, dout)
    if layer.couples_batch and (training_of(layer) or not layer.takes_training):
        return _batch_in_another_order(layer, xs, dout)
    expected = run(layer, xs, dout)
    single = [run(layer, [x[n : n + 1] for x in xs], dout[n : n + 1]) for n in range(len(dout))]
    summed = {f"d{name}" for name in layer.params}  # over the images; the other results have one row for each
    got = {
        name: np.sum([one[name] for one in single], axis=0) if name in summed else np.concatenate([one[name] for one in single])
        for name in expected
    }
    same = all(agree(got[name], expected[name], BATCH_TOLERANCE) for name in expected)
    return "" if same else (
        "images one by one give other results than in one batch. A layer that mixes them on purpose, such as batch normalization,"
        " declares couples_batch = True in its class"
    )


def _batch_in_another_order(layer: Layer, xs: Arrays, dout: np.ndarray) -> str:
    """Catch a layer that fails for a batch of one, or whose results depend on the order of the images."""
    run(layer, [x[:1] for x in xs], dout[:1])
    expected = run(layer, xs, dout)
    rolled = run(layer, [np.roll(x, 1, axis=0) for x in xs], np.roll(dout, 1, axis=0))
    summed = {f"d{name}" for name in layer.params}
    got = {name: a if name in summed else np.roll(a, -1, axis=0) for name, a in rolled.items()}
    same = all(agree(got[name], expected[name], BATCH_TOLERANCE) for name in expected)
    return "" if same else "images in another order give other results"


def _draws_for_each_image(layer: Layer, xs: Arrays, dout: np.ndarray) -> str:
    """Catch a layer that fails for a batch of one, mixes images, draws once for all of them, or draws the same in each batch.

    The test runs 16 batches of 8 copies of one image. If the draws differ from batch to batch, then the 8 outputs differ in at
    least one of the batches, unless the numbers are drawn once for a batch.
    """
    run(layer, [x[:1] for x in xs], dout[:1])
    if layer.couples_batch:
        return ""

    def drawn(inputs: Arrays) -> list[np.ndarray]:
        restore(layer)
        return [in_mode(layer, inputs, training=True) for _ in range(BATCHES)]

    expected, got = drawn(xs), drawn([np.concatenate([x[:1], 0.5 * x[1:] + 0.25]) for x in xs])
    if not all(agree(a[:1], b[:1], BATCH_TOLERANCE) for a, b in zip(got, expected, strict=True)):
        return "the output of an image depends on the other images of the batch"
    outs = drawn([np.repeat(x[:1], COPIES, axis=0) for x in xs])
    same_in_each = all(np.array_equal(out, outs[0]) for out in outs)
    same_for_all = all(np.array_equal(out, np.repeat(out[:1], COPIES, axis=0)) for out in outs)
    if same_for_all and not same_in_each:
        return (
            "all images of a batch get the same random numbers. Draw an array with an entry for each image; a layer that draws once"
            " for a batch on purpose declares couples_batch = True in its class"
        )
    return "each batch gets the same random numbers. Draw from self.rng" if same_in_each and not same_for_all else ""


def float32(layer: Layer, xs: Arrays, dout: np.ndarray) -> str:
    """Catch a float32 layer that returns float64, and one that loses precision."""
    expected = run(layer, xs, dout)
    single = fresh(layer, layer.input_shapes, "float32", 0)
    for p, exact in zip(single.params.values(), layer.params.values(), strict=True):
        p[...] = exact
    vars(single).update({"start": vars(layer)["start"]} if "start" in vars(layer) else {})
    got = run(single, [x.astype("float32") for x in xs], dout.astype("float32"))
    same = all(got[name].dtype == np.float32 and agree(got[name], expected[name], FLOAT32_TOLERANCE) for name in expected)
    return "" if same else f"a float32 result differs from float64 by more than {FLOAT32_TOLERANCE:g}, or is not float32"


def declared_state(layer: Layer, xs: Arrays, dout: np.ndarray) -> str:
    """Catch what training changes but `make_state` does not return, so that it is not saved; and any change in inference."""
    if not layer.takes_training:
        return ""

    def attributes() -> dict[str, bytes]:
        return {name: bits([value])[0] for name, value in vars(layer).items() if isinstance(value, (np.ndarray, np.generic, float))}

    forward(layer, xs)
    before, state = attributes(), bits(layer.state.values())
    drawn = layer.rng.bit_generator.state if layer.draws else None
    in_mode(layer, xs, training=False)
    if bits(layer.state.values()) != state or (layer.draws and layer.rng.bit_generator.state != drawn):
        return "forward with training=False changed self.state, or drew random numbers"
    in_mode(layer, [0.5 * x + 0.25 for x in xs], training=True)
    changed = [name for name, value in attributes().items() if value != before.get(name, value)]
    if changed:
        return f"training changed self.{changed[0]}, which is not saved. Return it from make_state, and change self.state"
    return ""


def frozen(layer: Layer, xs: Arrays, dout: np.ndarray) -> str:
    """Catch a layer that fails in training if it is frozen, or whose parameters or state then still change."""
    if not layer.takes_training:
        return ""
    restore(layer)
    layer.trainable = False
    arrays = {"params": [*layer.params.values()], "state": [*layer.state.values()]}
    before = {name: bits(kept) for name, kept in arrays.items()}
    in_mode(layer, xs, training=True)
    layer.backward(dout)
    after = {"params": [*layer.params.values()], "state": [*layer.state.values()]}
    changed = " and ".join(f"self.{name}" for name in arrays if bits(after[name]) != before[name])
    return changed and f"training changed {changed} although trainable is False. Change it only if self.trainable is True"


CONTRACT: tuple[tuple[str, Callable[[Layer, Arrays, np.ndarray], str]], ...] = (
    ("inputs", inputs_unchanged),
    ("cache", cache_unchanged),
    ("shapes", gradient_shapes),
    ("bits", same_bits),
    ("need_dx=False", need_dx_false),
    ("stale state", no_stale_state),
    ("declared state", declared_state),
    ("frozen", frozen),
    ("own memory", own_memory),
    ("two layers", two_layers),
    ("memory layout", memory_layout),
    ("batch of one", batch_of_one),
    ("float32", float32),
)


def contract_rows(layer: Layer, xs: Arrays, dout: np.ndarray) -> list[Row]:
    """Return a row for each condition of `CONTRACT`; an exception in one fails its row, and the others still run."""
    run(copy.deepcopy(layer), [x.copy() for x in xs], dout.copy())  # a layer that cannot run at all raises here, once
    rows = []
    for name, condition in CONTRACT:
        try:
            problem = condition(copy.deepcopy(layer), [x.copy() for x in xs], dout.copy())
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
        rows.append(Row("contract", name, not problem, note=problem))
    return rows
