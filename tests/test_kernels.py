"""The compiled kernels as a whole: their cache, other processors' vectors, memory, and what they fall back to."""

import gc
import json
import os
import shutil
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest
from llvmlite import ir

import scratchnet
from scratchnet import net_1, net_2
from scratchnet.kernels import conv2d, dense, gemm, images, memory, pooling, probe, winograd
from scratchnet.kernels.jit import sources_hash
from scratchnet.layers import conv2d as page
from scratchnet.padding import window_pads

PACKAGE = Path(scratchnet.__file__).parent

pytestmark = pytest.mark.compiled

STEP = """
import numpy as np
from scratchnet.kernels import memory
memory.SMALLEST = memory.PAST_CACHE = 0         # so that small arrays, too, go the way of large ones
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
    """Start Python on code, with the package of `folder`; the process. A variable that is None is taken away.

    What measures coverage is kept out: it would count a copy of the package as another package.
    """
    unmeasured = {"PYTHONDONTWRITEBYTECODE": "1", "COVERAGE_PROCESS_START": None}
    environment = {**os.environ, "PYTHONPATH": str(folder), **unmeasured, **environment}
    environment = {key: value for key, value in environment.items() if value is not None}
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=folder
    )


def said(process):
    """What the process printed, as JSON, and what it said on stderr."""
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return json.loads(out), err


def losses(cache, folder=PACKAGE.parent, dtype="float32", **environment):
    code = STEP.format(dtype=dtype) + "import json; print(json.dumps(losses))"
    return python(code, folder, **{"NUMBA_CACHE_DIR": cache and str(cache), **environment})


def test_several_processes_that_start_at_once_from_cold_say_so_in_a_line_and_give_the_same_bits(tmp_path):
    together = [losses(tmp_path) for _ in range(3)]
    answers, words = zip(*map(said, together), strict=True)
    warm, err = said(losses(tmp_path))
    assert answers == (warm,) * 3
    assert err == ""
    assert words[0].count("\n") == 1
    assert words[0].startswith("scratchnet: compiling kernels, once for this processor")
    assert str(tmp_path) in words[0]


def copy_of_the_package(folder):
    shutil.copytree(PACKAGE, folder / "scratchnet", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_an_edit_in_a_helper_of_another_file_gives_the_new_answer(tmp_path):
    """numba alone would look at the date of the file of the kernel that is called, and go on with the old helper."""
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


def test_any_other_text_of_a_kernel_file_is_another_folder_of_the_cache(tmp_path):
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text("x = 1\n")
    first = sources_hash(tmp_path)
    (tmp_path / "b.py").write_text("x = 2\n")
    second = sources_hash(tmp_path)
    (tmp_path / "b.py").write_text("x = 1\n")
    assert first == sources_hash(tmp_path) != second


def test_an_install_that_cannot_be_written_to_trains_and_is_left_alone(tmp_path):
    copy = copy_of_the_package(tmp_path / "copy")
    files = sorted(path.relative_to(copy) for path in copy.rglob("*"))
    for path in [copy, *copy.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        home = tmp_path / "home"
        home.mkdir()
        answer, err = said(
            losses(None, copy, HOME=str(home), XDG_CACHE_HOME=str(home), LOCALAPPDATA=str(home))
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
    _, err = said(losses(nowhere))
    assert "in every process anew" in err


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
    if "+avx2" in features and "avx2" not in gemm.host_features():
        pytest.skip("this processor has no AVX2")
    for name in ("SMALLEST", "PAST_CACHE"):
        monkeypatch.setattr(memory, name, 0)            # which the code does, too, and leaves so
    here: dict = {}
    exec(STEP.format(dtype=dtype), here)
    other, _ = said(losses(tmp_path, dtype=dtype, NUMBA_CPU_NAME="x86-64", NUMBA_CPU_FEATURES=features))
    np.testing.assert_allclose(other, here["losses"], rtol=rtol)


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
    """The same numbers, lying otherwise: every second image of more, and the axes in another order."""
    more = np.zeros((2 * len(array), *array.shape[1:]), array.dtype)
    more[::2] = array
    turned = np.ascontiguousarray(array.T).T
    return more[::2], turned


def test_input_that_does_not_lie_in_order_gives_the_same_bits():
    rng = np.random.default_rng(5)
    x, w = rng.standard_normal((3, 6, 5, 16), np.float32), rng.standard_normal((3, 3, 16, 16), np.float32)
    dout, pads = rng.standard_normal((3, 6, 5, 16), np.float32), ((1, 1), (1, 1))
    flat, v = rng.standard_normal((3, 40), np.float32), rng.standard_normal((40, 16), np.float32)
    dflat = rng.standard_normal((3, 16), np.float32)

    def results(x, dout, flat, dflat):
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

    expected = [a.tobytes() for a in results(x, dout, flat, dflat)]
    for arrays in zip(*map(views, (x, dout, flat, dflat)), strict=True):
        assert [a.tobytes() for a in results(*arrays)] == expected


@pytest.mark.parametrize("make", [net_1, net_2])
def test_two_results_never_share_memory(make):
    rng = np.random.default_rng(6)
    x, y = rng.random((16, 12, 12, 3), dtype="float32"), np.eye(4)[rng.integers(0, 4, 16)]
    model = make((12, 12, 3), 4, seed=1)
    model.compile(metrics=["accuracy"])
    first = model.predict(x, verbose=0)
    copy = first.copy()
    outputs = model.layer_outputs(x)
    model.train_on_batch(x, y)
    outputs.pop("flatten")  # a view of what it flattens
    arrays = [first, *outputs.values(), *model.params.values(), *model.grads.values(), model.predict(x, verbose=0)]
    for k, a in enumerate(arrays):
        assert not any(np.shares_memory(a, b) for b in arrays[k + 1 :])
    np.testing.assert_array_equal(first, copy)


def test_a_model_may_be_used_for_two_batch_sizes_in_turn_and_forgets_neither():
    rng = np.random.default_rng(7)
    x, y = rng.random((48, 12, 12, 3), dtype="float32"), np.eye(4)[rng.integers(0, 4, 48)]

    def trained(sizes):
        model = net_2((12, 12, 3), 4, seed=1)
        model.compile()
        for size in sizes:
            model.train_on_batch(x[:size], y[:size])
        return model.predict(x, verbose=0).tobytes()

    sizes = [48, 5, 48, 5, 17]
    assert trained(sizes) == trained(sizes)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="page faults are counted as Linux counts them")
def test_a_step_touches_no_page_of_memory_for_the_first_time():
    code = """
