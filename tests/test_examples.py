"""The examples, the README and the pages of docs/ run in a quick form, and print what they say."""

import ast
import doctest
import importlib.util
import inspect
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

import scratchnet
from scratchnet import Conv2D, Dense, Flatten, Input, Model, Sequential, cli, datasets
from scratchnet.losses import softmax_cross_entropy
from scratchnet.schedules import optimizer_config
from scratchnet.tools import recipes

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
TOUR = ROOT / "examples" / "README.md"
PAGES = [ROOT / "README.md", TOUR, *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "book").glob("*.md"))]


def path_of(name):
    (path,) = (path for path in EXAMPLES if path.stem[3:] == name)
    return path


def load(name):
    """Import an example as a module, without running its main."""
    spec = importlib.util.spec_from_file_location(name, path_of(name))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """Return a function that runs an example as a program in an empty folder, and returns what it printed."""

    def run_example(name, *words):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [name, *words])
        capsys.readouterr()
        runpy.run_path(str(path_of(name)), run_name="__main__")
        return capsys.readouterr().out

    return run_example


def drawn(printed):
    """Return the pictures that an example says it has drawn, and check that each can be opened."""
    paths = [path for line in re.findall(r"^Drawn: (.*)$", printed, re.MULTILINE) for path in line.split(", ")]
    for path in paths:
        assert imread(path).std() > 0.01, f"{path} is blank"
    return paths


def test_the_examples_are_numbered_without_a_gap():
    assert [path.name[:3] for path in EXAMPLES] == [f"{number:02d}_" for number in range(1, len(EXAMPLES) + 1)]


# -- the one page -----------------------------------------------------------------------------------------------------


def test_the_one_page_net_has_at_most_120_lines_and_imports_numpy_alone():
    text = path_of("one_page_net").read_text(encoding="utf-8")
    imports = [node for node in ast.walk(ast.parse(text)) if isinstance(node, (ast.Import, ast.ImportFrom))]
    assert [ast.unparse(node) for node in imports] == ["import numpy as np"]
    assert len(text.splitlines()) <= 120


@pytest.mark.parametrize("implementation", ["im2col", pytest.param("fused", marks=pytest.mark.compiled)])
def test_the_one_page_net_gives_the_librarys_loss_and_gradients(implementation):
    page = load("one_page_net")
    rng = np.random.default_rng(3)
    x, y = page.draw_digits(7, rng)
    layers = [
        Conv2D(8, 3, padding="same", activation="relu"),
        Conv2D(16, 3, strides=2, padding="same", activation="relu"),
        Flatten(),
        Dense(32, activation="relu"),
        Dense(10, activation="softmax"),
    ]
    model = Sequential([Input(shape=(9, 8, 1)), *layers], seed=2, dtype="float64", implementation=implementation)
    params = [p + 0.1 * rng.standard_normal(p.shape) for p in model.get_weights()]      # so that the biases are not 0
    model.set_weights(params)

    logits, cache = page.forward(x, params)
    loss, dlogits = page.softmax_cross_entropy(logits, y)
    grads = page.backward(dlogits, cache, params)

    expected_logits = model.forward(x, to=model.logits)
    expected_loss, expected_dlogits = softmax_cross_entropy(expected_logits, y)
    model.backward(expected_dlogits, need_dx=False, start=model.logits)
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-10)
    assert len(grads) == len(model.grads) == 8
    for g, (name, expected) in zip(grads, model.grads.items(), strict=True):
        assert np.abs(expected).max() > 1e-4, name
        np.testing.assert_allclose(g, expected, rtol=1e-10, atol=1e-10 * np.abs(expected).max(), err_msg=name)


def test_the_one_page_net_learns_in_two_epochs(capsys):
    load("one_page_net").main(images=2000, epochs=2)
    first, second = (float(number) for number in re.findall(r"accuracy on new images ([\d.]+)", capsys.readouterr().out))
    assert second > first > 0.15
    assert second > 0.5


# -- the others -------------------------------------------------------------------------------------------------------


