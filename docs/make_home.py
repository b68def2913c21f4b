"""Write the tables of README.md from their measurements, and docs/index.md from README.md: `python docs/make_home.py`.

The speed comes from docs/bench/peers.json (`scratchnet bench --peers --out docs/bench`), the accuracy from
docs/results/histories (`scratchnet reproduce --out docs/results`). `--check` writes nothing; it fails if a file is not up to date.
"""

import argparse
import json
import re
from pathlib import Path

from scratchnet.support.tables import markdown_table
from scratchnet.tools.bench.peers import lead, medians
from scratchnet.tools.reproduce import experiments, numbers
from scratchnet.tools.reproduce.page import collect, run_title
from scratchnet.tools.reproduce.published import KERAS, KERAS_VERSION, STUDY

ROOT = Path(__file__).parent.parent
DATA = {"mnist": "MNIST", "cifar10": "CIFAR-10"}
TABLE = re.compile(r"^<!-- table: (\w+) -->\n(?:\n?\|.*\n(?:.*\S.*\n)*)?(?:\n\(.*\n(?:.*\S.*\n)*)?", re.MULTILINE)
COPY = re.compile(r"(<!-- the text of README\.md; python docs/make_home\.py writes it -->\n).*?(<!-- end -->)", re.DOTALL)


def speed() -> str:
    """Return the table of the times of training steps, and a note on the machine and the versions."""
    measured = json.loads((ROOT / "docs/bench/peers.json").read_text(encoding="utf-8"))
    rows = []
    for pair in measured["peers"]:
        (command,) = (name for name in pair["sides"]["scratchnet"]["seconds"] if name.startswith("step"))
        seconds = medians(pair["sides"], command)
        torch = min(value for side, value in seconds.items() if side.startswith("torch"))
        ms = {"scratchnet": seconds["scratchnet"], "Keras": seconds["keras"], "PyTorch": torch, "JAX": seconds.get("jax")}
        row = {"network, data": f"{pair['net']}, {DATA[pair['data']]}"}
        row |= {side: "–" if s is None else f"{1000 * s:.0f}" for side, s in ms.items()}
        rows.append(row | {"next fastest / scratchnet": f"{lead(seconds):.1f} ×"})
    machine, versions = measured["machine"], measured["versions"]
    about = (
        f"{machine['processor']}, {machine['processors']} processors, {machine['system']}; {versions['keras']}; the fastest of "
        f"four\nways to run {versions['torch']}; {versions['jax']}. [Performance](docs/performance.md) has all figures.\n"
        "`scratchnet bench --peers` measures them."
    )
    return f"{markdown_table(rows)}\n\n({about})\n"


def accuracy() -> str:
    """Return the table of the study's experiments and of net_3, and a note on the seeds and on Keras's version."""
    plan = experiments.plan()
    known = collect(plan, ROOT / "docs/results")
    rows = []
    for e in plan.groups["study"]:
        ours, study = numbers.rows(known[e.name]), STUDY.get(e.name)
        theirs = "–"
        if study is not None:
            theirs = f"{study.best:.4f}" if study.best else f"{study.last:.4f} (last epoch)"
        rows.append({
            "experiment": f"{run_title(e)}, {e.optimizer.capitalize()}",
            "scratchnet": ours.mean("best"),
            "Keras": f"{KERAS[e.name].best:.4f}",
            "the study": theirs,
        })  # fmt: skip
    (better,) = plan.groups["net_3"]
    last = numbers.rows(known[better.name]).mean("last")
    rows.append({
        "experiment": f"{run_title(better)}, [its recipe](docs/net_3.md)",
        "scratchnet": f"{last} (last epoch)",
        "Keras": "–",
        "the study": "–",
    })  # fmt: skip
    views = numbers.several_views(known[better.name])
    about = (
        f"Mean of three seeds ± their standard deviation; one seed of {KERAS_VERSION}. net_3: {len(views)} seeds;\n"
        f"{numbers.mean_spread(views)} if predictions are means over six views of an image. [The results](docs/results/index.md)\n"
        "explain the differences. `scratchnet reproduce` trains all of them; the last line takes `--only net_3 --seeds 5`."
    )
    return f"{markdown_table(rows)}\n\n({about})\n"


def readme(text: str) -> str:
    """Return the text of README.md, with its tables written from the measurements."""
    tables = {"speed": speed, "accuracy": accuracy}
    return TABLE.sub(lambda found: f"<!-- table: {found[1]} -->\n\n{tables[found[1]]()}", text)


def index(page: str, text: str) -> str:
    """Return `page`, the text of docs/index.md, with the text of README.md in it and its links made relative to docs."""
    text = text.replace("](examples/README.md)", "](examples.md)").replace("](scratchnet/README.md)", "](map.md)")
    text = text.replace("](docs/", "](")
    return COPY.sub(lambda found: f"{found[1]}\n{text}\n{found[2]}", page)


def main() -> int:
    """Write both pages, or name those that are not up to date; return the exit code."""
    parser = argparse.ArgumentParser(description="Write the tables of README.md, and docs/index.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page is not up to date")
    check = parser.parse_args().check
    changed = []
    text = ""
    for path in (ROOT / "README.md", ROOT / "docs/index.md"):
        old = path.read_text(encoding="utf-8")
        text = new = index(old, text) if text else readme(old)
        if new != old:
            changed.append(path.relative_to(ROOT))
            if not check:
                path.write_text(new, encoding="utf-8")
    for path in changed:
        print(f"{path}: {'not up to date; run python docs/make_home.py' if check else 'written'}")
    return 1 if check and changed else 0


if __name__ == "__main__":
    raise SystemExit(main())
