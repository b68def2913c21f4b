"""A digit on paper of many kinds: the network is shown the digit, or the picture is refused."""

import numpy as np
import pytest
from digit_pictures import ANSWERED, REFUSED

from scratchnet import datasets
from scratchnet.tools.inputs import net_inputs
from scratchnet.tools.pictures import prepare, read_picture


def printed_digits():
    """A 2, a 4 and an 8 of 20 pixels, white on black, uint8 (28, 28)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    digits = []
    for text in "248":
        figure = Figure(figsize=(1.12, 1.12), dpi=100, facecolor="black")
        canvas = FigureCanvasAgg(figure)
        figure.text(0.5, 0.48, text, color="white", fontsize=68, ha="center", va="center_baseline")
        canvas.draw()
        digits.append(np.asarray(canvas.buffer_rgba())[:, :, 0].reshape(28, 4, 28, 4).mean(axis=(1, 3)).astype(np.uint8))
    return digits


def likeness(a, b):
    """The largest correlation of two images, if one may be moved by at most a pixel."""
    moves = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    return max(np.corrcoef(a.ravel(), np.roll(b, move, axis=(0, 1)).ravel())[0, 1] for move in moves)


def seen(picture, folder):
    picture.save(folder / "digit.png")
    return prepare(read_picture(folder / "digit.png"), (28, 28, 1)).x


@pytest.mark.parametrize("condition", ANSWERED)
def test_a_digit_looks_the_same_on_every_kind_of_paper(condition, tmp_path):
    for k, digit in enumerate(printed_digits()):
        rng = np.random.default_rng(k)
        expected = seen(ANSWERED["plain paper"](digit, rng), tmp_path)
        got = seen(ANSWERED[condition](digit, rng), tmp_path)
        assert likeness(expected, got) > 0.85


@pytest.mark.parametrize("condition", REFUSED)
def test_a_picture_that_is_not_one_drawing_is_refused(condition, tmp_path):
    for k, digit in enumerate(printed_digits()):
        with pytest.raises(ValueError, match=r"expected .*, got .*\. .*\."):
            seen(REFUSED[condition](digit, np.random.default_rng(k)), tmp_path)


@pytest.fixture(scope="module")
def mnist(real_data):
    if not (real_data / "mnist").is_dir():
        pytest.skip(f"needs real digits: {real_data} has no mnist/")
    return datasets.mnist.load_data()


@pytest.fixture(scope="module")
def network(mnist):
    """A small network that is right on 97 % of MNIST's test images."""
    from scratchnet import Conv2D, Dense, Flatten, Input, Sequential

    (x, y), _ = mnist
    convolutions = [Conv2D(filters, 3, strides=2, padding="same", activation="relu") for filters in (16, 32)]
    dense = [Flatten(), Dense(64, activation="relu"), Dense(10, activation="softmax")]
    model = Sequential([Input((28, 28, 1)), *convolutions, *dense], seed=1)
    model.compile(optimizer="adam", loss="categorical_crossentropy")
    model.fit(net_inputs(x[:30_000]), np.eye(10, dtype="float32")[y[:30_000]], batch_size=64, epochs=4, verbose=0)
    return model


@pytest.mark.slow
@pytest.mark.compiled
@pytest.mark.parametrize("condition", [*ANSWERED, *REFUSED])
def test_sixty_real_digits_are_answered_rightly_or_refused(condition, mnist, network, tmp_path):
    _, (images, labels) = mnist
    right = refused = 0
    for i in range(60):
        try:
            x = seen((ANSWERED | REFUSED)[condition](images[i], np.random.default_rng(i)), tmp_path)
        except ValueError:
            refused += 1
        else:
            right += network.predict(x[None])[0].argmax() == labels[i]
    print(f"{condition}: {right} right, {refused} refused, {60 - right - refused} wrong")
    assert right + refused >= 54
    if condition in ANSWERED:
        assert right >= (57 if condition.startswith("plain") else 50)
