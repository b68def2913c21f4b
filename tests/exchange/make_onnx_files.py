"""Write the files of onnx_files/: small networks that PyTorch and Keras have exported, with images and what they computed.

    python tests/exchange/make_onnx_files.py        needs torch, onnxscript, keras, tensorflow and tf2onnx

Each name.onnx has a name.npz beside it: x, the images as the framework takes them, and y, its outputs. All weights are random, and
so are moving averages.
"""

import io
import warnings
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent / "onnx_files"
rng = np.random.default_rng(0)


def written(name, content, x, y):
    """Write one network and what it computed."""
    (FOLDER / f"{name}.onnx").write_bytes(content)
    np.savez(FOLDER / f"{name}.npz", allow_pickle=False, x=x, y=y)
    print(f"{name}: {len(content):,} bytes")


# -- PyTorch ----------------------------------------------------------------------------------------------------------


def torch_networks():
    """Return networks of PyTorch by name, with the shape of their images (C, H, W)."""
    import torch
    from torch import nn
    from torch.nn import functional as F  # noqa: N812 - its usual name

    class Pools(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.side = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 3, (1, 3), padding=(0, 1))
            self.linear = nn.Linear(7, 3, bias=False)

        def forward(self, x):
            x = F.max_pool2d(torch.relu(self.conv(F.pad(x, (0, 2, 1, 0)))), 3, 2, 1)
            x = torch.cat([F.gelu(x, approximate="tanh"), F.avg_pool2d(self.side(x), 3, 1, 1)], 1)
            return self.linear(F.adaptive_avg_pool2d(x, 1).view(x.size(0), -1))

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.conv1, self.conv2 = nn.BatchNorm2d(3), nn.Conv2d(3, 3, 3, padding="same"), nn.Conv2d(3, 3, 3, padding=1)
            self.row = nn.BatchNorm1d(3 * 4 * 5)
            self.linear = nn.Linear(3 * 4 * 5, 4)

        def forward(self, x):
            x = (x - 0.5) / 0.25
            x = x + self.conv2(F.leaky_relu(self.conv1(F.relu6(self.norm(x))), 0.1))
            x = self.row(torch.flatten(F.max_pool2d(F.elu(x), 2), 1))
            return torch.sigmoid(self.linear(x))

    class Plain(nn.Sequential):
        def __init__(self):
            super().__init__(
                nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3, 2, 1, bias=False), nn.SiLU(),
                nn.Flatten(), nn.Linear(5 * 4 * 4, 6), nn.GELU(), nn.Dropout(), nn.Linear(6, 3), nn.Softmax(1),
            )  # fmt: skip

    return {"plain": (Plain(), (3, 8, 8)), "pools": (Pools(), (1, 8, 7)), "residual": (Residual(), (3, 8, 10))}


def export_torch():
    import torch

    for name, (network, shape) in torch_networks().items():
        with torch.no_grad():
            for key, p in network.state_dict().items():
                if p.dtype == torch.float32:
                    values = rng.uniform(0.5, 1.5, p.shape) if "var" in key else rng.normal(0, 0.5, p.shape)
                    p.copy_(torch.from_numpy(values.astype("float32")))
            network.eval()
            x = torch.from_numpy(rng.random((2, *shape), "float32"))
            y = network(x).numpy()
            file = io.BytesIO()
            keep = torch.onnx.TrainingMode.PRESERVE  # normalization as an operator of its own
            torch.onnx.export(
                network, (x,), file, dynamo=False, opset_version=17, dynamic_axes={"x": {0: "N"}}, input_names=["x"], training=keep,
            )  # fmt: skip
            written(f"torch_{name}", file.getvalue(), x.numpy(), y)
            batch = ({0: torch.export.Dim("N")},)
            program = torch.onnx.export(network, (x,), dynamo=True, dynamic_shapes=batch, verbose=False)
            for node in program.model.graph:  # the lines of the source, with paths of the machine
                node.metadata_props.clear()
                node.doc_string = None
            written(f"torch_dynamo_{name}", program.model_proto.SerializeToString(deterministic=True), x.numpy(), y)


# -- Keras ------------------------------------------------------------------------------------------------------------


def keras_networks():
    """Yield networks of Keras by name."""
    from keras import Model, activations, layers

    image = layers.Input((9, 8, 3))
    x = layers.Rescaling(1 / 255)(image)
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.BatchNormalization()(x)
    x = layers.MaxPooling2D(2, strides=1, padding="same")(x)
    x = layers.Add()([x, layers.Conv2D(4, 3, padding="same", activation="silu")(x)])
    x = layers.Dropout(0.3)(layers.Flatten()(x))
    x = layers.Dense(6, activation="elu")(x)
    yield "residual", Model(image, layers.Dense(3, activation="softmax")(x))

    image = layers.Input((7, 6, 1))
    x = layers.Conv2D(4, (3, 2), use_bias=False)(layers.ZeroPadding2D(((1, 0), (0, 2)))(image))
    x = layers.LeakyReLU()(x)
    x = layers.Concatenate()([x, layers.AveragePooling2D(2, padding="same", strides=1)(x)])
    x = layers.Activation("relu6")(layers.BatchNormalization(scale=False)(x))
    yield "concatenate", Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))

    image = layers.Input((6, 6, 2))
    x = layers.GlobalMaxPooling2D(keepdims=True)(layers.Conv2D(3, 3, activation="softplus")(image))
    x = layers.Dense(5, activation="selu")(layers.Reshape((3,))(x))
    x = layers.Dense(5, activation=lambda a: activations.gelu(a, approximate=True))(x)
    yield "activations", Model(image, layers.Dense(4, activation="sigmoid")(x))

    image = layers.Input((14, 14, 1))
    x = layers.Conv2D(2, 3, activation="relu", padding="same")(image)
    x = layers.Conv2D(2, 3, activation="relu", padding="same", strides=2)(x)
    x = layers.Flatten()(layers.MaxPooling2D(2, 1, padding="same")(x))
    yield "net", Model(image, layers.Dense(10, activation="softmax")(layers.Dense(4, activation="relu")(x)))


def export_keras():
    import keras
    import onnx

    for name, model in keras_networks():
        for p in model.weights:
            p.assign(rng.uniform(0.5, 1.5, p.shape) if "variance" in p.name else rng.normal(0, 0.5, p.shape))
        x = rng.random((2, *model.input_shape[1:]), "float32")
        y = keras.ops.convert_to_numpy(model(x))
        path = FOLDER / f"keras_{name}.onnx"
        model.export(path, format="onnx", verbose=False)
        proto = onnx.load(path)
        proto.doc_string = ""
        written(f"keras_{name}", proto.SerializeToString(deterministic=True), x, y)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    FOLDER.mkdir(exist_ok=True)
    export_torch()
    export_keras()
