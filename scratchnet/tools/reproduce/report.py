"""The report: index.md with its pictures, and report.html, which contains all of it in one file.

Each call makes both again from the finished results, without any training or model. discussion.md is for a discussion of the
numbers by a person: it is created once, with a placeholder, and never changed again.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from scratchnet.support.files import write_text
from scratchnet.support.tables import markdown_table
from scratchnet.tools.reproduce import chapters, html, ledger
from scratchnet.tools.reproduce.experiments import Plan
from scratchnet.tools.reproduce.numbers import plural
from scratchnet.tools.reproduce.page import Page, collect, paragraphs

DISCUSSION = """There is no discussion yet. Write into this file what the numbers confirm, where they differ, and what the study
could not measure. `scratchnet reproduce` never changes it.
"""

ABOUT = """net_1 and net_2, trained as in the study (batch 128, 16 epochs, the test split as validation), the further experiments
that its questions need, and net_3, which answers the question at its end. Every number below is computed from the
results in `histories/` or by the library's own code, except the figures of Keras and of the study, whose tables say so.
Where two means are compared, one is called higher only if each of its seeds lies above every seed of the other."""

CHAPTERS = (
    chapters.findings,
    *(chapters.study, chapters.pooling, chapters.rates, chapters.overfitting),
    *(chapters.preprocessing, chapters.order, chapters.better, chapters.costs),
)

QUICK = """**This is the quick form**: at most two epochs on {images} generated images, with `{digits}` in place of MNIST and
`{photographs}` in place of CIFAR-10. It shows that everything runs and that a report can be made. Its numbers say nothing
about the study."""

REPEAT = """`{command}` makes this page with all its figures, at once or in parts (`--only`). A finished
training run is kept; to repeat it, remove its file in `histories/`."""


def write(plan: Plan, out: Path) -> Path:
    """Write the report of everything that is finished in `out`, and return the path of its Markdown.

    Raises
    ------
    FileNotFoundError
        If nothing is finished.
    """
    known = collect(plan, out)
    if not known and ledger.read(out) is None:
        raise FileNotFoundError(f"{out}: expected finished training runs, got none. Run: scratchnet reproduce --only study.")
    page = Page(plan, known, out)
    parts = ["# The study, reproduced", ABOUT]
    if plan.quick:
        limit = next(iter(plan.experiments.values())).limit
        parts.append(QUICK.format(images=limit, digits=plan.digits, photographs=plan.photographs))
    parts += [chapter(page) for chapter in CHAPTERS]
    if not (out / "discussion.md").exists():
        write_text(out / "discussion.md", DISCUSSION)
    parts += ["## Discussion", "```{include} discussion.md\n```", "## How this page was made", *made(page)]
    markdown = paragraphs(*parts) + "\n"
    write_text(out / "report.html", html.page(markdown, out))
    return write_text(out / "index.md", markdown)


def made(page: Page) -> list[str]:
    """Return the command, and how many runs used which versions on which machine."""
    command = "scratchnet reproduce" + " --quick" * page.plan.quick
    command += "" if page.out.is_absolute() else f" --out {page.out.as_posix()}"
    results = [result for found in page.known.values() for result in found]
    epochs = sum(len(result["history"].get("loss", ())) for result in results)
    whole = f"{len(page.known)} of {len(page.plan.experiments)} experiments, {len(results)} training runs, {epochs} epochs."
    count: Counter[tuple[str, str]] = Counter()
    for result in results:
        v, m = result["versions"], result["machine"]
        machine = f"{m['processor']}, {plural(m['threads'], 'thread')}, {m['system']}"
        with_what = f"scratchnet {v['scratchnet']} (source {v['source']}), Python {v['python']}, "
        with_what += f"NumPy {v['numpy']}, numba {v['numba']}"
        count[machine, with_what] += 1
    lines = [{"machine": key[0], "versions": key[1], "training runs": n} for key, n in count.items()]
    return [REPEAT.format(command=command), whole, markdown_table(lines)]
