"""The compiled kernels as a whole: their cache, vectors of other processors, any shape and layout, and what runs without them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

import scratchnet
from scratchnet import net_1, net_2
from scratchnet.kernels import conv2d, dense, gemm, memory, pooling, probe, relu, winograd
from scratchnet.kernels.cache import sources_hash
from scratchnet.layers import conv2d as page
from scratchnet.padding import window_pads

PACKAGE = Path(scratchnet.__file__).parent

pytestmark = pytest.mark.compiled

STEP = """
import numpy as np
from scratchnet.kernels import memory
memory.SMALLEST = memory.PAST_CACHE = 0         # so that small arrays are handled like large ones
from scratchnet import Conv2D, Dense, Flatten, Input, Model
x = Input((6, 6, 16))
y = Conv2D(16, 3, padding="same", activation="relu")(Conv2D(16, 5, padding="same")(x))
model = Model(x, Dense(3, activation="softmax")(Flatten()(y)), seed=1, dtype="{dtype}")
model.compile(metrics=["accuracy"])
rng = np.random.default_rng(0)
x, y = rng.standard_normal((4, 6, 6, 16)), np.eye(3)[[0, 1, 2, 0]]
losses = [model.train_on_batch(x, y)[0] for _ in range(3)]
"""


def python(code, folder=PACKAGE.parent, **environment):
    """Start Python on code, with the package of `folder`, and return the process. A variable that is None is removed.

    Coverage is not measured there: it would count a copy of the package as another package.
    """
    unmeasured = {"PYTHONDONTWRITEBYTECODE": "1", "COVERAGE_PROCESS_START": None}
    environment = {**os.environ, "PYTHONPATH": str(folder), **unmeasured, **environment}
    environment = {key: value for key, value in environment.items() if value is not None}
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=folder
    )


def said(process):
    """Return what the process printed, read as JSON, and its stderr."""
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return json.loads(out), err


DENSE = """
import numpy as np
from scratchnet import Dense, Input, Model
x = Input((5,))
model = Model(x, Dense(3, activation="softmax")(x), seed=1)
model.compile("sgd", metrics=["accuracy"])
losses = [model.train_on_batch(np.ones((4, 5), "float32"), np.eye(3)[[0, 1, 2, 0]])[0] for _ in range(3)]
"""
FEWER = DENSE.replace("seed=1", 'seed=1, implementation="im2col"')      # where any compiled kernel will do


def losses(cache, folder=PACKAGE.parent, dtype="float32", step=STEP, **environment):
    """Start a process that prints the losses of three steps; those of DENSE need few kernels."""
    code = (step.format(dtype=dtype) if step is STEP else step) + "import json; print(json.dumps(losses))"
    return python(code, folder, **{"NUMBA_CACHE_DIR": cache and str(cache), **environment})


def test_several_processes_that_start_at_once_from_cold_say_so_in_a_line_and_give_the_same_bits(tmp_path):
    together = [losses(tmp_path, step=DENSE) for _ in range(3)]
    answers, words = zip(*map(said, together), strict=True)
    warm, err = said(losses(tmp_path, step=DENSE))
    assert answers == (warm,) * 3
    assert err == ""
    assert words[0].count("\n") == 1
    assert words[0].startswith("scratchnet: compiling kernels, once for this processor")
    assert str(tmp_path) in words[0]


def copy_of_the_package(folder):
    shutil.copytree(PACKAGE, folder / "scratchnet", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_an_edit_in_a_helper_of_another_file_changes_the_result(tmp_path):
    """numba itself checks only the date of the file of the called kernel, so it would continue to use the old helper."""
    copy = copy_of_the_package(tmp_path / "copy")
    code = """
