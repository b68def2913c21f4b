import errno
import hashlib
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from scratchnet.datasets import DataError, DownloadError, download
from scratchnet.datasets.download import Reader, Source, fetch

CONTENT = bytes(range(256)) * 400
OTHER = b"not the file"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def sources(*urls):
    return [Source(url, "data.bin", SHA256) for url in urls]


def listing(folder):
    return sorted(file.name for file in folder.iterdir())


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def drip(start, byte):
    """Return a page that sends one byte every tenth of a second, for ten times as long as a reader waits."""

    def page(handler):
        handler.wfile.write(start)
        for _ in range(60):
            handler.wfile.write(byte)
            time.sleep(0.1)

    return page


@pytest.fixture
def bad(mirror, tmp_path):
    """Addresses that fail in different ways, and what the error must say about each."""
    (tmp_path / "right.bin").write_bytes(CONTENT)

    def page(path, answer):
        mirror.pages[path] = answer
        return mirror.url + path

    def redirect(path, target, pause=0.0):
        def answer(handler):
            time.sleep(pause)
            handler.send_response(302)
            handler.send_header("Location", target)
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        return page(path, answer)

    gone = mirror.url.rpartition(":")[0] + ":9/data.bin"  # nothing listens at the discard port
    return {
        "missing": (mirror.url + "/missing", "404"),
        "refused": (gone, "ConnectionError"),
        "wrong": (mirror.add("/wrong", OTHER), "wrong checksum: sha256 " + hashlib.sha256(OTHER).hexdigest()),
        "short": (mirror.add("/short", CONTENT[:5000], announced=len(CONTENT)), "5,000 of 102,400 bytes|IncompleteRead"),
        "empty": (mirror.add("/empty", b""), "wrong checksum"),
        "reset": (page("/reset", lambda handler: handler.connection.shutdown(socket.SHUT_RDWR)), "ConnectionError"),
        "no HTTP": (page("/garbage", lambda handler: handler.wfile.write(bytes(range(256)) * 300)), "Error"),
        "failing": (page("/failing", lambda handler: handler.send_error(503)), "503"),
        "error page": (mirror.add("/page", b"<!DOCTYPE html><h1>Quota exceeded</h1>"), "wrong checksum"),
        "short, length unknown": (mirror.add("/cut", CONTENT[:5000], announced=""), "wrong checksum"),
        "to a file": (redirect("/file", f"file://{tmp_path / 'right.bin'}"), "InvalidSchema"),
        "to FTP": (redirect("/ftp", "ftp://127.0.0.1/data.bin"), "InvalidSchema"),
        "in a circle": (redirect("/circle", "/circle"), "TooManyRedirects"),
        "dripping headers": (page("/drip-headers", drip(b"HTTP/1.1 200 OK\r\nX: ", b"x")), "no answer within 0.6 s"),
        "dripping redirects": (redirect("/again", "/again", pause=0.25), "no answer within 0.6 s"),
        "dripping sizes": (page("/drip-sizes", drip(CHUNKED, b"0")), "too slow: expected at least 100 kB/s, got 0.0"),
        "slow": (mirror.add("/slow", CONTENT, pieces=400, pause=0.03), "too slow: expected at least 100 kB/s, got .* kB/s"),
        "silent": (mirror.add("/silent", CONTENT, pieces=2, pause=4.0), "too slow|timed out"),
    }


KINDS = (
    "missing", "refused", "wrong", "short", "empty", "reset", "no HTTP", "failing", "error page", "short, length unknown",
    "to a file", "to FTP", "in a circle", "dripping headers", "dripping redirects", "dripping sizes", "slow", "silent",
)  # fmt: skip


def quick(url, output_file, pooch):
    """Wait for a short time only where the server is slow on purpose: the others may be slow because the machine is busy."""
    window = 0.6 if any(word in url for word in ("drip", "again", "slow", "silent")) else 30
    Reader(slowest=100e3, window=window)(url, output_file, pooch)


def test_a_good_address_adds_the_file_and_nothing_else(mirror, tmp_path):
    path = fetch(sources(mirror.add("/data.bin", CONTENT)), tmp_path / "new" / "folder")
    assert path.read_bytes() == CONTENT
    assert listing(path.parent) == ["data.bin"]


