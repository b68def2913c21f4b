"""The bench: sides work in turns and separately, all rungs compute the same numbers, tables and charts show what was measured."""

import argparse
import json
import re
import time

import numpy as np
import pytest

import scratchnet
from scratchnet import networks
from scratchnet.cli import main, parser
from scratchnet.kernels import conv2d
from scratchnet.layers import conv2d as page
from scratchnet.plotting import growth, ladder, sides
from scratchnet.tools import bench
from scratchnet.tools.bench import ladder as rungs
from scratchnet.tools.bench import net_3, peers, worker
from scratchnet.tools.bench.sides import NET_3, SIDES, scratchnet_side
from scratchnet.tools.recipes import NET_3 as RECIPE
from scratchnet.tools.reproduce.ledger import totals
from scratchnet.tools.reproduce.net_3 import Net3


def test_bench_is_a_command_with_its_options():
    args = parser().parse_args(["bench", "--peers", "--net", "net_1", "net_3", "--quick", "--out", "here"])
    assert (args.command, args.peers, args.net, args.quick, args.out) == ("bench", True, ["net_1", "net_3"], True, "here")


def test_nets_are_chosen_only_with_peers(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["bench", "--net", "net_3"])
    assert "--net: expected --peers with it" in capsys.readouterr().err


@pytest.mark.parametrize("strides", [(1, 1), (2, 1)])
def test_the_convolution_in_numpy_alone_equals_the_pages(strides):
    rng = np.random.default_rng(0)
    x, w, b = rng.standard_normal((2, 5, 7, 3)), rng.standard_normal((3, 2, 3, 4)), rng.standard_normal(4)
    pads = ((1, 1), (0, 1))
    out = page.conv2d_forward(x, w, b, strides, pads)
    np.testing.assert_allclose(rungs.numpy_forward(x, w, b, strides, pads), out, atol=1e-12)
    dout = rng.standard_normal(out.shape)
    for got, right in zip(
        rungs.numpy_backward(dout, x, w, strides, pads), page.conv2d_backward(dout, x, w, strides, pads), strict=True
    ):
        np.testing.assert_allclose(got, right, atol=1e-12)


@pytest.mark.compiled
def test_all_rungs_are_measured_and_compute_the_same_numbers():
    rows = rungs.rungs(batch=2, rounds=1)
    assert [row["rung"] for row in rows][:3] == ["loops in Python", "im2col in NumPy", "im2col in numba"]
    assert all(row["gflops"] > 0 for row in rows)


@pytest.mark.compiled
def test_layers_that_pass_over_memory_are_measured_and_compute_the_same_numbers():
    rows = rungs.passes(batch=2, rounds=1)
    assert [row["layer"] for row in rows] == ["two copies", *rungs.PASSES]
    assert all(row[key] > 0 for row in rows[1:] for key in ("numpy", "one", "all"))


@pytest.mark.compiled
def test_a_rung_with_other_numbers_is_refused(monkeypatch):
    right = page.conv2d_forward
    monkeypatch.setattr(page, "conv2d_forward", lambda *a: right(*a) * 1.001)
    with pytest.raises(AssertionError, match="im2col in numba"):
        rungs.rungs(batch=2, rounds=1)


@pytest.mark.compiled
def test_the_kernels_of_every_call_are_timed_and_take_less_than_the_call():
    call = rungs.convolution(4).both(conv2d.direct_forward, conv2d.direct_backward)
    seconds = []
    began = time.perf_counter()
    with rungs.timed_kernels(seconds):
        call()
    assert len(seconds) == 2                                    # forward and backward
    assert 0 < sum(seconds) < time.perf_counter() - began
    call()
    assert len(seconds) == 2
    rows = rungs.scaling(batch=4, rounds=1)
    assert [row["kind"] for row in rows] == ["direct", "Winograd"]
    assert all(row["calls"] > 0 and row["kernels"] > 0 for row in rows)


@pytest.mark.compiled
def test_peak_is_above_what_a_matrix_product_reaches():
    a = np.ones((256, 256), np.float32)
    seconds = rungs.in_turns({"product": lambda: a @ a}, 5, "")["product"]
    assert rungs.peak(1, rounds=200_000) > 0.2 * 2 * 256**3 / seconds / 1e9


