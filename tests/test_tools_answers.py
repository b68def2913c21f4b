"""`scratchnet evaluate` and `scratchnet predict`: a trained network's answers, and wrong arguments."""

import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from small_runs import refused, train, write_bars

import scratchnet
from scratchnet import cli

pytestmark = pytest.mark.compiled  # training in plain Python would take minutes


@pytest.fixture(scope="module")
def bars(tmp_path_factory):
    return write_bars(tmp_path_factory.mktemp("data") / "bars")


@pytest.fixture(scope="module")
def trained(bars, tmp_path_factory):
    """A finished run folder, made once; tests only read it."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    words = ["train", "--data", str(bars), "--epochs", "3", "--batch-size", "8", "--learning-rate", "0.003"]
    assert cli.main([*words, "--seed", "3", "--out", str(folder)]) == 0
    return folder


def test_evaluate_repeats_the_accuracy_of_the_run_and_lists_each_class(trained, capsys):
    assert cli.main(["evaluate", str(trained)]) == 0
    printed = capsys.readouterr().out
    result = json.loads((trained / "settings.json").read_text())["result"]
    assert f"bars: loss {result['val_loss']:.4f}, accuracy {result['val_accuracy']:.4f} (24 test images)" in printed
    rows = printed[printed.index("class ") :].splitlines()[1:]
    assert len(rows) == 4
    right = sum(int(row.split()[1]) * float(row.split()[2]) for row in rows)
    assert right / 24 == pytest.approx(result["val_accuracy"], abs=1e-3)


def test_evaluate_accepts_a_model_file_and_a_limit(trained, capsys):
    assert cli.main(["evaluate", str(trained / "model.npz"), "--limit", "6"]) == 0
    assert "(6 test images)" in capsys.readouterr().out


def test_evaluate_finds_the_data_from_another_working_folder(bars, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(bars.parent)
    assert train("bars", tmp_path / "run", "--limit", "8") == 0
    monkeypatch.chdir(tmp_path)
    assert cli.main(["evaluate", "run"]) == 0


def test_evaluate_requires_data_for_a_model_without_settings(trained, bars, tmp_path, capsys):
    alone = tmp_path / "model.npz"
    alone.write_bytes((trained / "model.npz").read_bytes())
    assert "--data" in refused(capsys, 1, "evaluate", alone)
    assert cli.main(["evaluate", str(alone), "--data", str(bars)]) == 0


def test_evaluate_refuses_images_of_another_size(trained, tmp_path, capsys):
    other = write_bars(tmp_path / "other", shape=(12, 7))
    line = refused(capsys, 1, "evaluate", trained, "--data", other)
    assert "9×7×1" in line
    assert "12×7×1" in line


def test_evaluate_refuses_more_classes_than_the_network_has(trained, tmp_path, capsys):
    other = write_bars(tmp_path / "other", classes=5)
    assert "at most 4 classes, got 5 from other" in refused(capsys, 1, "evaluate", trained, "--data", other)


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_a_model_without_softmax_gives_the_same_answers_as_with_softmax(command, bars, bar_picture, tmp_path, capsys):
    words = [str(bar_picture)] if command == "predict" else ["--data", str(bars)]
    answers = []
    for end in (None, "softmax"):
        layers = [scratchnet.Input((9, 7, 1)), scratchnet.Flatten(), scratchnet.Dense(4, activation=end)]
        scratchnet.Sequential(layers, seed=2).save(tmp_path / "model.npz")
        assert cli.main([command, str(tmp_path / "model.npz"), *words]) == 0
        answers.append(capsys.readouterr().out)
    assert answers[0] == answers[1]


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_a_run_that_does_not_exist_or_has_no_model_is_refused(command, tmp_path, capsys):
    words = [tmp_path / "a.png"] if command == "predict" else []
    assert "does not exist" in refused(capsys, 1, command, tmp_path / "nowhere", *words)
    assert "a folder without model.npz" in refused(capsys, 1, command, tmp_path, *words)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04" + b"\0" * 60])
def test_a_damaged_model_is_refused_in_one_line(tmp_path, capsys, content):
    (tmp_path / "model.npz").write_bytes(content)
    assert "model.npz" in refused(capsys, 1, "evaluate", tmp_path, "--data", "glyphs")


@pytest.fixture
def bar_picture(tmp_path):
    """A dark-on-light picture of class 1 in the network's input size."""
    from matplotlib.image import imsave

    paper = np.ones((9, 7))
    paper[2] = 0.0
    imsave(tmp_path / "bar.png", paper, cmap="gray", vmin=0, vmax=1)
    return tmp_path / "bar.png"


