"""The ``scratchnet`` command: it parses, calls one of ``scratchnet.tools``, and turns mistakes into one line.

Exit codes: 0 done, 1 failed (the reason in one line on stderr), 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import io
import math
import os
import signal
import sys
import threading
from collections.abc import Sequence

from scratchnet._version import __version__

NETS = ("net_1", "net_2")
OPTIMIZERS = ("adam", "adagrad", "adadelta", "sgd")
DATA = "glyphs or shapes (no download), mnist, cifar10, or a folder with four idx files, plain or .gz"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        The words behind ``scratchnet``; those of the process when left out.

    Returns
    -------
    int
        0 done, 1 failed, 130 interrupted.

    Raises
    ------
    SystemExit
        By argparse: code 2 for wrong usage, 0 for ``--help`` and ``--version``.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed with >&- or 2>&-: what is said goes nowhere, and the work goes on
            setattr(sys, name, io.StringIO())
    args = parser().parse_args(argv)
    in_charge = threading.current_thread() is threading.main_thread()  # Python lets no other thread choose
    if in_charge and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # 'kill' and 'timeout' interrupt as Ctrl-C does
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal or pipe without × shows ?, and the work goes on
    try:
        # A command's module is imported when it is called, so that --help answers at once.
        tool = importlib.import_module(f"scratchnet.tools.{args.command}")
        code = tool.run(args) or 0
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return fail("interrupted", 130)
    except BrokenPipeError:
        # The reader of our output (head, less) has left; the interpreter must not flush into the closed pipe again.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        return 1
    except OSError as error:
        named = error.filename is not None and error.strerror
        return fail(f"{error.filename}: {error.strerror}" if named else str(error))
    except MemoryError as error:
        return fail(f"not enough memory: {error}")
    except (ValueError, FloatingPointError) as error:
        return fail(str(error))


def fail(reason: str, code: int = 1) -> int:
    """Print `reason` as one line on stderr and return the exit code."""
    print(f"scratchnet: {' '.join(reason.split())}", file=sys.stderr)
    return code


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command."""
    top = argparse.ArgumentParser(
        prog="scratchnet",
        description="Convolutional networks written from scratch: train one, look at it, check its gradients.",
        epilog="'scratchnet COMMAND --help' tells more. Exit codes: 0 done, 1 failed, 2 wrong usage.",
    )
    top.add_argument("--version", action="version", version=f"scratchnet {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    add_train(commands)
    add_evaluate(commands)
    add_predict(commands)
    add_data(commands)
    add_gradcheck(commands)
    add_reproduce(commands)
    add_bench(commands)
    about = "show versions, threads, vector width and BLAS, with hints"
    commands.add_parser("doctor", help=about, description=f"{about[0].upper()}{about[1:]}.", allow_abbrev=False)
    return top


def add_train(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``scratchnet train``."""
    train = commands.add_parser(
        "train",
        help="train a net; write model, history and figures into a run folder",
        description="Train a net and write model, history, settings and figures into a run folder. "
        "The test images serve as validation images, as in the study.",
        allow_abbrev=False,
    )
    option = train.add_argument
    option("--net", choices=NETS, default="net_2", help="the net (%(default)s)")
    option("--data", default="glyphs", metavar="NAME|PATH", help=f"{DATA} (%(default)s)")
    option("--optimizer", choices=OPTIMIZERS, default="adam", help="the update rule (%(default)s)")
    option("--learning-rate", type=positive_number, metavar="RATE", help="the optimizer's own default when left out")
    option("--epochs", type=positive_int, default=5, metavar="N", help="passes over the data (%(default)s; study: 16)")
    option("--batch-size", type=positive_int, default=128, metavar="N", help="images a step (%(default)s)")
    option(
        "--patience",
        type=positive_int,
        metavar="N",
        help="stop after N epochs without a lower validation loss and go back to the best weights (never stop early)",
    )
    option("--limit", type=positive_int, metavar="N", help="use only the first N training and N test images (all)")
    option("--seed", type=natural, default=0, help="of the weights and of the shuffling (%(default)s)")
    option("--out", metavar="DIR", help="the run folder itself (runs/<date>-<net>-<data>)")
    option("--force", action="store_true", help="take a folder that is not empty, and replace the run in it")


def add_evaluate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``scratchnet evaluate``."""
    evaluate = commands.add_parser(
        "evaluate",
        help="loss and accuracy of a trained net, class by class",
        description="Print loss, accuracy and the accuracy of each class of a trained net on test images.",
        allow_abbrev=False,
    )
    evaluate.add_argument("run_path", metavar="RUN", help="a run folder, or a model.npz")
    evaluate.add_argument("--data", metavar="NAME|PATH", help=f"{DATA} (what the run was trained on)")
    evaluate.add_argument("--limit", type=positive_int, metavar="N", help="use only the first N test images (all)")


def add_predict(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``scratchnet predict``."""
    predict = commands.add_parser(
        "predict",
        help="ask a trained net what a picture of your own shows",
        description="Print the class and the three largest probabilities of each picture, and draw it as the net sees "
        "it. For a net of grey images a drawing is inverted if dark on light, its ink scaled to 20 of 28 pixels and "
        "centred, as MNIST's digits are; one that has the net's size already is only inverted. For a net of colour "
        "images the middle is cut out and averaged down to the net's size.",
        allow_abbrev=False,
    )
    predict.add_argument("run_path", metavar="RUN", help="a run folder, or a model.npz")
    predict.add_argument("images", metavar="IMAGE", nargs="+", help="a picture of any size: grey, RGB or RGBA")
    predict.add_argument("--out", metavar="DIR", help="where the drawings go (the run folder's predictions/)")


def add_data(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``scratchnet data``."""
    data = commands.add_parser(
        "data",
        help="where the data sets live and what is there; fetch or verify them",
        description="Show where the data sets live and what is there; download or make them; check their files.",
        allow_abbrev=False,
    )
    actions = data.add_subparsers(dest="action", metavar="ACTION")
    actions.add_parser("status", help="what is there, and where (the default)")
    for action, about in (("fetch", "download or make the sets named"), ("verify", "check the sets named")):
        one = actions.add_parser(action, help=about, description=f"{about[0].upper()}{about[1:]}.")
        one.add_argument("names", metavar="NAME", nargs="+", help="glyphs, shapes, mnist or cifar10")
    data.set_defaults(action="status")


def add_gradcheck(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``scratchnet gradcheck``."""
    gradcheck = commands.add_parser(
        "gradcheck",
        help="compare every gradient with finite differences",
        description="Print a table of layer, parameter, largest relative error and verdict.",
        allow_abbrev=False,
    )
    gradcheck.add_argument(
        "--break",
        dest="break_name",
        metavar="NAME",
        help="put one of the gallery's bugs in first, and show which check catches it ('all': one after another)",
    )


def add_reproduce(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``scratchnet reproduce``."""
    reproduce = commands.add_parser(
        "reproduce",
        help="the study's experiments again, and one report of all",
        description="Train what the study trained and what its questions need, and write one report: index.md, and "
        "report.html, which needs no other file. What is finished is kept in histories/ and never trained again; what "
        "was interrupted goes on after its last epoch. The report tells of all that is finished.",
        allow_abbrev=False,
    )
    option = reproduce.add_argument
    option("--quick", action="store_true", help="the same on few drawn images, in two minutes: shows that it works")
    option(
        "--only",
        nargs="+",
        metavar="NAME",
        help="groups (study, pooling, rates, overfitting, preprocessing, order), single experiments, 'ledger', or 'report', "
        "which trains nothing (all)",
    )
    option("--seeds", type=positive_int, metavar="N", help="seeds 0 to N-1, where an answer rests on them (3; quick: 1)")
    option("--out", metavar="DIR", help="where histories, models, figures and the report go (results, results/quick)")


def add_bench(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``scratchnet bench``."""
    bench = commands.add_parser(
        "bench",
        help="how fast this machine trains, beside its own peak, or beside the frameworks that are installed",
        description="Measure one convolution from plain loops up to all cores, training steps, and how they grow; or, "
        "with --peers, training steps, predictions and whole epochs in turns with the frameworks. All times are medians.",
        allow_abbrev=False,
    )
    option = bench.add_argument
    option("--peers", action="store_true", help="against Keras, PyTorch and JAX, those that are installed: many minutes")
    option("--quick", action="store_true", help="fewer rounds, smaller batches, no whole epochs")
    option("--out", default="bench", metavar="DIR", help="where numbers and charts go (%(default)s)")


def positive_int(text: str) -> int:
    """Parse a whole number from 1."""
    return _whole(text, 1)


def natural(text: str) -> int:
    """Parse a whole number from 0."""
    return _whole(text, 0)


def _whole(text: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"a whole number from {least} is needed, not {text!r}")
    return value


def positive_number(text: str) -> float:
    """Parse a finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"a number above 0 is needed, not {text!r}")
    return value
