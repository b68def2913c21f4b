"""Whether two arrays are equal up to rounding, and whether an answer is that of a known mistake.

A result may be computed in float32, and its sums in any order: this changes it by about 1e-7 of the array's largest number. An
answer is right if it differs from the definition by at most `RIGHT`, and that of a mistake if it differs from the mistake's
result by at most `SAME`; a case distinguishes the two if they differ by more than `DIFFERENT`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from scratchnet.exercises.exercise import Exercise
from scratchnet.support.arithmetic import quiet

RIGHT = 1e-5
SAME = 1e-4
DIFFERENT = 1e-3
CASES = 2                       # that must distinguish a mistake from the right answer

Results = Mapping[str, np.ndarray]


@quiet
def differing(got: np.ndarray, expected: np.ndarray, tolerance: float = RIGHT) -> np.ndarray:
    """Return where two arrays of one shape differ by more than the tolerance, relative to the number and to the array.

    NaN and infinities are equal to each other: which of them follows an overflow depends on the order of operations.

    Examples
    --------
    >>> differing(np.array([1.0, 2.0, np.nan]), np.array([1.0000001, 2.1, np.nan]))
    array([False,  True, False])
    """
    got, expected = np.asarray(got, float), np.asarray(expected, float)
    finite = np.isfinite(expected)
    scale = np.abs(expected[finite]).max(initial=0.0)
    limit = tolerance * (np.abs(expected) + 0.1 * scale) + 1e-12
    near = np.abs(got - expected) <= limit
    return ~np.where(finite, near, ~np.isfinite(got))


def equal(got: np.ndarray | None, expected: np.ndarray, tolerance: float = RIGHT) -> bool:
    """Return whether two arrays have one shape and the same numbers, up to the tolerance."""
    return got is not None and got.shape == expected.shape and not differing(got, expected, tolerance).any()


def recognized(exercise: Exercise, answers: Sequence[Results]) -> dict[str, list[str]]:
    """Return the bugs of the gallery whose results are those of an answer.

    Parameters
    ----------
    exercise : Exercise
    answers : sequence
        The results of the first cases, by name; a result that is no array is left out.

    Returns
    -------
    dict
        For each bug that explains wrong results, the names of these results. To explain a result, the bug must give the same in
        all cases, and in at least two of them its result must differ from the right one. A bug that explains several results
        goes before those that explain one of them.

    Notes
    -----
    An answer may have two bugs. Say its dx has the numbers of bug A, which breaks only dx, and its db those of bug B, which breaks
    only db: both are named. A bug C that breaks dx and db, and has the same db as B, is not named: its dx has other numbers. So a
    bug must explain all wrong results that it breaks, and these need not be all wrong results: explained == wrong & broken.
    """
    right = exercise.rights[: len(answers)]
    wrong = {name for name in exercise.returns if not all(equal(a.get(name), r[name]) for a, r in zip(answers, right, strict=True))}
    candidates = []
    for bug, of_all in exercise.wrongs:
        of_bug = of_all[: len(answers)]
        explained = {name for name in wrong if _explains(name, answers, right, of_bug)}
        if not explained:
            continue
        pairs = [(b, r) for b, r in zip(of_bug, right, strict=True) if b is not None]
        broken = {name for name in exercise.returns if not all(equal(b[name], r[name]) for b, r in pairs)}
        if explained == wrong & broken:
            candidates.append((explained, len(broken), bug))
    bugs: dict[str, list[str]] = {}
    while candidates:
        explained, _, bug = max(candidates, key=lambda candidate: (len(candidate[0]), -candidate[1]))
        bugs[bug] = [name for name in exercise.returns if name in explained or name in bugs.get(bug, [])]
        rest = [(names - explained, count, other) for names, count, other in candidates]
        candidates = [candidate for candidate in rest if candidate[0]]
    return bugs


def _explains(name: str, answers: Sequence[Results], right: Sequence[Results], of_bug: Sequence[Results | None]) -> bool:
    """Return whether one result of all cases is that of a bug."""
    distinguishing = 0
    for answer, r, b in zip(answers, right, of_bug, strict=True):
        got = answer.get(name)
        if b is None or equal(b[name], r[name]):
            if not equal(got, r[name], SAME):
                return False
        elif not equal(got, b[name], SAME) and not (_overflowed(b) and _overflowed(answer)):
            return False
        else:
            distinguishing += not equal(b[name], r[name], DIFFERENT)
    return distinguishing >= CASES


def _overflowed(results: Results) -> bool:
    """Return whether a result contains NaN or infinity; into which others it spreads depends on how the lines are written."""
    return not all(np.isfinite(a).all() for a in results.values())


def kept(exercise: Exercise, answers: Sequence[Results]) -> list[str]:
    """Return the bugs that use an argument of an earlier call, if the answers are those of one."""
    bugs = []
    for argument, bug in exercise.kept.items():
        hits = 0
        for case, right, answer in zip(exercise.all_cases(), exercise.rights, answers, strict=False):
            if argument in case.before:
                stale = exercise.right({**case.arguments, argument: case.before[argument]})
                wrong = [name for name in exercise.returns if not equal(answer.get(name), right[name])]
                hits += bool(wrong) and all(equal(answer.get(name), stale[name], SAME) for name in wrong)
        if hits >= CASES:
            bugs.append(bug)
    return bugs