@pytest.mark.compiled
def test_both_nets_train_on_digits(run):
    printed = run("mnist", "--data", "glyphs", "--limit", "256", "--epochs", "2")
    assert "Total params: 6,442,762" in printed
    assert "Total params: 1,625,866" in printed
    assert len(re.findall(r"^epoch \d: validation accuracy .* max-pooling", printed, re.MULTILINE)) == 2
    assert len(drawn(printed)) == 2


@pytest.mark.compiled
def test_both_nets_train_on_colour_images(run):
    printed = run("cifar10", "--data", "shapes", "--limit", "128", "--epochs", "1")
    assert re.findall(r"^(net_\d): best in epoch 1", printed, re.MULTILINE) == ["net_2", "net_1"]
    assert len(drawn(printed)) == 6


@pytest.mark.compiled
def test_in_the_comparison_adam_goes_further_than_adadelta_at_its_default_rate(run):
    printed = run("optimizers", "--limit", "256", "--epochs", "2")
    losses = dict(re.findall(r"^(\S.*?) +training loss ([\d.]+)", printed, re.MULTILINE))
    assert len(losses) == 5
    assert float(losses["Adam"]) < float(losses["Adadelta, rate 0.001"])
    assert drawn(printed) == ["runs/optimizers.png"]


@pytest.mark.compiled
def test_your_own_layer_passes_its_checks_and_the_one_with_a_bug_does_not(capsys):
    load("your_own_layer").main(limit=256, epochs=1)
    printed = capsys.readouterr().out
    good, broken, rest = printed.split("\n\n")
    assert good.startswith("PReLU")
    assert "WRONG" not in good
    assert broken.startswith("ForgetsASlope")
    assert [line.split()[:2] for line in broken.splitlines() if "WRONG" in line] == [["gradient", "x"]]
    assert rest.endswith("predicts the same: True\n")


@pytest.mark.compiled
def test_your_own_digit_is_classified_by_a_trained_run(run):
    printed = run("your_own_digit", "--limit", "256", "--epochs", "1")
    assert Path("runs/own-digit/model.npz").exists()
    assert len(re.findall(r"four\.png: a \d with a probability of [\d.]+ %", printed)) == 3
    assert drawn(printed) == ["runs/own-digit/four-as-the-net-sees-it.png"]
    again = run("your_own_digit", "runs/own-digit/pictures/four.png")
    assert "epoch" not in again, "a run that exists is not trained again"
    assert again.splitlines()[-4:] == printed.splitlines()[-4:]


@pytest.mark.compiled
def test_the_network_with_batch_norm_and_dropout_learns_on_shapes_with_a_rate_that_falls(run):
    printed = run("batch_norm_and_dropout", "--data", "shapes", "--limit", "256", "--epochs", "2")
    first, second = (float(loss) for loss in re.findall(r"^epoch \d/2: loss ([\d.]+)", printed, re.MULTILINE))
    assert second < first
    highest, lowest = (float(rate) for rate in re.findall(r"([\d.e-]+) in the (?:first step|last)", printed))
    assert lowest < highest / 2


@pytest.mark.slow
@pytest.mark.compiled
def test_net_3_trains_with_its_recipe_and_is_evaluated_with_several_views(run):
    printed = run("net_3", "--data", "shapes", "--limit", "64", "--epochs", "2")
    assert len(re.findall(r"^epoch \d/2: loss", printed, re.MULTILINE)) == 2
    assert re.findall(r"^augment=(\w+): accuracy 0\.\d+, loss \d", printed, re.MULTILINE) == ["None", "flip", "flip_translate"]


