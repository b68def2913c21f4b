"""Several processes train one model, and compute what one process computes: with MPI, and layer by layer with threads as ranks.

The tests with MPI start a program of distribution_programs/, or the command, in 1 to 4 processes on this machine.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from scratchnet import (
    BatchNormalization,
    Dense,
    Dropout,
    Input,
    RandomCrop,
    RandomFlip,
    RandomTranslation,
    Sequential,
    SpatialDropout2D,
    cli,
    load_model,
    net_2,
)
from scratchnet.distribution import DataParallel, OneProcess, part_of
from scratchnet.layers.base import Samples
from scratchnet.support.interrupts import PATIENCE, noted

PROGRAMS = Path(__file__).parent / "distribution_programs"
BESIDE = Path(sys.executable).with_name("mpiexec")
MPIEXEC = str(BESIDE) if BESIDE.exists() else shutil.which("mpiexec")
needs_mpi = pytest.mark.skipif(
    find_spec("mpi4py") is None or MPIEXEC is None, reason='needs mpi4py and mpiexec: pip install "scratchnet[mpi]"'
)
# Where there are more processes than cores, MPICH gives the processor to another process sooner.
POLITE = {"MPIR_CVAR_ENABLE_HEAVY_YIELD": "1", "MPIR_CVAR_POLLS_BEFORE_YIELD": "10"}
TRAIN = ("-m", "scratchnet", "train", "--data", "glyphs", "--limit", "300", "--optimizer", "sgd")


def start(size, *words, cwd=None):
    command = [MPIEXEC, "-n", str(size), sys.executable, *map(str, words)]
    return subprocess.Popen(
        command, cwd=cwd, env={**os.environ, **POLITE}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def run(size, *words, cwd=None, timeout=300):
    """Return the exit code, stdout and stderr of `python *words` in `size` processes."""
    process = start(size, *words, cwd=cwd)
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, out, err


# -- N processes and one ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[1, 2, 3, 4])
def ranks(request, tmp_path_factory):
    """What equal.py has found in N processes, what it has printed, and its folder."""
    folder = tmp_path_factory.mktemp("ranks")
    code, out, err = run(request.param, PROGRAMS / "equal.py", folder)
    assert code == 0, err
    return json.loads((folder / "found.json").read_text()) | {"printed": out, "files": sorted(os.listdir(folder))}


@needs_mpi
@pytest.mark.parametrize(("dtype", "bound"), [("float32", 1e-5), ("float64", 1e-12)])
def test_many_processes_compute_the_weights_of_one(ranks, dtype, bound):
    distances = ranks[f"{dtype}: distances"]
    assert len(distances) > 8
    assert max(distances.values()) <= bound, distances
    for name, (values, expected) in ranks[f"{dtype}: history"].items():
        np.testing.assert_allclose(values, expected, rtol=bound * 10, err_msg=name)
    assert ranks["im2col"] < 1e-12


@needs_mpi
def test_moments_of_each_part_give_other_weights_but_the_same_in_all_processes(ranks):
    assert (ranks["local moments"] > 1e-4) == (ranks["size"] > 1)
    assert ranks["local moments are sent"]


@needs_mpi
def test_only_rank_0_prints_and_writes(ranks):
    assert ranks["files"] == ["0.npz", "found.json"]
    assert re.findall(r"epoch \d/2", ranks["printed"]) == ["epoch 1/2", "epoch 2/2"]


@needs_mpi
def test_one_rank_that_stops_stops_all_after_the_same_batch(ranks):
    assert ranks["epochs"] == [2] * ranks["size"]


@needs_mpi
def test_all_ranks_raise_the_error_of_the_one_whose_loss_is_not_finite(ranks):
    assert len(ranks["broken"]) == ranks["size"]
    assert len(set(ranks["broken"])) == 1
    assert "the images hold NaN or infinity" in ranks["broken"][0]


@needs_mpi
def test_weights_that_differ_are_noticed_in_every_rank(ranks):
    assert all("same weights in every process" in message for message in ranks["changed"]) or ranks["size"] == 1


@needs_mpi
def test_the_threads_of_all_ranks_are_at_most_the_cores(ranks):
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert ranks["threads of all"] <= max(cores, ranks["size"])


@needs_mpi
@pytest.mark.slow
def test_a_second_run_with_as_many_processes_has_the_same_bits(ranks, tmp_path):
    code, _, err = run(ranks["size"], PROGRAMS / "equal.py", tmp_path)
    assert code == 0, err
    found = json.loads((tmp_path / "found.json").read_text())
    for dtype in ("float32", "float64"):
        assert found[f"{dtype}: checksum"] == ranks[f"{dtype}: checksum"]


# -- failures ---------------------------------------------------------------------------------------------------------------


@needs_mpi
@pytest.mark.parametrize(
    ("how", "words"),
    [("callback", "RuntimeError: the disk of rank 1 is full"), ("labels", "fit: expected the same checksum of y in every process")],
)
def test_a_rank_that_fails_alone_ends_all_with_its_message(how, words):
    code, _, err = run(2, PROGRAMS / "fail.py", how, timeout=60)
    assert code == 1
    assert err.count(words) == 1


def rank_processes(parent):
    """Return the pid of each rank that mpiexec, the process `parent`, has started."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            words = dict(word.split("=", 1) for word in path.read_text().split("\0") if "=" in word)
            command = (path.parent / "cmdline").read_text().split("\0")
        except (OSError, UnicodeDecodeError):
            continue
        if words.get("SCRATCHNET_TEST_RUN") == str(parent) and "PMI_RANK" in words and "scratchnet" in command:
            found[int(words["PMI_RANK"])] = int(path.parent.name)
    return found


