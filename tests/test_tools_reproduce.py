"""`scratchnet reproduce`: what is trained, that it resumes to the same bits, and that nothing is trained twice or half written."""

import io
import json
import os

import numpy as np
import pytest
from small_runs import refused
from small_studies import made_up, tiny, tiny_images, write_all
from tqdm import tqdm

from scratchnet import cli, load_model, networks
from scratchnet.callbacks import Callback
from scratchnet.preprocessing import one_hot
from scratchnet.tools import run_folder
from scratchnet.tools.reproduce import campaign, experiments, ledger, numbers, results, trial
from scratchnet.tools.reproduce.experiments import CELLS, NET_1, NET_2, Experiment, Net, Plan

compiled = pytest.mark.compiled  # training in plain Python would take minutes


@pytest.fixture(autouse=True)
def tiny_data(monkeypatch):
    monkeypatch.setattr(trial, "images", tiny_images)


@pytest.fixture
def without_figures(monkeypatch):
    monkeypatch.setattr(trial.plotting, "history", lambda *args, **kwargs: None)


class Stop(Callback):
    """Interrupt the training after an epoch, and note the epochs that were trained."""

    def __init__(self, after=None):
        self.after, self.epochs = after, []

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(epoch)
        if epoch == self.after:
            raise KeyboardInterrupt


def same_bits(a, b):
    histories = ({key: values for key, values in result["history"].items() if key != "seconds"} for result in (a, b))
    return a["weights_sha256"] == b["weights_sha256"] and next(histories) == next(histories)


# -- the list ---------------------------------------------------------------------------------------------------------


def test_the_study_is_its_six_experiments():
    study = experiments.plan().groups["study"]
    assert [e.name for e in study] == [
        "net_1-mnist-adam",
        "net_2-mnist-adam",
        "net_1-cifar10-adam",
        "net_2-cifar10-adam",
        "net_2-cifar10-adadelta",
        "net_2-cifar10-adagrad",
    ]
    assert {(e.batch_size, e.epochs, e.limit, e.learning_rate) for e in study} == {(128, 16, None, None)}


@pytest.mark.parametrize("quick", [False, True])
def test_no_two_experiments_have_the_same_name(quick):
    plan = experiments.plan(quick)
    assert all(plan.experiments[e.name] == e for group in plan.groups.values() for e in group)


def test_the_quick_plan_has_the_same_experiments_on_few_images_that_need_no_download():
    full, quick = experiments.plan(), experiments.plan(quick=True)
    assert [len(group) for group in quick.groups.values()] == [len(group) for group in full.groups.values()]
    assert {e.data for e in quick.experiments.values()} == {"glyphs", "shapes"}
    assert {e.limit for e in quick.experiments.values()} == {640}
    assert max(e.epochs for e in quick.experiments.values()) == 2


@pytest.mark.parametrize(("net", "made"), [(NET_1, networks.net_1), (NET_2, networks.net_2)])
def test_a_net_built_from_stride_and_pool_is_the_studys_own(net, made):
    assert net.assemble((9, 8, 1), 3, 0).get_config() == made((9, 8, 1), 3, seed=0).get_config()


def test_pooling_alone_changes_no_parameter_and_halving_has_as_many_as_the_stride():
    count = {net: net.build((28, 28, 1), 10, 0).count_params() for net in (*CELLS, Net(1, "max", 2))}
    assert {count[net] for net in CELLS if net.stride == 1} == {6_442_762}
    assert {count[net] for net in CELLS if net.stride == 2} == {count[Net(1, "max", 2)]} == {1_625_866}


def test_groups_and_names_select_and_keep_the_plans_order():
    plan = experiments.plan()
    assert list(plan.select(["net_2-mnist-adam", "net_1-mnist-adam"])) == ["net_1-mnist-adam", "net_2-mnist-adam"]
    assert set(plan.select(["study"])) == {e.name for e in plan.groups["study"]}
    assert plan.select(None) == plan.experiments
    assert plan.select(["report", "ledger"]) == {}


def test_an_unknown_name_is_refused_with_the_list_before_anything_is_written(tmp_path, capsys):
    error = refused(capsys, 1, "reproduce", "--only", "study", "net_3-mnist-adam", "--out", tmp_path / "out")
    assert "'net_3-mnist-adam'" in error
    assert "Groups: study, pooling, rates, overfitting, preprocessing, order" in error
    assert "net_1-cifar10-adam" in error
    assert not (tmp_path / "out").exists()


