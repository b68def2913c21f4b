"""Mutation testing: how many small changes to the mathematics are detected by the tests?

    python tests/mutation.py                                   a seeded sample of 400 changes, spread over all files
    python tests/mutation.py --files layers/dense.py --sample 0        every change to one file

A mutant is the package with one small change in one file: + instead of -, < instead of <=, an index or an axis increased by one,
a line removed. The tests of the file (TESTS, and its doctests) run on the mutant. It is killed if a test fails, or if the tests
take more than five times the usual processor time plus ten seconds. If all tests pass, it has survived: either it computes the
same as the original (mutation_equivalents.json explains why, for each), or a test is missing. The score is
killed / (all - equivalent).

`changes` lists what is changed. These are never changed: text, type annotations, docstrings, imports, decorators, the arguments
of `raise` and `warnings.warn` (but the statement may be removed), `strict` of `zip`, and the order of arguments that commute.

The source files are never changed. Each mutant runs in its own process, which is forked from one that has imported numpy, numba and
pytest, but not the package; an import hook loads the changed module. Nothing is compiled (NUMBA_DISABLE_JIT=1): kernels run as
Python, layers as im2col. Results are stored in a file, so that a run that was stopped can continue; they are discarded when the
file or its tests change.
"""

from __future__ import annotations

import os

os.environ |= {"NUMBA_DISABLE_JIT": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

import argparse
import ast
import hashlib
import importlib.machinery
import importlib.util
import json
import multiprocessing
import random
import resource
import signal
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy  # noqa: F401  this one and numba are imported here once, not in every process
import numba  # noqa: F401
import pytest
from hypothesis import HealthCheck, Phase, settings
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
EQUIVALENTS = ROOT / "tests" / "mutation_equivalents.json"
BASE, DENSE, POOL, CONV = "test_layers_base.py", "test_dense_flatten_add.py", "test_pooling.py", "test_conv2d.py"
CAUGHT, FOOLED = ("test_the_check_that_must_catch_it_does", "test_a_bug_passes_exactly_the_checks_that_it_names")
CHECKER = (
    "gradients/test_gradients_checker.py",
    "gradients/test_gradients_networks.py",
    *(f"test_gallery.py::{test}" for test in (CAUGHT, FOOLED, "test_healthy_code_is_not_accused")),
)
TESTS: dict[str, tuple[str, ...]] = {
    "layers/activations.py": ("test_activations.py", BASE, "gradients/test_gradients_activations.py"),
    "layers/add.py": (BASE, DENSE, "gradients/test_gradients_flatten_add.py"),
    "layers/base.py": (BASE, "test_model.py", DENSE),
    "layers/batch_normalization.py": ("test_batch_normalization.py", "gradients/test_gradients_batch_normalization.py"),
    "layers/concatenate.py": ("test_small_layers.py",),
    "layers/conv2d.py": (CONV, BASE, "gradients/test_gradients_conv2d.py"),
    "layers/dense.py": (DENSE, BASE, "gradients/test_gradients_dense.py"),
    "layers/flatten.py": (DENSE, "gradients/test_gradients_flatten_add.py"),
    "layers/global_pooling.py": ("test_small_layers.py",),
    "layers/input.py": (BASE, "test_model.py"),
    "layers/pooling.py": (POOL, BASE, "gradients/test_gradients_pooling.py"),
    "layers/rescaling.py": ("test_small_layers.py",),
    "layers/reshape.py": ("test_small_layers.py",),
    "layers/zero_padding2d.py": ("test_small_layers.py",),
    "losses.py": ("test_losses.py", "gradients/test_gradients_losses.py"),
    "optimizers.py": ("test_optimizers.py", "gradients/test_gradients_checker.py"),
    "initializers.py": ("test_initializers.py",),
    "padding.py": ("test_padding_im2col.py", CONV, POOL),
    "reference.py": (CHECKER[0], DENSE, "test_activations.py", CONV, POOL, "test_small_layers.py", "gradients"),
    "gradcheck/comparison.py": CHECKER,
    "gradcheck/contract.py": CHECKER,
    "gradcheck/definition.py": CHECKER,
    "gradcheck/functions.py": CHECKER,
    "gradcheck/layer.py": CHECKER,
    "gradcheck/network.py": CHECKER,
    "gradcheck/numeric.py": CHECKER,
    "gradcheck/optimizers.py": CHECKER,
    "gradcheck/report.py": CHECKER,
    "gradcheck/under_test.py": CHECKER,
    "kernels/im2col.py": ("test_padding_im2col.py",),
}
MORE_TESTS = {"kernels/pooling.py": (POOL,), "kernels/updates.py": ("test_optimizers.py",)}  # on request: --files

ARITHMETIC = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Div, ast.Mod: ast.Mult,
    ast.Pow: ast.Mult, ast.MatMult: ast.Mult, ast.LShift: ast.RShift, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
COMPARISON = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,), ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}  # fmt: skip
ORDER_DOES_NOT_MATTER = {"max", "min", "maximum", "minimum", "array_equal", "allclose", "isinstance", "hasattr", "getattr"}
UNTOUCHED = {"annotation", "returns", "decorator_list", "type_params", "ctx", "op", "ops"}