def test_the_recipe_of_the_example_is_that_of_the_command(monkeypatch):
    """The example writes out what tools/recipes.py has as numbers; stopped before it trains, both have made the same settings."""
    made = {}
    example = load("net_3")

    def stop(self, *data, **options):
        made["model"], made["options"] = self, options
        raise InterruptedError

    monkeypatch.setattr(Model, "fit", stop)
    with pytest.raises(InterruptedError):
        example.main(data="shapes", limit=30, epochs=12)
    model, recipe = made["model"], recipes.NET_3
    assert (made["options"]["batch_size"], made["options"]["epochs"]) == (recipe.batch_size, recipe.epochs)
    data = datasets.load("shapes")
    other = scratchnet.net_3((32, 32, 3), 10, seed=0)
    recipe.compile(other, data.x_train[:30] / np.float32(255))
    assert optimizer_config(model.optimizer) == optimizer_config(other.optimizer)
    assert model.loss.label_smoothing == other.loss.label_smoothing
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), other.get_weights(), strict=True))


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("mnist", "glyphs"), ("cifar10", "shapes"), ("optimizers", "glyphs"), ("batch_norm_and_dropout", "shapes"),
        ("net_3", "shapes"),
    ],
)
def test_without_its_data_an_example_says_why_and_which_command_works(name, instead, run, monkeypatch):
    def unreachable(name):
        raise datasets.DataError("nothing could be downloaded")

    monkeypatch.setattr(datasets, "load", unreachable)
    with pytest.raises(SystemExit, match=f"(?s)nothing could be downloaded.*{name}.py --data {instead}"):
        run(name)