def test_calls_take_turns_and_only_the_last_calls_of_a_turn_are_measured(monkeypatch):
    order, clock = [], iter(range(1000))
    monkeypatch.setattr("scratchnet.tools.bench.sides.SETTLING", 2.5)
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    times = rungs.in_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 3, "")
    assert order == [*"aaa" + "a" * rungs.CALLS, *"bbb" + "b" * rungs.CALLS] * 3      # three settle: 2.5 ticks
    assert times == {"a": 1, "b": 1}


def test_our_side_trains_predicts_and_runs_an_epoch():
    rng = np.random.default_rng(0)
    x, y = rng.random((40, 8, 8, 1), np.float32), np.eye(10, dtype=np.float32)[rng.integers(0, 10, 40)]
    side = scratchnet_side("net_2", (8, 8, 1), 10)
    assert side.step(x, y) > side.step(x, y) > 0
    np.testing.assert_allclose(side.predict(x).sum(axis=1), 1, rtol=1e-5)
    assert 0 <= side.epoch(x, y, x[:10], y[:10]) <= 1


FAKE = """
import json, sys, time
if sys.argv[1] == "broken":
    sys.exit("no module named broken")
print("a framework says hello")
print({mark!r} + json.dumps(dict(ready=True, data="noise")), flush=True)
for line in sys.stdin:
    print("chatter")
    if sys.argv[1] == "1":
        sys.exit("out of memory")
    seconds = float(sys.argv[1])
    said = dict(memory=dict(bytes=5e8), numbers=dict(numbers=[2.25, seconds])).get(line.strip(), dict(seconds=[seconds] * 2))
    print({mark!r} + json.dumps(said), flush=True)
"""


@pytest.fixture
def fakes(monkeypatch, tmp_path):
    """Start fake sides, whose name is the seconds that each of their steps takes."""
    script = tmp_path / "fake.py"
    script.write_text(FAKE.format(mark=worker.MARK))
    start = peers.subprocess.Popen
    monkeypatch.setattr(
        peers.subprocess, "Popen", lambda command, **options: start([command[0], str(script), *command[3:]], **options)
    )


def test_sides_work_in_turns_in_their_own_processes(fakes):
    results = peers.in_turns(["0.5", "1", "2", "broken"], "net_2", "mnist", {"step 3": 2})
    assert results["0.5"] == {"seconds": {"step 3": [0.5] * 4}, "data": "noise", "bytes": 5e8}
    assert results["1"] == {"failed": "1: its process ended during a measurement"}
    assert "no module named broken" in results["broken"]["failed"]
    assert peers.medians(results, "step 3") == {"0.5": 0.5, "2": 2.0}


def test_a_side_with_other_numbers_than_the_first_is_not_measured(fakes):
    results = peers.in_turns(["0.5", "0.50", "2"], "net_3", "cifar10", {"step 3": 1}, ["numbers"])
    assert results["0.50"]["seconds"] == {"step 3": [0.5, 0.5]}
    assert results["2"] == {"failed": "2: expected the numbers [2.25, 0.5] for 'numbers', as from the first side, got [2.25, 2.0]"}


