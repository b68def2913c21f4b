"""Pictures show exactly the values that they were given."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchnet import (
    Add,
    Concatenate,
    Conv2D,
    Dense,
    Flatten,
    GlobalAveragePooling2D,
    Input,
    MaxPooling2D,
    Model,
    ReLU,
    net_1,
    plotting,
)
from scratchnet.callbacks import History
from scratchnet.plotting.canvas import as_picture, epoch_ticks
from scratchnet.plotting.graph import layout, spaced

HISTORY = {
    "accuracy": [0.40, 0.61, 0.75, 0.88],
    "loss": [1.60, 1.11, 0.72, 0.35],
    "val_accuracy": [0.45, 0.58, 0.60, 0.59],
    "val_loss": [1.50, 1.21, 1.18, 1.46],
}
NAMES = ["cat", "dog", "owl"]


def texts(labels):
    return [label.get_text() for label in labels]


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def drawn(figure):
    """Return the figure as pixels, after checking that no part of it is cut off."""
    figure.canvas.draw()
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert box.x0 >= -0.01
    assert box.y0 >= -0.01
    assert box.x1 <= width + 0.01
    assert box.y1 <= height + 0.01
    return np.asarray(figure.canvas.buffer_rgba())


def test_importing_scratchnet_imports_no_matplotlib():
    code = "import sys, scratchnet, scratchnet.plotting, scratchnet.cli; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_drawing_imports_no_pyplot_and_so_changes_no_backend(tmp_path):
    code = (
        "import sys; from scratchnet import plotting; "
        f"plotting.history({{'loss': [1.0]}}, path={str(tmp_path / 'a.png')!r}); "
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_history_draws_exactly_the_values_over_epochs_from_1():
    figure = plotting.history(HISTORY, title="net_2 on cifar10")
    accuracy, loss = figure.axes
    for axes, panel in ((accuracy, "accuracy"), (loss, "loss")):
        assert axes.get_title() == panel
        lines = {line.get_label(): line for line in axes.get_lines()}
        for label, key in (("training", panel), ("validation", f"val_{panel}")):
            np.testing.assert_array_equal(lines[label].get_xdata(), [1, 2, 3, 4])
            np.testing.assert_array_equal(lines[label].get_ydata(), HISTORY[key])
    assert figure.get_suptitle() == "net_2 on cifar10"


def test_the_history_of_fit_is_drawn_like_its_dict():
    fitted = History()
    fitted.history = HISTORY
    np.testing.assert_array_equal(drawn(plotting.history(fitted)), drawn(plotting.history(HISTORY)))
    stops = {"net_1": {1: (4, 3)}}
    given, held = plotting.early_stopping({"net_1": fitted}, stops), plotting.early_stopping({"net_1": HISTORY}, stops)
    np.testing.assert_array_equal(drawn(given), drawn(held))


def test_history_panels_are_side_by_side():
    figure = plotting.history(HISTORY)
    drawn(figure)
    left, right = (axes.get_position() for axes in figure.axes)
    assert left.x1 < right.x0
    assert left.y0 == pytest.approx(right.y0)


def test_history_marks_the_epoch_of_the_lowest_validation_loss():
    figure = plotting.history(HISTORY)
    label = "lowest validation loss: 1.18 at epoch 3"
    for axes in figure.axes:
        (mark,) = [line for line in axes.get_lines() if line.get_label() == label]
        np.testing.assert_array_equal(mark.get_xdata(), [3, 3])
    assert texts(figure.legends[0].get_texts()) == ["training", "validation", label]


def test_history_does_not_mark_an_epoch_whose_validation_loss_is_not_a_number():
    figure = plotting.history({"loss": [2.0, 1.0, 0.5], "val_loss": [np.nan, 3.0, 4.0]})
    assert "at epoch 2" in texts(figure.legends[0].get_texts())[-1]
    figure = plotting.history({"loss": [2.0], "val_loss": [np.nan]})
    assert texts(figure.legends[0].get_texts()) == ["training", "validation"]


@pytest.mark.parametrize("epochs", [1, 2, 16, 17, 80, 81, 163, 1000])
def test_history_ticks_are_whole_epochs_and_not_too_many(epochs):
    figure = plotting.history({"loss": np.linspace(2, 1, epochs), "accuracy": np.linspace(0, 1, epochs)})
    for axes in figure.axes:
        ticks = axes.get_xticks()
        assert list(ticks) == epoch_ticks(epochs)
        assert ticks[0] == 1
        assert ticks[-1] <= epochs
        assert len(ticks) <= 17
    drawn(figure)


def test_history_without_metrics_has_one_panel():
    figure = plotting.history({"loss": [3.0, 2.0]})
    assert [axes.get_title() for axes in figure.axes] == ["loss"]
    assert texts(figure.legends[0].get_texts()) == ["training"]


@pytest.mark.parametrize(
    ("history", "reason"),
    [
        ({}, "expected 'loss' with at least one epoch"),
        ({"loss": []}, "expected 'loss' with at least one epoch"),
        ({"loss": [1.0, 2.0], "val_loss": [1.0]}, r"expected 2 epochs in 'val_loss', as in 'loss', got 1"),
    ],
)
def test_a_history_that_cannot_be_drawn_is_refused(history, reason):
    with pytest.raises(ValueError, match=reason):
        plotting.history(history)


def test_grey_filters_share_one_scale_centred_at_0(rng):
    kernel = rng.normal(size=(3, 2, 1, 10))
    figure = plotting.filters(kernel)
    assert figure.get_suptitle() == "10 filters of 3×2"
    (image,) = figure.axes[0].get_images()
    low, high = image.get_clim()
    assert -low == high == pytest.approx(np.abs(kernel).max())
    shown = np.ma.filled(image.get_array(), np.nan)  # 2 rows of 8 tiles, 36×24 blocks with gaps of 5
    assert shown.shape == (2 * 36 + 5, 8 * 24 + 7 * 5)
    np.testing.assert_allclose(shown[6:36:12, 6:24:12], kernel[:, :, 0, 0])
    np.testing.assert_allclose(shown[41 + 6 :: 12, 29 + 6 : 29 + 24 : 12], kernel[:, :, 0, 9])
    assert np.isnan(shown[41:, 2 * 29 :]).all()
    drawn(figure)


def test_colour_filters_are_pictures_with_0_as_mid_grey(rng):
    kernel = rng.normal(size=(3, 3, 3, 4))
    kernel[1, 1, :, 2] = 0.0
    figure = plotting.filters(kernel)
    (image,) = figure.axes[0].get_images()
    shown = np.ma.filled(image.get_array(), np.nan)
    assert shown.shape == (36, 4 * 36 + 3 * 5, 3)
    np.testing.assert_allclose(shown[18, 2 * 41 + 18], 0.5)
    np.testing.assert_allclose(shown[6:36:12, 6:36:12], 0.5 + 0.5 * kernel[:, :, :, 0] / np.abs(kernel).max())
    drawn(figure)


def test_filters_of_zeros_are_drawn():
    drawn(plotting.filters(np.zeros((3, 3, 1, 2))))


@pytest.mark.parametrize("shape", [(3, 3, 32, 64), (3, 3, 8), (3, 3, 2, 8)])
def test_filters_that_cannot_be_drawn_are_refused(shape):
    with pytest.raises(ValueError, match="first layer"):
        plotting.filters(np.zeros(shape))


def test_feature_maps_have_a_panel_for_the_image_and_one_for_each_layer(rng):
    maps = {"conv2d": rng.random((8, 6, 20)), "conv2d_1": rng.random((4, 3, 40))}
    figure = plotting.feature_maps(maps, image=rng.random((8, 6, 1)), title="net_2")
    assert [axes.get_title() for axes in figure.axes] == [
        "the image",
        "conv2d: 20 maps of 8×6",
        "conv2d_1: 32 of 40 maps of 4×3",
    ]
    first = np.ma.filled(figure.axes[1].get_images()[0].get_array(), np.nan)
    assert first.shape == (2 * 8 + 1, 16 * 6 + 15)
    np.testing.assert_array_equal(first[:8, 7:13], maps["conv2d"][:, :, 1])
    np.testing.assert_array_equal(first[9:, :6], maps["conv2d"][:, :, 16])
    drawn(figure)
    assert all(axes.get_window_extent().width > 0.9 * figure.bbox.width for axes in figure.axes[1:])


def test_feature_maps_of_a_dead_layer_are_drawn():
    drawn(plotting.feature_maps({"conv2d": np.zeros((5, 4, 3))}))


@pytest.mark.parametrize("maps", [{}, {"dense": np.zeros(128)}, {"conv2d": np.zeros((1, 5, 4, 3))}])
def test_outputs_that_are_not_maps_are_refused(maps):
    with pytest.raises(ValueError, match=r"\(H, W, C\)"):
        plotting.feature_maps(maps)


def test_confusion_matrix_counts_rows_as_truth_and_columns_as_answers():
    figure = plotting.confusion_matrix([0, 0, 0, 1, 1, 2], [0, 2, 2, 1, 0, 2], NAMES)
    axes = figure.axes[0]
    counts = {(text.get_position()[1], text.get_position()[0]): text.get_text() for text in axes.texts}
    assert counts == {(0, 0): "1", (0, 2): "2", (1, 1): "1", (1, 0): "1", (2, 2): "1"}
    assert texts(axes.get_xticklabels()) == texts(axes.get_yticklabels()) == NAMES
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
    assert figure.get_suptitle() == "accuracy 0.500: 3 of 6 images"
    share = np.square(axes.get_images()[0].get_array())
    np.testing.assert_allclose(share, [[1 / 3, 0, 2 / 3], [1 / 2, 1 / 2, 0], [0, 0, 1]])
    drawn(figure)


def test_confusion_matrix_leaves_the_row_of_an_absent_class_empty():
    figure = plotting.confusion_matrix(np.array([[0], [1]]), [0, 1], NAMES)
    assert not figure.axes[0].get_images()[0].get_array()[2].any()


@pytest.mark.parametrize(
    ("y_true", "y_pred", "reason"),
    [
        ([0, 1], [0], "got 1 predictions for 2 labels"),
        ([], [], "got 0 predictions for 0 labels"),
        ([0, 3], [0, 1], r"expected classes 0\.\.2 in y_true, got 3"),
        ([0, 1], [0, -1], "in y_pred, got -1"),
    ],
)
def test_a_confusion_matrix_of_wrong_labels_is_refused(y_true, y_pred, reason):
    with pytest.raises(ValueError, match=reason):
        plotting.confusion_matrix(y_true, y_pred, NAMES)


def test_confident_mistakes_are_the_wrong_answers_the_most_confident_first(rng):
    images = rng.integers(0, 256, (5, 6, 4), dtype=np.uint8)
    p = np.array([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.05, 0.0, 0.95], [0.0, 0.4, 0.6], [0.8, 0.1, 0.1]])
    figure = plotting.confident_mistakes(images, [0, 0, 1, 1, 1], p, NAMES, count=3)
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in panels] == ["predicted owl 0.95", "predicted cat 0.80", "predicted dog 0.70"]
    assert [axes.get_xlabel() for axes in panels] == ["true dog 0.00", "true dog 0.10", "true cat 0.20"]
    np.testing.assert_allclose(panels[0].get_images()[0].get_array(), images[2] / 255)
    assert figure.get_suptitle() == "the 3 most confident of 4 mistakes"
    drawn(figure)


def test_seven_mistakes_leave_the_rest_of_the_second_row_empty():
    figure = plotting.confident_mistakes(np.zeros((7, 4, 4)), [0] * 7, np.eye(3)[[1] * 7], NAMES)
    assert sum(axes.get_visible() for axes in figure.axes) == 7
    assert figure.get_suptitle() == "all 7 mistakes"


def test_without_a_mistake_the_picture_says_so():
    figure = plotting.confident_mistakes(np.zeros((2, 4, 4)), [0, 1], np.eye(3)[:2], NAMES)
    assert texts(figure.axes[0].texts) == ["no mistake among 2 images"]


def test_confident_mistakes_of_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="3 images, 2 labels, 2 rows"):
        plotting.confident_mistakes(np.zeros((3, 4, 4)), [0, 1], np.eye(3)[:2], NAMES)
    with pytest.raises(ValueError, match="expected at least 3 names for 3 classes, got 2"):
        plotting.confident_mistakes(np.zeros((2, 4, 4)), [0, 1], np.eye(3)[:2], NAMES[:2])


@pytest.mark.parametrize("K", [2, 10, 15, 25])
@pytest.mark.parametrize("length", [1, 10, 25])
def test_a_confusion_matrix_keeps_class_names_of_any_length_inside_the_picture(K, length):
    names = [chr(ord("a") + k) * length for k in range(K)]
    figure = plotting.confusion_matrix(range(K), range(K), names)
    drawn(figure)
    axes = figure.axes[0]
    label = axes.yaxis.label.get_window_extent()
    assert label.x1 <= min(text.get_window_extent().x0 for text in axes.get_yticklabels())
    assert axes.get_window_extent().width > 0.4 * figure.bbox.width


@pytest.mark.parametrize("length", [1, 10, 25])
def test_sheets_and_predictions_keep_class_names_of_any_length_inside_the_picture(length, rng):
    names = [letter * length for letter in "abcde"]
    drawn(plotting.image_sheet(rng.random((9, 6, 6, 3)), np.arange(9) % 5, names))
    drawn(plotting.prediction(rng.random((6, 6, 3)), [0.0, 0.0, 0.0, 0.0, 1.0], names))
    drawn(plotting.confident_mistakes(rng.random((5, 6, 6)), range(5), np.roll(np.eye(5), 1, axis=1), names))


def test_long_class_names_do_not_run_into_each_other():
    names = ["an automobile", "a refrigerator", "the third name"]
    p = np.roll(np.eye(3), 1, axis=1)
    figure = plotting.confident_mistakes(np.zeros((3, 9, 7)), [0, 1, 2], p, names)
    drawn(figure)
    boxes = [text.get_window_extent() for axes in figure.axes for text in (axes.title, axes.xaxis.label)]
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])


def test_image_sheet_gives_each_class_a_row(rng):
    images = rng.random((7, 5, 4, 3))
    figure = plotting.image_sheet(images, [2, 0, 2, 0, 0, 0, 2], NAMES, columns=3)
    axes = figure.axes[0]
    assert texts(axes.get_yticklabels()) == NAMES
    sheet = axes.get_images()[0].get_array()
    assert sheet.shape == (3 * 5 + 2 * 2, 3 * 4 + 2 * 2, 3)
    np.testing.assert_allclose(sheet[:5, 6:10], images[3])  # the second image of class 0
    np.testing.assert_allclose(sheet[7:12], 1.0)  # class 1 has none
    np.testing.assert_allclose(sheet[14:, 12:], images[6])
    drawn(figure)


def test_an_image_sheet_needs_a_label_and_a_name_for_each_image():
    with pytest.raises(ValueError, match="got 1 labels for 2 images"):
        plotting.image_sheet(np.zeros((2, 4, 4)), [0], NAMES)
    with pytest.raises(ValueError, match="expected at least 4 names for 4 classes, got 3"):
        plotting.image_sheet(np.zeros((2, 4, 4)), [0, 3], NAMES)


def test_prediction_draws_a_bar_of_each_probability(rng):
    image = rng.random((6, 5, 1))
    figure = plotting.prediction(image, [0.125, 0.8125, 0.0625], NAMES, title="mine.png")
    left, right = figure.axes
    np.testing.assert_allclose(left.get_images()[0].get_array(), image[:, :, 0])
    assert [bar.get_width() for bar in right.patches] == [0.125, 0.8125, 0.0625]
    assert texts(right.get_yticklabels()) == NAMES
    assert texts(right.texts) == ["12.5 %", "81.2 %", "6.2 %"]
    assert right.get_title() == "dog: 81.2 %"
    drawn(figure)


@pytest.mark.parametrize("probabilities", [[], [[0.5, 0.5]]])
def test_a_prediction_of_several_images_is_refused(probabilities):
    with pytest.raises(ValueError, match=r"\(K,\)"):
        plotting.prediction(np.zeros((4, 4)), probabilities, NAMES)


def test_bytes_and_floats_are_the_same_picture(rng):
    image = rng.integers(0, 256, (4, 3, 3), dtype=np.uint8)
    np.testing.assert_allclose(as_picture(image), as_picture((image / 255).astype(np.float32)), atol=1e-7)


def test_a_standardized_image_is_stretched_to_what_can_be_drawn():
    np.testing.assert_allclose(as_picture(np.array([[-1.0, 0.0], [1.0, 3.0]])), [[0.0, 0.25], [0.5, 1.0]])


@pytest.mark.parametrize("image", [np.zeros((4, 4, 2)), np.zeros(4), np.full((2, 2), np.nan)])
def test_an_array_that_is_not_an_image_is_refused(image):
    with pytest.raises(ValueError, match="expected an image of"):
        as_picture(image)


@pytest.mark.parametrize(
    ("ending", "magic"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".SVG", b"<?xml"), ("", b"\x89PNG")]
)
def test_the_suffix_of_path_chooses_the_format(tmp_path, ending, magic):
    path = tmp_path / f"picture{ending}"
    plotting.history(HISTORY, path=path)
    assert path.read_bytes().startswith(magic)
    assert list(tmp_path.iterdir()) == [path]


def test_an_unknown_suffix_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match=r"pdf, .*png.*, got '\.xyz'"):
        plotting.history(HISTORY, path=tmp_path / "picture.xyz")
    assert not list(tmp_path.iterdir())


def test_a_picture_that_cannot_be_finished_leaves_the_old_one(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    path = tmp_path / "picture.png"
    path.write_bytes(b"old")

    def break_off(self, target, **options):
        target.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Figure, "savefig", break_off)
    with pytest.raises(OSError, match="disk full"):
        plotting.history(HISTORY, path=path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_picture_written_is_the_picture_returned(tmp_path):
    from matplotlib.image import imread

    figure = plotting.prediction(np.zeros((6, 6)), [0.5, 0.25, 0.25], NAMES, path=tmp_path / "a.png")
    np.testing.assert_allclose(imread(tmp_path / "a.png") * 255, drawn(figure), atol=0.51)


def test_compared_lines_are_means_over_the_seeds_and_bands_reach_from_the_lowest_to_the_highest():
    runs = {"max": [[0.2, 0.4, 0.9], [0.4, 0.8]], "none": [[0.1, 0.2]]}
    figure = plotting.compare({"stride 1": runs, "stride 2": {"none": [[0.3]]}}, ylabel="accuracy")
    drawn(figure)
    left, right = figure.axes
    lines = {line.get_label(): line for line in left.get_lines()}
    np.testing.assert_allclose(lines["max"].get_ydata(), [0.3, 0.6, 0.9])  # one seed ended after two epochs
    (band,) = left.collections  # one seed has no spread
    edges = band.get_paths()[0].vertices
    assert [edges[edges[:, 0] == epoch, 1].min() for epoch in (1, 2, 3)] == [0.2, 0.4, 0.9]
    assert [edges[edges[:, 0] == epoch, 1].max() for epoch in (1, 2)] == [0.4, 0.8]
    assert lines["none"].get_color() == right.get_lines()[0].get_color() != lines["max"].get_color()
    assert left.get_ylim() == right.get_ylim()
    assert texts(figure.legends[0].get_texts()) == ["max", "none"]


def test_nothing_to_compare_is_refused():
    with pytest.raises(ValueError, match="expected at least one series"):
        plotting.compare({"stride 1": {"max": [[]], "none": []}})


def test_values_over_rates_have_a_logarithmic_axis_and_a_ring_at_the_default():
    lines = {"adam": {0.01: 0.5, 0.001: 0.7}, "adadelta": {1.0: 0.6}}
    figure = plotting.over_rates(lines, defaults={"adam": 0.001, "adadelta": 0.001}, ylabel="accuracy")
    drawn(figure)
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    adam, ring, adadelta, _ = axes.get_lines()
    assert (list(adam.get_xdata()), list(adam.get_ydata())) == ([0.001, 0.01], [0.7, 0.5])
    assert (list(ring.get_xdata()), list(ring.get_ydata())) == ([0.001], [0.7])
    assert list(adadelta.get_xdata()) == [1.0]  # its default was not tried, so nothing is ringed


def test_early_stopping_marks_each_stop_once_and_the_restored_epochs():
    figure = plotting.early_stopping({"net_1": HISTORY}, {"net_1": {1: (4, 3), 2: (4, 3)}})
    drawn(figure)
    for axes, panel in zip(figure.axes, ("loss", "accuracy"), strict=True):
        by_name = {line.get_label(): line for line in axes.get_lines()}
        assert list(by_name["weights restored"].get_xdata()) == [3, 3]
        stop = by_name["stopped, with this patience"]
        assert (list(stop.get_xdata()), list(stop.get_ydata())) == ([4], [HISTORY[f"val_{panel}"][3]])
        assert texts(axes.texts) == ["1, 2"]
    assert len(figure.legends[0].get_texts()) == 4


# -- the graph of a model ---------------------------------------------------------------------------------------------


def block(x, filters, strides=1):
    """A residual block, with a convolution on the short way if it changes the shape."""
    y = Conv2D(filters, 3, strides=strides, padding="same", activation="relu")(x)
    y = Conv2D(filters, 3, padding="same")(y)
    return ReLU()(Add()([y, Conv2D(filters, 1, strides=strides)(x) if strides > 1 else x]))


def residual():
    x = Input(shape=(8, 8, 3))
    y = block(block(Conv2D(4, 3, padding="same", activation="relu", name="first")(x), 4), 6, strides=2)
    return Model(x, Dense(3, activation="softmax")(GlobalAveragePooling2D()(y)))


def branches():
    x = Input(shape=(8, 8, 3))
    y = Concatenate()([Conv2D(2, 1)(x), Conv2D(2, 3, padding="same")(Conv2D(2, 1)(x)), MaxPooling2D(3, 1, "same")(x), x])
    return Model(x, Dense(3)(Flatten()(y)))


def stack():
    x = y = Input(shape=(8, 8, 3))
    for _ in range(18):
        y = Conv2D(2, 3, padding="same", activation="relu")(y)
    return Model(x, Dense(3)(Flatten()(y)))


MODELS = {"net_1": lambda: net_1((28, 28, 1), 10), "residual": residual, "branches": branches, "stack": stack}


def curve(pieces, steps=12):
    """Return points (x, y) on an arrow, from the formula of a cubic Bézier curve with vertical ends."""
    points = []
    t = np.linspace(0, 1, steps)
    for (x0, top, start), (x1, end, bottom) in pairwise(pieces):
        x = x0 + (x1 - x0) * (3 * t**2 - 2 * t**3)
        y = start * (1 - t) ** 3 + 1.5 * (start + end) * t * (1 - t) + end * t**3
        points += [(x0, top), *zip(x, y, strict=True), (x1, bottom)]
    return points


@st.composite
def graphs(draw):
    count = draw(st.integers(1, 14))
    parents = [[]] + [sorted(draw(st.sets(st.integers(0, box - 1), min_size=1, max_size=3))) for box in range(1, count)]
    sizes = st.lists(st.floats(0.3, 3.0), min_size=count, max_size=count)
    return parents, draw(sizes), draw(sizes)


@given(graph=graphs())
def test_boxes_do_not_overlap_and_no_arrow_runs_through_a_box(graph):
    parents, widths, heights = graph
    x, y, arrows = layout(parents, widths, heights)
    half = np.array([widths, heights]) / 2
    for i in range(len(x)):
        for j in range(i):
            assert abs(x[i] - x[j]) >= half[0, i] + half[0, j] + 0.1 or abs(y[i] - y[j]) >= half[1, i] + half[1, j] + 0.1
    assert [(a, b) for a, b, _ in arrows] == [(parent, box) for box, read in enumerate(parents) for parent in read]
    for a, b, pieces in arrows:
        assert pieces[0][:2] == pytest.approx((x[a], y[a] + half[1, a]))        # it leaves at the middle below
        assert pieces[-1][2] == pytest.approx(y[b] - half[1, b])                # and enters from above
        assert abs(pieces[-1][0] - x[b]) <= half[0, b]
        assert y[a] < y[b]
        for px, py in curve(pieces):
            through = (abs(px - x) < half[0] - 1e-9) & (abs(py - y) < half[1] - 1e-9)
            assert not through.any()


@given(
    wanted=st.lists(st.floats(-10, 10), min_size=1, max_size=8),
    seed=st.integers(0, 2**32 - 1),
)
def test_places_are_the_nearest_that_keep_their_distances(wanted, seed):
    rng = np.random.default_rng(seed)
    weights, apart = rng.uniform(0.1, 5, len(wanted)), rng.uniform(0, 3, len(wanted) - 1)
    places = spaced(wanted, weights, apart)
    assert (np.diff(places) >= apart - 1e-9).all()
    cost = np.sum(weights * (places - wanted) ** 2)
    for _ in range(50):         # no other permitted places are nearer
        other = places + rng.standard_normal(len(places)) * rng.choice([1e-3, 0.1, 1])
        other[1:] += np.cumsum(np.maximum(0, apart - np.diff(other)))
        if (np.diff(other) >= apart - 1e-9).all():
            assert np.sum(weights * (other - wanted) ** 2) >= cost - 1e-6


def test_a_chain_is_straight_also_where_an_arrow_passes_it():
    parents = [[], [0], [1], [2, 0], [3], [4]]
    x, y, _ = layout(parents, [1.0, 2.0, 1.5, 1.0, 2.0, 1.0], [0.5] * 6)
    np.testing.assert_allclose(x, x[0], atol=0.02)
    assert (np.diff(y) > 0.5).all()


def test_two_equal_branches_are_symmetrical():
    x, y, _ = layout([[], [0], [0], [1, 2]], [1.0] * 4, [0.5] * 4)
    assert x[0] == pytest.approx(x[3])
    assert x[0] - x[1] == pytest.approx(x[2] - x[0])
    assert y[1] == y[2]


def test_arrows_of_one_output_share_their_way():
    _, _, arrows = layout([[], [0], [1], [2, 0], [3, 0]], [1.0] * 5, [0.5] * 5)
    ways = {(a, b): pieces for a, b, pieces in arrows}
    assert ways[0, 4][:3] == ways[0, 3][:3]


@pytest.mark.parametrize("rankdir", ["TB", "LR"])
@pytest.mark.parametrize("name", MODELS)
def test_plot_model_draws_each_layer_once_and_an_arrow_for_each_input(name, rankdir):
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    model = MODELS[name]()
    figure = plotting.plot_model(model, None, show_layer_names=True, show_shapes=True, rankdir=rankdir, dpi=50)
    drawn(figure)
    (axes,) = figure.axes
    titles = [text for text in texts(axes.texts) if text.endswith(")") and ": " not in text]
    assert sorted(titles) == sorted(f"{layer.name} ({type(layer).__name__})" for layer in model.layers)
    by_argument = [layer.activation for layer in model.layers if layer.activation is not None]
    inputs = sum(len(node.parents) for node in model.nodes) - len(by_argument)
    assert sum(isinstance(patch, FancyArrowPatch) for patch in axes.patches) == inputs
    boxes = [patch for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
    assert len(boxes) == len(model.layers)
    for text in axes.texts:     # within its box
        place = text.get_window_extent().transformed(axes.transData.inverted())
        assert any(
            box.get_x() <= place.x0 and place.x1 <= box.get_x() + box.get_width() and box.get_y() <= min(place.y0, place.y1)
            and max(place.y0, place.y1) <= box.get_y() + box.get_height() for box in boxes
        ), text.get_text()


def test_plot_model_writes_the_rows_that_are_asked_for():
    model = residual()

    def rows(**shown):
        return texts(plotting.plot_model(model, None, **shown).axes[0].texts)

    assert rows()[:3] == ["InputLayer", "Conv2D", "relu"]
    assert "relu" not in rows(show_layer_activations=False)
    assert rows(show_layer_names=True)[1] == "first (Conv2D)"
    shapes = rows(show_shapes=True)
    assert shapes[:2] == ["InputLayer", "output: (None, 8, 8, 3)"]
    assert shapes[2:6] == ["Conv2D", "relu", "input: (None, 8, 8, 3)", "output: (None, 8, 8, 4)"]
    assert "input: 2 × (None, 8, 8, 4)" in shapes
    assert rows(show_dtype=True)[1] == "dtype: float32"
    assert rows(show_trainable=True)[:4] == ["InputLayer", "Conv2D", "relu", "trainable: True"]


def test_plot_model_writes_names_as_they_are_and_shortens_long_ones():
    x = Input(shape=(3,))
    model = Model(x, Dense(2, name="$y" + "z" * 100)(Dense(2, name="$x_1$ \n end")(x)))
    figure = plotting.plot_model(model, None, show_layer_names=True)
    drawn(figure)
    assert texts(figure.axes[0].texts)[1:] == ["$x_1$ end (Dense)", "$y" + "z" * 58 + "…"]


def test_plot_model_writes_a_whole_file_or_none(tmp_path, monkeypatch):
    model = residual()
    monkeypatch.chdir(tmp_path)
    plotting.plot_model(model)
    assert (tmp_path / "model.png").read_bytes().startswith(b"\x89PNG")
    plotting.plot_model(model, tmp_path / "deep" / "model.svg", rankdir="LR")
    assert "</svg>" in (tmp_path / "deep" / "model.svg").read_text()[-20:]
    with pytest.raises(ValueError, match="expected a name ending in one of"):
        plotting.plot_model(model, tmp_path / "model.h5")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "model.png"]


def test_the_picture_of_a_very_deep_model_has_no_more_pixels_than_can_be_drawn():
    figure = plotting.plot_model(stack(), None, dpi=100_000)
    assert max(figure.get_size_inches()) * figure.dpi <= 60_001


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rankdir": "BT"}, "rankdir: expected one of 'TB', 'LR'"),
        ({"dpi": 0}, "dpi: expected an integer"),
        ({"show_shapes": "yes"}, "show_shapes: expected True or False"),
        ({"model": Dense(3)}, "plot_model: expected a model with layers, got a Dense that has none"),
    ],
)
def test_plot_model_refuses_wrong_arguments_before_it_draws(settings, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        plotting.plot_model(**{"model": branches(), "to_file": tmp_path / "model.png", **settings})
    assert not list(tmp_path.iterdir())


def test_variations_are_drawn_next_to_their_image_row_by_row(rng):
    image, varied = rng.random((6, 5, 3)), rng.random((7, 4, 5, 3))
    figure = plotting.variations(image, varied, columns=3)
    drawn(figure)
    left, right = figure.axes
    np.testing.assert_allclose(left.images[0].get_array(), as_picture(image))
    picture = np.asarray(right.images[0].get_array())
    assert picture.shape == (3 * 4 + 2, 3 * 5 + 2, 3)
    for n, each in enumerate(varied):
        top, start = n // 3 * 5, n % 3 * 6
        np.testing.assert_allclose(picture[top : top + 4, start : start + 5], as_picture(each))
    assert right.get_title() == "7 variations"


def test_no_variation_is_refused():
    with pytest.raises(ValueError, match="variations: expected at least one variation"):
        plotting.variations(np.zeros((4, 4)), np.zeros((0, 4, 4)))
