"""``scratchnet demo``: what it computes about a drawing, and a server that no request and no client can stop."""

import base64
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace

import numpy as np
import pytest
from small_runs import refused

from scratchnet import BatchNormalization, Conv2D, Dense, Flatten, Input, MaxPooling2D, Model, Sequential, cli, datasets
from scratchnet.demo import look, server
from scratchnet.demo.look import SIDE, Net
from scratchnet.demo.page import demo_page
from scratchnet.demo.server import Server
from scratchnet.tools import demo, inputs

SIZE = SIDE * SIDE
HEADERS = {"Content-Type": "application/octet-stream"}


def small_model(shape=(28, 28, 1), activation="softmax", dtype="float32", K=10):
    x = Input(shape=shape)
    y = MaxPooling2D((2, 2))(Conv2D(3, (3, 3), activation="relu")(x))
    return Model(x, Dense(K, activation=activation)(Flatten()(y)), seed=3, dtype=dtype)


def stroke(top=60, left=90, height=100, width=30):
    ink = np.zeros((SIDE, SIDE), np.uint8)
    ink[top : top + height, left : left + width] = np.linspace(120, 255, height).astype(np.uint8)[:, None]
    return ink


def pixels(text, *shape):
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(shape)


# -- what is computed ---------------------------------------------------------------------------------------------------


def test_the_network_sees_a_drawing_centred_by_its_mass_and_fitted_into_twenty_pixels():
    found = look.seen(stroke())
    rows, columns = np.nonzero(found.image)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (20, 6)
    mass = found.image / found.image.sum()
    assert abs((mass.sum(axis=1) @ np.arange(28)) - 14) < 0.51
    assert abs((mass.sum(axis=0) @ np.arange(28)) - 14) < 0.51


def test_the_network_sees_the_same_wherever_the_drawing_is():
    images = [look.seen(stroke(top, left)).image for top, left in [(0, 0), (60, 90), (124, 194), (3, 170)]]
    assert all((image == images[0]).all() for image in images)


def test_the_frame_maps_the_network_s_pixels_back_to_the_drawing():
    ink = stroke(height=110, width=45)
    image, frame = look.seen(ink)
    y, x = np.argwhere(image).mean(axis=0) + 0.5
    drawn = np.argwhere(ink).mean(axis=0) + 0.5
    assert frame.top + y * frame.height / 28 == pytest.approx(drawn[0])
    assert frame.left + x * frame.width / 28 == pytest.approx(drawn[1])


@pytest.mark.parametrize("level", [0, 25])
def test_without_ink_nothing_is_predicted(level):
    assert look.seen(np.full((SIDE, SIDE), level, np.uint8)) is None
    assert Net(small_model(), "a net", "0123456789").look(np.zeros((SIDE, SIDE), np.uint8), 3) == {"image": None}


@pytest.mark.parametrize("sizes", [(0, 0, SIDE, SIDE), (0, 0, 1, 1), (0, 0, SIDE, 1), (5, 0, 1, SIDE)])
def test_ink_everywhere_a_single_pixel_and_a_thin_line_are_drawings_too(sizes):
    assert look.seen(stroke(*sizes)).image.max() >= 120


@pytest.mark.parametrize("activation", ["softmax", "linear"])
def test_the_answer_is_what_the_library_computes_for_the_image_that_it_holds(activation):
    model = small_model(activation=activation)
    answer = json.loads(json.dumps(Net(model, "a net", "0123456789").look(stroke(), 7)))
    x = inputs.net_inputs(pixels(answer["image"], 1, 28, 28))
    assert answer["probabilities"] == inputs.probabilities(model, x)[0].tolist()
    assert sum(answer["probabilities"]) == pytest.approx(1)
    outputs = model.layer_outputs(x)
    for shown, name in zip(answer["maps"], ["conv2d", "max_pooling2d"], strict=True):
        maps = outputs[name][0]
        bright = np.quantile(maps, 0.998)
        assert shown["shape"] == list(maps.shape)
        assert pixels(shown["pixels"], *maps.shape) / 255 == pytest.approx(maps.clip(0, bright) / bright, abs=0.003)
    assert np.array(answer["gradient"], np.float32).reshape(28, 28) == pytest.approx(look.gradient(model, x, 7))


