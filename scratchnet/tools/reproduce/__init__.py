"""``scratchnet reproduce``: run the study's experiments again, and write one report on all of them.

experiments.py   the experiments
net_3.py         net_3 without one of its parts
trial.py         one training run, begun or resumed
campaign.py      all of them, with progress
results.py       the result of each, a small JSON file
numbers.py       from histories to the numbers of a report
ledger.py        parameters, multiply-adds, memory, time and receptive field of each layer
published.py     the figures of the study and of Keras
page.py          what every chapter uses
report.py        the report; each of its questions is a file of chapters/
html.py          the report as one HTML file
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from scratchnet.support.interrupts import exit_code
from scratchnet.tools.arguments import path_text, positive_int
from scratchnet.tools.reproduce import campaign, experiments, ledger, report
from scratchnet.tools.reproduce.trial import follow as follow


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of the command."""
    parser.description = (
        "Run the study's experiments and the further ones that its questions need, and write one report: index.md, and "
        "report.html, which needs no other file. A finished run is kept in histories/ and is not repeated; an interrupted "
        "one continues after its last epoch. The report covers everything that is finished."
    )
    option = parser.add_argument
    option("--quick", action="store_true", help="run the same on few generated images, in two minutes, as a test that it works")
    option(
        "--only",
        nargs="+",
        metavar="NAME",
        help="groups (study, pooling, rates, overfitting, preprocessing, order, net_3, parts), single experiments, 'ledger', or "
        "'report', which trains nothing (all)",
    )
    option(
        "--seeds",
        type=positive_int,
        metavar="N",
        help="use seeds 0 to N-1 (default: 3; quick: 1); learning rates other than the default and the best, and both kinds of "
        "labels, use seed 0 alone",
    )
    about_out = "folder of histories, models, figures and the report (default: results; with --quick, results/quick)"
    option("--out", type=path_text, metavar="DIR", help=about_out)


def run(args: argparse.Namespace) -> int:
    """Train what `args` select and is not finished, and write the report; return 0, or the exit code of an interrupt."""
    plan = experiments.plan(args.quick)
    selected = plan.select(args.only)
    out = Path(args.out or ("results/quick" if args.quick else "results"))
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f"--out: expected a folder, got the file {out}. Choose another name.")
    seeds = args.seeds or (1 if args.quick else 3)
    try:
        campaign.run(plan, selected, seeds, out)
        if not args.only or "ledger" in args.only:
            ledger.write(plan, out)
    except KeyboardInterrupt as interrupt:
        print(f"scratchnet: interrupted. Run the same command again to continue: {out} keeps all finished epochs", file=sys.stderr)
        return exit_code(interrupt)
    page = report.write(plan, out)
    print(f"report: {page} and {page.with_name('report.html')}")
    return 0
