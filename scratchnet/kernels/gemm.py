"""The vector kernel: C = S + A·B, a tile at a time, with the tile in registers. The one file that knows of LLVM.

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

Reading the emitted code: `multiply.inspect_asm()` shows the inner loop of the largest tile as a run of `vbroadcastss`
and `vfmadd231ps ymm`; a `vmovups` of a ymm register to the stack inside that loop means that the tile is too large.

Columns that do not fill a vector are loaded and stored under a mask; rows that do not fill a tile are given to smaller
tiles. Every number is summed over k in the same order in every tile, so a result does not depend on how its matrix was
cut. Source of the idea: Goto & van de Geijn, *Anatomy of high-performance matrix multiplication* (2008), sections 4-6.
"""

from __future__ import annotations

from collections.abc import Callable

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from scratchnet.kernels.jit import config, jit


def host_features() -> set[str]:
    """Name the processor features that kernels are compiled for (numba's settings may name another processor)."""
    if config.CPU_FEATURES is not None:
        flags = config.CPU_FEATURES.split(",")
        return {flag[1:] for flag in flags if flag.startswith("+")}
    return {name for name, there in llvm.get_host_cpu_features().items() if there}


def tile_shape(features: set[str], machine: str = llvm.get_process_triple()) -> tuple[int, int, int]:
    """Choose (bytes of a vector, rows, vectors) of a tile for a processor.

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


def _build_tile(module: ir.Module, rows: int, vectors: int, masked: bool, itemsize: int) -> ir.Function:
    """Write the LLVM function of one tile into `module`, or find it there.

    Its arguments are those of the module's page: pointers to the tile's own first numbers, and element strides.
    """
    name = f"scratchnet_tile_{rows}x{vectors}{'_masked' if masked else ''}_f{8 * itemsize}"
    if name in module.globals:
        return module.globals[name]

    number = ir.FloatType() if itemsize == 4 else ir.DoubleType()
    lanes = VECTOR_BYTES // itemsize
    word, int32 = ir.IntType(64), ir.IntType(32)
    vector, words, bits = (ir.VectorType(of, lanes) for of in (number, word, ir.IntType(1)))
    pointer = number.as_pointer()
    arguments = [pointer, word, word, word, pointer, word, word, pointer, word, pointer, word, word, word, number, word]
    tile = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), name)
    tile.linkage = "linkonce_odr"
    tile.attributes.add("noinline")
    a, sm, sao, sak, b, sbo, sbk, s, ss, c, sc, KO, KI, floor, live = tile.args
    builder = ir.IRBuilder(tile.append_basic_block())

    def declare(name: str, result: ir.Type, arguments: list[ir.Type]) -> ir.Function:
        overload = f"llvm.{name}.v{lanes}f{8 * itemsize}" + (".p0" if name.startswith("masked") else "")
        return cgutils.get_or_insert_function(module, ir.FunctionType(result, arguments), overload)

    def times(stride: ir.Value, count: int) -> ir.Value:
        return builder.mul(stride, ir.Constant(word, count))

    def splat(value: ir.Value, into: ir.VectorType) -> ir.Value:
        one = builder.insert_element(ir.Constant(into, ir.Undefined), value, ir.Constant(int32, 0))
        return builder.shuffle_vector(one, ir.Constant(into, ir.Undefined), ir.Constant(ir.VectorType(int32, lanes), [0] * lanes))

    def place(start: ir.Value, j: int) -> ir.Value:
        return builder.bitcast(builder.gep(start, [ir.Constant(word, j * lanes)]), vector.as_pointer())

    fma = declare("fma", vector, [vector] * 3)
    masked_load = declare("masked.load", vector, [vector.as_pointer(), int32, bits, vector])
    masked_store = declare("masked.store", ir.VoidType(), [vector, vector.as_pointer(), int32, bits])
    mask = builder.icmp_signed("<", ir.Constant(words, list(range(lanes))), splat(live, words))
    align = ir.Constant(int32, itemsize)

    def load(start: ir.Value, j: int) -> ir.Value:
        if masked and j == vectors - 1:
            return builder.call(masked_load, [place(start, j), align, mask, ir.Constant(vector, [0.0] * lanes)])
        return builder.load(place(start, j), align=itemsize)

    def store(value: ir.Value, start: ir.Value, j: int) -> None:
        if masked and j == vectors - 1:
            builder.call(masked_store, [value, place(start, j), align, mask])
        else:
            builder.store(value, place(start, j), align=itemsize)

    # LLVM makes registers of these.
    accumulators = [[cgutils.alloca_once(builder, vector) for _ in range(vectors)] for _ in range(rows)]
    for m in range(rows):
        for j in range(vectors):
            builder.store(load(builder.gep(s, [times(ss, m)]), j), accumulators[m][j])
    with cgutils.for_range(builder, KO) as outer:
        a_row = builder.gep(a, [builder.mul(outer.index, sao)])
        b_row = builder.gep(b, [builder.mul(outer.index, sbo)])
        with cgutils.for_range(builder, KI) as inner:
            a_k = builder.gep(a_row, [builder.mul(inner.index, sak)])
            b_k = builder.gep(b_row, [builder.mul(inner.index, sbk)])
            bs = [load(b_k, j) for j in range(vectors)]
            for m in range(rows):
                value = splat(builder.load(builder.gep(a_k, [times(sm, m)]), align=itemsize), vector)
                for j in range(vectors):
                    builder.store(builder.call(fma, [value, bs[j], builder.load(accumulators[m][j])]), accumulators[m][j])
    lowest = splat(floor, vector)
    for m in range(rows):
        for j in range(vectors):
            total = builder.load(accumulators[m][j])
            total = builder.select(builder.fcmp_ordered("<", total, lowest), lowest, total)
            store(total, builder.gep(c, [times(sc, m)]), j)
    builder.ret_void()
    return tile


def _build_strip(module: ir.Module, vectors: int, masked: bool, itemsize: int) -> ir.Function:
    """Write the LLVM function of a strip of C, one tile wide and M rows high: large tiles first, smaller ones for the rest."""
    name = f"scratchnet_strip_{vectors}{'_masked' if masked else ''}_f{8 * itemsize}"
    if name in module.globals:
        return module.globals[name]

    tiles = {rows: _build_tile(module, rows, vectors, masked, itemsize) for rows in (ROWS, 4, 2, 1)}
    word = ir.IntType(64)
    arguments = [*tiles[1].function_type.args, word]
    strip = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), name)
    strip.linkage = "linkonce_odr"
    strip.attributes.add("noinline")
    a, sm, sao, sak, b, sbo, sbk, s, ss, c, sc, KO, KI, floor, live, M = strip.args
    builder = ir.IRBuilder(strip.append_basic_block())
    done = cgutils.alloca_once_value(builder, ir.Constant(word, 0))
    for rows, tile in tiles.items():
        count = builder.sdiv(builder.sub(M, builder.load(done)), ir.Constant(word, rows))
        with cgutils.for_range(builder, count):
            m = builder.load(done)
            places = [builder.gep(start, [builder.mul(stride, m)]) for start, stride in ((a, sm), (s, ss), (c, sc))]
            builder.call(tile, [places[0], sm, sao, sak, b, sbo, sbk, places[1], ss, places[2], sc, KO, KI, floor, live])
            builder.store(builder.add(m, ir.Constant(word, rows)), done)
    builder.ret_void()
    return strip


def _make_strip(vectors: int, masked: bool) -> Callable:
    """Make the numba intrinsic that calls a strip: arrays with element offsets become pointers."""

    @intrinsic
    def strip(typing, a, a0, sm, sao, sak, b, b0, sbo, sbk, s, s0, ss, c, c0, sc, M, KO, KI, floor, live):
        i = types.intp
        signature = types.void(a, i, i, i, i, b, i, i, i, s, i, i, c, i, i, i, i, i, a.dtype, i)

        def emit(context, builder, signature, values):
            def pointer(k: int) -> ir.Value:
                array = context.make_array(signature.args[k])(context, builder, values[k])
                return builder.gep(array.data, [values[k + 1]])

            _, _, sm, sao, sak, _, _, sbo, sbk, _, _, ss, _, _, sc, M, KO, KI, floor, live = values
            function = _build_strip(builder.module, vectors, masked, signature.args[0].dtype.bitwidth // 8)
            strides_and_starts = [pointer(0), sm, sao, sak, pointer(5), sbo, sbk, pointer(9), ss, pointer(12), sc]
            builder.call(function, [*strides_and_starts, KO, KI, floor, live, M])
            return context.get_dummy_value()

        return signature, emit

    return strip


_strip = _make_strip(VECTORS, masked=False)
_last_strip = _make_strip(1, masked=True)


@jit()
def multiply(a, a0, sm, sao, sak, b, b0, sbo, sbk, s, s0, ss, c, c0, sc, M, N, KO, KI, floor):
    """Compute C = max(floor, S + A·B) for a block of M × N; the module's page tells the strides.

    a, b, s, c are arrays, C-contiguous and of one floating dtype; a0, b0, s0, c0 the places of the first number in each,
    counted in numbers as all strides are.
    """
    lanes = VECTOR_BYTES // a.itemsize
    width = VECTORS * lanes
    n = 0
    while N - n >= width:
        _strip(a, a0, sm, sao, sak, b, b0 + n, sbo, sbk, s, s0 + n, ss, c, c0 + n, sc, M, KO, KI, floor, 0)
        n += width
    while n < N:
        live = min(lanes, N - n)
        _last_strip(a, a0, sm, sao, sak, b, b0 + n, sbo, sbk, s, s0 + n, ss, c, c0 + n, sc, M, KO, KI, floor, live)
        n += lanes