def test_the_gradient_is_that_of_the_logit_by_finite_differences():
    model, step = small_model(dtype="float64"), 1e-6
    x = np.random.default_rng(2).random((1, 28, 28, 1))
    slope = look.gradient(model, x, 4)
    for row, column in [(3, 20), (14, 14), (27, 9)]:
        dx = np.zeros_like(x)
        dx[0, row, column, 0] = step
        up, down = (model.forward(x + side * dx, to=model.logits, keep=False)[0, 4] for side in (1, -1))
        assert slope[row, column] == pytest.approx((up - down) / (2 * step), rel=1e-6)


def test_a_network_with_batch_normalization_has_a_gradient_too():
    layers = [Conv2D(70, (5, 5), strides=(4, 4)), BatchNormalization(), Flatten(), Dense(10, activation="softmax")]
    net = Net(Sequential([Input((28, 28, 1)), *layers], seed=1), "a net", "0123456789")
    answer = net.look(stroke(), 0)
    assert np.isfinite(answer["gradient"]).all()
    assert [(maps.pixels.shape, maps.channels) for maps in net.layers] == [((6, 6, 64), 70)] * 2


def test_weights_that_are_not_finite_are_an_error_in_one_sentence():
    model = small_model()
    net = Net(model, "a net", "0123456789")
    model.get_layer("dense").params["kernel"][:] = np.nan
    with pytest.raises(ValueError, match="Train it again"):
        net.look(stroke(), 1)


def test_the_page_shows_names_as_text():
    text = demo_page(Net(small_model(K=2), "<b>net</b>", ["<i>", "</script>"]))
    assert "&lt;b&gt;net" in text
    assert "<b>net" not in text
    assert '"classes":["\\u003ci>","\\u003c/script>"]' in text


# -- the server -----------------------------------------------------------------------------------------------------------


@contextmanager
def served(net):
    """A server in a thread of its own."""
    with Server(0) as found:
        thread = threading.Thread(target=found.serve, args=[net])
        thread.start()
        try:
            yield found
        finally:
            found.shutdown()
            thread.join(20)
            assert not thread.is_alive()


@pytest.fixture(scope="module")
def net():
    return Net(small_model(), "a net", "0123456789")


@pytest.fixture(scope="module")
def one_server(net):
    with served(net) as found:
        yield found


@pytest.fixture
def demo_server(one_server, capfd):
    """A running server; after the test it still answers, has no open connection, and has printed nothing."""
    yield one_server
    assert asked(one_server, "POST", "/look", stroke().tobytes())[0] == 200
    assert waited(lambda: not one_server.opened)
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")