import json, resource
import numpy as np
from scratchnet import net_1
from scratchnet.kernels import threads
model = net_1((28, 28, 1), 10, seed=0)
model.compile()
rng = np.random.default_rng(0)
x, y = rng.random((128, 28, 28, 1), np.float32), np.eye(10, dtype=np.float32)[rng.integers(0, 10, 128)]
faults = []
with threads.limit(2):
    for _ in range(10):
        model.train_on_batch(x, y)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(json.dumps(float(np.median(np.diff(faults)))))
"""
    assert said(python(code))[0] < 20           # pages of 4,096 bytes; now and then a step needs one block more than those before


def test_memory_does_not_grow_as_shapes_change():

    rng = np.random.default_rng(8)
    model = net_2((12, 12, 3), 4, seed=1)
    model.compile()
    for size in [*range(30, 90, 7)] * 3:
        model.train_on_batch(rng.random((size, 12, 12, 3)), np.eye(4)[rng.integers(0, 4, size)])
    kept = [block for blocks in memory._free.values() for block in blocks]
    assert kept
    assert sum(block.nbytes for block in kept) <= memory.LARGEST_POOL


def test_memory_that_is_kept_for_later_is_bounded_and_aligned(monkeypatch):

    monkeypatch.setattr(memory, "LARGEST_POOL", 1 << 20)
    arrays = [memory.empty((memory.SMALLEST + 1000 * k,), "uint8") for k in range(40)]
    assert all(a.ctypes.data % memory.ALIGNMENT == 0 for a in arrays)
    del arrays
    memory.empty((memory.SMALLEST,), "uint8")
    kept = [block for blocks in memory._free.values() for block in blocks]
    assert kept
    assert sum(block.nbytes for block in kept) <= 1 << 20


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_kernels_own_memory_begins_at_a_cache_line_and_has_the_size_asked_for(dtype):
    like = np.zeros(1, dtype)
    for size in (1, 2, 15, 16, 17, 1000, 100_003):
        own = memory.scratch(size, like)
        assert (own.size, own.dtype, own.ctypes.data % memory.ALIGNMENT) == (size, like.dtype, 0)
        own[:] = 1                  # all of it is its own


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_walk_through_an_image_reads_one_number_of_each_cache_line_and_none_beyond(dtype):
    line = memory.ALIGNMENT // np.dtype(dtype).itemsize
    x = np.zeros(10 * line, dtype)
    x[2 * line : 9 * line : line] = 1
    assert images.fetch(x, 2 * line, 9 * line) == 7
    assert images.fetch(x, 2 * line, 8 * line + 1) == 7
    assert images.fetch(x, 2 * line, 8 * line) == 6
    assert images.fetch(x, 0, 0) == 0


@pytest.mark.parametrize("itemsize", [4, 8])
@pytest.mark.parametrize(("rows", "vectors", "masked"), [(6, gemm.VECTORS, False), (8, gemm.VECTORS // 2, False), (8, 1, True)])
def test_tiles_whose_rows_are_whole_cache_lines_and_they_alone_can_store_past_the_cache(rows, vectors, masked, itemsize):
    module = ir.Module()
    gemm._build_tile(module, rows, vectors, masked, itemsize)
    whole_lines = not masked and vectors * gemm.VECTOR_BYTES % memory.ALIGNMENT == 0
    assert str(module).count("!nontemporal") == (2 * rows * vectors if whole_lines else 0)      # with a floor and without


def test_what_is_small_or_begins_within_a_cache_line_goes_into_the_cache():
    large = memory.empty((memory.PAST_CACHE // 4 + 1,), "float32")
    assert memory.goes_past_cache(large)
    assert not memory.goes_past_cache(large[1:])
    assert not memory.goes_past_cache(large[: memory.PAST_CACHE // 4 - 1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("filters", [1, 3, 16, 17, 32, 48, 64, 100, 128])
@pytest.mark.parametrize("stride", [1, 2])
def test_what_is_stored_past_the_cache_is_the_same_to_the_last_bit(monkeypatch, stride, filters, dtype):
    rng = np.random.default_rng(9)
    x, w, b = (rng.standard_normal(s).astype(dtype) for s in ((3, 9, 10, 16), (3, 3, 16, filters), filters))
    monkeypatch.setattr(memory, "SMALLEST", 0)          # small arrays begin a line, too
    forwards = [conv2d.direct_forward, *([winograd.conv2d_forward] if filters % winograd.WHOLE == 0 else [])]
    for forward in forwards:
        for relu in (False, True):
            outs = []
            for least in (sys.maxsize, 0):
                monkeypatch.setattr(memory, "PAST_CACHE", least)
                outs.append(forward(x, w, b, (stride, stride), ((1, 1), (1, 1)), relu=relu))
                used = memory.empty(outs[0].shape, dtype)
                assert memory.goes_past_cache(used) is (least == 0)
                used.fill(np.nan)
                del used            # its block is lent to the next
            np.testing.assert_array_equal(*outs)


def test_a_block_too_large_to_be_kept_goes_back_to_the_system_and_pushes_no_other_out(monkeypatch):

    monkeypatch.setattr(memory, "LARGEST", memory.SMALLEST + memory.ALIGNMENT)
    small, large = memory.empty((memory.SMALLEST,), "uint8"), memory.empty((3 * memory.SMALLEST,), "uint8")
    assert large.ctypes.data % memory.ALIGNMENT == 0
    address = small.ctypes.data
    del small, large
    assert all(watch.block.nbytes <= memory.LARGEST for watch in memory._returned)
    assert memory.empty((memory.SMALLEST,), "uint8").ctypes.data == address


def test_whatever_views_the_base_of_an_array_keeps_its_memory_too():
    array = memory.empty((memory.SMALLEST,), "uint8")
    views = [array.base[:], array.base.reshape(2, -1), array.base.view(np.ndarray)]
    del array
    while views:
        view = views.pop()
        assert not np.shares_memory(view, memory.empty((memory.SMALLEST,), "uint8"))


def test_memory_is_given_while_the_lock_is_held():
    with memory._lock:          # as a call does in whose midst the garbage collector runs a finalizer that calls again
        assert memory.empty((memory.SMALLEST,), "uint8").nbytes == memory.SMALLEST


def test_a_block_that_the_pool_lets_go_is_gone_without_the_garbage_collector(monkeypatch):

    monkeypatch.setattr(memory, "LARGEST_POOL", 0)
    array = memory.empty((memory.SMALLEST,), "uint8")
    block = weakref.ref(array.base.base)
    assert block().nbytes >= memory.SMALLEST
    gc.disable()
    try:
        del array
        memory.empty((memory.SMALLEST,), "uint8")
        assert block() is None
    finally:
        gc.enable()


def test_blocks_that_end_in_many_threads_at_once_are_lent_to_one_array_each():

    def lend_and_drop(seed, faults):
        rng = np.random.default_rng(seed)
        held = []
        for _ in range(2000):
            array = memory.empty((int(rng.choice([20_000, 20_016, 20_032])),), "float32")
            array.fill(seed)
            held.append(array)
            if len(held) > 4:
                kept = held.pop(int(rng.integers(4)))
                if (kept != seed).any():
                    faults.append(seed)

    faults = []
    workers = [threading.Thread(target=lend_and_drop, args=(seed, faults)) for seed in range(4)]
    [t.start() for t in workers]
    [t.join(60) for t in workers]
    assert not faults
    memory.empty((1 << 16,), "float32")
    assert all(block.nbytes == size for size, blocks in memory._free.items() for block in blocks)


def test_the_end_of_a_loan_runs_no_line_of_python_where_an_interrupt_could_be_lost():

    lines = []
    array = memory.empty((memory.SMALLEST,), "uint8")
    address = array.ctypes.data
    before = sys.gettrace()
    sys.settrace(lambda frame, event, arg: lines.append(frame.f_code.co_name))
    del array
    sys.settrace(before)
    assert not lines
    assert memory.empty((memory.SMALLEST,), "uint8").ctypes.data == address     # and yet the block came back


def test_winograd_is_what_the_default_runs_where_it_suits(monkeypatch):
    called = []
    right = winograd.conv2d_forward
    monkeypatch.setattr(winograd, "conv2d_forward", lambda *a, **k: called.append(a[1].shape) or right(*a, **k))
    net_1((8, 8, 1), 3, seed=0).predict(np.zeros((1, 8, 8, 1), "float32"), verbose=0)
    assert called == [(3, 3, 32, 64)]
