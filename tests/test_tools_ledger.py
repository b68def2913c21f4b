"""The ledger: parameters and multiply-adds are those counted by hand; the receptive field is found again by changing pixels."""

import numpy as np
import pytest

from scratchnet import AveragePooling2D, Conv2D, Dense, Flatten, Input, MaxPooling2D, Sequential, net_1, net_2
from scratchnet.tools.reproduce import experiments, ledger

# By hand. A convolution has KH·KW·C·F + F parameters and does OH·OW·F·(KH·KW·C) multiply-adds; a dense layer has
# D·units + units and does D·units.
HAND = {
    ("net_1", 28, 1): {
        "conv2d": (3 * 3 * 1 * 32 + 32, 28 * 28 * 32 * 9),
        "conv2d_1": (3 * 3 * 32 * 64 + 64, 28 * 28 * 64 * 9 * 32),
        "max_pooling2d": (0, 0),
        "flatten": (0, 0),
        "dense": (28 * 28 * 64 * 128 + 128, 28 * 28 * 64 * 128),
        "dense_1": (128 * 10 + 10, 128 * 10),
    },
    ("net_2", 28, 1): {
        "conv2d": (3 * 3 * 1 * 32 + 32, 28 * 28 * 32 * 9),
        "conv2d_1": (3 * 3 * 32 * 64 + 64, 14 * 14 * 64 * 9 * 32),
        "flatten": (0, 0),
        "dense": (14 * 14 * 64 * 128 + 128, 14 * 14 * 64 * 128),
        "dense_1": (128 * 10 + 10, 128 * 10),
    },
    ("net_2", 32, 3): {
        "conv2d": (3 * 3 * 3 * 32 + 32, 32 * 32 * 32 * 27),
        "conv2d_1": (3 * 3 * 32 * 64 + 64, 16 * 16 * 64 * 9 * 32),
        "flatten": (0, 0),
        "dense": (16 * 16 * 64 * 128 + 128, 16 * 16 * 64 * 128),
        "dense_1": (128 * 10 + 10, 128 * 10),
    },
}
TOTALS = {
    ("net_1", 28, 1): (6_442_762, 21_100_288),
    ("net_2", 28, 1): (1_625_866, 5_445_376),
    ("net_2", 32, 3): (2_117_962, 7_701_760),
}


@pytest.mark.parametrize("which", HAND, ids=str)
def test_parameters_and_multiply_adds_are_those_computed_by_hand(which):
    name, size, C = which
    rows = ledger.count({"net_1": net_1, "net_2": net_2}[name]((size, size, C), 10, seed=0))
    assert {row["layer"]: (row["parameters"], row["forward_madds"]) for row in rows} == HAND[which]
    assert tuple(sum(row[key] for row in rows) for key in ("parameters", "forward_madds")) == TOTALS[which]


def test_backward_costs_twice_forward_except_in_the_first_layer_whose_input_needs_no_gradient():
    rows = ledger.count(net_2((28, 28, 1), 10, seed=0))
    assert rows[0]["backward_madds"] == rows[0]["forward_madds"]
    assert all(row["backward_madds"] == 2 * row["forward_madds"] for row in rows[1:])


def test_one_dense_layer_of_net_1_has_almost_all_weights_and_the_second_convolution_most_of_the_work():
    rows = ledger.count(net_1((28, 28, 1), 10, seed=0))
    row, share = ledger.heaviest(rows, "parameters")
    assert (row["layer"], round(share, 3)) == ("dense", 0.997)
    row, share = ledger.heaviest(rows, "forward_madds")
    assert (row["layer"], round(share, 3)) == ("conv2d_1", 0.685)


def looking_net(*layers):
    """Return a net of positive weights: no ReLU and no other number can hide that a pixel became larger."""
    model = Sequential([Input((13, 12, 1)), *layers, Flatten(), Dense(2)], seed=0, dtype="float64", implementation="im2col")
    for p in model.params.values():
        p[...] = np.abs(p) + 0.01
    return model