def waited(condition, seconds=10.0):
    """Whether the condition becomes true in time."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def asked(found, method, address, body=None, headers=HEADERS):
    """The status, headers and body of the answer to a request."""
    connection = http.client.HTTPConnection("127.0.0.1", found.server_port, timeout=20)
    try:
        connection.request(method, address, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def connected(found):
    return socket.create_connection(("127.0.0.1", found.server_port), timeout=20)


def sent(found, data):
    """What comes back for bytes that need not be a request."""
    with connected(found) as client:
        try:
            client.sendall(data)
            with suppress(OSError):     # the server was faster and has closed the connection; its answer can still be read
                client.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: client.recv(65536), b""))
        except ConnectionError:
            return b""


def test_the_page_may_load_nothing_from_elsewhere_and_stand_in_no_frame(demo_server):
    status, headers, page = asked(demo_server, "GET", "/")
    assert (status, page.decode()) == (200, demo_page(demo_server.net))
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cache-Control"] == "no-store"
    assert b"default-src 'none'" in page
    assert b"connect-src 'self'" in page
    assert not re.search(rb"(src|href)=\"(?!data:)", page)


def test_only_this_machine_is_served(demo_server):
    assert demo_server.socket.getsockname()[0] == "127.0.0.1"


def test_an_answer_is_the_library_s(demo_server, net):
    status, headers, body = asked(demo_server, "POST", "/look?class=5", stroke().tobytes())
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(body) == json.loads(json.dumps(net.look(stroke(), 5)))


def test_an_empty_canvas_has_no_prediction(demo_server):
    assert json.loads(asked(demo_server, "POST", "/look", bytes(SIZE))[2]) == {"image": None}


def test_answers_to_many_clients_at_once_are_those_to_one_client(demo_server, net):
    drawings = [(stroke(height=20 + 20 * n), n) for n in range(8)]
    expected = [json.loads(json.dumps(net.look(*drawing))) for drawing in drawings]

    def answer(n):
        ink, k = drawings[n % 8]
        return json.loads(asked(demo_server, "POST", f"/look?class={k}", ink.tobytes())[2]) == expected[n % 8]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(answer, range(48)))


@pytest.mark.parametrize(
    ("method", "address", "body", "headers", "code", "part"),
    [
        ("GET", "/favicon.ico", None, {}, 404, "expected / or /look"),
        ("GET", "/../../etc/passwd", None, {}, 404, "expected / or /look"),
        ("GET", "/look", None, {}, 405, "expected POST"),
        ("POST", "/", b"", {}, 405, "expected GET"),
        ("PUT", "/look", bytes(SIZE), HEADERS, 405, "expected GET or POST"),
        ("BREW", "/coffee", None, {}, 405, "expected GET or POST"),
        ("GET", "/", None, {"Host": "evil.example"}, 403, "Host: expected http://127.0.0.1:"),
        ("GET", "/", None, {"Host": "127.0.0.1:1"}, 403, "Host: expected"),
        ("GET", "/", None, {"Origin": "null"}, 403, "Origin: expected the page of this server"),
        ("POST", "/look", bytes(SIZE), {**HEADERS, "Origin": "http://evil.example"}, 403, "Origin: expected"),
        ("POST", "/look", bytes(SIZE), {"Content-Type": "text/plain"}, 415, "expected application/octet-stream"),
        ("POST", "/look", bytes(SIZE), {}, 415, "expected application/octet-stream"),
        ("POST", "/look", bytes(SIZE - 1), HEADERS, 400, f"expected {SIZE} bytes"),
        ("POST", "/look", bytes(SIZE + 1), HEADERS, 400, f"got {SIZE + 1}"),
        ("POST", "/look", b"", HEADERS, 400, "got 0"),
        ("POST", "/look", bytes(65537), HEADERS, 413, "more than 64 KB"),
        ("POST", "/look", bytes(SIZE), {**HEADERS, "Transfer-Encoding": "chunked"}, 411, "no Content-Length"),
        ("POST", "/look?class=10", bytes(SIZE), HEADERS, 400, "class=k with k from 0 to 9"),
        ("POST", "/look?class=-1", bytes(SIZE), HEADERS, 400, "class=k"),
        ("POST", "/look?class=1&class=2", bytes(SIZE), HEADERS, 400, "class=k"),
        ("POST", "/look?class=%31", bytes(SIZE), HEADERS, 400, "class=k"),
    ],
)
def test_another_request_is_refused_in_one_sentence(method, address, body, headers, code, part, demo_server):
    status, answered, text = asked(demo_server, method, address, body, headers)
    assert (status, answered["Content-Type"]) == (code, "text/plain; charset=utf-8")
    assert part in text.decode()
    assert text.count(b"\n") == 1
    assert "," not in text.decode().split("expected")[0]
    if code == 405:
        assert method not in answered["Allow"].split(", ")


HOST = b"Host: 127.0.0.1:%d\r\n"


@pytest.mark.parametrize(
    ("head", "code"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 403),
        (b"GET / HTTP/1.1\r\n%sHost: evil.example\r\n\r\n" % HOST, 403),
        (b"GET / HTTP/1.1\r\n%s%s\r\n" % (HOST, HOST), 403),
        (b"GET http://127.0.0.1/ HTTP/1.1\r\n%s\r\n" % HOST, 404),
        (b"GET http://[/ HTTP/1.1\r\n%s\r\n" % HOST, 400),
        (b"GET /\r\n\r\n", 403),
        (b"GET / HTTP/9.9\r\n%s\r\n" % HOST, 505),
        (b"GET / / / HTTP/1.1\r\n%s\r\n" % HOST, 400),
        (b"GET /" + b"x" * 16000 + b" HTTP/1.1\r\n%s\r\n" % HOST, 404),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", 431),
        (b"POST /look HTTP/1.1\r\n%s\r\n" % HOST, 411),
        (b"POST /look HTTP/1.1\r\n%sContent-Length: -5\r\n\r\n" % HOST, 400),
        (b"POST /look HTTP/1.1\r\n%sContent-Length: 9e9\r\n\r\n" % HOST, 400),
        (b"POST /look HTTP/1.1\r\n%sContent-Length: 5\r\nContent-Length: 50176\r\n\r\n" % HOST, 400),
        (b"POST /look HTTP/1.1\r\n%sContent-Length: 99999999999999\r\n\r\n" % HOST, 413),
        (b"POST /look HTTP/1.1\r\n%sContent-Type: application/octet-stream\r\nContent-Length: 50176\r\n\r\nabc" % HOST, 400),
    ],
)
def test_a_damaged_request_gets_a_code_and_one_sentence(head, code, demo_server):
    answer = sent(demo_server, head.replace(b"%d", str(demo_server.server_port).encode()))
    first, _, body = answer.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.0 %d " % code)
    assert body.count(b"\n") == 1
    assert b"expected" in body


def test_a_large_body_is_refused_before_it_is_sent(demo_server):
    with connected(demo_server) as client:
        head = f"POST /look HTTP/1.1\r\nHost: localhost:{demo_server.server_port}\r\nContent-Length: {10**12}\r\n\r\n"
        client.sendall(head.encode())
        assert client.recv(100).startswith(b"HTTP/1.0 413 ")


def test_a_body_that_never_comes_counts_as_0_bytes(demo_server):
    head = f"POST /look HTTP/1.1\r\nHost: 127.0.0.1:{demo_server.server_port}\r\nContent-Type: {server.IMAGE}\r\n"
    assert b"got 0." in sent(demo_server, f"{head}Content-Length: {SIZE}\r\n\r\n".encode())


def test_no_more_is_read_than_a_request_may_have(demo_server):
    assert sent(demo_server, b"x" * 10**6)[:12] in (b"HTTP/1.0 414", b"HTTP/1.0 400", b"")     # b"": closed while we were sending


def test_slow_clients_delay_no_other_and_are_closed(demo_server, monkeypatch):
    slow = [connected(demo_server) for _ in range(20)]
    for client in slow[:10]:
        client.sendall(b"POST /look HTTP/1.1\r\nContent-Le")
    began = time.monotonic()
    assert asked(demo_server, "POST", "/look", stroke().tobytes())[0] == 200
    assert time.monotonic() - began < 5
    assert waited(lambda: len(demo_server.opened) >= 20)
    monkeypatch.setattr(server, "PATIENCE", 0.1)
    for client in slow:
        while client.recv(1000):        # the answer to a part of a request, and then the end
            pass
        client.close()


def test_a_client_that_does_not_read_its_answer_is_closed(demo_server, monkeypatch):
    monkeypatch.setattr(server, "PATIENCE", 0.2)
    monkeypatch.setattr(demo_server, "page", b"x" * 30_000_000)
    with connected(demo_server) as client:
        client.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{demo_server.server_port}\r\n\r\n".encode())
        assert waited(lambda: len(demo_server.opened) == 1)
        assert waited(lambda: not demo_server.opened)
    monkeypatch.setattr(server, "PATIENCE", 10.0)


def test_connections_are_bounded_and_the_newest_is_answered(demo_server):
    idle = []
    for _ in range(3 * server.CONNECTIONS):
        idle.append(connected(demo_server))
        assert len(demo_server.opened) <= server.CONNECTIONS
    assert asked(demo_server, "GET", "/")[0] == 200
    assert len(demo_server.opened) <= server.CONNECTIONS
    assert threading.active_count() < 2 * server.CONNECTIONS
    for client in idle:
        client.close()


def test_a_broken_network_is_reported_and_stops_nothing(capfd):
    model = small_model()
    with served(Net(model, "a net", "0123456789")) as found:
        model.get_layer("dense").params["kernel"][:] = np.nan
        status, _, text = asked(found, "POST", "/look", stroke().tobytes())
        assert (status, text.count(b"\n")) == (500, 1)
        assert b"expected finite probabilities and gradients" in text
        assert asked(found, "GET", "/")[0] == 200


def random_request(rng, port):
    """Bytes that are nearly a request: a third are good; in the others parts are exchanged, and bytes may be changed."""
    odd = rng.choice([0.0, 0.25, 0.5])  # how often a part is exchanged

    def one(*words):
        return words[rng.integers(len(words)) if rng.random() < odd else 0]

    size = one(SIZE, SIZE, SIZE, 0, 1, SIZE - 1, 70_000)
    body = rng.integers(0, 256, size, dtype=np.uint8).tobytes()
    if rng.random() < 0.5:
        body = stroke(height=int(rng.integers(1, 120))).tobytes()
    head = (
        f"{one('POST', 'POST', 'GET', 'HEAD', 'PUT', 'OPTIONS', 'x')} "
        f"{one('/look', '/look', '/', '/look?class=3', '/look?class=99', '/?', '*', '/%00', '/look/../', 'http://[::')} "
        f"{one('HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0', 'HTTP/0.9', 'HTTP/2', 'FTP')}\r\n"
        f"Host: {one(f'127.0.0.1:{port}', f'127.0.0.1:{port}', f'localhost:{port}', 'evil', '')}\r\n"
        f"Content-Type: {one('application/octet-stream', 'application/octet-stream', 'text/plain', ';')}\r\n"
        f"Content-Length: {one(len(body), len(body), len(body), 50176, 10**30, -1, 'x')}\r\n"
        f"{one('A: b', 'A: b', 'Origin: http://evil', 'Expect: 100-continue', 'Transfer-Encoding: chunked', 'a' * 20000)}\r\n\r\n"
    ).encode()
    data = bytearray(head + body)
    for place in rng.integers(0, len(head), one(0, 0, 0, 1, 5, 50)):
        data[place] = rng.integers(256)
    return bytes(data[: one(len(data), len(data), len(data), rng.integers(len(data) + 1))])


def attack(found, requests, seed):
    """Send random requests from four threads; return how many were answered with which code."""

    def some(n):
        rng = np.random.default_rng([seed, n])
        return [sent(found, random_request(rng, found.server_port))[9:12] for _ in range(requests // 4)]

    with ThreadPoolExecutor(4) as pool:
        codes = [code for part in pool.map(some, range(4)) for code in part]
    return {code: codes.count(code) for code in set(codes)}


def test_hundreds_of_random_requests_do_not_stop_the_server(demo_server):
    codes = attack(demo_server, 200, seed=1)
    assert codes[b"200"] > 25
    assert {b"400", b"403", b"404", b"405", b"413", b"415"} <= set(codes)
    assert b"500" not in codes


@pytest.mark.slow
def test_ten_thousand_random_requests_and_slow_clients_do_not_stop_the_server(demo_server):
    stop = threading.Event()

    def dawdle():
        clients = []
        while not stop.wait(0.05):
            clients.append(connected(demo_server))
            if len(clients) > 30:
                clients.pop(0).close()
            for client in clients:
                with suppress(OSError):     # closed by the server
                    client.sendall(b"P")
        for client in clients:
            client.close()

    slow = threading.Thread(target=dawdle)
    slow.start()
    try:
        codes = attack(demo_server, 10_000, seed=2)
    finally:
        stop.set()
        slow.join()
    assert sum(codes.values()) == 10_000
    assert codes[b"200"] > 2000
    assert b"500" not in codes


# -- the command --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    small_model().save(folder / "model.npz")
    settings = {"class_names": [*"abcdefghij"], "arguments": {"net": "net_9"}, "data_name": "ink"}
    (folder / "settings.json").write_text(json.dumps(settings))
    return folder


def test_a_run_is_loaded_with_its_names(run):
    net = demo.loaded(str(run))
    assert (net.title, net.class_names) == ("net_9 on ink", [*"abcdefghij"])


def test_a_model_alone_is_named_after_its_file_and_its_classes_are_numbers(tmp_path):
    small_model(K=3).save(tmp_path / "mine.npz")
    net = demo.loaded(str(tmp_path / "mine.npz"))
    assert (net.title, net.class_names) == ("mine.npz", ["0", "1", "2"])


def test_a_port_in_use_is_one_clear_line(capsys, run):
    with Server(0) as first:
        line = refused(capsys, 1, "demo", run, "--port", first.server_port)
    assert line.startswith(f"scratchnet: --port: expected a free port, got {first.server_port} (")
    assert "Name another one, or 0 for any that is free." in line


@pytest.mark.parametrize("shape", [(32, 32, 3), (28, 28, 3), (14, 28, 1)])
def test_a_network_of_other_images_is_refused(shape, capsys, tmp_path):
    small_model(shape).save(tmp_path / "model.npz")
    line = refused(capsys, 1, "demo", tmp_path, "--port", 0)
    assert f"expected one that classifies images of 28×28×1, got one of {inputs.times(shape)}" in line


@pytest.mark.parametrize("text", ["-1", "65536", "http", ""])
def test_what_is_no_port_is_wrong_usage(text, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["demo", "--port", text])
    assert stopped.value.code == 2
    assert "argument --port: expected a" in capsys.readouterr().err


def test_without_a_run_net_2_learns_glyphs_first_and_the_browser_is_opened_when_asked(capsys, monkeypatch):
    few = datasets.load("glyphs")
    few = replace(few, x_train=few.x_train[:256], y_train=few.y_train[:256])
    opened, nets = [], []
    monkeypatch.setattr(demo.datasets, "load", lambda name: few)
    monkeypatch.setattr(demo.webbrowser, "open", opened.append)
    monkeypatch.setattr(Server, "serve", lambda self, net: nets.append(net))
    assert cli.main(["demo", "--port", "0", "--open"]) == 0
    out = capsys.readouterr().out
    (address,) = re.findall(r"net_2 on glyphs: draw a digit at (http://127.0.0.1:\d+) \(Ctrl-C ends it\)\n", out)
    assert opened == [address]
    assert nets[0].model.count_params() == 1_625_866


@pytest.mark.compiled
def test_ctrl_c_ends_the_server_with_one_line(run):
    command = [sys.executable, "-m", "scratchnet", "demo", str(run), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            port = int(re.search(r":(\d+) ", process.stdout.readline())[1])
            idle = socket.create_connection(("127.0.0.1", port), timeout=20)
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
            idle.close()
        finally:
            process.kill()
    assert (process.returncode, out, err) == (130, "", "scratchnet: interrupted\n")
