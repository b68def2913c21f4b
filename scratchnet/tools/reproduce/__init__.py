"""``scratchnet reproduce``: the study's experiments again, and one report of all.

experiments.py   what is trained
trial.py         one training, run or gone on with
campaign.py      all of them, with progress
results.py       what is left of each: a small JSON file
numbers.py       from histories to the numbers of a report
ledger.py        what each layer has, costs, keeps and sees
published.py     the figures of the study and of Keras
report.py        the page, one file of chapters/ for each of its questions
html.py          the same page in one file
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from scratchnet.tools.reproduce import campaign, experiments, ledger, report


def run(args: argparse.Namespace) -> int:
    """Train what `args` select and is not finished, write the report, and return 0, or 130 when interrupted."""
    plan = experiments.plan(args.quick)
    selected = plan.select(args.only)
    out = Path(args.out or ("results/quick" if args.quick else "results"))
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f"{out} is a file; --out names a folder")
    seeds = args.seeds or (1 if args.quick else 3)
    try:
        campaign.run(plan, selected, seeds, out)
        if not args.only or "ledger" in args.only:
            ledger.write(plan, out)
    except KeyboardInterrupt:
        print(f"scratchnet: interrupted; the same command goes on with what {out} holds", file=sys.stderr)
        return 130
    page = report.write(plan, out)
    print(f"report: {page} and {page.with_name('report.html')}")
    return 0