def test_every_kind_of_failure_is_tried(bad):
    assert set(bad) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_next_address_is_tried_whatever_the_failure_of_the_first(bad, mirror, tmp_path, kind):
    started = time.monotonic()
    path = fetch(sources(bad[kind][0], mirror.add("/good", CONTENT)), tmp_path / "kept", reader=quick)
    assert path.read_bytes() == CONTENT
    assert listing(path.parent) == ["data.bin"]
    assert time.monotonic() - started < 10


def test_when_all_fail_the_error_lists_each_and_how_to_add_the_file_by_hand(bad, tmp_path):
    with pytest.raises(DownloadError) as caught:
        fetch(
            sources(*(url for url, _ in bad.values())),
            tmp_path / "kept",
            others=[Source("any", "other.bin", "abc123")],
            reader=quick,
        )
    message = str(caught.value)
    lines = message.splitlines()
    for url, failure in bad.values():
        place = lines.index(f"  {url}")
        assert re.search(failure, lines[place + 1]), (url, lines[place + 1])
    assert lines[0].startswith("data.bin could not be fetched")
    assert f"copy this file into {tmp_path / 'kept'}:" in message
    assert f"  data.bin\n    sha256 {SHA256}" in message
    assert "  other.bin\n    sha256 abc123" in message
    assert "export SCRATCHNET_DATA=FOLDER" in message
    assert listing(tmp_path / "kept") == []


def test_the_error_says_that_the_named_folder_was_searched(mirror, tmp_path, monkeypatch):
    monkeypatch.setenv("SCRATCHNET_DATA", str(tmp_path / "mine"))
    with pytest.raises(DownloadError, match=f"SCRATCHNET_DATA={tmp_path / 'mine'} was searched first"):
        fetch(sources(mirror.url + "/missing"), tmp_path / "kept")


def test_a_body_sent_in_chunks_after_a_redirection_is_read_whole(mirror, tmp_path):
    def redirect(handler):
        handler.send_response(302)
        handler.send_header("Location", mirror.url + "/chunked")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    def chunked(handler):
        handler.protocol_version = "HTTP/1.1"
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for start in range(0, len(CONTENT), 30_000):
            piece = CONTENT[start : start + 30_000]
            handler.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        handler.wfile.write(b"0\r\n\r\n")
        handler.close_connection = True

    mirror.pages |= {"/data.bin": redirect, "/chunked": chunked}
    assert fetch(sources(mirror.url + "/data.bin"), tmp_path).read_bytes() == CONTENT


def test_a_file_in_the_cache_is_not_requested(mirror, tmp_path):
    (tmp_path / "data.bin").write_bytes(CONTENT)
    fetch(sources(mirror.add("/data.bin", CONTENT)), tmp_path)
    assert mirror.asked == []


def test_any_of_several_files_in_the_cache_is_accepted(mirror, tmp_path):
    (tmp_path / "second.bin").write_bytes(CONTENT)
    path = fetch([*sources(mirror.url + "/first"), Source(mirror.url + "/second", "second.bin", SHA256)], tmp_path)
    assert path.name == "second.bin"
    assert mirror.asked == []


def test_a_damaged_file_is_fetched_again(mirror, tmp_path):
    (tmp_path / "data.bin").write_bytes(CONTENT[:-1])
    path = fetch(sources(mirror.add("/data.bin", CONTENT)), tmp_path)
    assert path.read_bytes() == CONTENT


def test_a_file_keeps_its_bytes_although_the_server_declares_them_an_encoding(mirror, tmp_path):
    import gzip

    packed = gzip.compress(CONTENT, mtime=0)
    url = mirror.add("/data.gz", packed, Content_Encoding="gzip")
    path = fetch([Source(url, "data.gz", hashlib.sha256(packed).hexdigest())], tmp_path)
    assert path.read_bytes() == packed


def test_a_download_that_never_ends_is_stopped(mirror, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "MOST_BYTES", 50_000)
    with pytest.raises(DownloadError, match="more than 50,000 bytes"):
        fetch(sources(mirror.add("/data.bin", CONTENT)), tmp_path)
    assert listing(tmp_path) == []