def test_a_report_of_nothing_is_refused(tmp_path, capsys):
    assert "--only study" in refused(capsys, 1, "reproduce", "--only", "report", "--out", tmp_path)
    (tmp_path / "file").write_text("mine")
    assert "got the file" in refused(capsys, 1, "reproduce", "--only", "report", "--out", tmp_path / "file")


# -- one training -----------------------------------------------------------------------------------------------------


@compiled
@pytest.mark.parametrize("optimizer", ["adam", "adadelta"])
def test_an_interrupted_training_resumes_to_the_same_bits(optimizer, tmp_path, without_figures):
    experiment = tiny(optimizer)
    whole = trial.run(experiment, 1, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        trial.run(experiment, 1, tmp_path / "parts", [Stop(after=0)])
    assert not (tmp_path / "parts/histories").exists()
    seen = Stop()
    resumed = trial.run(experiment, 1, tmp_path / "parts", [seen])
    assert seen.epochs == [1, 2]
    assert same_bits(whole, resumed)
    assert len(resumed["history"]["seconds"]) == 3


@compiled
@pytest.mark.parametrize("history", ["of an epoch before", "missing"])
def test_the_model_says_which_epoch_is_finished_and_the_history_is_made_to_agree(history, tmp_path, monkeypatch, without_figures):
    whole = trial.run(tiny(), 0, tmp_path / "whole")
    write_history, written = run_folder.write_history, []

    def killed(folder, values):
        written.append(values)
        if len(written) == 2:
            raise KeyboardInterrupt  # the model of epoch 2 is written, the history is not
        write_history(folder, values)

    with monkeypatch.context() as patch:
        patch.setattr(run_folder, "write_history", killed)
        with pytest.raises(KeyboardInterrupt):
            trial.run(tiny(), 0, tmp_path / "parts")
    folder = trial.run_directory(tmp_path / "parts", tiny(), 0)
    assert len(json.loads((folder / "history.json").read_text())["loss"]) == 1
    if history == "missing":
        (folder / "history.json").unlink()
    seen = Stop()
    assert same_bits(whole, trial.run(tiny(), 0, tmp_path / "parts", [seen]))
    assert seen.epochs == [2]
    assert len(json.loads((folder / "history.json").read_text())["loss"]) == 3


@compiled
@pytest.mark.parametrize("change", ["other code", "damaged model", "no model", "no record"])
def test_a_training_that_cannot_be_resumed_starts_again(change, tmp_path, without_figures):
    whole = trial.run(tiny(), 0, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        trial.run(tiny(), 0, tmp_path / "parts", [Stop(after=1)])
    folder = trial.run_directory(tmp_path / "parts", tiny(), 0)
    if change == "other code":
        settings = json.loads((folder / "settings.json").read_text())
        settings["versions"]["source"] = "another"
        (folder / "settings.json").write_text(json.dumps(settings))
    elif change == "damaged model":
        content = (folder / "model.npz").read_bytes()
        (folder / "model.npz").write_bytes(content[: len(content) // 2])
    elif change == "no model":
        (folder / "model.npz").unlink()
    else:
        load_model(folder / "model.npz").save(folder / "model.npz")
    seen = Stop()
    assert same_bits(whole, trial.run(tiny(), 0, tmp_path / "parts", [seen]))
    assert seen.epochs == [0, 1, 2]


@compiled
def test_a_finished_training_is_never_run_again(tmp_path, monkeypatch, without_figures):
    first = trial.run(tiny(), 0, tmp_path)
    monkeypatch.setattr(trial, "images", lambda *args: pytest.fail("data was loaded for it"))
    assert trial.run(tiny(), 0, tmp_path) == first
    assert first == json.loads((tmp_path / "histories" / "net_2-mnist-adam-seed0.json").read_text())


@compiled
def test_a_finished_training_leaves_model_history_and_figure(tmp_path):
    trial.run(tiny(epochs=1), 0, tmp_path)
    folder = trial.run_directory(tmp_path, tiny(epochs=1), 0)
    assert {path.name for path in folder.iterdir()} == {"model.npz", "history.json", "history.csv", "history.png", "settings.json"}


@compiled
def test_a_result_that_cannot_be_written_leaves_no_part_of_it_and_is_written_next_time(tmp_path, monkeypatch, without_figures):
    replace = os.replace

    def refuse(source, target):
        if "histories" in str(target):
            raise OSError("no room")
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse)
        with pytest.raises(OSError, match="no room"):
            trial.run(tiny(), 0, tmp_path)
    assert list((tmp_path / "histories").iterdir()) == []
    seen = Stop()
    result = trial.run(tiny(), 0, tmp_path, [seen])
    assert seen.epochs == []  # all epochs were trained already
    assert same_bits(result, trial.run(tiny(), 0, tmp_path / "whole"))


@compiled
def test_a_rate_that_is_too_large_is_a_result_too(tmp_path, without_figures):
    result = trial.run(tiny("adagrad", learning_rate=1e30), 0, tmp_path)
    assert "not finite" in result["failure"] or "the loss is" in result["failure"]
    assert result["history"].get("loss", []) == []
    assert trial.run(tiny("adagrad", learning_rate=1e30), 0, tmp_path) == result


@compiled
def test_integer_labels_give_the_same_bits_as_one_hot_ones(tmp_path, without_figures):
    pair = [trial.run(tiny(labels=kind, note=kind), 0, tmp_path) for kind in ("one-hot", "integers")]
    assert same_bits(*pair)


@compiled
def test_shuffled_once_is_a_fit_of_shuffled_images_that_keep_their_order(tmp_path, without_figures):
    result = trial.run(tiny(shuffled="once"), 3, tmp_path)
    data = tiny_images()
    order = np.random.default_rng(3).permutation(len(data.x_train))
    model = tiny().net.build(data.x_train.shape[1:], 3, 3)
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    test = data.x_test, one_hot(data.y_test, 3)
    kept = model.fit(data.x_train[order], one_hot(data.y_train[order], 3), 20, 3, 0, shuffle=False, validation_data=test)
    assert all(result["history"][key] == values for key, values in kept.history.items())
    assert result["history"]["loss"] != trial.run(tiny(), 3, tmp_path)["history"]["loss"]


@compiled
def test_answers_in_a_result_count_every_test_image_once(tmp_path, without_figures):
    result = trial.run(tiny(), 0, tmp_path)
    assert sum(map(sum, result["answers"]["confusion"])) == result["test_images"] == 24
    wrong = result["answers"]["wrong"]
    assert 1 - wrong / 24 == pytest.approx(result["history"]["val_accuracy"][-1])
    assert len(result["answers"]["mistakes"]) == min(wrong, results.MISTAKES)


def test_a_result_with_other_settings_is_refused(tmp_path):
    results.write(results.path(tmp_path, "net_2-mnist-adam", 0), made_up(tiny(epochs=3), 0))
    assert results.finished(tmp_path, tiny(epochs=3), 0)
    with pytest.raises(ValueError, match=r"other settings.* choose another --out"):
        results.finished(tmp_path, tiny(epochs=4), 0)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "other"}'])
def test_a_damaged_result_is_refused_and_the_error_says_what_to_do(text, tmp_path):
    path = results.path(tmp_path, "net_2-mnist-adam", 0)
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(ValueError, match="Remove it and run again"):
        results.finished(tmp_path, tiny(), 0)


# -- all of them ------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_plan(monkeypatch):
    """Return a plan of two experiments, and a sweep of one rate besides the default."""
    study = [tiny(epochs=2), tiny("adadelta", epochs=2)]
    rates = [*study, tiny("adadelta", epochs=2, learning_rate=1.0)]
    groups = {"study": study, "rates": rates}
    plan = Plan(False, groups, frozenset([rates[-1].name]), {"rates": 2})
    monkeypatch.setattr(experiments, "plan", lambda quick: plan)
    monkeypatch.setattr("scratchnet.tools.reproduce.report.write", lambda plan, out: out / "index.md")
    monkeypatch.setattr(ledger, "write", lambda plan, out: None)
    return plan


@compiled
def test_the_command_trains_what_is_selected_once_for_each_seed_and_prints_progress(tmp_path, small_plan, capsys, without_figures):
    words = ["reproduce", "--only", "study", "--seeds", "2", "--out", str(tmp_path)]
    assert cli.main(words) == 0
    done = {f"net_2-mnist-{o}-seed{seed}.json" for o in ("adam", "adadelta") for seed in (0, 1)}
    assert {path.name for path in (tmp_path / "histories").iterdir()} == done
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith("4 of 4 runs are left, 8 epochs")
    lines = [line for line in lines if "epoch" in line]
    assert [line.split(":")[0] for line in lines[:3]] == [
        "net_2-mnist-adam-seed0 epoch 1/2",
        "net_2-mnist-adam-seed0 epoch 2/2",
        "net_2-mnist-adadelta-seed0 epoch 1/2",
    ]
    assert "; 12% done, " in lines[0]
    assert "100% done, 0 s left" in lines[-1]
    assert cli.main(words) == 0
    assert "epoch" not in capsys.readouterr().out


@compiled
def test_the_winner_of_the_sweep_is_trained_with_the_other_seeds(tmp_path, small_plan, without_figures):
    assert cli.main(["reproduce", "--seeds", "2", "--out", str(tmp_path)]) == 0
    names = {path.name for path in (tmp_path / "histories").iterdir()}
    known = {e.name: [results.finished(tmp_path, e, 0)] for e in small_plan.groups["rates"]}
    winner = numbers.winners(small_plan, known)["adadelta"]
    assert ("net_2-mnist-adadelta-1-seed1.json" in names) == (winner == "net_2-mnist-adadelta-1")
    assert "net_2-mnist-adadelta-1-seed0.json" in names


@compiled
def test_an_interrupted_campaign_says_how_to_continue(tmp_path, small_plan, capsys, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(trial, "run", interrupted)
    assert cli.main(["reproduce", "--out", str(tmp_path)]) == 130
    assert "Run the same command again to continue" in capsys.readouterr().err


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_one_bar_moves_with_every_batch_and_no_line_is_printed(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr", Terminal())
    bars = []
    monkeypatch.setattr(campaign, "tqdm", lambda **settings: bars.append(tqdm(file=Terminal(), **settings)) or bars[0])
    progress = campaign.Progress(20.0)
    progress.set_params({"epochs": 1, "steps": 4})
    progress.start("net_1-mnist-adam-seed0", 10.0)
    progress.on_epoch_begin(0)
    for batch in range(4):
        progress.on_train_batch_end(batch, {"loss": 0.5})
    progress.on_epoch_end(0, {"loss": 0.5})
    assert bars[0].n == 10.0
    assert bars[0].desc.startswith("net_1-mnist-adam-seed0 epoch 1/1: loss 0.5000")
    progress.close()
    assert capsys.readouterr().out == ""


def test_the_first_seed_comes_first_for_all():
    plan = experiments.plan()
    seeds = [seed for _, seed in campaign.tasks(plan, plan.experiments, 3, results.Path("nowhere"))]
    assert seeds == sorted(seeds)
    assert seeds.count(0) == len(plan.experiments)
    assert seeds.count(1) == len(plan.experiments) - len(plan.one_seed)


def test_the_winners_follow_the_sweep_and_their_work_is_counted_before(tmp_path):
    plan = experiments.plan()
    selected = plan.select(["rates"])
    assert campaign.unknown_work(plan, selected, 3, tmp_path) > 0
    write_all(tmp_path, plan, net_2_cifar10_adadelta_1=0.7, net_2_cifar10_adam=0.7)
    assert campaign.unknown_work(plan, selected, 3, tmp_path) == 0
    later = [(e.name, seed) for e, seed in campaign.tasks(plan, selected, 3, tmp_path) if seed]
    assert ("net_2-cifar10-adadelta-1", 2) in later
    assert ("net_2-cifar10-adam", 1) in later
    assert len(later) == 2 * (3 + 1 + 1)  # the study's three, Adadelta's winner and Adagrad's; Adam's is the study's


def test_an_epoch_of_net_1_counts_as_more_work_than_one_of_net_2():
    one, two = (campaign.epoch_work(Experiment(net, "mnist")) for net in (NET_1, NET_2))
    assert one == 60_000 * (21_100_288 + 41_974_784) + 10_000 * 21_100_288
    assert 3 < one / two < 5
