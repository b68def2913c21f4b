"""Compiled: what a model is trained for, and one step of it.

forward -> loss -> backward -> the optimizer moves every parameter
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import ReferenceType, WeakKeyDictionary, ref

import numpy as np

from scratchnet import losses, optimizers
from scratchnet.checking import check_images
from scratchnet.layers.base import Node
from scratchnet.plan import Plan, is_activation
from scratchnet.serialization import full_config

_moved: WeakKeyDictionary[Any, ReferenceType[Any]] = WeakKeyDictionary()    # by optimizer, the model that it moves


class Compiled:
    """What a model can do with one batch, once it is compiled."""

    plan: Plan
    nodes: list[Node]
    dtype: np.dtype
    shuffle_rng: np.random.Generator
    optimizer: Any = None
    loss: Any = None
    metrics: tuple[str, ...] = ()
    fuse: bool = True

    if TYPE_CHECKING:  # what Model has, and is used here

        @property
        def params(self) -> Mapping[str, np.ndarray]:
            """See `Model`."""

        @property
        def grads(self) -> dict[str, np.ndarray]:
            """See `Model`."""

        def get_weights(self) -> list[np.ndarray]:
            """See `Model`."""

        def set_weights(self, weights: Sequence[np.ndarray]) -> None:
            """See `Model`."""

        def layer_outputs(self, x: np.ndarray) -> dict[str, np.ndarray]:
            """See `Model`."""

    # -- how to train -------------------------------------------------------------------------------------------------

    def compile(
        self,
        optimizer: Any = "adam",
        loss: Any = "categorical_crossentropy",
        *,
        metrics: Sequence[str] | None = None,
        fuse: bool = True,
    ) -> None:
        """Choose optimizer, loss and metrics.

        Parameters
        ----------
        optimizer : str or Optimizer
            "sgd", "adagrad", "adadelta", "adam", or an object with its own settings.
        loss : str or object
            "categorical_crossentropy" for one-hot labels, "sparse_categorical_crossentropy" for integers.
        metrics : list of str, optional
            ["accuracy"], or nothing.
        fuse : bool
            Whether convolution and dense layers do the work of the ReLUs beside them.

        Raises
        ------
        ValueError
            For unknown names, when the loss does not suit the model's last layer, and for the optimizer of another model.
        """
        optimizer, loss = optimizers.get(optimizer), losses.get(loss)
        metrics = (metrics,) if isinstance(metrics, str) else tuple(metrics or ())
        if not self.params:
            raise ValueError("the model has no parameter to train; it needs a layer such as Dense or Conv2D")
        if metrics not in ((), ("accuracy",)):
            raise ValueError(f"metrics is ['accuracy'] or None; got {list(metrics)!r}")
        if len(self.nodes[-1].shape) != 1:
            raise ValueError(
                f"a cross-entropy needs one row of numbers for each sample; the model gives {self.nodes[-1].shape}."
                " End it with Flatten and Dense"
            )
        ends_in_softmax = is_activation(self.nodes[-1], "softmax")
        name = type(loss).__name__
        if not ends_in_softmax and not loss.from_logits:
            raise ValueError(
                f"the model does not end in softmax, so its outputs are logits: compile(loss={name}(from_logits=True)),"
                " or give the last layer activation='softmax'"
            )
        if ends_in_softmax and loss.from_logits:
            raise ValueError(
                f"the model ends in softmax, so its outputs are no logits: compile(loss={loss.name!r}), or take the softmax away"
            )
        owner = _moved.get(optimizer)
        if owner is not None and owner() is not self and (owner() is not None or optimizer.state):
            raise ValueError(
                f"this {type(optimizer).__name__} object moves another model, and has its moments; make one for each model:"
                f" compile(optimizer={optimizer!r})"
            )
        _moved[optimizer] = ref(self)
        self.optimizer, self.loss, self.metrics, self.fuse = optimizer, loss, metrics, fuse
        self.plan = Plan(self.nodes, fuse)

    def _training_config(self) -> dict[str, Any]:
        if self.optimizer is None:
            return {}
        settings = {
            "optimizer": type(self.optimizer).__name__.lower(),
            "optimizer_config": full_config(self.optimizer),
            "loss": self.loss.name if type(self.loss) in losses.KNOWN.values() else type(self.loss).__name__.lower(),
            "loss_config": full_config(self.loss),
            "metrics": list(self.metrics),
            "fuse": self.fuse,
        }
        return {"compile": settings, "shuffle_state": self.shuffle_rng.bit_generator.state}

    # -- one batch ----------------------------------------------------------------------------------------------------

    def _step(self, x: np.ndarray, labels: np.ndarray) -> tuple[float, int]:
        """Train on one batch: give its loss, and how many images were right, before the weights move."""
        logits = self.plan.forward(x, self.plan.logits)
        loss, dlogits = losses.softmax_cross_entropy(logits, labels)
        if not np.isfinite(loss):
            raise FloatingPointError(self._what_went_wrong(x, loss))
        self.plan.backward(dlogits, self.plan.logits, need_dx=False)
        self.optimizer.update(list(self.params.values()), list(self.grads.values()))
        return loss, _count_right(logits, labels)

    def _look(self, x: np.ndarray, labels: np.ndarray) -> tuple[float, int]:
        """Give a batch's loss and how many images were right, and change nothing."""
        logits = self.plan.forward(x, self.plan.logits, keep=False)
        loss, _ = losses.softmax_cross_entropy(logits, labels)
        return loss, _count_right(logits, labels)

    def _what_went_wrong(self, x: np.ndarray, loss: float) -> str:
        """Name the first layer whose output is not finite."""
        if not np.isfinite(x).all():
            where = f"np.argwhere(~np.isfinite(x.astype({str(self.dtype)!r}))) tells where"
            return f"the loss is {loss}: the images hold NaN or infinity; {where}"
        for name, value in self.layer_outputs(x).items():
            if not np.isfinite(value).all():
                where = f"layer {name!r} is the first whose output is not finite"
                break
        else:
            where = "every layer's output is finite, but too large for the loss"
        return (
            f"the loss is {loss}: {where}. If it comes of training, a smaller learning rate often helps; it was"
            f" {self.optimizer.learning_rate:g}"
        )

    def _values(self, loss: float, right: int, count: int) -> dict[str, float]:
        return {"loss": loss, **({"accuracy": right / count} if self.metrics else {})}

    def _result(self, values: dict[str, float], return_dict: bool) -> Any:
        if return_dict:
            return values
        return list(values.values()) if self.metrics else values["loss"]

    def train_on_batch(self, x: np.ndarray, y: np.ndarray, *, return_dict: bool = False) -> Any:
        """Train one step on one batch.

        Parameters
        ----------
        x : ndarray (N, …)
        y : ndarray
            Labels as the loss takes them.
        return_dict : bool

        Returns
        -------
        [loss, accuracy], or a dict of them, or the loss alone without metrics: this batch's own, before the step.

        Raises
        ------
        ValueError
            For data that does not suit the model.
        FloatingPointError
            When the loss is not finite; the weights have not moved then.
        """
        x, labels = self._check(x, y)
        loss, right = self._step(x.astype(self.dtype, copy=False), labels)
        return self._result(self._values(loss, right, len(x)), return_dict)

    def test_on_batch(self, x: np.ndarray, y: np.ndarray, *, return_dict: bool = False) -> Any:
        """Give the values of one batch as `train_on_batch` does, without training."""
        x, labels = self._check(x, y)
        loss, right = self._look(x.astype(self.dtype, copy=False), labels)
        return self._result(self._values(loss, right, len(x)), return_dict)

    # -- what came ----------------------------------------------------------------------------------------------------

    def _check(self, x: np.ndarray, y: np.ndarray, what: str = "", name: str = "x") -> tuple[np.ndarray, np.ndarray]:
        """Refuse what does not suit the model, and give images and one-hot labels; `what` they are, and their variable's name."""
        if self.optimizer is None:
            raise ValueError(
                "compile comes first: model.compile(optimizer='adam', loss='categorical_crossentropy', metrics=['accuracy'])"
            )
        x, y = check_images(x, self.nodes[0].shape, name, what), np.asarray(y)
        labels = len(y) if y.ndim else 0
        if len(x) != labels:
            raise ValueError(f"{what or 'x, y'}: {len(x)} images and {labels} labels; give one label for each image")
        return x, self.loss.one_hot(y, self.nodes[-1].shape[0]).astype(self.dtype, copy=False)


def _count_right(logits: np.ndarray, labels: np.ndarray) -> int:
    return int((logits.argmax(axis=1) == labels.argmax(axis=1)).sum())
