"""A layer of your own: written, checked, trained and saved. PReLU is a ReLU with a learned slope for negative numbers.

    out = x where x > 0, else a·x          a: (C,), one slope per channel
    dx  = dout where x > 0, else a·dout
    da  = Σ dout·x over all positions of the channel where x <= 0, since out depends on a there

Source: He et al., Delving deep into rectifiers (2015), equations 1 to 3.
"""

import tempfile

import numpy as np

from scratchnet import Conv2D, Dense, Flatten, Input, Layer, Sequential, datasets, load_model
from scratchnet.gradcheck import check_layer
from scratchnet.preprocessing import add_channel_axis, normalize_images, one_hot


class PReLU(Layer):
    """A layer whose output has the shape of its input. A layer that changes the shape defines `compute_output_shape`."""

    def make_params(self, rng):
        """Return the initial value of each parameter; 0.25 is the paper's."""
        return {"a": np.full(self.input_shape[-1], 0.25)}

    def forward(self, x):
        """Return x where x > 0, else a·x: (N, ..., C) -> (N, ..., C)."""
        self.cache = (x,)                                                   # for backward, which only reads it
        return np.where(x > 0, x, self.params["a"] * x)                     # (N, H, W, C)

    def backward(self, dout, need_dx=True):
        """Store da in `grads` and return dx. (With `need_dx=False` nothing reads dx; a layer may then skip it.)"""
        (x,) = self.cache
        da = np.where(x > 0, 0, dout * x)                                   # (N, H, W, C)
        self.grads = {"a": da.sum(axis=tuple(range(x.ndim - 1)))}           # -> (C,)
        return np.where(x > 0, dout, self.params["a"] * dout)

    def branch_pattern(self):
        """Return on which side of the kink each number is, so that no finite difference steps across it."""
        return [self.cache[0] > 0]


class ForgetsASlope(PReLU):
    """The same layer with a bug. The bug raises no error, and a net with it still learns."""

    def backward(self, dout, need_dx=True):
        """Return dout unchanged, even where x is negative."""
        super().backward(dout)
        return dout


def main(limit=2000, epochs=3):
    print(check_layer(PReLU(), (4, 3, 2)), end="\n\n")
    print(check_layer(ForgetsASlope(), (4, 3, 2)), end="\n\n")

    (x, y), (x_test, y_test) = datasets.glyphs.load_data()
    x, x_test = (add_channel_axis(normalize_images(images)) for images in (x[:limit], x_test[:limit]))
    y, y_test = one_hot(y[:limit], 10), one_hot(y_test[:limit], 10)
    layers = [Input(shape=(28, 28, 1)), Conv2D(16, 3, strides=2), PReLU(), Conv2D(32, 3, strides=2), PReLU(), Flatten()]
    model = Sequential([*layers, Dense(10, activation="softmax")], seed=1)
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, batch_size=32, epochs=epochs, validation_data=(x_test, y_test))
    print("the slopes that the first PReLU learned:", model.get_layer("p_re_lu").params["a"].round(2))

    with tempfile.TemporaryDirectory() as folder:
        model.save(f"{folder}/model.npz")
        again = load_model(f"{folder}/model.npz", custom_objects={"PReLU": PReLU})      # the file has only the class's name
    print("saved and loaded, the model predicts the same:", np.array_equal(again.predict(x_test), model.predict(x_test)))


if __name__ == "__main__":
    main()