def test_an_interrupted_download_leaves_nothing(mirror, tmp_path):
    def interrupted(url, output_file, pooch):
        with open(output_file, "wb") as out:
            out.write(CONTENT[:100])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(sources(mirror.url), tmp_path, reader=interrupted)
    assert listing(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL, and locks of POSIX")
def test_what_a_killed_download_left_is_removed_by_the_next_one_unless_another_is_running(mirror, tmp_path):
    code = f"""if True:
        import os, signal
        from pathlib import Path
        from scratchnet.datasets.download import Source, fetch
        def killed(url, output_file, pooch):
            Path(output_file).write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
        fetch([Source("http://127.0.0.1/a", "a", "00")], Path({str(tmp_path)!r}), reader=killed)
    """
    subprocess.run([sys.executable, "-c", code], timeout=120)
    (left,) = listing(tmp_path)
    assert re.fullmatch("tmp.{8}", left)
    for mine in ("tmp", "tmpfile.gz", "tmp12345678.png"):
        (tmp_path / mine).write_text("mine")

    seen = []

    def another(url, output_file, pooch):
        """Download while this download runs."""
        seen.append(Path(output_file).name)
        fetch(sources(mirror.add("/data.bin", CONTENT)), tmp_path)
        assert seen[0] in listing(tmp_path)
        Path(output_file).write_bytes(CONTENT)

    (tmp_path / "data.bin").unlink(missing_ok=True)
    assert fetch(sources(mirror.url), tmp_path, reader=another).read_bytes() == CONTENT
    assert listing(tmp_path) == ["data.bin", "tmp", "tmp12345678.png", "tmpfile.gz"]


def test_a_cache_that_cannot_be_made_is_refused_with_the_fix(mirror, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DownloadError, match="export SCRATCHNET_CACHE=FOLDER"):
        fetch(sources(mirror.add("/data.bin", CONTENT)), tmp_path / "file" / "cache")
    assert mirror.asked == []


def test_a_slow_start_within_the_window_is_accepted(mirror, tmp_path):
    url = mirror.add("/data.bin", CONTENT, pieces=4, pause=0.05)
    assert fetch(sources(url), tmp_path, reader=Reader(slowest=1e9, window=30)).read_bytes() == CONTENT


def test_the_thread_that_receives_ends_when_the_download_has_failed(mirror, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "MOST_BYTES", 50_000)
    monkeypatch.setattr(download, "WAITING", 4)
    before = set(threading.enumerate())
    with pytest.raises(DownloadError, match="more than 50,000 bytes"):
        fetch(sources(mirror.add("/data.bin", CONTENT * 40, pieces=100)), tmp_path)
    for thread in set(threading.enumerate()) - before:
        thread.join(20)
        assert not thread.is_alive()


def test_a_folder_that_cannot_be_written_to_is_named_once_and_no_other_address_is_tried(mirror, tmp_path):
    def full(url, output_file, pooch):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DownloadError, match=r"kept cannot be written to \(No space left on device\).*SCRATCHNET_CACHE=FOLDER"):
        fetch(sources(mirror.url + "/a", mirror.url + "/b"), tmp_path / "kept", reader=full)
    assert listing(tmp_path / "kept") == []


def test_a_folder_in_the_place_of_the_file_is_named_before_anything_is_requested(mirror, tmp_path):
    (tmp_path / "data.bin").mkdir()
    with pytest.raises(DownloadError, match=r"data\.bin: expected a file or nothing, got a folder"):
        fetch(sources(mirror.add("/data.bin", CONTENT)), tmp_path)
    assert mirror.asked == []


@pytest.mark.parametrize("cache", ["a" * 300, "a/" * 1900, "a/" * 5000], ids=["long name", "many parts", "long path"])
def test_a_cache_whose_path_is_too_long_is_refused_in_one_sentence(tmp_path, cache):
    with pytest.raises(DataError, match=r"cannot be (created|read) \("):
        fetch(sources("http://127.0.0.1:9/data.bin"), tmp_path / cache)