OUTCOMES = {0: "survived", -signal.SIGXCPU: "killed: time", -signal.SIGKILL: "killed: time"}

Put = Callable[[ast.AST], None]
Change = tuple[str, int, str, Callable[[], None]]  # function or class, line number, "before -> after", what makes it so


@dataclass(frozen=True)
class Mutant:
    """One change of a file, the one that `changes` gives as `number`; its `key` stays when lines move."""

    file: str
    number: int
    lineno: int
    key: str


def changes(tree: ast.AST) -> Iterator[Change]:
    """Yield every mutation of a tree."""

    def shown(node: ast.AST) -> str:
        return ast.unparse(ast.fix_missing_locations(node)).split("\n")[0]

    def walk(node: ast.AST, scope: str, put: Put, known: set[str]) -> Iterator[Change]:
        def to(new: ast.AST) -> Change:
            return scope, getattr(node, "lineno", 0), f"{shown(node)} -> {shown(new)}", lambda: put(new)

        match node:
            case ast.Import() | ast.ImportFrom() | ast.JoinedStr() | ast.Expr(value=ast.Constant(value=str())):
                return
            case ast.If(test=ast.Name(id="TYPE_CHECKING")) | ast.keyword(arg="note" | "strict"):
                return
            case ast.Raise() | ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="warnings")))):
                yield to(ast.Pass())
                return
            case ast.FunctionDef() | ast.ClassDef():
                scope = f"{scope}.{node.name}".lstrip(".")
                known = {a.arg for a in ast.walk(node) if isinstance(a, ast.arg)}
            # statements
            case ast.AugAssign(target=target, op=op, value=value):
                yield to(ast.Pass())
                yield to(ast.AugAssign(target, ARITHMETIC[type(op)](), value))
            case ast.Expr() | ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
                yield to(ast.Pass())
            case ast.Assign(targets=[ast.Name(id=name)]):
                if name in known:  # set before: without this line the old value stays
                    yield to(ast.Pass())
                known.add(name)
            case ast.Return(value=ast.expr()) if shown(node) != "return None":
                yield to(ast.Return(ast.Constant(None)))
            case ast.For(target=target, body=body, orelse=orelse):
                yield to(ast.For(target, ast.Tuple([], ast.Load()), body, orelse))
            case ast.Break() | ast.Continue():
                yield to(ast.Continue() if isinstance(node, ast.Break) else ast.Break())
            # expressions
            case ast.BinOp(left=left, op=op, right=right):
                yield to(ast.BinOp(left, ARITHMETIC[type(op)](), right))
            case ast.Compare(left=left, ops=ops, comparators=right):
                for k, other in ((k, other) for k, op in enumerate(ops) for other in COMPARISON[type(op)]):
                    yield to(ast.Compare(left, [*ops[:k], other(), *ops[k + 1 :]], right))
            case ast.BoolOp(op=op, values=values):
                yield to(ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values))
            case ast.UnaryOp(operand=operand):
                yield to(operand)
            case ast.Constant(value=bool(value)):
                yield to(ast.Constant(not value))
            case ast.Constant(value=int(value) | float(value)):
                yield from (to(ast.Constant(other)) for other in (value + 1, value - 1))
            case ast.Slice(lower=lower, upper=upper, step=step):
                if not isinstance(lower, ast.Constant):
                    yield to(ast.Slice(ast.BinOp(lower, ast.Add(), ast.Constant(1)) if lower else ast.Constant(1), upper, step))
                if not isinstance(upper, ast.Constant):
                    yield to(ast.Slice(lower, ast.BinOp(upper, ast.Add(), ast.Constant(1)) if upper else ast.Constant(-1), step))
            case ast.Call(func=function, args=[first, second, *rest], keywords=keywords):
                starred = isinstance(first, ast.Starred) or isinstance(second, ast.Starred)
                if not starred and shown(first) != shown(second) and shown(function).split(".")[-1] not in ORDER_DOES_NOT_MATTER:
                    yield to(ast.Call(function, [second, first, *rest], keywords))
        test = getattr(node, "test", None)
        if test is not None and not isinstance(test, (ast.Compare, ast.BoolOp, ast.UnaryOp)):
            turned = ast.UnaryOp(ast.Not(), test)
            yield scope, test.lineno, f"if {shown(test)} -> if {shown(turned)}", lambda: setattr(node, "test", turned)

        for field, value in ast.iter_fields(node):
            if field in UNTOUCHED:
                continue
            if isinstance(value, list):
                for k, item in enumerate(value):
                    if isinstance(item, ast.AST):
                        yield from walk(item, scope, lambda new, value=value, k=k: value.__setitem__(k, new), known)
            elif isinstance(value, ast.AST):
                yield from walk(value, scope, lambda new, field=field: setattr(node, field, new), known)

    yield from walk(tree, "", lambda new: None, set())