@pytest.mark.parametrize(
    "layers",
    [
        lambda: [Conv2D(2, 3, padding="same", activation="relu"), Conv2D(2, 3, padding="same"), MaxPooling2D(2, 1, "same")],
        lambda: [Conv2D(2, 3, padding="same", activation="relu"), Conv2D(2, 3, strides=2, padding="same", activation="relu")],
        lambda: [Conv2D(1, 3), MaxPooling2D(2), Conv2D(1, (2, 1))],
        lambda: [Conv2D(1, (2, 3), strides=(1, 2)), AveragePooling2D((3, 2), (2, 1)), Conv2D(1, (1, 2))],
        lambda: [Conv2D(2, (3, 2), strides=(2, 1), padding="same")],
    ],
    ids=["net_1", "net_2", "halving", "oblong", "one layer"],
)
def test_the_receptive_field_is_as_many_pixels_as_change_an_output(layers):
    model = looking_net(*layers())
    rows = ledger.count(model)
    x = np.random.default_rng(0).random((1, 13, 12, 1))
    before = model.layer_outputs(x)
    seen = {row["layer"]: np.zeros((*row["output_shape"], 13, 12), bool) for row in rows}
    for i in range(13):
        for j in range(12):
            touched = x.copy()
            touched[0, i, j, 0] += 100
            for name, value in model.layer_outputs(touched).items():
                if name in seen:
                    seen[name][..., i, j] = value[0] != before[name][0]
    for row in rows:
        # For each output, the rows and columns that it depends on; fewer at the edges, so the largest number counts.
        field = [seen[row["layer"]].any(axis=axis).sum(axis=-1).max() for axis in (-1, -2)]
        assert field == row["receptive_field"], row["layer"]


def test_an_array_that_two_layers_keep_is_counted_once():
    model = Sequential([Input((5,)), Dense(3), Dense(2, activation="softmax")], seed=0, dtype="float64")
    model.compile("sgd", "categorical_crossentropy")
    x = np.ones((4, 5))
    kept = ledger.kept(model, x)
    assert kept == {"dense_1": 4 * 3 * 8}  # dense keeps the images, which are the caller's; dense_1 keeps the output of dense
    assert all(node.layer.cache is None for node in model.nodes)


@pytest.mark.compiled
def test_times_are_measured_from_outside_and_leave_the_model_unchanged():
    model = net_2((9, 8, 1), 3, seed=0)
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    found = ledger.make(model, batch_size=4, repeats=3)
    parts = sum(row["forward_seconds"] + row["backward_seconds"] for row in found["rows"]) + found["update_seconds"]
    assert 0 < parts < 1.5 * found["step_seconds"]
    named = {row["layer"]: row for row in found["rows"]}
    assert all(named[name]["forward_seconds"] > 0 < named[name]["backward_seconds"] for name in ("conv2d", "conv2d_1", "dense"))
    assert all(not {"forward", "backward"} & vars(node.layer).keys() for node in model.nodes)
    assert "update" not in vars(model.optimizer)
    assert named["conv2d_1"]["cache_bytes"] > 0


@pytest.mark.compiled
def test_a_ledger_is_measured_once_and_a_damaged_one_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "SHAPES", {"glyphs": (6, 5, 1), "shapes": (5, 6, 3)})
    assert ledger.read(tmp_path) is None
    ledger.write(experiments.plan(quick=True), tmp_path)
    written = ledger.file(tmp_path).read_text()
    assert set(ledger.read(tmp_path)["nets"]) == {"net_1 glyphs", "net_2 glyphs", "net_1 shapes", "net_2 shapes"}
    ledger.write(experiments.plan(quick=True), tmp_path)
    assert ledger.file(tmp_path).read_text() == written
    ledger.file(tmp_path).write_text("{")
    with pytest.raises(ValueError, match="Remove it and run again"):
        ledger.read(tmp_path)
