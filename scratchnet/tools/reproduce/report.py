"""The report: index.md with its pictures, and report.html, which holds all of it in one file.

Both are made anew from the finished results at each call; no training is needed for it, and no model. What only a person
can say of the numbers stands in discussion.md: it is written once, as an empty page, and never touched again.
"""

from __future__ import annotations

from pathlib import Path

from scratchnet.files import write_text
from scratchnet.tools.reproduce import chapters, html, ledger
from scratchnet.tools.reproduce.experiments import Plan
from scratchnet.tools.reproduce.page import Page, collect, table

DISCUSSION = """Nothing is written here yet. This file is for the words that only a reader of the numbers can write: what is
confirmed, what differs, what the study could not see. `scratchnet reproduce` leaves it as it is.
"""

ABOUT = """net_1 and net_2, trained as the study trained them (batch 128, 16 epochs, the test split as validation), and what
its questions need beside that. Every number below is computed from the finished trainings in `histories/`, but for those
of Keras and of the study, which stand in tables that say so. Where two means are compared, one is called higher only when
every seed of it lies above every seed of the other."""

CHAPTERS = (
    *(chapters.study, chapters.pooling, chapters.rates, chapters.overfitting),
    *(chapters.preprocessing, chapters.order, chapters.costs),
)

QUICK = """**This is the quick form**: two epochs on {images} images that are drawn on the spot, `{digits}` in MNIST's place and
`{photographs}` in CIFAR-10's. It shows that everything runs and that a report comes of it. Its numbers say nothing of the
study."""


def write(plan: Plan, out: Path) -> Path:
    """Write the report of all that is finished in `out`, and give the path of its Markdown.

    Raises
    ------
    FileNotFoundError
        When nothing is finished: there would be nothing to tell.
    """
    known = collect(plan, out)
    if not known and ledger.read(out) is None:
        raise FileNotFoundError(f"{out} holds nothing finished to report; train something: scratchnet reproduce --only study")
    page = Page(plan, known, out)
    parts = ["# The study, reproduced", ABOUT]
    if plan.quick:
        limit = next(iter(plan.experiments.values())).limit
        parts.append(QUICK.format(images=limit, digits=plan.digits, photographs=plan.photographs))
    parts += [chapter(page) for chapter in CHAPTERS]
    if not (out / "discussion.md").exists():
        write_text(out / "discussion.md", DISCUSSION)
    parts += ["## Discussion", "```{include} discussion.md\n```", "## How it was made", made(page)]
    markdown = "\n\n".join(parts) + "\n"
    write_text(out / "report.html", html.page(markdown, out))
    return write_text(out / "index.md", markdown)


def made(page: Page) -> str:
    """Tell the command, the seeds, the versions and the machines."""
    command = "scratchnet reproduce" + " --quick" * page.plan.quick
    command += "" if page.out.is_absolute() else f" --out {page.out.as_posix()}"
    results = [result for found in page.known.values() for result in found]
    epochs = sum(len(result["history"].get("loss", ())) for result in results)
    whole = f"{len(page.known)} of {len(page.plan.experiments)} experiments, {len(results)} trainings, {epochs} epochs"
    lines: dict[tuple[str, ...], int] = {}
    for result in results:
        v, m = result["versions"], result["machine"]
        ran = f"{m['processor']}, {m['threads']} thread{'s' * (m['threads'] != 1)}, {m['system']}"
        with_what = f"scratchnet {v['scratchnet']} (source {v['source']}), Python {v['python']}, "
        with_what += f"NumPy {v['numpy']}, numba {v['numba']}"
        lines[ran, with_what] = lines.get((ran, with_what), 0) + 1
    head = ["machine", "versions", "trainings"]
    return "\n\n".join(
        [
            f"`{command}` makes this page and all that it shows, at once or in parts (`--only`). What is finished is not trained "
            "again; to do one anew, remove its file in `histories/`.",
            f"{whole}.",
            table(head, ([*key, count] for key, count in lines.items())),
        ]
    )