def mutants_of(file: str) -> list[Mutant]:
    """List every mutant of a file, in the order of its text."""
    text = (ROOT / "scratchnet" / file).read_text(encoding="utf-8")
    lines, seen, found = text.splitlines(), Counter(), []
    for number, (within, lineno, change, _) in enumerate(changes(ast.parse(text))):
        key = " | ".join((file, within, lines[lineno - 1].partition("  #")[0].strip(), change))
        seen[key] += 1
        found.append(Mutant(file, number, lineno, f"{key} | no. {seen[key]}" if seen[key] > 1 else key))
    return found


class Changed(importlib.machinery.SourceFileLoader):
    """Finds and loads one module of the package with one change in it."""

    def __init__(self, file: str, number: int | None):
        name = ".".join(["scratchnet", *Path(file).with_suffix("").parts])
        super().__init__(name, str(ROOT / "scratchnet" / file))
        tree = ast.parse(Path(self.path).read_text(encoding="utf-8"))
        if number is not None:
            list(changes(tree))[number][-1]()
        self.code = compile(ast.fix_missing_locations(tree), self.path, "exec")

    def find_spec(self, name, path=None, target=None):
        return importlib.util.spec_from_file_location(name, self.path, loader=self) if name == self.name else None

    def get_code(self, name):
        return self.code


def own_tests(file: str) -> list[str]:
    """Name the file itself, for its doctests, and its tests, quick ones first."""
    return [f"scratchnet/{file}", *(f"tests/{test}" for test in (TESTS | MORE_TESTS)[file])]


def run_tests(file: str, number: int | None, seconds: int) -> None:
    """Run a file's own tests on a mutant, or without a number on the file as it is: what a forked process does."""
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    resource.setrlimit(resource.RLIMIT_AS, (1 << 33, 1 << 33))
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    sys.meta_path.insert(0, Changed(file, number))
    options = ["-x", "-q", "-pno:cacheprovider", "--assert=plain", "--hypothesis-profile=mutation"]
    os._exit(pytest.main([*options, "-m", "not slow and not compiled", *own_tests(file)]))


def start(*task: Any) -> Any:
    """Fork a process for `run_tests`; its exit status is that of the tests."""
    process = multiprocessing.get_context("fork").Process(target=run_tests, args=task)
    process.start()
    return process


def time_limit(file: str) -> int:
    """Run the tests on the healthy file: they must pass. Give the processor seconds that a mutant may take."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = start(file, None, 1000)
    process.join()
    if process.exitcode != 0:
        raise SystemExit(f"{file}: its own tests fail without any change: NUMBA_DISABLE_JIT=1 pytest {' '.join(own_tests(file))}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 10 + 5 * int(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def digest(file: str) -> str:
    """Hash what a file's results depend on."""
    named = [ROOT / test.partition("::")[0] for test in own_tests(file)]
    files = [path for place in named for path in (place, *sorted(place.rglob("*.py"))) if path.is_file()]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]


