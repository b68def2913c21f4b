"""The vector kernel: C = S + A·B, one tile at a time, with the tile in registers. No other kernel file calls LLVM itself.

Legend
------
    A (M, KO·KI)  left factor            m, n     row and column of C
    B (KO·KI, N)  right factor           ko, ki   outer and inner summation index
    S (M, N)      initial values         M N KO KI  their sizes, `Block`
    C (M, N)      result                 floor    lower bound of C: 0 for a ReLU, -inf for none

`Left`, `Right` and `Rows` hold an array, the position where the matrix starts, and the strides of its indices. All are counted
in numbers, not in bytes. The column n has stride 1 everywhere. A, B, C, S, M and N have these meanings on this page only.

Why a tile
----------
A *vector register* of a processor core holds several numbers, its *lanes* (a register of 256 bits has 8 in float32), and one
instruction works on all lanes. A core can start two vector multiply-adds in every cycle, and load about two vectors. The obvious
loop

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

The result of a multiply-add is ready about four cycles after it starts, and two start in each cycle, so at least eight must be
independent. The accumulators, the vectors of B and one vector of A must all fit in the registers: 12 + 2 + 1 of the 16 that
AVX2 and SSE have. AVX-512 and NEON have 32. `tile_shape` chooses the tile accordingly.

C and B are cut into *strips* of columns, as wide as a tile. A strip of B is read again for each tile of the same columns, so it
should stay in the level-1 cache. With AVX-512 the widest tile has 6 × 4 vectors, and a strip is 64 float32 numbers wide. With 97
or more steps of k, it exceeds STRIP_BYTES. If C has more than six rows, such a product is cut into strips of two vectors instead,
whose tiles have up to 14 rows, and so 28 accumulators. There are tiles of every height from 14 to 1, and the rows of C are shared
evenly among as few tiles as possible: 32 rows are 11 + 11 + 10 rather than 14 + 14 + 3 + 1, because a tile of one row has only two
independent multiply-adds.

Why strides
-----------
Each matrix is addressed by strides, and k runs in two loops (outer `ko`, inner `ki`):

    C[m·c.m + n] = max(floor, S[m·s.m + n] + Σ_ko Σ_ki A[m·a.m + ko·a.ko + ki·a.ki] · B[ko·b.ko + ki·b.ki + n])

One kernel therefore serves matrices, transposed matrices and *images*. For a convolution A is the padded image itself: m steps
from pixel to pixel, ki runs over a row of the window, contiguous in NHWC, and ko over the rows of the window. The columns of
im2col are never built. S holds the initial values of the accumulators: a bias (stride 0), C itself (to add to it), or zeros.
A NaN is not replaced by the floor.

The loop over ki decides how fast a tile is. Two optimizations of LLVM would make it slower, and are prevented. First, LLVM would
move one pointer from row to row of A and back to the first row: in the 6x2 tile, six additions in each step of k. Each waits for
the one before, so they take as many cycles as the twelve multiply-adds of the step. So every third row has a pointer of its own
(POINTER_ROWS), and the two rows after it are one and two strides further, which an x86 instruction adds while it loads. LLVM must
not know how the pointers were computed (`opaque`), or it would use additions again. Second, LLVM would unroll the loop and add
another for the remaining steps. There are too few registers for the two loops, so vectors would be stored on the stack. The
attribute `optsize` (prefer small code) prevents this. Tiles of at most FEW_ROWS rows do not have it, since they are faster when
the loop is unrolled.

To read the emitted code: compile in the same process (numba shows no code that was loaded from its cache: set NUMBA_CACHE_DIR
to an empty folder); `scratchnet.kernels.dense._forward.inspect_asm()` then contains the functions of the product. In
`scratchnet_tile_6x2_f32` the inner loop is a run of `vbroadcastss` and `vfmadd231ps ymm`. A `vmovups` of a ymm register to the
stack inside that loop means that the tile is too large. (With AVX-512 the tiles are 6x4 and 14x2, and the registers are zmm.)

Columns that do not fill a vector are loaded and stored under a mask. Rows that do not fill a tile are given to smaller tiles.
Every number is summed over k in the same order in every tile, so a result does not depend on how its matrix was cut.

Nontemporal stores
------------------
An ordinary store writes into the cache, for which the processor first reads the whole line from memory. A *nontemporal* store
(`vmovntps`) gathers a line outside the cache and sends it to memory, and nothing is read. This is faster if the result is so
large that most of it would have left a core's own cache before it is read (`memory.goes_past_cache`). With `Store.nontemporal`,
tiles whose rows are whole cache lines are stored this way. Another thread may see such stores in another order until it takes a
lock that this thread has released, such as Python's own when a kernel ends.

How LLVM code is written
------------------------
numba translates a kernel to the language of LLVM, a compiler, which chooses the registers. The loops of a kernel in Python
would leave it to LLVM to decide what becomes a vector, so the functions `_build_…` below write LLVM's language themselves, with
the package llvmlite. They run once, while a kernel is compiled. `builder.add(a, b)` adds nothing: it appends an addition to the
function that is being written, and returns a name for its result. So a loop of Python appends its body again and again (the
rows and vectors of a tile), and `cgutils.for_range` appends a loop, which runs when the kernel runs (over k). The words of LLVM
that this page uses:

    alloca                  a local variable: `builder.load` reads and `builder.store` writes it; LLVM puts it into a register
    gep                     "get element pointer": the address that lies a given count of numbers after another
    splat                   a vector with the same number in all lanes
    icmp, fcmp; select      a comparison of integers, of floats; one of two values, chosen by a condition

Transforms of tiles
-------------------
Winograd's convolution (winograd.py) needs one more operation at vector speed: y = L·x·Lᵀ, where x and y are small grids of
pixels and each channel is separate. `make_transform` writes it as sums of whole vectors of channels, with the numbers of
L as constants: additions for 1 and -1, multiply-adds for others, and nothing for 0.

Source of the tile: Goto & van de Geijn, *Anatomy of high-performance matrix multiplication* (2008), sections 4-6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic

from scratchnet.kernels.jit import config
from scratchnet.kernels.memory import ALIGNMENT

WORD, INT, BIT = ir.IntType(64), ir.IntType(32), ir.IntType(1)


class Left(NamedTuple):
    """The matrix A: `array` from `start` on, and the strides of its row m and of the summation indices ko and ki."""

    array: Any
    start: Any
    m: Any
    ko: Any
    ki: Any


class Right(NamedTuple):
    """The matrix B: `array` from `start` on, and the strides of the summation indices ko and ki."""

    array: Any
    start: Any
    ko: Any
    ki: Any


class Rows(NamedTuple):
    """The matrix S or C: `array` from `start` on, and the stride of its row m. With stride 0 all rows are the same."""

    array: Any
    start: Any
    m: Any


class Block(NamedTuple):
    """The sizes of one product: C is (M, N), and the sum has KO·KI terms."""

    M: Any
    N: Any
    KO: Any
    KI: Any


class Store(NamedTuple):
    """How results are stored: max(floor, result) in the dtype of the arrays, by nontemporal stores where lines are whole."""

    floor: Any
    nontemporal: Any


class Grid(NamedTuple):
    """A square grid of pixels: `array` from `start` on, and the strides from row to row and from column to column."""

    array: Any
    start: Any
    down: Any
    across: Any


def host_features() -> set[str]:
    """Return the processor features that kernels are compiled for (numba's settings may name another processor)."""
    flags = config.CPU_FEATURES if config.CPU_FEATURES is not None else get_host_cpu_features()
    return {flag[1:] for flag in flags.split(",") if flag.startswith("+")}


def tile_shape(features: set[str], machine: str = llvm.get_process_triple()) -> tuple[int, int, int, int]:
    """Return (bytes of a vector, rows and vectors of the widest tile, rows of a narrow tile) for a processor.

    Examples
    --------
    >>> tile_shape({"avx512f", "avx2", "fma"}), tile_shape({"avx2", "fma"}), tile_shape({"sse2"}, "x86_64")
    ((64, 6, 4, 14), (32, 6, 2, 8), (16, 6, 2, 8))
    """
    if "avx512f" in features:
        return 64, 6, 4, 14
    if features & {"avx", "avx2"}:
        return 32, 6, 2, 8
    if machine.startswith(("aarch64", "arm64")):
        return 16, 6, 4, 8
    return 16, 6, 2, 8


VECTOR_BYTES, ROWS, VECTORS, NARROW_ROWS = tile_shape(host_features())
X86 = llvm.get_process_triple().startswith(("x86_64", "i686"))
FMA = "fmuladd" if X86 and "fma" not in host_features() else "fma"      # without the instruction, "fma" would be a library call
MASKED_ROWS = 8             # rows of the tiles of one masked vector
STRIP_BYTES = 24 << 10      # the most of B that a strip of widest tiles may read; beyond it, fast narrow tiles if M > ROWS
FEW_ROWS = 3                # rows of a low tile: for example, dw of a layer with one channel and a 3 × 3 kernel has three rows
POINTER_ROWS = 3            # rows of A that are reached from one pointer: its own, and those one and two strides further


class _Writer:
    """A builder of one LLVM function on vectors of `itemsize`-byte numbers, with the operations that the functions below use."""

    def __init__(self, module: ir.Module, name: str, itemsize: int, arguments: Callable[[ir.Type, ir.Type], Sequence[ir.Type]]):
        self.module, self.itemsize = module, itemsize
        self.lanes = VECTOR_BYTES // itemsize
        self.number = ir.FloatType() if itemsize == 4 else ir.DoubleType()
        self.vector = ir.VectorType(self.number, self.lanes)
        kind = ir.FunctionType(ir.VoidType(), arguments(self.number.as_pointer(), self.number))
        self.function = ir.Function(module, kind, name)
        self.function.linkage = "linkonce_odr"          # several kernels may bring the same function; the linker keeps one
        self.function.attributes.add("noinline")
        self.builder = ir.IRBuilder(self.function.append_basic_block())

    def declare(self, name: str, result: ir.Type, arguments: list[ir.Type]) -> ir.Function:
        """Return the declaration of one of LLVM's own functions for these vectors."""
        overload = f"llvm.{name}.v{self.lanes}f{8 * self.itemsize}" + (".p0" if name.startswith("masked") else "")
        return cgutils.get_or_insert_function(self.module, ir.FunctionType(result, arguments), overload)

    def fma(self, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
        """Return x·y + z, rounded once if the processor can."""
        return self.builder.call(self.declare(FMA, self.vector, [self.vector] * 3), [x, y, z])

    def splat(self, value: ir.Value, into: ir.VectorType | None = None) -> ir.Value:
        """Return a vector with one number in all lanes."""
        into = into or self.vector
        nothing = ir.Constant(into, ir.Undefined)
        one = self.builder.insert_element(nothing, value, ir.Constant(INT, 0))
        return self.builder.shuffle_vector(one, nothing, ir.Constant(ir.VectorType(INT, self.lanes), [0] * self.lanes))

    def step(self, start: ir.Value, *numbers: ir.Value) -> ir.Value:
        """Return a pointer that has advanced by the given counts of numbers."""
        for count in numbers:
            start = self.builder.gep(start, [count])
        return start

    def times(self, stride: ir.Value, count: int) -> ir.Value:
        """Return stride·count, a 64-bit integer."""
        return self.builder.mul(stride, ir.Constant(WORD, count))

    def opaque(self, start: ir.Value) -> ir.Value:
        """Return the same pointer, passed through an empty piece of assembly, so that LLVM does not know how it was computed."""
        return self.builder.asm(ir.FunctionType(start.type, [start.type]), "", "=r,0", [start], False)

    def vector_at(self, start: ir.Value) -> ir.Value:
        """Return a pointer to a number as a pointer to a vector."""
        return self.builder.bitcast(start, self.vector.as_pointer())

    def load(self, start: ir.Value) -> ir.Value:
        """Load a vector from an address that is aligned for a number."""
        return self.builder.load(self.vector_at(start), align=self.itemsize)

    def store(self, value: ir.Value, start: ir.Value, nontemporal: bool = False) -> None:
        """Store a vector to an address aligned for a number; a nontemporal store needs one aligned for a vector."""
        stored = self.builder.store(value, self.vector_at(start), align=VECTOR_BYTES if nontemporal else self.itemsize)
        if nontemporal:
            stored.set_metadata("nontemporal", self.module.add_metadata([ir.Constant(INT, 1)]))

    def branch(self, condition: ir.Value, write: Callable[[bool], None]) -> None:
        """Write an if with both branches: write(True) for a true condition, write(False) for a false one."""
        with self.builder.if_else(condition) as branches:
            for truth, branch in zip((True, False), branches, strict=True):
                with branch:
                    write(truth)

    def at_least(self, floor: ir.Value, value: ir.Value) -> ir.Value:
        """Return max(floor, value); a NaN stays."""
        return self.builder.select(self.builder.fcmp_ordered("<", value, floor), floor, value)


class _Product(NamedTuple):
    """The arguments of a product, as LLVM values: pointers to first numbers, strides, sizes."""

    a: Any
    a_m: Any
    a_ko: Any
    a_ki: Any
    b: Any
    b_ko: Any
    b_ki: Any
    s: Any
    s_m: Any
    c: Any
    c_m: Any
    M: Any
    N: Any
    KO: Any
    KI: Any
    floor: Any
    nontemporal: Any


def _product_types(pointer: ir.Type, number: ir.Type) -> _Product:
    p, i = pointer, WORD
    return _Product(p, i, i, i, p, i, i, p, i, p, i, i, i, i, i, number, BIT)


def _part_types(pointer: ir.Type, number: ir.Type) -> list[ir.Type]:
    """Return the types of the arguments of a tile or a strip: its own a, b, s, c and N, and a pointer to those of the product.

    On x86-64 Linux and macOS, a call passes six integers or pointers in registers. Storing the rest on the stack for each tile
    made products of 32 or 64 terms up to a tenth slower.
    """
    return [pointer, pointer, pointer, pointer, WORD, ir.LiteralStructType(_product_types(pointer, number)).as_pointer()]


def _part(w: _Writer) -> _Product:
    """Return the arguments of a tile or a strip."""
    *own, stored = w.function.args
    product = _Product(*(w.builder.load(cgutils.gep_inbounds(w.builder, stored, 0, i)) for i in range(len(_Product._fields))))
    return product._replace(**dict(zip("abscN", own, strict=True)))


def _build_tile(module: ir.Module, rows: int, vectors: int, masked: bool, itemsize: int) -> ir.Function:
    """Return the LLVM function of one tile; it is written into `module` unless it is there already.

    Its pointers point to the first numbers of the tile. A masked tile reads and writes only the first N numbers of its last
    vector; otherwise M and N are ignored.
    """
    name = f"scratchnet_tile_{rows}x{vectors}{'_masked' if masked else ''}_f{8 * itemsize}"
    if name in module.globals:
        return module.globals[name]

    w = _Writer(module, name, itemsize, _part_types)
    builder, vector, lanes, product = w.builder, w.vector, w.lanes, _part(w)
    if rows > FEW_ROWS:
        w.function.attributes.add("optsize")
    words, bits = ir.VectorType(WORD, lanes), ir.VectorType(BIT, lanes)
    mask = builder.icmp_signed("<", ir.Constant(words, list(range(lanes))), w.splat(product.N, words))
    masked_load = w.declare("masked.load", vector, [vector.as_pointer(), INT, bits, vector])
    masked_store = w.declare("masked.store", ir.VoidType(), [vector, vector.as_pointer(), INT, bits])
    align = ir.Constant(INT, itemsize)

    def load(start: ir.Value, j: int) -> ir.Value:
        start = w.step(start, ir.Constant(WORD, j * lanes))
        if masked and j == vectors - 1:
            return builder.call(masked_load, [w.vector_at(start), align, mask, ir.Constant(vector, [0.0] * lanes)])
        return w.load(start)

    def store(value: ir.Value, start: ir.Value, j: int, nontemporal: bool) -> None:
        start = w.step(start, ir.Constant(WORD, j * lanes))
        if masked and j == vectors - 1:
            builder.call(masked_store, [value, w.vector_at(start), align, mask])
        else:
            w.store(value, start, nontemporal)

    # Local variables, which LLVM keeps in registers.
    accumulators = [[cgutils.alloca_once(builder, vector) for _ in range(vectors)] for _ in range(rows)]
    for m in range(rows):
        for j in range(vectors):
            builder.store(load(w.step(product.s, w.times(product.s_m, m)), j), accumulators[m][j])
    starts = [w.opaque(w.step(product.a, w.times(product.a_m, m))) for m in range(0, rows, POINTER_ROWS)]
    with cgutils.for_range(builder, product.KO) as outer:
        a_rows = [w.step(start, builder.mul(outer.index, product.a_ko)) for start in starts]
        b_row = w.step(product.b, builder.mul(outer.index, product.b_ko))
        with cgutils.for_range(builder, product.KI) as inner:
            a_ks = [w.step(a_row, builder.mul(inner.index, product.a_ki)) for a_row in a_rows]
            b_k = w.step(b_row, builder.mul(inner.index, product.b_ki))
            bs = [load(b_k, j) for j in range(vectors)]
            for m in range(rows):
                a_k = w.step(a_ks[m // POINTER_ROWS], w.times(product.a_m, m % POINTER_ROWS))
                value = w.splat(builder.load(a_k, align=itemsize))
                for j in range(vectors):
                    builder.store(w.fma(value, bs[j], builder.load(accumulators[m][j])), accumulators[m][j])
    floor = w.splat(product.floor)

    def finish(floored: bool, nontemporal: bool) -> None:
        for m in range(rows):
            for j in range(vectors):
                total = builder.load(accumulators[m][j])
                start = w.step(product.c, w.times(product.c_m, m))
                store(w.at_least(floor, total) if floored else total, start, j, nontemporal)

    # The kind of store is chosen once per tile, not once per vector.
    has_floor = builder.fcmp_ordered(">", product.floor, ir.Constant(w.number, float("-inf")))
    if masked or vectors * VECTOR_BYTES % ALIGNMENT:
        w.branch(has_floor, lambda floored: finish(floored, False))
    else:
        bytes_used = builder.or_(builder.ptrtoint(product.c, WORD), w.times(product.c_m, itemsize))
        whole_lines = builder.icmp_signed(
            "==", builder.and_(bytes_used, ir.Constant(WORD, ALIGNMENT - 1)), ir.Constant(WORD, 0)
        )
        w.branch(
            builder.and_(product.nontemporal, whole_lines),
            lambda nontemporal: w.branch(has_floor, lambda floored: finish(floored, nontemporal)),
        )
    builder.ret_void()
    return w.function


def narrow_is_fast() -> bool:
    """Return whether the tiles with half as many vectors are as fast as the widest: they have as many accumulators or more."""
    return NARROW_ROWS * (VECTORS // 2) >= ROWS * VECTORS


def _build_strip(module: ir.Module, rows: int, vectors: int, masked: bool, itemsize: int) -> ir.Function:
    """Write the LLVM function of a strip of C, one tile wide and M rows high.

    Large tiles come first, and smaller ones for the rest. But among narrow tiles that are fast, the rows of C are shared evenly:
    there are as few tiles as possible, and their heights differ by one at most.
    """
    name = f"scratchnet_strip_{rows}x{vectors}{'_masked' if masked else ''}_f{8 * itemsize}"
    if name in module.globals:
        return module.globals[name]

    evenly = narrow_is_fast() and not masked and vectors < VECTORS
    heights = range(rows, 0, -1) if evenly else (rows, FEW_ROWS, 2, 1)
    tiles = {height: _build_tile(module, height, vectors, masked, itemsize) for height in heights}
    w = _Writer(module, name, itemsize, _part_types)
    builder, product, stored = w.builder, _part(w), w.function.args[-1]
    row = cgutils.alloca_once_value(builder, ir.Constant(WORD, 0))      # the rows above this one are already computed
    zero, one, most = (ir.Constant(WORD, number) for number in (0, 1, rows))

    # Shared evenly: of `count` tiles, `higher` have low + 1 rows, and the others `low`.
    count = builder.sdiv(builder.add(product.M, builder.sub(most, one)), most)
    count = builder.select(builder.icmp_signed("<", count, one), one, count)        # without rows, 1: a divisor must not be 0
    low, higher = builder.sdiv(product.M, count), builder.srem(product.M, count)

    def count_of(height: int) -> ir.Value:
        if not evenly:
            return builder.sdiv(builder.sub(product.M, builder.load(row)), ir.Constant(WORD, height))
        is_low, is_higher = (builder.icmp_signed("==", low, ir.Constant(WORD, number)) for number in (height, height - 1))
        return builder.select(is_low, builder.sub(count, higher), builder.select(is_higher, higher, zero))

    for height, tile in tiles.items():
        with cgutils.for_range(builder, count_of(height)):
            m = builder.load(row)
            a, s, c = (
                w.step(start, builder.mul(stride, m))
                for start, stride in ((product.a, product.a_m), (product.s, product.s_m), (product.c, product.c_m))
            )
            builder.call(tile, [a, product.b, s, c, product.N, stored])
            builder.store(builder.add(m, ir.Constant(WORD, height)), row)
    builder.ret_void()
    return w.function


def _build_multiply(module: ir.Module, itemsize: int) -> ir.Function:
    """Write the LLVM function of the whole product: wide strips, narrow ones, and masked vectors for the rest."""
    name = f"scratchnet_multiply_f{8 * itemsize}"
    if name in module.globals:
        return module.globals[name]

    lanes = VECTOR_BYTES // itemsize
    shapes = [(ROWS, VECTORS, False), (NARROW_ROWS, VECTORS // 2, False), (MASKED_ROWS, 1, True)]
    strips = [_build_strip(module, *shape, itemsize) for shape in shapes]
    w = _Writer(module, name, itemsize, _product_types)
    builder, product = w.builder, _Product(*w.function.args)
    stored = cgutils.alloca_once_value(builder, cgutils.pack_struct(builder, product))
    column = cgutils.alloca_once_value(builder, ir.Constant(WORD, 0))   # the columns to its left are already computed
    for strip, (_, vectors, masked) in zip(strips, shapes, strict=True):
        width = ir.Constant(WORD, vectors * lanes)
        left = builder.sub(product.N, builder.load(column))
        count = builder.sdiv(builder.add(left, ir.Constant(WORD, lanes - 1)) if masked else left, width)
        if narrow_is_fast() and vectors == VECTORS:
            in_strip = builder.mul(builder.mul(product.KO, product.KI), ir.Constant(WORD, vectors * VECTOR_BYTES))
            fits = builder.icmp_signed("<=", in_strip, ir.Constant(WORD, STRIP_BYTES))
            read_once = builder.icmp_signed("<=", product.M, ir.Constant(WORD, ROWS))
            count = builder.select(builder.or_(fits, read_once), count, ir.Constant(WORD, 0))
        with cgutils.for_range(builder, count):
            n = builder.load(column)
            b, s, c = (w.step(start, n) for start in (product.b, product.s, product.c))
            builder.call(strip, [product.a, b, s, c, builder.sub(product.N, n), stored])
            builder.store(builder.add(n, width), column)
    builder.ret_void()
    return w.function


def _emit_call(build: Callable[[ir.Module, int], ir.Function], dtype: Any) -> Callable:
    """Return the function that emits a call of one of these functions from a numba kernel whose arrays have the given dtype.

    A NamedTuple becomes its members, and an array becomes a pointer to its first number. But an array in a NamedTuple, together
    with the `start` that follows it, becomes a pointer to the number at position `start`. Other tuples are left out: only their
    length matters, which is a part of their type.
    """

    def flatten(context: Any, builder: ir.IRBuilder, kinds: Sequence[Any], values: Sequence[ir.Value]) -> list[ir.Value]:
        arguments: list[ir.Value] = []
        for kind, value in zip(kinds, values, strict=True):
            if isinstance(kind, (types.NamedTuple, types.NamedUniTuple)):
                members = flatten(context, builder, kind.types, cgutils.unpack_tuple(builder, value))
                if isinstance(kind.types[0], types.Array):
                    members[:2] = [builder.gep(members[0], [members[1]])]
                arguments += members
            elif isinstance(kind, types.Array):
                arguments.append(context.make_array(kind)(context, builder, value).data)
            elif isinstance(kind, types.Number):
                arguments.append(context.cast(builder, value, kind, types.intp if isinstance(kind, types.Integer) else dtype))
            elif not isinstance(kind, types.BaseTuple):
                arguments.append(value)
        return arguments

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[ir.Value]) -> ir.Value:
        builder.call(build(builder.module, dtype.bitwidth // 8), flatten(context, builder, signature.args, values))
        return context.get_dummy_value()

    return emit


def _intrinsic(typed: Callable[..., Any]) -> Any:
    """Return a function that numba kernels can call, without `typing`, its first parameter."""
    return intrinsic(typed)


@_intrinsic
def multiply(typing, a, b, s, c, block, store):
    """Compute C = max(floor, S + A·B) for one block: multiply(Left, Right, Rows, Rows, Block, Store). This page explains each.

    The arrays are C-contiguous and of one floating dtype.
    """
    return types.void(a, b, s, c, block, store), _emit_call(_build_multiply, a.types[0].dtype)


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


@_intrinsic
def spin(typing, a, rounds):
    """Do 12 vector multiply-adds per round, as fast as the processor can, to measure its peak.

    `a` holds 14 vectors: the accumulators, a factor and a summand.
    """
    return types.void(a, rounds), _emit_call(_build_spin, a.dtype)


# -- transforms of tiles ----------------------------------------------------------------------------------------------


def _combine(w: _Writer, row: Sequence[float], vectors: Sequence[ir.Value]) -> ir.Value:
    """Return Σ_k row[k]·vectors[k], without a multiplication where row[k] is 1 or -1."""
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


def _build_transform(module: ir.Module, matrix: Sequence[Sequence[float]], mode: str, itemsize: int) -> ir.Function:
    """Write the LLVM function of y = L·x·Lᵀ for grids of pixels, x of q × q and y of p × p, channel by channel."""
    name = f"scratchnet_transform_{sha256(repr(matrix).encode()).hexdigest()[:16]}_{mode}_f{8 * itemsize}"
    if name in module.globals:
        return module.globals[name]

    p, q = len(matrix), len(matrix[0])
    more: dict[str, Callable] = {
        "add_where_positive": lambda p, n: [p, WORD, WORD],
        "sum": lambda p, n: [p],
        "finish": lambda p, n: [p, n],
        "finish_nontemporal": lambda p, n: [p, n],
    }
    extra = more.get(mode, lambda p, n: [])
    w = _Writer(module, name, itemsize, lambda p, n: [p, WORD, WORD, p, WORD, WORD, WORD, *extra(p, n)])
    x, x_down, x_across, y, y_down, y_across, channels, *others = w.function.args
    builder = w.builder
    with cgutils.for_range(builder, builder.sdiv(channels, ir.Constant(WORD, w.lanes))) as loop:
        channel = w.times(loop.index, w.lanes)
        zeros = ir.Constant(w.vector, [0.0] * w.lanes)
        half, total = [], zeros                                     # columns of L·x; the sum of x
        for b in range(q):
            column = []
            for a in range(q):
                column.append(w.load(w.step(x, channel, w.times(x_down, a), w.times(x_across, b))))
                total = builder.fadd(total, column[-1]) if mode == "sum" else total
            half.append([_combine(w, row, column) for row in matrix])
        for i in range(p):
            for j in range(p):
                value = _combine(w, matrix[j], [half[b][i] for b in range(q)])
                target = w.step(y, channel, w.times(y_down, i), w.times(y_across, j))
                if mode == "add_where_positive":
                    z, z_down, z_across = others
                    condition = w.load(w.step(z, channel, w.times(z_down, i), w.times(z_across, j)))
                    value = builder.select(builder.fcmp_ordered(">", condition, zeros), value, zeros)
                if mode.startswith("add"):
                    value = builder.fadd(w.load(target), value)
                if mode.startswith("finish"):
                    bias, floor = others
                    value = w.at_least(w.splat(floor), builder.fadd(value, w.load(w.step(bias, channel))))
                w.store(value, target, nontemporal=mode == "finish_nontemporal" and VECTOR_BYTES == ALIGNMENT)
        if mode == "sum":
            target = w.step(others[0], channel)
            w.store(builder.fadd(w.load(target), total), target)
    builder.ret_void()
    return w.function


def make_transform(matrices: Sequence[Sequence[Sequence[float]]], mode: str = "store") -> Callable:
    """Return the numba intrinsic of y = L·x·Lᵀ, where x and y are small square grids of pixels with many channels.

        transform(algorithm, Grid(x, …), Grid(y, …), channels)                  mode "store" or "add"
        transform(algorithm, Grid(x, …), Grid(y, …), channels, Grid(z, …))      mode "add_where_positive"
        transform(algorithm, Grid(x, …), Grid(y, …), channels, sums)            mode "sum"
        transform(algorithm, Grid(x, …), Grid(y, …), channels, bias, floor)     mode "finish" or "finish_nontemporal"

    Parameters
    ----------
    matrices : several matrices, each of p rows of q numbers
        L is `matrices[len(algorithm)]`: `algorithm` is a tuple, since the length of a tuple is known while a kernel is compiled.
        x has q × q pixels and y has p × p.
    mode : {"store", "add", "add_where_positive", "sum", "finish", "finish_nontemporal"}
        "store" writes the result to y, "add" adds it to y. "add_where_positive" adds it only where z, which has the shape of y, is
        positive. "sum" writes the result to y and adds the sum of the pixels of x to `sums`, one number per channel. "finish"
        writes max(floor, result + bias) to y, with one number of `bias` per channel.
        "finish_nontemporal" does so by nontemporal stores if a vector is a whole cache line; then y must be aligned to lines,
        and so must its strides.

    Notes
    -----
    The number of channels is a multiple of the lanes of a vector.
    """

    def typed(algorithm: Any, x: Any, *others: Any) -> tuple[Any, Callable]:
        matrix = matrices[len(algorithm)]
        emit = _emit_call(lambda module, itemsize: _build_transform(module, matrix, mode, itemsize), x.types[0].dtype)
        return types.void(algorithm, x, *others), emit

    def transform(typing, algorithm, x, y, channels):
        return typed(algorithm, x, y, channels)

    def transform_with_array(typing, algorithm, x, y, channels, array):
        return typed(algorithm, x, y, channels, array)

    def transform_and_finish(typing, algorithm, x, y, channels, bias, floor):
        return typed(algorithm, x, y, channels, bias, floor)

    if mode in ("store", "add"):
        return _intrinsic(transform)
    return _intrinsic(transform_and_finish if mode.startswith("finish") else transform_with_array)
