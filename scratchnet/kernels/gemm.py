"""The vector kernel: C = S + A·B, a tile at a time, with the tile in registers. The one kernel file that knows of LLVM.

Why a tile
----------
A processor core can start two vector multiply-adds in every cycle, and load about two vectors. The obvious loop

    for k: for n: C[m, n] += A[m, k] * B[k, n]

loads a vector of B and one of C and stores one of C for each multiply-add, and so runs at a fraction of the peak. But a
tile of C, ROWS × WIDTH numbers, can stay in vector registers for the whole loop over k:

             B[k, n : n + WIDTH]                 per step of k, with 6 × 2 vectors:
             ┌────────┬────────┐                   2 loads of B
    A[0, k]  │ acc 00 │ acc 01 │                   6 loads of A, each one number copied to all lanes
    A[1, k]  │ acc 10 │ acc 11 │                  12 multiply-adds, independent of each other
      ⋮      │   ⋮    │   ⋮    │
    A[5, k]  │ acc 50 │ acc 51 │                 8 loads for 12 multiply-adds: arithmetic is the limit.
             └────────┴────────┘

A multiply-add gives its result about four cycles after it starts and two start in each, so at least eight must be
independent. And accumulators, the vectors of B and one of A must all fit in the registers: 12 + 2 + 1 of the 16 that
AVX2 and SSE have; AVX-512 and NEON have 32. That is what `tile_shape` knows.

Why strides
-----------
Each operand is addressed by element strides, and k runs in two loops (outer `ko`, inner `ki`):

    C[m·sc + n] = max(floor, S[m·ss + n] + Σ_ko Σ_ki A[m·sm + ko·sao + ki·sak] · B[ko·sbo + ki·sbk + n])

so that the one kernel serves matrices, transposed matrices and *images*: for a convolution A is the padded image itself
(m steps from pixel to pixel, ki runs over a row of the window, contiguous in NHWC, and ko over the rows), and the
columns of im2col are never built. S is where accumulators start: a bias (ss = 0), C itself (to add to it), or zeros.
`floor` is 0 for a ReLU and -inf for none; a NaN passes either.

Reading the emitted code: in a process that compiled it itself (numba shows nothing of what came from its cache: set
NUMBA_CACHE_DIR to an empty folder), `scratchnet.kernels.dense._forward.inspect_asm()` holds the product's functions. In
`scratchnet_tile_6x2_f32` the inner loop is a run of `vbroadcastss` and `vfmadd231ps ymm`; a `vmovups` of a ymm register to
the stack inside that loop means that the tile is too large. (With AVX-512 it is 6x4, and zmm;
LLVM takes two steps of k at a time there, and what it keeps for a last odd one may lie on the stack.)

On this page alone A, B, C and S are matrices, and M and N their sizes. Columns that do not fill a vector are loaded and
stored under a mask; rows that do not fill a tile are given to smaller tiles. Every number is summed over k in the same order
in every tile, so a result does not depend on how its matrix was cut.

Past the cache
--------------
A store writes into the cache, for which the processor first reads the whole line from memory. A *nontemporal* store (`vmovntps`)
gathers a line outside the cache and sends it to memory, and nothing is read. That pays for a result so large that most of it
would have left a core's own cache when it is read (`memory.goes_past_cache`). With `past`, tiles whose rows are whole lines
store so. Another thread may see such stores in another order, which a lock that changes hands puts right: Python's own does
when a kernel ends.

Small matrices on both sides
----------------------------
Winograd's convolution (winograd.py) needs one thing more at vector speed: y = L·x·Lᵀ where x and y are small grids of
pixels and each channel is on its own. `make_sandwich` writes that as sums of whole vectors of channels, with the numbers of
L as constants: additions for 1 and -1, multiply-adds for others, and nothing for 0.

Source of the idea of the tile: Goto & van de Geijn, *Anatomy of high-performance matrix multiplication* (2008), sections 4-6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic

from scratchnet.kernels.jit import config
from scratchnet.kernels.memory import ALIGNMENT

WORD, INT, BIT = ir.IntType(64), ir.IntType(32), ir.IntType(1)


def host_features() -> set[str]:
    """Name the processor features that kernels are compiled for (numba's settings may name another processor)."""
    flags = config.CPU_FEATURES if config.CPU_FEATURES is not None else get_host_cpu_features()
    return {flag[1:] for flag in flags.split(",") if flag.startswith("+")}


def tile_shape(features: set[str], machine: str = llvm.get_process_triple()) -> tuple[int, int, int]:
    """Choose (bytes of a vector, rows, vectors) of the largest tile for a processor.

    Examples
    --------
    >>> tile_shape({"avx512f", "avx2", "fma"}), tile_shape({"avx2", "fma"}), tile_shape({"sse2"}, "x86_64")
    ((64, 6, 4), (32, 6, 2), (16, 6, 2))
    """
    if "avx512f" in features:
        return 64, 6, 4
    if features & {"avx", "avx2"}:
        return 32, 6, 2
    if machine.startswith(("aarch64", "arm64")):
        return 16, 6, 4
    return 16, 6, 2


VECTOR_BYTES, ROWS, VECTORS = tile_shape(host_features())
X86 = llvm.get_process_triple().startswith(("x86_64", "i686"))
FMA = "fmuladd" if X86 and "fma" not in host_features() else "fma"      # the second would be a library call there
NARROW_ROWS = 8             # of the tiles with fewer vectors: they have registers to spare


class _Writer:
    """Write one LLVM function of vectors of `itemsize`-byte numbers: what every function below needs."""

    def __init__(self, module: ir.Module, name: str, itemsize: int, arguments: Callable[[ir.Type, ir.Type], list[ir.Type]]):
        self.module, self.itemsize = module, itemsize
        self.lanes = VECTOR_BYTES // itemsize
        self.number = ir.FloatType() if itemsize == 4 else ir.DoubleType()
        self.vector = ir.VectorType(self.number, self.lanes)
        kind = ir.FunctionType(ir.VoidType(), arguments(self.number.as_pointer(), self.number))
        self.function = ir.Function(module, kind, name)
        self.function.linkage = "linkonce_odr"
        self.function.attributes.add("noinline")
        self.builder = ir.IRBuilder(self.function.append_basic_block())

    def declare(self, name: str, result: ir.Type, arguments: list[ir.Type]) -> ir.Function:
        """Name one of LLVM's own functions for our vectors."""
        overload = f"llvm.{name}.v{self.lanes}f{8 * self.itemsize}" + (".p0" if name.startswith("masked") else "")
        return cgutils.get_or_insert_function(self.module, ir.FunctionType(result, arguments), overload)

    def fma(self, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
        """Give x·y + z, rounded once where the processor can."""
        return self.builder.call(self.declare(FMA, self.vector, [self.vector] * 3), [x, y, z])

    def splat(self, value: ir.Value, into: ir.VectorType | None = None) -> ir.Value:
        """Copy one number to all lanes."""
        into = into or self.vector
        nothing = ir.Constant(into, ir.Undefined)
        one = self.builder.insert_element(nothing, value, ir.Constant(INT, 0))
        return self.builder.shuffle_vector(one, nothing, ir.Constant(ir.VectorType(INT, self.lanes), [0] * self.lanes))

    def step(self, start: ir.Value, *numbers: ir.Value) -> ir.Value:
        """Go some numbers on from a pointer."""
        for count in numbers:
            start = self.builder.gep(start, [count])
        return start

    def times(self, stride: ir.Value, count: int) -> ir.Value:
        """Give stride·count, a word."""
        return self.builder.mul(stride, ir.Constant(WORD, count))

    def place(self, start: ir.Value) -> ir.Value:
        """Take a pointer to a number as one to a vector."""
        return self.builder.bitcast(start, self.vector.as_pointer())

    def load(self, start: ir.Value) -> ir.Value:
        """Load a vector from any place that a number can have."""
        return self.builder.load(self.place(start), align=self.itemsize)

    def store(self, value: ir.Value, start: ir.Value, nontemporal: bool = False) -> None:
        """Store a vector to any place that a number can have; a nontemporal store needs a multiple of a vector's bytes."""
        stored = self.builder.store(value, self.place(start), align=VECTOR_BYTES if nontemporal else self.itemsize)
        if nontemporal:
            stored.set_metadata("nontemporal", self.module.add_metadata([ir.Constant(INT, 1)]))

    def either(self, condition: ir.Value, write: Callable[[bool], None]) -> None:
        """Write an if with both branches: write(True) where the condition holds, write(False) where not."""
        with self.builder.if_else(condition) as branches:
            for truth, branch in zip((True, False), branches, strict=True):
                with branch:
                    write(truth)

    def at_least(self, floor: ir.Value, value: ir.Value) -> ir.Value:
        """Give max(floor, value); a NaN stays."""
        return self.builder.select(self.builder.fcmp_ordered("<", value, floor), floor, value)


def _build_tile(module: ir.Module, rows: int, vectors: int, masked: bool, itemsize: int) -> ir.Function:
    """Write the LLVM function of one tile into `module`, or find it there.

    Its arguments are those of the module's page: pointers to the tile's own first numbers, and element strides. A masked
    tile reads and writes only the first `live` numbers of its last vector.
    """
    name = f"scratchnet_tile_{rows}x{vectors}{'_masked' if masked else ''}_f{8 * itemsize}"
    if name in module.globals:
        return module.globals[name]

    w = _Writer(module, name, itemsize, lambda p, n: [p, *[WORD] * 3, p, WORD, WORD, p, WORD, p, *[WORD] * 3, n, BIT, WORD])
    builder, vector, lanes = w.builder, w.vector, w.lanes
    a, sm, sao, sak, b, sbo, sbk, s, ss, c, sc, KO, KI, floor, past, live = w.function.args
    words, bits = ir.VectorType(WORD, lanes), ir.VectorType(BIT, lanes)
    mask = builder.icmp_signed("<", ir.Constant(words, list(range(lanes))), w.splat(live, words))
    masked_load = w.declare("masked.load", vector, [vector.as_pointer(), INT, bits, vector])
    masked_store = w.declare("masked.store", ir.VoidType(), [vector, vector.as_pointer(), INT, bits])
    align = ir.Constant(INT, itemsize)

    def load(start: ir.Value, j: int) -> ir.Value:
        start = w.step(start, ir.Constant(WORD, j * lanes))
        if masked and j == vectors - 1:
            return builder.call(masked_load, [w.place(start), align, mask, ir.Constant(vector, [0.0] * lanes)])
        return w.load(start)

    def store(value: ir.Value, start: ir.Value, j: int, nontemporal: bool) -> None:
        start = w.step(start, ir.Constant(WORD, j * lanes))
        if masked and j == vectors - 1:
            builder.call(masked_store, [value, w.place(start), align, mask])
        else:
            w.store(value, start, nontemporal)

    # LLVM makes registers of these.
    accumulators = [[cgutils.alloca_once(builder, vector) for _ in range(vectors)] for _ in range(rows)]
    for m in range(rows):
        for j in range(vectors):
            builder.store(load(w.step(s, w.times(ss, m)), j), accumulators[m][j])
    with cgutils.for_range(builder, KO) as outer:
        a_row = w.step(a, builder.mul(outer.index, sao))
        b_row = w.step(b, builder.mul(outer.index, sbo))
        with cgutils.for_range(builder, KI) as inner:
            a_k = w.step(a_row, builder.mul(inner.index, sak))
            b_k = w.step(b_row, builder.mul(inner.index, sbk))
            bs = [load(b_k, j) for j in range(vectors)]
            for m in range(rows):
                value = w.splat(builder.load(w.step(a_k, w.times(sm, m)), align=itemsize))
                for j in range(vectors):
                    builder.store(w.fma(value, bs[j], builder.load(accumulators[m][j])), accumulators[m][j])
    lowest = w.splat(floor)

    def finish(floored: bool, nontemporal: bool) -> None:
        for m in range(rows):
            for j in range(vectors):
                total = builder.load(accumulators[m][j])
                store(w.at_least(lowest, total) if floored else total, w.step(c, w.times(sc, m)), j, nontemporal)

    has_floor = builder.fcmp_ordered(">", floor, ir.Constant(w.number, float("-inf")))      # chosen once a tile, not once a vector
    if masked or vectors * VECTOR_BYTES % ALIGNMENT:
        w.either(has_floor, lambda floored: finish(floored, False))
    else:
        off = builder.and_(builder.or_(builder.ptrtoint(c, WORD), w.times(sc, itemsize)), ir.Constant(WORD, ALIGNMENT - 1))
        whole_lines = builder.icmp_signed("==", off, ir.Constant(WORD, 0))
        w.either(builder.and_(past, whole_lines), lambda past: w.either(has_floor, lambda floored: finish(floored, past)))
    builder.ret_void()
    return w.function


def _build_strip(module: ir.Module, rows: int, vectors: int, masked: bool, itemsize: int) -> ir.Function:
    """Write the LLVM function of a strip of C, one tile wide and M rows high: large tiles first, smaller ones for the rest."""
    name = f"scratchnet_strip_{rows}x{vectors}{'_masked' if masked else ''}_f{8 * itemsize}"
    if name in module.globals:
        return module.globals[name]

    heights = rows, 3, 2, 1         # three: dw of a layer with one channel has so many
    tiles = {height: _build_tile(module, height, vectors, masked, itemsize) for height in heights}
    w = _Writer(module, name, itemsize, lambda *_: [*tiles[1].function_type.args, WORD])
    a, sm, sao, sak, b, sbo, sbk, s, ss, c, sc, KO, KI, floor, past, live, M = w.function.args
    builder = w.builder
    done = cgutils.alloca_once_value(builder, ir.Constant(WORD, 0))
    for height, tile in tiles.items():
        count = builder.sdiv(builder.sub(M, builder.load(done)), ir.Constant(WORD, height))
        with cgutils.for_range(builder, count):
            m = builder.load(done)
            places = [w.step(start, builder.mul(stride, m)) for start, stride in ((a, sm), (s, ss), (c, sc))]
            builder.call(tile, [places[0], sm, sao, sak, b, sbo, sbk, places[1], ss, places[2], sc, KO, KI, floor, past, live])
            builder.store(builder.add(m, ir.Constant(WORD, height)), done)
    builder.ret_void()
    return w.function


def _build_multiply(module: ir.Module, itemsize: int) -> ir.Function:
    """Write the LLVM function of the whole product: wide strips, one narrower one, and masked vectors for the rest."""
    name = f"scratchnet_multiply_f{8 * itemsize}"
    if name in module.globals:
        return module.globals[name]

    lanes = VECTOR_BYTES // itemsize
    shapes = [(ROWS, VECTORS, False), (NARROW_ROWS, VECTORS // 2, False), (NARROW_ROWS, 1, True)]
    strips = [_build_strip(module, *shape, itemsize) for shape in shapes]
    w = _Writer(module, name, itemsize, lambda p, n: [p, *[WORD] * 3, p, WORD, WORD, p, WORD, p, *[WORD] * 5, n, BIT])
    a, sm, sao, sak, b, sbo, sbk, s, ss, c, sc, M, N, KO, KI, floor, past = w.function.args
    builder = w.builder
    done = cgutils.alloca_once_value(builder, ir.Constant(WORD, 0))
    for strip, (_, vectors, masked) in zip(strips, shapes, strict=True):
        width = ir.Constant(WORD, vectors * lanes)
        left = builder.sub(N, builder.load(done))
        count = builder.sdiv(builder.add(left, ir.Constant(WORD, lanes - 1)) if masked else left, width)
        with cgutils.for_range(builder, count):
            n = builder.load(done)
            live = builder.sub(N, n)        # a mask lets no more through than there are lanes
            places = [w.step(start, n) for start in (b, s, c)]
            builder.call(strip, [a, sm, sao, sak, places[0], sbo, sbk, places[1], ss, places[2], sc, KO, KI, floor, past, live, M])
            builder.store(builder.add(n, width), done)
    builder.ret_void()
    return w.function


def _call(build: Callable[[ir.Module, int], ir.Function]) -> Callable:
    """Make what calls a function of ours from a numba kernel: an array and the offset behind it become a pointer."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[ir.Value]) -> ir.Value:
        arguments, pairs = [], iter(zip(signature.args, values, strict=True))
        for kind, value in pairs:
            if isinstance(kind, types.BaseTuple):
                continue                    # it has spoken already, by its type
            if isinstance(kind, types.Array):
                array = context.make_array(kind)(context, builder, value)
                _, offset = next(pairs)
                arguments.append(builder.gep(array.data, [offset]))
            else:
                arguments.append(value)
        itemsize = next(kind for kind in signature.args if isinstance(kind, types.Array)).dtype.bitwidth // 8
        builder.call(build(builder.module, itemsize), arguments)
        return context.get_dummy_value()

    return emit


def _for_kernels(typed: Callable[..., Any]) -> Any:
    """Make a function that numba's kernels can call; they leave `typing`, its first argument, out."""
    return intrinsic(typed)


@_for_kernels
def multiply(typing, a, a0, sm, sao, sak, b, b0, sbo, sbk, s, s0, ss, c, c0, sc, M, N, KO, KI, floor, past):
    """Compute C = max(floor, S + A·B) for a block of M × N; the module's page tells the strides.

    a, b, s, c are arrays, C-contiguous and of one floating dtype; a0, b0, s0, c0 the places of the first number in each,
    counted in numbers as all strides are.
    """
    i = types.intp
    return types.void(a, i, i, i, i, b, i, i, i, s, i, i, c, i, i, i, i, i, i, a.dtype, types.boolean), _call(_build_multiply)


def _build_spin(module: ir.Module, itemsize: int) -> ir.Function:
    """Write the LLVM function that does nothing but multiply-adds: twelve accumulators, no memory in the loop."""
    name = f"scratchnet_spin_f{8 * itemsize}"
    if name in module.globals:
        return module.globals[name]

    w = _Writer(module, name, itemsize, lambda p, _: [p, WORD])
    a, rounds = w.function.args
    places = [w.step(a, ir.Constant(WORD, k * w.lanes)) for k in range(14)]
    x, y = w.load(places[12]), w.load(places[13])
    accumulators = [cgutils.alloca_once_value(w.builder, w.load(place)) for place in places[:12]]
    with cgutils.for_range(w.builder, rounds):
        for accumulator in accumulators:
            w.builder.store(w.fma(w.builder.load(accumulator), x, y), accumulator)
    for accumulator, place in zip(accumulators, places, strict=False):
        w.store(w.builder.load(accumulator), place)
    w.builder.ret_void()
    return w.function


@_for_kernels
def spin(typing, a, a0, rounds):
    """Do 12 vector multiply-adds a round, as fast as the processor can: how a machine's peak is measured.

    `a` has 14 vectors from a0 on: the accumulators, a factor and a summand.
    """
    return types.void(a, types.intp, types.intp), _call(_build_spin)


# -- small matrices on both sides -------------------------------------------------------------------------------------


def _combine(w: _Writer, row: Sequence[float], vectors: Sequence[ir.Value]) -> ir.Value:
    """Write Σ_k row[k]·vectors[k], with additions alone where the numbers are 1 and -1."""
    terms = sorted(((k, v) for k, v in zip(row, vectors, strict=True) if k), key=lambda term: term[0] != 1)
    (first, total), *rest = terms
    if first != 1:
        total = w.builder.fmul(total, ir.Constant(w.vector, [first] * w.lanes))
    for k, value in rest:
        if abs(k) == 1:
            total = (w.builder.fadd if k > 0 else w.builder.fsub)(total, value)
        else:
            total = w.fma(value, ir.Constant(w.vector, [k] * w.lanes), total)
    return total


def _build_sandwich(module: ir.Module, matrix: Sequence[Sequence[float]], way: str, itemsize: int) -> ir.Function:
    """Write the LLVM function of y = L·x·Lᵀ for grids of pixels, x of q × q and y of p × p, channel by channel."""
    name = f"scratchnet_sandwich_{sha256(repr(matrix).encode()).hexdigest()[:16]}_{way}_f{8 * itemsize}"
    if name in module.globals:
        return module.globals[name]

    p, q = len(matrix), len(matrix[0])
    w = _Writer(module, name, itemsize, lambda p, n: [p, WORD, WORD, p, WORD, WORD, p, n, WORD])
    x, x_down, x_across, y, y_down, y_across, other, floor, channels = w.function.args
    builder = w.builder
    with cgutils.for_range(builder, builder.sdiv(channels, ir.Constant(WORD, w.lanes))) as loop:
        channel = w.times(loop.index, w.lanes)
        half, total = [], ir.Constant(w.vector, [0.0] * w.lanes)    # columns of L·x; the sum of x
        for b in range(q):
            column = []
            for a in range(q):
                column.append(w.load(w.step(x, channel, w.times(x_down, a), w.times(x_across, b))))
                total = builder.fadd(total, column[-1]) if way == "sum" else total
            half.append([_combine(w, row, column) for row in matrix])
        for i in range(p):
            for j in range(p):
                value = _combine(w, matrix[j], [half[b][i] for b in range(q)])
                target = w.step(y, channel, w.times(y_down, i), w.times(y_across, j))
                if way == "add":
                    value = builder.fadd(w.load(target), value)
                if way.startswith("finish"):
                    value = w.at_least(w.splat(floor), builder.fadd(value, w.load(w.step(other, channel))))
                w.store(value, target, nontemporal=way == "finish_past" and VECTOR_BYTES == ALIGNMENT)
        if way == "sum":
            target = w.step(other, channel)
            w.store(builder.fadd(w.load(target), total), target)
    builder.ret_void()
    return w.function


def make_sandwich(matrices: Sequence[Sequence[Sequence[float]]], way: str = "store") -> Callable:
    """Make the numba intrinsic of y = L·x·Lᵀ, where x and y are small square grids of pixels with many channels.

        sandwich(which, x, x0, x_down, x_across, y, y0, y_down, y_across, other, other0, floor, channels)

    Parameters
    ----------
    matrices : several of p rows of q numbers
        L is `matrices[len(which)]`: `which` is a tuple, since a tuple's length is known while a kernel is compiled. x is
        q × q pixels and y is p × p; `down` and `across` are the strides of their rows and columns, in numbers.
    way : {"store", "add", "sum", "finish", "finish_past"}
        "store" makes y the result, "add" adds it to y. "sum" makes y the result and adds the sum of x's pixels to `other`, one
        number a channel. "finish" makes y = max(floor, result + other), one number a channel. "finish_past" does so past the
        cache, where a vector is a whole line; the caller sees to it that y begins one and its strides are whole ones.

    Notes
    -----
    The number of channels is a multiple of the lanes of a vector. What a way does not read may be anything.
    """

    @_for_kernels
    def sandwich(typing, which, x, x0, x_down, x_across, y, y0, y_down, y_across, other, other0, floor, channels):
        i = types.intp
        matrix = matrices[len(which)]
        signature = types.void(which, x, i, i, i, y, i, i, i, other, i, x.dtype, i)
        return signature, _call(lambda module, itemsize: _build_sandwich(module, matrix, way, itemsize))

    return sandwich
