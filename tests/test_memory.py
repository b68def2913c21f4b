"""Recycled memory: no part is lent twice, all is returned, and what is kept is bounded; stores past the cache."""

import gc
import subprocess
import sys
import threading
import weakref
from itertools import combinations
from math import prod

import numpy as np
import pytest
from forced import call_at_bytecode, functions_of, interruptions
from llvmlite import ir

from scratchnet import net_1, net_2
from scratchnet.kernels import conv2d, dense, gemm, images, memory, winograd

pytestmark = pytest.mark.compiled


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
def test_a_step_uses_no_fresh_page_of_memory():
    code = """
import resource
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
print(np.median(np.diff(faults)))
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True).stdout
    assert float(said) < 20                     # pages of 4,096 bytes; now and then a step needs a little more than those before


@pytest.fixture
def small_segments(monkeypatch):
    """Segments of 1 MiB, and none of them in use."""
    monkeypatch.setattr(memory, "SEGMENT", 1 << 20)
    monkeypatch.setattr(memory, "LARGEST", 1 << 19)
    monkeypatch.setattr(memory, "_segments", [])
    return memory._segments


def test_memory_does_not_grow_as_shapes_change(monkeypatch):
    monkeypatch.setattr(memory, "_segments", [])
    rng = np.random.default_rng(8)
    model = net_2((12, 12, 3), 4, seed=1)
    model.compile()
    highest = []
    for size in [*range(30, 90, 7)] * 3:
        model.train_on_batch(rng.random((size, 12, 12, 3)), np.eye(4)[rng.integers(0, 4, size)])
        (segment,) = memory._segments
        highest.append(segment.parts()[-1][1])
    assert max(highest[18:]) <= max(highest[:18])


def test_memory_that_is_kept_for_later_is_one_segment_and_arrays_are_aligned(small_segments):
    arrays = [memory.empty((memory.SMALLEST + 1000 * k,), "uint8") for k in range(40)]
    assert all(a.ctypes.data % memory.ALIGNMENT == 0 for a in arrays)
    assert not any(np.shares_memory(a, b) for a, b in combinations(arrays, 2))
    assert len(small_segments) > 2
    del arrays
    memory.empty((memory.SMALLEST,), "uint8")
    assert len(small_segments) == 1


def test_an_array_gets_the_first_place_that_is_large_enough(small_segments):
    size = memory.SMALLEST
    arrays = [memory.empty((k * size,), "uint8") for k in (1, 2, 1, 3, 1)]
    start = arrays[0].ctypes.data
    arrays[1] = arrays[3] = None            # places of 2 and of 3
    assert memory.empty((3 * size,), "uint8").ctypes.data == start + 4 * size
    assert memory.empty((size + 1,), "uint8").ctypes.data == start + size
    arrays[2] = None                        # one place of 6, from 2 + 1 + 3
    assert memory.empty((6 * size,), "uint8").ctypes.data == start + size
    assert memory.empty((7 * size,), "uint8").ctypes.data == start + 8 * size
    arrays.append(memory.empty((8 * size,), "uint8"))
    assert len(small_segments) == 1         # 16 places
    arrays.append(memory.empty((8 * size,), "uint8"))
    assert len(small_segments) == 2


def test_an_array_larger_than_half_a_segment_has_memory_of_its_own(small_segments):
    large = memory.empty((memory.LARGEST + 1,), "uint8")
    assert large.ctypes.data % memory.ALIGNMENT == 0
    assert not small_segments
    memory.empty((memory.LARGEST,), "uint8")
    assert len(small_segments) == 1


def test_an_array_is_allocated_by_itself_if_the_system_has_no_memory_for_a_segment(small_segments, monkeypatch):
    aligned = memory._aligned

    def refused(size):
        if size == memory.SEGMENT:
            raise MemoryError
        return aligned(size)

    monkeypatch.setattr(memory, "_aligned", refused)
    assert memory.empty((memory.SMALLEST,), "uint8").shape == (memory.SMALLEST,)
    assert not small_segments


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scratch_memory_of_a_kernel_begins_at_a_cache_line_and_has_the_requested_size(dtype):
    like = np.zeros(1, dtype)
    for size in (1, 2, 15, 16, 17, 1000, 100_003):
        own = memory.scratch(size, like)
        assert (own.size, own.dtype, own.ctypes.data % memory.ALIGNMENT) == (size, like.dtype, 0)
        own[:] = 1                  # all of it is its own


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fetch_reads_one_number_of_each_cache_line_and_none_outside_the_image(dtype):
    line = memory.ALIGNMENT // np.dtype(dtype).itemsize
    x = np.zeros(10 * line, dtype)
    x[2 * line : 9 * line : line] = 1
    assert images.fetch(x, 2 * line, 9 * line) == 7
    assert images.fetch(x, 2 * line, 8 * line + 1) == 7
    assert images.fetch(x, 2 * line, 8 * line) == 6
    assert images.fetch(x, 0, 0) == 0


TILES = [(gemm.ROWS, gemm.VECTORS, False), (gemm.NARROW_ROWS, gemm.VECTORS // 2, False), (gemm.MASKED_ROWS, 1, True)]


@pytest.mark.parametrize("itemsize", [4, 8])
@pytest.mark.parametrize(("rows", "vectors", "masked"), TILES)
def test_only_tiles_whose_rows_are_whole_cache_lines_can_store_past_the_cache(rows, vectors, masked, itemsize):
    module = ir.Module()
    gemm._build_tile(module, rows, vectors, masked, itemsize)
    whole_lines = not masked and vectors * gemm.VECTOR_BYTES % memory.ALIGNMENT == 0
    assert str(module).count("!nontemporal") == (2 * rows * vectors if whole_lines else 0)      # with a floor and without


def test_a_small_array_is_stored_into_the_cache():
    large = memory.empty((memory.PAST_CACHE // 4,), "float32")
    assert memory.goes_past_cache(large)
    assert not memory.goes_past_cache(large[1:])


@pytest.mark.parametrize("module", [conv2d, winograd])
def test_an_output_that_begins_within_a_cache_line_is_not_stored_past_the_cache(monkeypatch, module):     # else the process dies
    rng = np.random.default_rng(9)
    x, w = (rng.standard_normal(s).astype("float32") for s in ((3, 9, 10, 16), (3, 3, 16, 32)))
    monkeypatch.setattr(memory, "SMALLEST", 0)          # small arrays begin a line, too
    monkeypatch.setattr(memory, "PAST_CACHE", 0)
    forward = conv2d.direct_forward if module is conv2d else winograd.conv2d_forward
    expected = forward(x, w, None, (1, 1), ((1, 1), (1, 1)))
    monkeypatch.setattr(module, "empty", lambda shape, dtype: memory.empty((prod(shape) + 1,), dtype)[1:].reshape(shape))
    out = forward(x, w, None, (1, 1), ((1, 1), (1, 1)))
    assert out.ctypes.data % memory.ALIGNMENT
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("filters", [1, 3, 16, 17, 32, 48, 64, 100, 128])
@pytest.mark.parametrize("stride", [1, 2])
def test_results_stored_past_the_cache_have_the_same_bits(monkeypatch, stride, filters, dtype):
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
                del used            # its memory is lent to the next
            np.testing.assert_array_equal(*outs)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("units", [1, 3, 16, 17, 64, 100, 128])
@pytest.mark.parametrize("skip", [0, 1])                # one number later, the array does not begin a cache line
def test_a_dw_stored_past_the_cache_has_the_same_bits(monkeypatch, units, dtype, skip):
    rng = np.random.default_rng(9)
    dout, x, w = (rng.standard_normal(s).astype(dtype) for s in ((7, units), (7, 500), (500, units)))
    monkeypatch.setattr(memory, "SMALLEST", 0)
    monkeypatch.setattr(dense, "empty", lambda shape, dtype: memory.empty((prod(shape) + skip,), dtype)[skip:].reshape(shape))
    results = []
    for least in (sys.maxsize, 0):
        monkeypatch.setattr(memory, "PAST_CACHE", least)
        results.append(dense.dense_backward(dout, x, w)[1].copy())
    np.testing.assert_array_equal(*results)
    np.testing.assert_allclose(results[0], x.T @ dout, rtol=0, atol=1e-4 if dtype == "float32" else 1e-12)


def test_any_view_of_an_array_or_its_base_keeps_the_memory():
    array = memory.empty((memory.SMALLEST,), "uint8")
    views = [array.base[:], array.base.reshape(2, -1), array.base.view(np.ndarray)]
    del array
    while views:
        view = views.pop()
        assert not np.shares_memory(view, memory.empty((memory.SMALLEST,), "uint8"))


def test_a_segment_that_is_not_kept_is_freed_without_the_garbage_collector(small_segments):
    arrays = [memory.empty((memory.LARGEST,), "uint8") for _ in range(3)]
    _, second = (weakref.ref(segment.memory) for segment in small_segments)
    gc.disable()
    try:
        del arrays
        assert second() is not None
        memory.empty((memory.SMALLEST,), "uint8")
        assert second() is None
    finally:
        gc.enable()


def test_memory_returned_by_many_threads_at_once_is_used_by_one_array_each():

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


def test_of_two_threads_that_find_the_same_place_at_most_one_receives_it(small_segments):
    size, place, second_received, reached = memory.SMALLEST, 0, 0, True
    memory.empty((size,), "uint8")
    (segment,) = small_segments
    while reached:
        found = []
        reached = call_at_bytecode(
            place,
            lambda found=found: found.append(segment.lend(size // 2, size)),
            functions_of(memory),
            lambda found=found: found.append(segment.lend(0, size)),
        )
        received = [loan for loan in found if loan is not None]
        assert not any(np.shares_memory(a, b) for a, b in combinations(received, 2))
        second_received += reached and found[0] is not None
        found.clear()
        received.clear()
        assert not segment.loans
        place += 1
    assert 0 < second_received < place - 1


def test_an_interrupt_at_any_bytecode_leaves_memory_that_is_recycled_and_lent_once():
    size = 3 * memory.SMALLEST

    def lend_twice():
        first = memory.empty((size,), "uint8")
        del first
        return memory.empty((size,), "uint8")

    for _ in interruptions(functions_of(memory), lend_twice):
        arrays = [memory.empty((size,), "uint8") for _ in range(3)]
        assert not any(np.shares_memory(a, b) for a, b in combinations(arrays, 2))
        addresses = {a.ctypes.data for a in arrays}
        del arrays
        assert memory.empty((size,), "uint8").ctypes.data in addresses


def test_a_finalizer_at_any_bytecode_of_a_call_may_request_and_return_memory():
    size, place, reached = 3 * memory.SMALLEST, 0, True
    held, lent = [memory.empty((size,), "uint8")], []

    def finalizer():
        lent.append(memory.empty((size,), "uint8"))
        held.clear()                        # returns one

    while reached:
        held[:], mine = [memory.empty((size,), "uint8") for _ in range(2)], []
        held.pop()                          # a free place
        reached = call_at_bytecode(
            place, finalizer, functions_of(memory), lambda mine=mine: mine.append(memory.empty((size,), "uint8"))
        )
        assert not any(np.shares_memory(mine[0], a) for a in lent)
        lent.clear()
        place += 1
    assert place > 50


def test_returning_memory_runs_no_line_of_python_in_which_an_interrupt_could_be_lost():

    lines = []
    array = memory.empty((memory.SMALLEST,), "uint8")
    address = array.ctypes.data
    before = sys.gettrace()
    sys.settrace(lambda frame, event, arg: lines.append(frame.f_code.co_name))
    del array
    sys.settrace(before)
    assert not lines
    assert memory.empty((memory.SMALLEST,), "uint8").ctypes.data == address     # and yet the memory was returned