import json, numpy as np
from scratchnet.kernels.conv2d import direct_forward
out = direct_forward(np.ones((1, 2, 2, 1), "f"), np.ones((1, 1, 1, 1), "f"), None, (1, 1), ((0, 0), (0, 0)))
print(json.dumps(out.ravel().tolist()))
"""
    cache = str(tmp_path / "cache")
    assert said(python(code, copy, NUMBA_CACHE_DIR=cache))[0] == [1, 1, 1, 1]
    helper = copy / "scratchnet/kernels/images.py"
    before = os.stat(copy / "scratchnet/kernels/conv2d.py")
    helper.write_text(helper.read_text().replace("row[k] = x[n, h, k]", "row[k] = 2 * x[n, h, k]"))
    os.utime(copy / "scratchnet/kernels/conv2d.py", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert said(python(code, copy, NUMBA_CACHE_DIR=cache))[0] == [2, 2, 2, 2]


def test_any_change_of_a_kernel_file_leads_to_another_cache_folder(tmp_path):
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text("x = 1\n")
    first = sources_hash(tmp_path)
    (tmp_path / "b.py").write_text("x = 2\n")
    second = sources_hash(tmp_path)
    (tmp_path / "b.py").write_text("x = 1\n")
    assert first == sources_hash(tmp_path) != second


def test_an_installation_that_cannot_be_written_to_trains_and_is_not_changed(tmp_path):
    copy = copy_of_the_package(tmp_path / "copy")
    files = sorted(path.relative_to(copy) for path in copy.rglob("*"))
    for path in [copy, *copy.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        home = tmp_path / "home"
        home.mkdir()
        answer, err = said(
            losses(None, copy, step=FEWER, HOME=str(home), XDG_CACHE_HOME=str(home), LOCALAPPDATA=str(home))
        )
        assert np.isfinite(answer).all()
        assert str(home) in err
        assert sorted(path.relative_to(copy) for path in copy.rglob("*")) == files
    finally:
        for path in [copy, *copy.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)


def test_without_a_folder_for_the_cache_kernels_are_compiled_and_the_line_says_so(tmp_path):
    nowhere = tmp_path / "file"
    nowhere.write_text("not a folder")
    _, err = said(losses(nowhere, step=FEWER))
    assert "in every process (" in err


def test_without_the_compiler_im2col_runs_and_one_line_says_so(tmp_path):
    _, err = said(losses(tmp_path, NUMBA_DISABLE_JIT="1"))
    assert err.count("im2col runs instead") == 1


@pytest.mark.parametrize(
    ("features", "dtype", "rtol"),
    [("+avx,+avx2,+fma,-avx512f", "float32", 1e-5), ("+sse2,-avx,-avx2,-fma,-avx512f", "float64", 1e-12)],
    ids=["AVX2", "SSE2"],
)
def test_other_processors_vectors_give_the_same_numbers_but_for_rounding(tmp_path, monkeypatch, features, dtype, rtol):
    if "x86_64" not in gemm.llvm.get_process_triple():
        pytest.skip("these vectors are of x86 processors")
    if "+avx2" in features and not {"avx2", "avx512f"} <= set(gemm.host_features()):
        pytest.skip("needs a processor with AVX-512: others compute with AVX2 anyway, or cannot")
    for name in ("SMALLEST", "PAST_CACHE"):
        monkeypatch.setattr(memory, name, 0)            # which the code does, too, and leaves so
    here: dict = {}
    exec(STEP.format(dtype=dtype), here)
    other, _ = said(losses(tmp_path, dtype=dtype, NUMBA_CPU_NAME="x86-64", NUMBA_CPU_FEATURES=features))
    np.testing.assert_allclose(other, here["losses"], rtol=rtol)


TILES = """
import json, numba, numpy as np
from scratchnet.kernels import gemm
from scratchnet.kernels.gemm import Block, Left, Right, Rows, Store, multiply
gemm.VECTOR_BYTES, gemm.ROWS, gemm.VECTORS, gemm.NARROW_ROWS = {tile}

@numba.njit
def product(a, b, s, c, M, N, KO, KI, store):
    left, right = Left(a, 0, m=KO * KI, ko=KI, ki=1), Right(b, 0, ko=KI * N, ki=N)
    multiply(left, right, Rows(s, 0, m=N), Rows(c, 0, m=N), Block(M=M, N=N, KO=KO, KI=KI), store)

rng, wrong = np.random.default_rng(0), []
for M in range(35):
    for N in (1, 7, 8, 31, 32, 47, 64, 65, 100):
        for KO, KI in ((1, 0), (1, 1), (3, 5), (1, 96), (2, 65)):
            a, b, s = (rng.integers(-4, 5, shape).astype("float32") for shape in ((M, KO * KI), (KO * KI, N), (M, N)))
            c = np.full(M * N + 1, np.nan, "float32")               # the last number does not belong to C
            flat = [np.append(array, 0).astype("float32") for array in (a, b, s)]
            product(*flat, c, M, N, KO, KI, Store(np.float32(-5), False))
            if not (np.array_equal(c[:-1], np.maximum(s + a @ b, -5).ravel()) and np.isnan(c[-1])):
                wrong.append([M, N, KO, KI])
print(json.dumps(wrong))
"""


@pytest.mark.parametrize(
    ("features", "machine"), [({"avx512f"}, ""), ({"avx2"}, ""), (set(), "aarch64"), (set(), "x86_64")], ids=str
)
def test_the_tiles_of_every_processor_give_the_exact_product_of_small_integers(tmp_path, features, machine):
    """If a processor's vectors are shorter than those of a tile, LLVM splits them: the results are the same, but take longer."""
    tile = gemm.tile_shape(features, machine)
    assert said(python(TILES.format(tile=tile), NUMBA_CACHE_DIR=str(tmp_path)))[0] == []