def started_training(folder, epochs, monkeypatch):
    """Return a run of two processes that has finished its first epoch."""
    monkeypatch.setenv("SCRATCHNET_TEST_RUN", folder.as_posix())
    process = start(2, *TRAIN, "--epochs", epochs, "--out", folder)
    until = time.monotonic() + 120
    while not (folder / "history.csv").exists():
        assert process.poll() is None
        assert time.monotonic() < until, process.communicate()
        time.sleep(0.02)
    return process


@needs_mpi
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the processes in /proc")
def test_a_run_whose_rank_was_killed_resumes_with_another_number_of_processes(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    process = started_training(folder, 4, monkeypatch)
    os.kill(rank_processes(folder)[1], signal.SIGKILL)
    process.communicate(timeout=30)                                 # all have ended
    assert process.returncode != 0
    assert json.loads((folder / "settings.json").read_text())["state"] == "running"

    code, out, err = run(3, "-m", "scratchnet", "train", "--resume", folder)
    assert code == 0, err
    assert out.count("run folder") == 1
    assert cli.main([*TRAIN[2:], "--epochs", "4", "--out", str(tmp_path / "alone")]) == 0
    histories = [json.loads((tmp_path / name / "history.json").read_text()) for name in ("run", "alone")]
    for name, values in histories[1].items():
        np.testing.assert_allclose(histories[0][name], values, rtol=1e-5, err_msg=name)
    resumed, alone = (load_model(tmp_path / name / "model.npz").get_weights() for name in ("run", "alone"))
    for a, b, first in zip(resumed, alone, net_2((28, 28, 1), 10, seed=0).get_weights(), strict=True):
        assert np.linalg.norm(a - b) <= 0.05 * np.linalg.norm(b - first)        # of what training has changed
    assert json.loads((folder / "settings.json").read_text())["state"] == "done"


@needs_mpi
@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_stop_reaches_all_processes_and_leaves_a_run_that_resumes(number, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    process = started_training(folder, 500, monkeypatch)
    process.send_signal(number)                                     # to mpiexec, as a terminal does
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert err.count("scratchnet: interrupted") == 1
    assert "--resume" in err
    assert json.loads((folder / "settings.json").read_text())["state"] == "interrupted"


@needs_mpi
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the processes in /proc")
@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_to_one_rank_stops_all(rank, tmp_path, monkeypatch):
    process = started_training(tmp_path / "run", 500, monkeypatch)
    os.kill(rank_processes(tmp_path / "run")[rank], signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.count("scratchnet: interrupted") == 1


@needs_mpi
@pytest.mark.slow
def test_a_folder_that_vanishes_ends_all_processes_with_the_reason(tmp_path, monkeypatch):
    process = started_training(tmp_path / "run", 500, monkeypatch)
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.count("the run folder was renamed") == 1


@needs_mpi
def test_wrong_usage_is_reported_once(tmp_path):
    code, out, err = run(2, *TRAIN, "--epochs", "none", cwd=tmp_path)
    assert code == 2
    assert err.count("--epochs: expected") == 1
    assert out == ""
    assert "Abort" not in err


@needs_mpi
@pytest.mark.slow
def test_experiments_are_reproduced_by_many_processes(tmp_path):
    words = ("-m", "scratchnet", "reproduce", "--quick", "--only", "net_2-glyphs-adam", "--out", tmp_path)
    code, out, err = run(2, *words)
    assert code == 0, err
    assert out.count("epoch 2/2") == 1
    assert (tmp_path / "report.html").exists()
    code, out, err = run(2, *words)         # everything is finished: the other process trains nothing, and ends
    assert code == 0
    assert "epoch" not in out


@needs_mpi
@pytest.mark.slow
def test_the_example_trains_in_two_processes(tmp_path):
    example = Path(__file__).parent.parent / "examples" / "11_many_processes.py"
    code, out, err = run(2, example, "--limit", 300, "--epochs", 1, cwd=tmp_path)
    assert code == 0, err
    assert "all have the same weights: True" in out
    assert out.count("validation accuracy") == 1


def test_without_mpi4py_one_sentence_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    assert cli.main(["train"]) == 1
    assert capsys.readouterr().err == (
        'scratchnet: DataParallel: expected the library mpi4py, got none. Install it with an MPI: pip install "scratchnet[mpi]"\n'
    )


@needs_mpi
def test_processes_that_do_not_see_each_other_are_refused():
    code = "import scratchnet; scratchnet.distribution.DataParallel()"
    environment = {**os.environ, "OMPI_COMM_WORLD_SIZE": "2"}       # as if the mpiexec of another MPI had started it
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "mpiexec and mpi4py belong to different MPIs" in done.stderr


# -- two machines -----------------------------------------------------------------------------------------------------------

MACHINES = r"""
set -e
ip netns add $0a; trap 'ip netns del $0a; ip netns del $0b' EXIT; ip netns add $0b
ip link add $0x netns $0a type veth peer name $0y netns $0b
ip -n $0a addr add 10.77.0.1/24 dev $0x; ip -n $0b addr add 10.77.0.2/24 dev $0y
for end in a b; do ip -n $0$end link set lo up; done
ip -n $0a link set $0x up; ip -n $0b link set $0y up
ip netns exec $0a "$@"
ip -n $0a -j -s link show $0x
"""
SHELL = """#!/bin/sh
while [ "${1#-}" != "$1" ]; do shift; done
case $1 in 10.77.0.1) space=%(name)sa;; *) space=%(name)sb;; esac
shift; exec ip netns exec $space sh -c "$*"
"""


@needs_mpi
@pytest.mark.slow
def test_two_machines_train_over_a_network(tmp_path):
    """Two network namespaces, which have only a cable in common: mpiexec reaches the second with a program in place of ssh."""
    name = f"sn{os.getpid() % 10_000}"
    allowed = shutil.which("ip") and subprocess.run(["ip", "netns", "add", f"{name}t"], capture_output=True, check=False)
    if not allowed or allowed.returncode:
        pytest.skip("network namespaces need Linux, the program ip, and the permission to use it")
    subprocess.run(["ip", "netns", "del", f"{name}t"], check=True)
    shell = tmp_path / "ssh"
    shell.write_text(SHELL % {"name": name})
    shell.chmod(0o755)
    hosts = ["-launcher", "ssh", "-launcher-exec", str(shell), "-hosts", "10.77.0.1,10.77.0.2", "-ppn", "1", "-n", "2"]
    words = [MPIEXEC, *hosts, sys.executable, str(PROGRAMS / "equal.py"), str(tmp_path)]
    over_the_network = {"MPIR_CVAR_NOLOCAL": "1", "UCX_TLS": "tcp,self"}
    environment = {**os.environ, **POLITE, **over_the_network}
    command = ["bash", "-c", MACHINES, name, *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert max(found["float64: distances"].values()) <= 1e-12
    assert found["threads of all"] >= 2
    (link,) = json.loads(done.stdout[done.stdout.rindex("[{") :])
    parameters = sum(p.size for p in load_model(tmp_path / "0.npz").params.values())
    assert link["stats64"]["tx"]["bytes"] > 2 * 52 * parameters * 4         # the gradients of every step went over the cable


# -- layer by layer, with threads in place of ranks ---------------------------------------------------------------------------


class Together:
    """The sum over ranks that are threads of this process: `together(function)` calls function(rank) in each."""

    def __init__(self, size):
        self.size, self.barrier, self.given = size, threading.Barrier(size), {}

    def __call__(self, function):
        results = {}

        def work(rank):
            self.given[threading.get_ident()] = rank
            results[rank] = function(rank)

        ranks = [threading.Thread(target=work, args=(rank,)) for rank in range(self.size)]
        for rank in ranks:
            rank.start()
        for rank in ranks:
            rank.join()
        return [results[rank] for rank in range(self.size)]

    def total(self, array):
        rank = self.given[threading.get_ident()]
        self.given["array", rank] = array
        self.barrier.wait()
        total = sum(self.given["array", r] for r in range(self.size))
        self.barrier.wait()
        return total


@pytest.mark.parametrize("implementation", ["fused", "im2col", "loops"])
@pytest.mark.parametrize(
    "make",
    [
        lambda **more: Dropout(0.4, seed=1, **more),
        lambda **more: Dropout(0.4, (None, 3, 1, 2), seed=1, **more),
        lambda **more: Dropout(0.4, (1, 3, 3, 2), seed=1, **more),
        lambda **more: SpatialDropout2D(0.4, seed=1, **more),
        lambda **more: RandomFlip(seed=1, **more),
        lambda **more: RandomFlip(seed=1, alternate=True, **more),
        lambda **more: RandomTranslation(0.3, 0.3, seed=1, **more),
        lambda **more: RandomCrop(2, 2, seed=1, **more),
    ],
)
def test_what_an_image_draws_depends_on_its_place_in_the_batch_and_not_on_the_rank(make, implementation):
    x = np.random.default_rng(0).standard_normal((7, 3, 3, 2))
    rows = np.array([4, 0, 6, 1, 3, 5, 2])

    def layer():
        return make(implementation=implementation).build((3, 3, 2), dtype="float64")

    whole = layer()
    out = whole.forward(x, training=True, samples=Samples(rows, 0))
    dout = np.random.default_rng(1).standard_normal(out.shape)
    dx = whole.backward(dout)
    assert not np.array_equal(out, whole.forward(x, training=True, samples=Samples(rows, 1)))    # it draws
    for first, last in (part_of(7, rank, 3) for rank in range(3)):
        part = layer()
        samples = Samples(rows[first:last], 0, first)
        np.testing.assert_array_equal(part.forward(x[first:last], training=True, samples=samples), out[first:last])
        np.testing.assert_array_equal(part.backward(dout[first:last]), dx[first:last])


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("implementation", ["fused", "im2col", "loops"])
@pytest.mark.parametrize("relu", [False, True])
def test_batch_normalization_of_the_parts_is_that_of_the_whole_batch(size, implementation, relu):
    rng = np.random.default_rng(size)
    x, dout = rng.standard_normal((2, 3, 4, 5, 2)) * [3, 0.1] + [7, -2]           # with 4 ranks, the last has no image
    together = Together(size)

    def layer():
        made = BatchNormalization(implementation=implementation).build((4, 5, 2), dtype="float64")
        made.set_weights([np.array([2.0, 0.5]), np.array([0.1, -3.0]), np.array([6.0, 1.0]), np.array([2.0, 3.0])])
        return made

    whole = layer()
    out = whole.forward(x, training=True, relu=relu)
    dx = whole.backward(dout, relu_x=relu)

    def part(rank):
        first, last = part_of(3, rank, size)
        counts = first < last
        rows = slice(first, last) if counts else slice(0, 1)
        mine = layer()
        samples = Samples(np.arange(3)[rows], 0, first, together.total, counts)
        mine_out = mine.forward(x[rows], training=True, samples=samples, relu=relu)
        mine_dx = mine.backward(dout[rows] * counts, relu_x=relu)
        return (mine_out, mine_dx) if counts else (mine_out[:0], mine_dx[:0]), mine.grads, mine.state, counts or not mine_dx.any()

    results = together(part)
    for whole_array, parts in ((out, [r[0][0] for r in results]), (dx, [r[0][1] for r in results])):
        np.testing.assert_allclose(np.concatenate(parts), whole_array, rtol=1e-10, atol=1e-12)
    for key in ("gamma", "beta"):
        np.testing.assert_allclose(sum(r[1][key] for r in results), whole.grads[key], rtol=1e-10)
    for _, _, state, stand_in_adds_nothing in results:
        assert stand_in_adds_nothing
        for key, value in whole.state.items():
            np.testing.assert_allclose(state[key], value, rtol=1e-12)


@pytest.mark.parametrize("N", [1, 3, 4, 128, 130])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
def test_the_parts_of_a_batch_are_the_batch_in_order(N, size):
    parts = [part_of(N, rank, size) for rank in range(size)]
    assert [n for first, last in parts for n in range(first, last)] == list(range(N))
    lengths = [last - first for first, last in parts]
    assert max(lengths) - min(lengths) <= 1
    assert lengths[0] > 0


# -- what needs no other process ----------------------------------------------------------------------------------------------


def test_fit_refuses_what_is_no_distribution():
    model = Sequential([Input((2,)), Dense(2, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=r"distribution: expected a DataParallel, got .*DataParallel\(\)"):
        model.fit(np.ones((2, 2), "float32"), np.array([0, 1]), distribution=DataParallel)
    model.fit(np.ones((2, 2), "float32"), np.array([0, 1]), distribution=OneProcess(), verbose=0)


def test_a_noted_signal_waits_and_a_second_one_interrupts(monkeypatch):
    with noted() as signals:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)      # within PATIENCE: a terminal may send two
        assert signals == [signal.SIGINT] * 2
        signals.clear()
    with pytest.raises(KeyboardInterrupt), noted():
        signal.raise_signal(signal.SIGINT)      # nothing has removed it
    with noted():
        signal.raise_signal(signal.SIGINT)
        now = time.monotonic()
        monkeypatch.setattr("scratchnet.support.interrupts.monotonic", lambda: now + PATIENCE + 1)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
