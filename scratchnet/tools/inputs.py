"""Convert a data set to a network's input: the study's preprocessing, in one place for train, evaluate and predict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scratchnet import losses, preprocessing
from scratchnet.layers import Activation, BatchNormalization
from scratchnet.layers.base import Node
from scratchnet.model import Model
from scratchnet.plan import only_readers


def net_inputs(images: np.ndarray) -> np.ndarray:
    """Return ``uint8`` images (N, H, W) or (N, H, W, C) as float32 (N, H, W, C) in [0, 1]."""
    return preprocessing.add_channel_axis(preprocessing.normalize_images(images))


def transposed(settings: Mapping[str, Any]) -> bool:
    """Return whether the run with these settings was trained on transposed images."""
    arguments = settings.get("arguments")
    return isinstance(arguments, dict) and arguments.get("transpose") is True


def form(model: Model) -> tuple[tuple[int, ...], int]:
    """Return the shape of one image that `model` takes, and the number of its classes."""
    shape, K = model.input_shape[1:], model.output_shape[-1]
    return tuple(size for size in shape if size is not None), K or 0


def gives_logits(model: Model) -> bool:
    """Return whether the output of `model` is logits, because the model does not end in softmax."""
    return model.logits is model.nodes[-1]


def probabilities(model: Model, x: np.ndarray) -> np.ndarray:
    """Return the probabilities (N, K) that `model` gives the classes of images (N, H, W, C)."""
    outputs = model.predict(x)
    return losses.softmax(outputs) if gives_logits(model) else outputs


def feature_maps(model: Model, x: np.ndarray) -> dict[str, np.ndarray]:
    """Return the layer outputs (N, H, W, C) that are worth looking at, for a batch of images, by the layer's name.

    Left out are the image itself, layers that change their input in training only, and layers that an `Activation` follows,
    directly or after a normalization. The output of that `Activation` is returned instead.

    >>> from scratchnet import net_2, net_3
    >>> x = np.zeros((1, 28, 28, 1), "float32")
    >>> list(feature_maps(net_2((28, 28, 1), 10, seed=0), x))
    ['conv2d', 'conv2d_1']
    >>> list(feature_maps(net_3((28, 28, 1), 10, filters=(8, 8, 8), seed=0), x))[:5]
    ['whitening', 'conv2d', 'activation', 'activation_1', 'conv2d_2']
    """
    readers = only_readers(model.nodes)

    def is_activated_next(node: Node) -> bool:
        reader = readers[node]
        if reader is None or reader.layer is node.layer.activation:
            return False
        return isinstance(reader.layer, Activation) or (isinstance(reader.layer, BatchNormalization) and is_activated_next(reader))

    hidden = {node.layer for node in model.nodes if node.layer.draws or is_activated_next(node)}
    outputs = list(model.layer_outputs(x).items())[1:]
    return {name: out for name, out in outputs if out.ndim == 4 and model.every_layer[name] not in hidden}


def class_names(settings: Mapping[str, Any], K: int) -> list[str]:
    """Return the names of the K classes of the run with these settings, or their numbers if the settings do not name K classes.

    >>> class_names({"class_names": ["cat", "dog"]}, 2), class_names({}, 2)
    (['cat', 'dog'], ['0', '1'])
    """
    names = settings.get("class_names")
    return list(names) if names is not None and len(names) == K else [str(k) for k in range(K)]


def check_fit(model: Model, sample_shape: Sequence[int], K: int, data: str) -> None:
    """Raise ValueError unless `model` takes images of `sample_shape` (H, W, C) and has at least `K` classes."""
    expected, classes = form(model)
    if expected != tuple(sample_shape):
        raise ValueError(
            f"the network: expected images of {times(expected)}, got images of {times(sample_shape)} from {data}. "
            "Name matching data with --data."
        )
    if classes < K:
        raise ValueError(f"the network: expected at most {classes} classes, got {K} from {data}. Name matching data with --data.")


def as_title(text: str) -> str:
    r"""Return `text` with "\$" for "$", so that it is drawn literally: between two dollars, matplotlib expects mathematics.

    >>> print(as_title("US$1_and_US$2.png"))
    US\$1_and_US\$2.png
    """
    return text.replace("$", r"\$")


def times(shape: Sequence[int]) -> str:
    """Return a shape as it is printed.

    >>> times((28, 28, 1))
    '28×28×1'
    """
    return "×".join(map(str, shape))