@pytest.mark.parametrize("kernel", [pooling._extremum_forward, relu._backward], ids=["pooling", "ReLU"])
def test_a_selection_is_not_stored_under_a_mask_which_is_slow_on_amd(kernel):
    """Of the numbers that a loop reads and writes back, LLVM would store only those that change."""
    pooling.extrema(np.zeros((1, 4, 4, 32), "float32"), (2, 2), (2, 2), ((0, 0), (0, 0)), 1)
    relu.relu_backward(np.zeros(99, "float32"), np.zeros(99, "float32"))
    fresh = numba.njit(error_model="numpy")(kernel.py_func)         # numba shows no code that was loaded from the cache
    fresh.compile(kernel.signatures[0])
    (code,) = fresh.inspect_asm().values()
    assert "maskmov" not in code


def test_where_the_vector_kernel_cannot_be_built_im2col_runs_and_one_line_says_so(monkeypatch):
    def broken(*arguments):
        raise RuntimeError("no such\nvector")

    monkeypatch.setattr(probe, "_two_by_two", broken)
    probe.why_not.cache_clear()
    try:
        with pytest.warns(RuntimeWarning, match=r"cannot be built here \(no such vector\).*im2col runs instead") as said_once:
            model = net_2((8, 8, 1), 3, seed=0)
    finally:
        probe.why_not.cache_clear()
    assert len(said_once) == 1
    assert {layer.running for layer in model.layers[1:]} == {"im2col"}


@pytest.mark.parametrize("C", [1, 3, 5, 17, 100])
@pytest.mark.parametrize("F", [1, 7, 33])
@pytest.mark.parametrize(("kernel", "strides"), [((3, 3), (1, 1)), ((3, 3), (2, 2)), ((2, 4), (3, 1)), ((1, 1), (2, 3))])
def test_any_channels_kernel_and_stride_give_the_pages_numbers(C, F, kernel, strides):
    rng = np.random.default_rng(C * F)
    x, w, b = rng.standard_normal((2, 7, 6, C)), rng.standard_normal((*kernel, C, F)), rng.standard_normal(F)
    pads = window_pads("same", (7, 6), kernel, strides)
    out = page.conv2d_forward(x, w, b, strides, pads)
    dout = rng.standard_normal(out.shape)
    np.testing.assert_allclose(conv2d.conv2d_forward(x, w, b, strides, pads), out, atol=1e-11)
    for got, right in zip(
        conv2d.conv2d_backward(dout, x, w, strides, pads), page.conv2d_backward(dout, x, w, strides, pads), strict=True
    ):
        np.testing.assert_allclose(got, right, atol=1e-11)


def views(array):
    """Return two views with the same numbers: every second image of a larger array, and the axes in another order in memory."""
    more = np.zeros((2 * len(array), *array.shape[1:]), array.dtype)
    more[::2] = array
    turned = np.ascontiguousarray(array.T).T
    return more[::2], turned


def test_an_input_that_is_not_contiguous_gives_the_same_bits():
    rng = np.random.default_rng(5)
    x, w = rng.standard_normal((3, 6, 5, 16), np.float32), rng.standard_normal((3, 3, 16, 16), np.float32)
    dout, pads = rng.standard_normal((3, 6, 5, 16), np.float32), ((1, 1), (1, 1))
    flat, v = rng.standard_normal((3, 40), np.float32), rng.standard_normal((40, 16), np.float32)
    dflat = rng.standard_normal((3, 16), np.float32)

    def results(x, dout, flat, dflat, w, v):
        return [
            conv2d.conv2d_forward(x, w, None, (1, 1), pads),
            *conv2d.conv2d_backward(dout, x, w, (1, 1), pads),
            conv2d.direct_forward(x, w, None, (1, 1), pads),
            *conv2d.direct_backward(dout, x, w, (1, 1), pads),
            pooling.max_pool2d_forward(x, (2, 2), (1, 1), ((0, 1), (0, 1))),
            pooling.max_pool2d_backward(dout, x, (2, 2), (1, 1), ((0, 1), (0, 1))),
            dense.dense_forward(flat, v, None),
            *dense.dense_backward(dflat, flat, v),
        ]

    expected = [a.tobytes() for a in results(x, dout, flat, dflat, w, v)]
    for arrays in zip(*map(views, (x, dout, flat, dflat, w, v)), strict=True):
        assert [a.tobytes() for a in results(*arrays)] == expected


def test_winograd_is_what_the_default_runs_where_it_suits(monkeypatch):
    called = []
    right = winograd.conv2d_forward
    monkeypatch.setattr(winograd, "conv2d_forward", lambda *a, **k: called.append(a[1].shape) or right(*a, **k))
    net_1((8, 8, 1), 3, seed=0).predict(np.zeros((1, 8, 8, 1), "float32"), verbose=0)
    assert called == [(3, 3, 32, 64)]
