"""The demo's web server: two addresses, `GET /` for the page and `POST /look` for what the network sees in a drawing.

It serves this machine alone. Any page in the user's browser may send requests here, so only those for our own host name, and from
our own page, are answered. A browser lets a page read answers only from the server that sent the page, and knows a server by its
name. In *DNS rebinding*, a foreign server first sends a page, and then lets its name, say evil.example, lead to 127.0.0.1: the
browser would take us for that server. But the header Host of these requests is still evil.example, so they are refused.

A connection carries one request, and is closed after PATIENCE seconds, whatever it waits for. At most CONNECTIONS are open; when
one more arrives, the oldest is closed.
"""

from __future__ import annotations

import io
import json
import os
import re
import socket
import socketserver
import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from scratchnet.demo.look import SIDE, Net
from scratchnet.demo.page import demo_page

HOST = "127.0.0.1"
LONGEST = 64 * 1024  # bytes of a request's body
HEAD = 16 * 1024     # bytes of a request's head
PATIENCE = 10.0      # seconds of a connection
CONNECTIONS = 48
# Before a foreign page may send this type, its browser asks us by a request OPTIONS (a "CORS preflight"), which we refuse.
IMAGE = "application/octet-stream"

ADDRESSES = {"/": "GET", "/look": "POST"}
SAFE = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class RefusedError(Exception):
    """A request that is answered with `code` and one sentence."""

    def __init__(self, code: int, sentence: str):
        super().__init__(sentence)
        self.code = code


class Bounded(io.RawIOBase):
    """What a client sends, which ends after `left` bytes."""

    def __init__(self, connection: socket.socket, left: int):
        self.connection, self.left = connection, left

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read at most as many bytes as are left."""
        room = memoryview(buffer)[: self.left]
        count = self.connection.recv_into(room) if room else 0
        self.left -= count
        return count


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server

    def setup(self) -> None:
        """Limit how many bytes are read."""
        super().setup()
        self.rfile = io.BufferedReader(Bounded(self.connection, HEAD + LONGEST))

    def do_GET(self) -> None:
        """Answer with the page."""
        self.answer_with(lambda query: ("text/html; charset=utf-8", self.server.page))

    def do_POST(self) -> None:
        """Answer with what the network sees in the drawing."""
        self.answer_with(self.look)

    def answer_with(self, content: Any) -> None:
        """Send what `content(query)` returns, a type and bytes, or the refusal that it raises."""
        try:
            query = self.checked_query()
            kind, data = content(query)
        except RefusedError as refusal:
            self.refuse(refusal)
        else:
            self.send(200, kind, data)

    def checked_query(self) -> str:
        """Return what follows "?" in the address of a request that is ours to answer; raise RefusedError for any other."""
        own = self.server.names
        hosts, origins = self.headers.get_all("Host", []), self.headers.get_all("Origin", [])
        if len(hosts) != 1 or hosts[0].lower() not in own:
            raise RefusedError(403, f"Host: expected {self.server.address}, got another name. Open that address.")
        if any(origin.lower() not in {f"http://{name}" for name in own} for origin in origins):
            raise RefusedError(403, "Origin: expected the page of this server, got another page. Open it at its own address.")
        try:
            parts = urlsplit(self.path)
        except ValueError:
            raise RefusedError(400, "The address: expected / or /look, got one that cannot be read. Correct it.") from None
        if parts.path not in ADDRESSES or parts.netloc or parts.scheme:
            raise RefusedError(404, "The address: expected / or /look, got another one. Correct it.")
        if self.command != ADDRESSES[parts.path]:
            raise RefusedError(405, f"The method: expected {ADDRESSES[parts.path]}, got another one. Use {ADDRESSES[parts.path]}.")
        return parts.query

    def look(self, query: str) -> tuple[str, bytes]:
        """Return what the network sees in the drawing that the body holds."""
        k = self.wanted_class(query)
        ink = np.frombuffer(self.body(), np.uint8).reshape(SIDE, SIDE)
        try:
            answer = self.server.net.look(ink, k)
        except ValueError as error:  # of a network whose weights are not finite
            raise RefusedError(500, str(error)) from None
        return "application/json", json.dumps(answer, allow_nan=False).encode()

    def wanted_class(self, query: str) -> int | None:
        """Return the k of "class=k"; None if the query is empty."""
        K = len(self.server.net.class_names)
        found = re.fullmatch(r"class=([0-9]{1,5})", query)
        if query and (not found or int(found[1]) >= K):
            raise RefusedError(400, f"The query: expected class=k with k from 0 to {K - 1}, got another one. Correct it.")
        return int(found[1]) if found else None

    def body(self) -> bytes:
        """Return the body, which must be SIDE · SIDE bytes. One of another length is refused before it is read."""
        expected = f"expected {SIDE * SIDE} bytes, the ink of {SIDE} × {SIDE} pixels"
        lengths = self.headers.get_all("Content-Length", [])
        if "Transfer-Encoding" in self.headers or not lengths:
            raise RefusedError(411, f"The body: {expected}, got no Content-Length. Send one.")
        if len(lengths) > 1 or not re.fullmatch(r"[0-9]{1,18}", lengths[0]):
            raise RefusedError(400, f"Content-Length: {expected}, got no such number. Correct it.")
        length = int(lengths[0])
        if length > LONGEST:
            raise RefusedError(413, f"The body: {expected}, got more than 64 KB. Send less.")
        if self.headers.get_content_type() != IMAGE:
            raise RefusedError(415, f"Content-Type: expected {IMAGE}, got another type. Send the bytes of an image.")
        data = self.rfile.read(length) if length == SIDE * SIDE else None
        if data is None or len(data) != length:
            got = length if data is None else len(data)
            raise RefusedError(400, f"The body: {expected}, got {got}. Send one byte for each pixel.")
        return data

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer a request that Python's server does not understand; 501 is its code for a method that this class does not have."""
        if code == 501:
            self.refuse(RefusedError(405, "The method: expected GET or POST, got another one. Use one of them."))
        else:
            self.refuse(RefusedError(code, "The request: expected HTTP/1.1 with a short head, got another one. Correct it."))

    def refuse(self, refusal: RefusedError) -> None:
        """Answer with one sentence."""
        self.send(refusal.code, "text/plain; charset=utf-8", f"{refusal}\n".encode())

    def send(self, code: int, kind: str, data: bytes) -> None:
        """Send an answer."""
        headers = {"Content-Type": kind, "Content-Length": str(len(data)), "Connection": "close", **SAFE}
        if code == 405:
            headers["Allow"] = ADDRESSES.get(self.path.partition("?")[0], "GET, POST")
        self.request_version = self.protocol_version  # so that the answer has a head, whatever the request was
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def version_string(self) -> str:
        """Return the value of the header Server."""
        return "scratchnet"

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


