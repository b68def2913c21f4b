"""``scratchnet demo``: draw a digit in the browser, and see what a trained network predicts while you draw."""

from __future__ import annotations

import argparse
import webbrowser
from pathlib import Path

from scratchnet import datasets, load_model, networks, preprocessing
from scratchnet.demo.look import Net, check_input
from scratchnet.demo.server import Server
from scratchnet.tools import inputs, run_folder
from scratchnet.tools.arguments import natural, path_text

PORT = 8128
EPOCHS = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``scratchnet demo``."""
    parser.description = (
        "Serve a page, on this machine only, in which you draw a digit with the mouse or a finger. While you draw, it shows what "
        "the network sees, its probabilities and its feature maps; and, while you hold the bar of a class, the gradient of "
        "its score, drawn over your strokes. Without a run, net_2 is first trained on glyphs, which takes seconds, and the "
        "run is not stored. Ctrl-C ends the server."
    )
    parser.add_argument("run_path", nargs="?", type=path_text, metavar="RUN", help="a run on 28×28×1 images, or its model.npz")
    parser.add_argument("--port", type=port, default=PORT, metavar="N", help="the port; 0: any free one (default: %(default)s)")
    parser.add_argument("--open", action="store_true", help="open the page in your browser")


def port(text: str) -> int:
    """Return the port in `text`."""
    number = natural(text)
    if number > 65535:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, got {text!r}")
    return number


def run(args: argparse.Namespace) -> None:
    """Serve the page until an interrupt."""
    server = Server(args.port)  # first, so that a port in use is reported before a network is trained
    try:
        net = trained() if args.run_path is None else loaded(args.run_path)
        print(f"{net.title}: draw a digit at {server.address} (Ctrl-C ends it)", flush=True)
        if args.open:
            webbrowser.open(server.address)
        server.serve(net)
    finally:
        server.server_close()


def loaded(run: str) -> Net:
    """Return the network of a run."""
    path = run_folder.model_path(run)
    settings = run_folder.read_settings(path)
    model = load_model(path)
    try:
        check_input(model)
    except ValueError as error:
        raise ValueError(f"{run}: {error}") from None
    _, K = inputs.form(model)
    return Net(model, title_of(settings) or Path(run).name, inputs.class_names(settings, K))


def title_of(settings: dict[str, object]) -> str:
    """Return the names of the network and the data of the run with these settings; empty if they are unknown.

    >>> title_of({"arguments": {"net": "net_2"}, "data_name": "mnist"}), title_of({})
    ('net_2 on mnist', '')
    """
    arguments, data = settings.get("arguments"), settings.get("data_name")
    net = arguments.get("net") if isinstance(arguments, dict) else None
    return f"{net} on {data}" if isinstance(net, str) and isinstance(data, str) else ""


def trained() -> Net:
    """Return net_2, trained on glyphs."""
    data = datasets.load("glyphs")
    print("net_2 learns the printed digits of glyphs. To train on handwriting: scratchnet train --data mnist", flush=True)
    K = len(data.class_names)
    model = networks.net_2((28, 28, 1), K, seed=0)
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    model.fit(inputs.net_inputs(data.x_train), preprocessing.one_hot(data.y_train, K), batch_size=128, epochs=EPOCHS)
    return Net(model, "net_2 on glyphs", data.class_names)
