"""Arrays and numbers as Keras returns them: they also have the methods of a tensor and of a variable."""

from __future__ import annotations

from typing import Any

import numpy as np


class Tensor(np.ndarray):
    """An array with the methods that scripts call on a result of `model(x)`, or on a variable such as `layer.kernel`.

    It is a view: `assign` writes into the array that the layer computes with.

    Examples
    --------
    >>> kernel = np.zeros((1, 2), "float32")
    >>> variable = Tensor.of(kernel, "dense/kernel")
    >>> variable.assign([[1, 2]])
    >>> kernel, variable.name, variable.path
    (array([[1., 2.]], dtype=float32), 'kernel', 'dense/kernel')
    """

    path: str = ""
    trainable: bool = True

    @classmethod
    def of(cls, array: np.ndarray, path: str = "", trainable: bool = True) -> Tensor:
        """Return a view of an array."""
        tensor = array.view(cls)
        tensor.path, tensor.trainable = path, trainable
        return tensor

    @property
    def name(self) -> str:
        """The last part of the path, such as "kernel"."""
        return self.path.rpartition("/")[2]

    def numpy(self) -> np.ndarray:
        """Return a copy as a plain array."""
        return np.array(self)

    @property
    def value(self) -> np.ndarray:
        """The array itself."""
        return self.view(np.ndarray)

    def assign(self, value: Any) -> None:
        """Write `value`, of the same shape, into the array."""
        if np.shape(value) != self.shape:
            raise ValueError(
                f"assign: expected {self.path or 'a value'} of shape {self.shape}, got {np.shape(value)}. Reshape it first"
            )
        self[...] = value


class Number(float):
    """A number that also has the method `numpy()`, which scripts call on a loss or a learning rate.

    Examples
    --------
    >>> Number(0.5), Number(0.5).numpy()
    (0.5, 0.5)
    """

    def numpy(self) -> float:
        """Return the plain number."""
        return float(self)