@pytest.mark.parametrize("name", ["compare_with_keras", "the_order_of_images"])
def test_an_example_that_needs_keras_says_what_to_install(name, run, monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(SystemExit, match="pip install keras tensorflow"):
        run(name)


@pytest.mark.compiled
def test_keras_gives_the_same_probabilities_and_steps(run):
    pytest.importorskip("keras", reason="Keras is not installed: pip install keras tensorflow")
    printed = run("compare_with_keras", "--limit", "256")
    differences = [float(number) for number in re.findall(r"largest difference (\S+)", printed)]
    assert len(differences) == 4 + 3
    assert max(differences[:4]) <= 1e-5
    assert max(differences[4:]) <= 1e-3


def test_keras_shuffles_each_epoch_differently_until_its_seed_is_set(run):
    pytest.importorskip("keras", reason="Keras is not installed: pip install keras tensorflow")
    without, after = run("the_order_of_images").split("after keras")
    assert "a different one in every epoch" in without
    assert "the same in every epoch" in after


# -- README and docs --------------------------------------------------------------------------------------------------


def blocks(page, *languages):
    """List the fenced blocks of a page that are in one of these languages ("" for none), except those that show our source."""
    fenced = r"^(<!-- code: .*\n)?```(.*)\n((?:(?!```).*\n)*)```$"
    found = re.findall(fenced, page.read_text(encoding="utf-8"), re.MULTILINE)
    return [text for source, info, text in found if info in languages and not source]


def commands(page):
    return [line for block in blocks(page, "", "sh") for line in block.splitlines() if line.startswith("scratchnet ")]


def has_programs(page):
    if page.stem == "gallery":                  # its code is fragments of other people's programs
        return False
    return any(">>>" not in block for block in blocks(page, "python"))


def pages_with(what):
    return [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES if what(page)]


def test_readme_has_two_commands_for_a_fresh_machine_after_at_most_five_lines():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    _title, *before = (line for line in text.partition("```")[0].splitlines() if line)
    assert len(before) <= 5
    train, test = (block.strip() for block in blocks(ROOT / "README.md", "sh")[:2])
    for command in (train, test):
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install ")
        assert "\n" not in command
    assert " && .venv/bin/scratchnet train --net net_2 --data glyphs " in train
    assert test.endswith(" && .venv/bin/pytest -n auto")


@pytest.mark.parametrize("page", pages_with(lambda page: page.stem != "changelog"))
def test_a_page_has_no_sphinx_role_which_plain_markdown_shows_as_it_is(page):
    assert not re.findall(r"\{\w+\}`", page.read_text(encoding="utf-8"))


@pytest.mark.compiled
@pytest.mark.parametrize("page", pages_with(lambda page: ">>> " in page.read_text(encoding="utf-8")))
def test_the_doctests_of_a_page_pass(page):
    result = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.compiled
@pytest.mark.parametrize("page", pages_with(has_programs))
def test_the_python_of_a_page_runs(page, monkeypatch, tmp_path, capsys):
    (x_train, y_train), (x_test, y_test) = datasets.glyphs.load_data()
    few = (x_train[:32], y_train[:32]), (x_test[:16], y_test[:16])
    for digits in (datasets.glyphs, datasets.mnist):
        monkeypatch.setattr(digits, "load_data", lambda: few)
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks(page, "python"):
        if ">>>" not in block:
            exec(compile(block, str(page), "exec"), names)
    assert capsys.readouterr().out


@pytest.mark.parametrize("page", pages_with(commands))
def test_the_commands_of_a_page_are_valid(page):
    for line in commands(page):
        cli.parser().parse_args(shlex.split(line.partition("|")[0], comments=True)[1:])


def test_the_tour_of_the_examples_has_each_of_them_in_its_order():
    named = re.findall(r"^## (\d+)\. .*\n\n\[`(\d\d_\w+\.py)`\]\(\./\2\)", TOUR.read_text(encoding="utf-8"), re.MULTILINE)
    assert named == [(str(number), path.name) for number, path in enumerate(EXAMPLES, start=1)]


def test_the_home_pages_have_the_measured_numbers_and_the_same_text():
    done = subprocess.run([sys.executable, ROOT / "docs" / "make_home.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_file_that_a_page_or_a_module_names_exists():
    missing = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            if not (page.parent / target).exists():
                missing.append(f"{page.name}: {target}")
    for source in [*PAGES, *EXAMPLES, *sorted((ROOT / "scratchnet").rglob("*.py"))]:
        named_files = r"(?<![\w/.-])(?:examples|docs|scratchnet)/[\w/-]+\.(?:py|md|png)\b"
        for named in re.findall(named_files, source.read_text(encoding="utf-8")):
            if not (ROOT / named).exists():
                missing.append(f"{source.relative_to(ROOT)}: {named}")
    for page in (ROOT / "docs/references.md", *(page for page in PAGES if page.parent.name == "book")):
        for named in re.findall(r"`([a-z_0-9/]+\.py)`", page.read_text(encoding="utf-8")):
            if not (ROOT / "scratchnet" / named).exists() and not (ROOT / named).exists():
                missing.append(f"{page.name}: {named}")
    assert missing == []


def test_the_book_is_plain_markdown_without_roles():
    for page in (page for page in PAGES if page.parent.name == "book"):
        assert re.findall(r"\{[a-z:]+\}`[^`]*`", page.read_text(encoding="utf-8")) == [], page


def test_the_map_of_the_package_names_every_file():
    package = ROOT / "scratchnet"
    named = re.findall(r"`([\w/]+(?:\.py|/))`", (package / "README.md").read_text(encoding="utf-8"))
    folders = [name for name in named if name.endswith("/")]
    files = {str(path.relative_to(package)) for path in package.rglob("*.py") if not path.name.startswith("_")}
    assert {name for name in files if name not in named and not name.startswith(tuple(folders))} == set()
    assert [name for name in named if not (package / name).exists() or named.count(name) > 1] == []


def test_the_api_page_has_every_public_name():
    text = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    modules = set(re.findall(r"^\.\. automodule:: scratchnet\.([\w.]+)$", text, re.MULTILINE))
    names = set(re.findall(r"^\.\. auto(?:class|function):: scratchnet\.([\w.]+)$", text, re.MULTILINE))
    public = {name for name in scratchnet.__all__ if not name.startswith("_")}
    rooms = {name for name in public if inspect.ismodule(getattr(scratchnet, name))}
    modules |= {name.removeprefix("keras_names.") for name in modules}
    assert rooms - modules == {"layers"}            # the package exports its classes, and the page lists its modules one by one
    assert public - rooms - names == {"net_1", "net_2", "net_3"}        # which come with their module