class Server(ThreadingHTTPServer):
    """A server on this machine's loopback address. It accepts connections from the start, and answers them once `serve` runs.

    Parameters
    ----------
    port : int
        0 for any free one.

    Raises
    ------
    OSError
        When another program uses the port, or it may not be used.
    """

    daemon_threads = True
    allow_reuse_address = os.name != "nt"  # reuse a port whose connections are closing; Windows would allow one in use
    allow_reuse_port = False
    request_queue_size = 128
    net: Net
    page: bytes

    def __init__(self, port: int):
        super().__init__((HOST, port), Handler, bind_and_activate=False)
        self.opened: dict[socket.socket, float] = {}  # open connections, the oldest first, and when they were opened
        self.free = threading.Semaphore(CONNECTIONS)
        try:
            self.server_bind()
            self.server_activate()  # without it, Linux would let several programs have the port
        except OSError as error:
            self.socket.close()
            raise OSError(
                f"--port: expected a free port, got {port} ({(error.strerror or str(error)).lower()}). "
                "Name another one, or 0 for any that is free."
            ) from None

    def server_bind(self) -> None:
        """Bind the socket, without HTTPServer's look-up of this machine's name, which may take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    @property
    def address(self) -> str:
        """The page's address."""
        return f"http://{HOST}:{self.server_port}"

    @property
    def names(self) -> set[str]:
        """The values of the header Host that mean this server."""
        names = {HOST, "localhost"}
        return {f"{name}:{self.server_port}" for name in names} | (names if self.server_port == 80 else set())

    def serve(self, net: Net) -> None:
        """Answer requests about `net` until an exception, such as KeyboardInterrupt, or `shutdown` ends it."""
        self.net, self.page = net, demo_page(net).encode()
        try:
            self.serve_forever(poll_interval=0.25)
        finally:
            self.server_close()
            for connection in list(self.opened):
                hang_up(connection)

    # -- connections --------------------------------------------------------------------------------------------------

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a new connection in a thread, when the number of open ones allows it."""
        if not self.free.acquire(blocking=False):
            for oldest in list(self.opened)[:1]:
                hang_up(oldest)
            if not self.free.acquire(timeout=1.0):
                self.shutdown_request(request)
                return
        self.opened[request] = time.monotonic()
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # the system has no more threads
            self.forget(request)
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, in a thread of its own."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.forget(request)

    def forget(self, request: socket.socket) -> None:
        """Make room for another connection."""
        self.opened.pop(request, None)
        self.free.release()

    def service_actions(self) -> None:
        """Close the connections that are too old; the server calls this four times a second."""
        for connection, since in list(self.opened.items()):
            if time.monotonic() - since > PATIENCE:
                hang_up(connection)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection. What the client still sends is first read for a moment, or it might not receive the answer."""
        with suppress(OSError):
            request.shutdown(socket.SHUT_WR)
            request.settimeout(0.2)
            for _ in range(16):
                if not request.recv(8192):
                    break
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that closed the connection; print the traceback of any other error."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def hang_up(connection: socket.socket) -> None:
    """End a connection in both directions, which ends the waiting of its thread."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