def test_the_lead_is_measured_against_the_fastest_other_side():
    assert peers.lead({"scratchnet": 0.5, "slow": 4.0, "fast": 1.0}) == 2.0
    assert peers.lead({"scratchnet": 0.5}) is None


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Return a function that puts modules, by name and code, where processes started from here find them first."""
    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    peers.imported.cache_clear()

    def put(**codes):
        for name, code in codes.items():
            (folder / f"{name}.py").write_text(code)

    yield put
    peers.imported.cache_clear()


def test_a_framework_is_a_side_if_its_module_can_be_imported_whatever_its_distribution_is_called(modules):
    modules(
        keras="__version__ = '3.1'\nprint('Using TensorFlow backend')",
        tensorflow="__version__ = '2.18'",
        torch="import nothing_of_this_name",
        jax="print('no version')",
    )
    assert peers.installed() == {
        "scratchnet": f"scratchnet {scratchnet.__version__}",
        "keras": "keras 3.1, tensorflow 2.18",
        "jax": "jax of unknown version",
    }
    found = peers.missing()
    assert list(found) == ["torch", "torch fused", "torch channels-last", "torch compiled"]
    assert set(found.values()) == {"ModuleNotFoundError: No module named 'nothing_of_this_name'"}


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise RuntimeError('built for another NumPy')", "RuntimeError: built for another NumPy"),
        ("import sys; sys.exit('no licence')", "no licence"),
        ("import os; os._exit(3)", "it printed no error, and ended with 3"),
        ("import os; os.abort()", "Abort|it printed no error, and ended with -6"),
        ("import time; time.sleep(60)", "jax could not be imported within 1 seconds"),
        ("this is no Python", "SyntaxError: "),
    ],
)
def test_a_framework_that_cannot_be_imported_is_named_with_its_reason(code, reason, modules, monkeypatch):
    monkeypatch.setattr(peers, "SIDES", {name: SIDES[name] for name in ("scratchnet", "jax")})
    monkeypatch.setattr(peers, "PATIENCE", 1 if "sleep" in code else 60)
    modules(jax=code)
    assert list(peers.installed()) == ["scratchnet"]
    assert re.search(reason, peers.missing()["jax"])


def test_every_side_that_is_missing_or_fails_is_named_before_the_first_figure(modules, monkeypatch, tmp_path, capsys):
    modules(jax="", tensorflow="", keras="raise ImportError('no keras')", torch="raise OSError('libgomp.so.1: not found')")
    monkeypatch.setattr(bench, "COMPILED", True)
    monkeypatch.setattr(rungs, "peak", lambda count: 100.0)
    worked = {"seconds": {"step 5": [0.1], "predict 10000": [1.0]}, "data": "noise", "bytes": None}
    failed = {"failed": "jax cannot train net_1 here: AttributeError: jax has no numpy"}
    monkeypatch.setattr(peers, "in_turns", lambda found, net, data, commands, compared=(): {"scratchnet": worked, "jax": failed})
    assert bench.run(argparse.Namespace(peers=True, net=None, quick=True, out=str(tmp_path / "out"))) == 0
    before, _, after = capsys.readouterr().out.partition("GFLOP/s")
    assert "not compared: keras: ImportError: no keras" in before
    assert "not compared: torch compiled: OSError: libgomp.so.1: not found" in before
    assert after.index("jax has no numpy") < after.index("ms a step")


def test_without_a_framework_peers_are_refused_and_the_error_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "COMPILED", True)
    monkeypatch.setattr(peers, "installed", lambda: {"scratchnet": "scratchnet 1"})
    monkeypatch.setattr(peers, "missing", lambda: {"jax": "it is broken"})
    with pytest.raises(ValueError, match=r"jax: it is broken.*pip install"):
        bench.run(argparse.Namespace(peers=True, net=None, quick=True, out=str(tmp_path)))


def test_without_the_compiler_there_is_nothing_to_measure(monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "COMPILED", False)
    with pytest.raises(ValueError, match="Unset it"):
        bench.run(argparse.Namespace(peers=False, net=None, quick=True, out=str(tmp_path)))


def test_the_ladder_is_printed_drawn_and_written(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(bench, "COMPILED", True)
    monkeypatch.setattr(rungs, "peak", lambda count: 100.0 * count)
    two = [{"rung": "a", "threads": 1, "ms": None, "gflops": 0.1}, {"rung": "b", "threads": 1, "ms": 2.0, "gflops": 50.0}]
    monkeypatch.setattr(rungs, "rungs", lambda batch, rounds: two)
    monkeypatch.setattr(bench.threads, "count", lambda: 2)
    gained = [{"kind": "direct", "threads": 2, "calls": 1.75, "kernels": 1.875}]
    monkeypatch.setattr(rungs, "scaling", lambda batch, rounds: gained)
    passed = [{"layer": "two copies", "numpy": 0.5, "one": None, "all": None}]
    monkeypatch.setattr(rungs, "passes", lambda batch, rounds: passed)
    step = {"net": "net_1", "shape": (28, 28, 1), "threads": 2, "im2col": 40.0, "direct": 8.0, "fused": 4.0, "fused, 1 thread": 7.0}
    monkeypatch.setattr(rungs, "steps", lambda batch, rounds: [step])
    grown = {"batch": [{"batch": 32.0, "ms": 3.2}], "side": [{"side": 10.0, "ms": 6.4}]}
    monkeypatch.setattr(rungs, "growth", lambda rounds: grown)
    monkeypatch.setattr(rungs, "shapes", lambda batch, rounds: [{"shape": "5×5", "direct": 70.0, "fused": 71.0}])
    assert bench.run(argparse.Namespace(peers=False, net=None, quick=False, out=str(tmp_path / "new"))) == 0
    printed = capsys.readouterr().out
    assert "two copies   0.50" in printed
    for words in ("5×5                         70     71", "b     2.0", "net_1 28×28×1", "1.75", "0.1000", "1.0000", "1.88"):
        assert words in printed
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"ladder.json", "ladder.png", "growth.png"}
    assert json.loads((tmp_path / "new/ladder.json").read_text())["steps"][0]["fused"] == 4.0


def test_peers_are_printed_with_their_ratio_and_drawn(monkeypatch, tmp_path, capsys):
    def in_turns(found, net, data, commands, compared=()):
        seconds = {"scratchnet": 0.05, "keras": 0.1}
        measured = {s: {"seconds": {c: [seconds[s]] for c in commands}, "data": data, "bytes": 1e9} for s in seconds}
        return {**measured, "jax": {"failed": "no jax"}}

    monkeypatch.setattr(bench, "COMPILED", True)
    monkeypatch.setattr(rungs, "peak", lambda count: 100.0)
    monkeypatch.setattr(peers, "installed", lambda: {"scratchnet": "1", "keras": "3"})
    monkeypatch.setattr(peers, "missing", dict)
    monkeypatch.setattr(peers, "in_turns", in_turns)
    assert bench.run(argparse.Namespace(peers=True, net=None, quick=False, out=str(tmp_path))) == 0
    printed = capsys.readouterr().out
    assert printed.count("scratchnet is 2.00 times as fast as the fastest other side") == 12 + 3
    assert "net_3's convolutions are not compared, because PyTorch is missing" in printed
    assert "jax: no jax" in printed
    assert {path.name for path in tmp_path.iterdir()} == {"peers.json", "peers.png"}


@pytest.mark.parametrize(
    "draw",
    [
        lambda path: ladder([{"rung": "a", "gflops": 1.0}], {"peak": 2.0}, path=path),
        lambda path: sides({"w": {"scratchnet": 1.0, "other": 2.0}, "v": {"scratchnet": 1.0}, "u": {"x": 3.0}}, path=path),
        lambda path: growth({"n": {1: 1.0, 2: 2.5}}, path=path),
    ],
)
def test_pictures_of_speed_are_written(draw, tmp_path):
    draw(tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"


def test_every_side_of_a_framework_names_the_packages_it_needs():
    assert SIDES["scratchnet"][0] == ()
    assert all(packages for name, (packages, _) in SIDES.items() if name != "scratchnet")


# -- net_3 ------------------------------------------------------------------------------------------------------------


def batch_of_noise():
    rng = np.random.default_rng(1)
    return rng.random((8, 32, 32, 3), np.float32), np.eye(10, dtype=np.float32)[rng.integers(0, 10, 8)]


def test_the_convolutions_of_net_3_have_all_its_multiply_adds_but_those_of_the_dense_layer():
    work = [np.multiply(times, conv.operations()) for conv, times in net_3.convolutions()]
    forward, backward = np.sum(work, axis=0)
    counted = totals(Net3(), "cifar10")
    assert forward == 2 * (counted["forward_madds"] - 2560)
    db = 31 * 31 * 32      # additions, for the bias of the whitening
    assert backward - db == 2 * (counted["backward_madds"] - 2 * 2560)


@pytest.mark.compiled
@pytest.mark.parametrize("k", range(6))
def test_the_calls_of_a_convolution_compute_its_definition(k):
    conv, _ = net_3.convolutions()[k]
    x, dout = conv.arrays(2)
    w, b = conv.layer().kernel_and_bias
    pads = ((0, 0), (0, 0)) if conv.whitening else ((1, 1), (1, 1))
    out, (dx, dw, db) = page.conv2d_forward(x, w, b, (1, 1), pads), page.conv2d_backward(dout, x, w, (1, 1), pads)
    calls = net_3.scratchnet_convolution(k, 2)
    right = [out, db] if conv.whitening else [out, dx, dw]
    for got, expected in zip(calls.results(), right, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_allclose(net_3.fingerprint(calls.results()), net_3.fingerprint(right), atol=1e-4)
    right[-1] = right[-1] + 0.01 * np.abs(right[-1]).max()
    assert not np.allclose(net_3.fingerprint(calls.results()), net_3.fingerprint(right), rtol=1e-4, atol=2e-4)


@pytest.mark.compiled
def test_our_side_of_net_3_is_the_network_with_its_recipe_but_for_the_augmentation(monkeypatch):
    monkeypatch.setattr(net_3, "BATCH", 8)
    x, y = batch_of_noise()
    model = networks.net_3((32, 32, 3), 10, seed=0, flip=False)
    RECIPE.compile(model, x)
    ours = net_3.ours((32, 32, 3), 10)
    assert [w.shape for w in ours.get_weights()] == [w.shape for w in model.get_weights()]
    for name in ("conv2d/kernel", "conv2d_5/kernel", "dense/kernel"):
        np.testing.assert_array_equal(ours.params[name], model.params[name])
    side = NET_3["scratchnet"]((32, 32, 3), 10)
    losses = [side.step(x, y) for _ in range(4)]
    assert losses == sorted(losses, reverse=True)
    np.testing.assert_allclose(side.predict(x).sum(axis=1), 1, rtol=1e-5)


@pytest.mark.compiled
@pytest.mark.parametrize("name", [name for name in NET_3 if name not in ("scratchnet", "torch compiled")])
def test_every_framework_takes_the_same_steps_as_ours(name, monkeypatch):
    for module in SIDES[name][0]:
        pytest.importorskip(module, reason=f"{module} is not installed")
    monkeypatch.setattr(net_3, "BATCH", 8)
    x, y = batch_of_noise()
    numbers = []
    for side in (NET_3[which]((32, 32, 3), 10) for which in ("scratchnet", name)):
        numbers.append([side.step(x, y) for _ in range(3)] + [*side.predict(x)[0]])
        if side.convolution is not None and not name.startswith("keras"):
            numbers[-1] += [n for k in range(6) for n in net_3.fingerprint(side.convolution(k, 2).results())]
    np.testing.assert_allclose(*numbers, rtol=1e-4, atol=2e-4)


def test_convolutions_are_compared_with_the_faster_layout_and_with_the_step(monkeypatch, capsys):
    asked = {}

    def in_turns(sides, net, data, commands, compared):
        asked.update(sides=sides, compared=compared)
        seconds = {"scratchnet": 0.125, "torch channels-last": 0.1875}
        measured = {s: {"seconds": {c: [4.0] if c.startswith("step") else [seconds[s]] for c in commands}} for s in seconds}
        return measured | {"torch fused": {"failed": "torch fused: out of memory"}}

    monkeypatch.setattr(peers, "in_turns", in_turns)
    result = bench.convolutions({"scratchnet": "1", "keras": "3", "torch fused": "2", "torch channels-last": "2"}, quick=True)
    assert asked == {"sides": ["scratchnet", "torch fused", "torch channels-last"], "compared": [f"results {k}" for k in range(6)]}
    assert (result["ours"], result["torch"], result["step"]) == (7 * 2 * 0.125, 7 * 2 * 0.1875, 4.0)
    printed = capsys.readouterr().out
    assert "all of a step: ours 1.750 s, PyTorch's 2.625 s; ours are 1.50 times as fast" in printed
    assert "our step: 4.000 s, of which everything but convolutions takes 56%" in printed
    assert "torch fused: out of memory" in printed
    (line,) = (line for line in printed.splitlines() if line.startswith("256 to 256, 3 × 3"))
    assert line.split()[-6:] == ["84.9", "170", "56.6", "113", "last", "1.50"]
    assert f"{2 * 1000 * 3 * 3 * 256 * 9 * 256 / 0.125 / 1e9:.1f}" == "84.9"
