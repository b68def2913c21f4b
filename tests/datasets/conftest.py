"""A separate cache and a local web server: these tests neither use the user's cache nor reach the network."""

import contextlib
import gzip
import os
import struct
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

REAL_DATA = os.environ.get("SCRATCHNET_DATA")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache, and no SCRATCHNET_DATA."""
    monkeypatch.setenv("SCRATCHNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SCRATCHNET_DATA", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def real_data(monkeypatch):
    """Return a function that makes a set of SCRATCHNET_DATA available, or skips the test if it is missing."""

    def want(name):
        if not REAL_DATA:
            pytest.skip("SCRATCHNET_DATA is not set: it names the folder with the real mnist/ and cifar10/")
        if not (Path(REAL_DATA) / name).is_dir():
            pytest.skip(f"SCRATCHNET_DATA={REAL_DATA} has no {name}/")
        monkeypatch.setenv("SCRATCHNET_DATA", REAL_DATA)

    return want


def idx_bytes(array):
    """Return the bytes of an idx file that holds an array."""
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def small_idx_set(seed=0, side=28, train=30, test=20, classes=10):
    """Return the contents of four idx files by MNIST's names, and the arrays in them."""
    rng = np.random.default_rng(seed)
    arrays = {
        "train-images-idx3-ubyte": rng.integers(256, size=(train, side, side), dtype=np.uint8),
        "train-labels-idx1-ubyte": (np.arange(train) % classes).astype(np.uint8),
        "t10k-images-idx3-ubyte": rng.integers(256, size=(test, side, side), dtype=np.uint8),
        "t10k-labels-idx1-ubyte": (np.arange(test) % classes).astype(np.uint8),
    }
    return {name: idx_bytes(array) for name, array in arrays.items()}, arrays


def write_set(folder, contents, packed=True):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / (name + ".gz" * packed)).write_bytes(gzip.compress(content) if packed else content)


class Mirror:
    """A local web server with correct and faulty pages."""

    def __init__(self):
        self.pages: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        self.asked: list[str] = []
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                mirror.asked.append(self.path)
                page = mirror.pages.get(self.path)
                if page is None:
                    self.send_error(404)
                    return
                with contextlib.suppress(OSError):  # the client may close the connection
                    page(self)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def add(self, path, content, *, announced=None, pieces=1, pause=0.0, **headers):
        """Serve `content` at `path`, in pieces with a pause after each; `announced` is a wrong length to announce."""

        def page(handler):
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(content) if announced is None else announced))
            for name, value in headers.items():
                handler.send_header(name.replace("_", "-"), value)
            handler.end_headers()
            size = -(-len(content) // pieces)
            for start in range(0, len(content), size):
                handler.wfile.write(content[start : start + size])
                handler.wfile.flush()
                time.sleep(pause)

        self.pages[path] = page
        return self.url + path


@pytest.fixture
def mirror():
    server = Mirror()
    yield server
    server.close()
