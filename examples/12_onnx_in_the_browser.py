"""Train here, serve there: onnxruntime computes the probabilities on this machine, and onnxruntime-web in a web page.

    pip install "scratchnet[onnx]"                          the page also needs npm, which comes with Node.js
    python examples/12_onnx_in_the_browser.py               trains on printed digits, and serves the page until Ctrl-C

The page runs the network in the browser, and the images never leave it. npm downloads onnxruntime-web once (33 MB), and its
checksum is verified. After that, neither the page nor this program needs the internet: all files of the page are on this machine.
"""

import hashlib
import json
import subprocess
import tarfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import onnxruntime

from scratchnet import datasets, net_2
from scratchnet.preprocessing import add_channel_axis, normalize_images

VERSION = "1.30.0"
SHA256 = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"             # of the package
RUNTIME = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")


def train(limit=None, epochs=3):
    """Return a trained net_2, and test images (N, 28, 28, 1) with their labels (N,)."""
    data = datasets.load("glyphs")
    x_train, x_test = (add_channel_axis(normalize_images(x)) for x in (data.x_train[:limit], data.x_test))
    model = net_2((28, 28, 1), 10, seed=1)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x_train, data.y_train[:limit], batch_size=128, epochs=epochs, verbose=2)
    return model, x_test, data.y_test


def write_page(folder, model, x, y):
    """Write the files of the page: the network, a few digits with their labels, and the program that runs them."""
    folder.mkdir(parents=True, exist_ok=True)
    model.export_onnx(folder / "digits.onnx")
    (folder / "digits.json").write_text(json.dumps({"images": x.round(3).reshape(len(x), -1).tolist(), "labels": y.tolist()}))
    (folder / "index.html").write_bytes(Path(__file__).with_suffix(".html").read_bytes())
    package = folder / f"onnxruntime-web-{VERSION}.tgz"
    if not package.exists():
        subprocess.run(["npm", "pack", "--silent", f"onnxruntime-web@{VERSION}"], cwd=folder, check=True, timeout=300)
    if hashlib.sha256(package.read_bytes()).hexdigest() != SHA256:
        raise SystemExit(f"{package}: expected SHA-256 {SHA256}, got another. Remove the file, and run the program again")
    with tarfile.open(package) as files:
        for name in RUNTIME:
            (folder / name).write_bytes(files.extractfile(f"package/dist/{name}").read())


def server(folder, port):
    """Return a server of the folder, for this machine only."""
    return ThreadingHTTPServer(("127.0.0.1", port), partial(SimpleHTTPRequestHandler, directory=folder))


def main(folder=Path("runs/onnx-page"), port=8012):
    model, x, y = train()
    write_page(folder, model, x[:12], y[:12])
    (p,) = onnxruntime.InferenceSession(folder / "digits.onnx").run(None, {"images": x})        # (N, 28, 28, 1) -> (N, 10)
    print(f"onnxruntime: {(p.argmax(axis=1) == y).mean():.4f} of {len(x):,} test images are right,", end=" ")
    print(f"and probabilities differ from scratchnet's by at most {abs(p - model.predict(x)).max():.0e}")
    print(f"The page: http://localhost:{port}   (Ctrl-C ends the program)", flush=True)
    server(folder, port).serve_forever()


if __name__ == "__main__":
    main()