def test_predict_names_the_class_and_three_probabilities_and_draws(trained, bar_picture, tmp_path, capsys):
    assert cli.main(["predict", str(trained), str(bar_picture), "--out", str(tmp_path / "out")]) == 0
    line, decision = capsys.readouterr().out.splitlines()
    assert decision.strip() == "unchanged, since it fills the input of the network"
    drawing = tmp_path / "out" / "bar-prediction.png"
    chance = r"(\w+): ([\d.]+) %"
    match = re.fullmatch(rf"(.*): (\w+) \({chance}, {chance}, {chance}\); drawn in (.*)", line)
    assert match, line
    assert match[1] == str(bar_picture)
    assert match[2] == match[3] == "1"
    chances = [float(match[i]) for i in (4, 6, 8)]
    assert chances == sorted(chances, reverse=True)
    assert match[9] == str(drawing)
    assert drawing.read_bytes().startswith(b"\x89PNG")


def test_predict_draws_the_pixels_that_it_classifies(trained, bar_picture, monkeypatch, tmp_path, capsys):
    shown = []
    prediction = scratchnet.plotting.prediction
    monkeypatch.setattr(
        scratchnet.plotting, "prediction", lambda *args, **options: shown.append(args) or prediction(*args, **options)
    )
    assert cli.main(["predict", str(trained), str(bar_picture), "--out", str(tmp_path / "out")]) == 0
    ((seen, p, _),) = shown
    np.testing.assert_array_equal(np.flatnonzero(seen[:, :, 0].any(axis=1)), [2])
    model = scratchnet.load_model(trained / "model.npz")
    np.testing.assert_allclose(model.predict(seen[None])[0], p, rtol=1e-5)


def test_predict_draws_beside_the_model_by_default(trained, bar_picture, tmp_path, capsys):
    run = tmp_path / "run"
    run.mkdir()
    for name in ("model.npz", "settings.json"):
        (run / name).write_bytes((trained / name).read_bytes())
    assert cli.main(["predict", str(run), str(bar_picture), str(bar_picture)]) == 0
    drawings = {path.name for path in (run / "predictions").iterdir()}
    assert drawings == {"bar-prediction.png", "bar-prediction-2.png"}


def test_predict_numbers_the_classes_of_a_model_without_settings(trained, bar_picture, tmp_path, capsys):
    (tmp_path / "alone.npz").write_bytes((trained / "model.npz").read_bytes())
    assert cli.main(["predict", str(tmp_path / "alone.npz"), str(bar_picture)]) == 0
    assert ": 1 (1: " in capsys.readouterr().out
    assert (tmp_path / "predictions" / "bar-prediction.png").exists()


def test_predict_refuses_a_bad_picture_by_name_before_any_is_drawn(trained, bar_picture, tmp_path, capsys):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    out = tmp_path / "out"
    assert "bad.png: expected a readable picture" in refused(
        capsys, 1, "predict", trained, bar_picture, tmp_path / "bad.png", "--out", out
    )
    assert "none.png: expected a picture file" in refused(capsys, 1, "predict", trained, tmp_path / "none.png", "--out", out)
    assert not out.exists()


def test_predict_refuses_a_blank_picture_by_name(trained, tmp_path, capsys):
    from matplotlib.image import imsave

    imsave(tmp_path / "blank.png", np.ones((40, 30)), cmap="gray", vmin=0, vmax=1)
    assert "blank.png: expected a dark drawing on light paper" in refused(capsys, 1, "predict", trained, tmp_path / "blank.png")


def test_predict_refuses_a_folder_of_pictures_and_a_file_for_the_drawings(trained, bar_picture, tmp_path, capsys):
    assert "got a folder. Name the pictures in it" in refused(capsys, 1, "predict", trained, tmp_path)
    assert "--out: expected a folder, got the file" in refused(capsys, 1, "predict", trained, bar_picture, "--out", bar_picture)
    new = tmp_path / "answer.png"
    assert "the name of a picture" in refused(capsys, 1, "predict", trained, bar_picture, "--out", new)
    assert not new.exists()
    with pytest.raises(SystemExit, match="2"):
        cli.main(["predict", str(trained), str(bar_picture), "--out", ""])


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file system that permits every name")
@pytest.mark.parametrize(
    "name",
    [b"caf\xe9.png", b"$x^{2$.png", b"$\\frac$.png", b"a\nb.png", b"--out.png", b" .png", b"\xf0\x9f\x98\x80 \xe6\xbc\xa2.png",
     b"a%sb{0}.png", b"x" * 230 + b".png"],
    ids=["no UTF-8", "dollars", "mathematics", "two lines", "option", "space", "no glyphs", "formats", "long"],
)  # fmt: skip
def test_a_picture_of_any_name_is_classified_and_drawn(name, trained, bar_picture, tmp_path, capsys, recwarn):
    picture = tmp_path / "pictures" / os.fsdecode(name)
    picture.parent.mkdir()
    picture.write_bytes(Path(bar_picture).read_bytes())
    assert cli.main(["predict", str(trained), str(picture), "--out", str(tmp_path / "drawings")]) == 0
    assert len([*(tmp_path / "drawings").iterdir()]) == 1
    assert not recwarn.list