def sampled(files: list[str], size: int, seed: int) -> list[Mutant]:
    """Draw about `size` mutants, from each file in proportion to how many it has, at least five; all of them for 0."""
    every = {file: mutants_of(file) for file in files}
    total = sum(map(len, every.values()))
    chosen = []
    for file, mutants in every.items():
        share = len(mutants) if size == 0 else min(len(mutants), max(5, -(-size * len(mutants) // total)))
        chosen += sorted(random.Random(f"{seed} {file}").sample(mutants, share), key=lambda mutant: mutant.number)
    return chosen


def run(mutants: list[Mutant], results_file: Path, jobs: int) -> dict[str, str]:
    """Run all that have no result yet, and give the outcome of each by key."""
    kept = json.loads(results_file.read_text(encoding="utf-8")) if results_file.exists() else {}
    digests = {file: digest(file) for file in dict.fromkeys(mutant.file for mutant in mutants)}
    results = {file: kept[file] if kept.get(file, {}).get("digest") == d else {"digest": d} for file, d in digests.items()}
    waiting = deque(mutant for mutant in mutants if mutant.key not in results[mutant.file])
    limits: dict[str, int] = {}
    running: dict[Any, tuple[Any, Mutant]] = {}
    tqdm.monitor_interval = 0  # no thread beside a process that forks
    with tqdm(total=len(mutants), initial=len(mutants) - len(waiting), unit="mutant", smoothing=0) as bar:
        while waiting or running:
            while waiting and len(running) < jobs:
                mutant = waiting.popleft()
                if mutant.file not in limits:
                    bar.set_description(mutant.file)
                    limits[mutant.file] = time_limit(mutant.file)
                process = start(mutant.file, mutant.number, limits[mutant.file])
                running[process.sentinel] = process, mutant
            for sentinel in wait(list(running)):
                process, mutant = running.pop(sentinel)
                process.join()
                results[mutant.file][mutant.key] = OUTCOMES.get(process.exitcode, "killed")
                part = results_file.with_suffix(".part")
                part.write_text(json.dumps(kept | results, indent=1, ensure_ascii=False), encoding="utf-8")
                part.replace(results_file)
                bar.update()
    return {mutant.key: results[mutant.file][mutant.key] for mutant in mutants}


def report(mutants: list[Mutant], results: dict[str, str]) -> float:
    """Print the survivors and the table of all files; give the score."""
    reasons = {key: why for why, keys in json.loads(EQUIVALENTS.read_text(encoding="utf-8")).items() for key in keys}
    survivors = [mutant for mutant in mutants if results[mutant.key] == "survived"]
    missed = [mutant for mutant in survivors if mutant.key not in reasons]
    for mutant in survivors:
        print(f"scratchnet/{mutant.file}:{mutant.lineno}: {reasons.get(mutant.key, 'MISSED by the tests')}\n    {mutant.key}")
    for key in sorted(set(reasons) & {mutant.key for mutant in mutants} - {mutant.key for mutant in survivors}):
        print(f"listed as equivalent, yet killed: {key}")
    for key in sorted(set(reasons) - {mutant.key for file in TESTS | MORE_TESTS for mutant in mutants_of(file)}):
        print(f"listed as equivalent, and not there any more: {key}")

    print(f"\n{'file':<26}{'mutants':>8}{'killed':>8}{'by time':>8}{'survived':>9}{'equivalent':>11}{'score':>9}")
    score = 1.0
    for file in [*dict.fromkeys(mutant.file for mutant in mutants), "all"]:
        those = [mutant for mutant in mutants if file in (mutant.file, "all")]
        ends = Counter(results[mutant.key] for mutant in those)
        equivalent = sum(mutant in survivors and mutant not in missed for mutant in those)
        killed = len(those) - ends["survived"]
        score = killed / max(1, len(those) - equivalent)
        counts = f"{len(those):>8}{killed:>8}{ends['killed: time']:>8}{ends['survived']:>9}{equivalent:>11}"
        print(f"{file:<26}{counts}{score:>9.1%}")
    return score


def main() -> int:
    """Draw, run, report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default 0)")
    parser.add_argument("--sample", type=int, default=400, help="about how many mutants; 0 for every one (default 400)")
    known = [*TESTS, *MORE_TESTS]
    parser.add_argument("--files", nargs="+", choices=known, default=list(TESTS), metavar="FILE", help="of scratchnet/")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time (default 1)")
    parser.add_argument("--results", type=Path, default=Path("mutation-results.json"), help="where results are kept")
    args = parser.parse_args()
    results_file = args.results.resolve()
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    settings.register_profile(
        "mutation", deadline=None, max_examples=30, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    mutants = sampled(args.files, args.sample, args.seed)
    return 0 if report(mutants, run(mutants, results_file, args.jobs)) >= 0.95 else 1


if __name__ == "__main__":
    sys.exit(main())
