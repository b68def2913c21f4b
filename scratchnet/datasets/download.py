"""Downloading a file once: several addresses are tried one after another, and the file is used only if its checksum is right.

pooch stores the file: it writes under a temporary name, computes the checksum, and renames the file only if that is right.
`Reader` downloads from one address, with a progress bar and a minimum speed: an address that does not answer within 30 s, or
then averages under 200 kB/s over 30 s, counts as failed, like one that answers 404. A thread receives the data, and the caller
waits for it no longer than that: the timeouts of sockets do not detect a server that sends its headers one byte at a time.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import Any, NamedTuple

from scratchnet.datasets.files import brief, is_file, kind, unreadable
from scratchnet.datasets.places import CACHE_VARIABLE, DATA_VARIABLE, DataError, data_dir
from scratchnet.support.files import lock

CONNECT_SECONDS = 10.0
PIECE = 1 << 16
MOST_BYTES = 1 << 30
WAITING = 64
"""The largest number of pieces that wait to be written."""
TEMPORARY = re.compile(r"tmp[a-z0-9_]{8}")
"""The name of a file that pooch has not received completely: the module tempfile chooses it."""
DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
"""Errors of the folder, not of the address: another address would not help."""


class Source(NamedTuple):
    """One address of a file.

    Examples
    --------
    >>> Source("https://example.org/labels.gz", "labels.gz", "3552534a").file
    'labels.gz'
    """

    url: str
    file: str
    sha256: str


class DownloadError(DataError):
    """The file could not be downloaded from any address.

    The message lists each address with its failure, and says how to put the file in place by hand.

    Examples
    --------
    >>> issubclass(DownloadError, DataError)
    True
    """


@dataclass(frozen=True)
class Reader:
    """Downloads from one address into a file, for `pooch.retrieve`.

    Parameters
    ----------
    slowest : float
        Bytes per second below which an address counts as failed.
    window : float
        Seconds over which the speed is averaged, and the longest time without data.

    Examples
    --------
    >>> Reader().slowest, Reader().window
    (200000.0, 30.0)
    """

    slowest: float = 200e3
    window: float = 30.0

    def __call__(self, url: str, output_file: str, pooch: Any = None) -> None:
        """Download to `output_file`; raise an OSError if the address is too slow, or sends too few or too many bytes."""
        import requests  # noqa: F401  imported before the thread imports it: a thread cannot be interrupted
        from tqdm import tqdm

        arrived: Queue[int | bytes | Exception | None] = Queue(WAITING)
        stop = threading.Event()
        timeout = (min(CONNECT_SECONDS, self.window), self.window)
        threading.Thread(target=_receive, args=(url, timeout, arrived, stop), daemon=True).start()
        try:
            length = self._next(arrived, time.monotonic() + self.window, f"no answer within {self.window:g} s")
            bar = tqdm(total=length or None, unit="B", unit_scale=True, desc=url.split("/")[2], leave=False, disable=None)
            with bar, open(output_file, "wb") as out:
                received, window_start, window_bytes = 0, time.monotonic(), 0
                while piece := self._next(arrived, window_start + self.window, self._too_slow(window_bytes)):
                    out.write(piece)
                    bar.update(len(piece))
                    received += len(piece)
                    window_bytes += len(piece)
                    elapsed = time.monotonic() - window_start
                    if elapsed >= self.window:
                        if window_bytes < self.slowest * elapsed:
                            raise OSError(self._too_slow(window_bytes))
                        window_start, window_bytes = time.monotonic(), 0
                    if received > MOST_BYTES:
                        raise OSError(f"more than {MOST_BYTES:,} bytes, which is not the file")
            if length and received != length:
                raise OSError(f"the connection closed after {received:,} of {length:,} bytes")
        finally:
            stop.set()
            with contextlib.suppress(Empty):     # a thread that waits for a place in the queue continues, and then stops
                while True:
                    arrived.get_nowait()

    def _next(self, arrived: Queue[Any], until: float, otherwise: str) -> Any:
        """Return what the thread has received next; raise its error, or an OSError that says `otherwise` if it is late."""
        try:
            item = arrived.get(timeout=max(0.0, until - time.monotonic()))
        except Empty:
            raise OSError(otherwise) from None
        if isinstance(item, Exception):
            raise item
        return item

    def _too_slow(self, count: int) -> str:
        least, rate = self.slowest / 1e3, count / self.window / 1e3
        return f"too slow: expected at least {least:.0f} kB/s, got {rate:.1f} kB/s over {self.window:g} s"


def _receive(url: str, timeout: tuple[float, float], arrived: Queue[Any], stop: threading.Event) -> None:
    """Put into `arrived` the announced length or 0, then pieces of the answer, then None; or the exception that ends it."""
    import requests

    # "identity": a server that packs or unpacks the file would change the bytes, and so the checksum
    headers = {"Accept-Encoding": "identity", "User-Agent": "scratchnet"}
    try:
        with requests.get(url, stream=True, timeout=timeout, headers=headers) as response:
            response.raise_for_status()
            arrived.put(int(response.headers.get("content-length") or 0))
            # read1 returns the bytes that have arrived; read would wait for a whole piece, however slow
            read = getattr(response.raw, "read1", response.raw.read)
            while not stop.is_set() and (piece := read(PIECE)):
                arrived.put(piece)
        arrived.put(None)
    except Exception as error:
        arrived.put(error)


def fetch(
    sources: Sequence[Source],
    folder: Path,
    *,
    others: Sequence[Source] = (),
    reader: Callable[[str, str, Any], None] | None = None,
) -> Path:
    """Return the path of a file with the right checksum: one that is in `folder` already, or the first that is downloaded.

    Parameters
    ----------
    sources : sequence of Source
        The addresses, in the order in which they are tried. They may name different files.
    folder : pathlib.Path
        The folder of the cache that keeps the file.
    others : sequence of Source
        Other files of the same set; the error lists them too, so that the set can be downloaded by hand.
    reader : callable, optional
        Downloads from an address into a file; `Reader()` by default.

    Returns
    -------
    pathlib.Path
        Its SHA-256 is the source's.

    Raises
    ------
    DownloadError
        If the file cannot be downloaded from any address, or the folder cannot be written to.

    Examples
    --------
    >>> import hashlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "here.bin").write_bytes(b"already")
    ...     known = Source("https://example.org/here.bin", "here.bin", hashlib.sha256(b"already").hexdigest())
    ...     fetch([known], Path(folder)).name
    'here.bin'
    """
    import pooch

    for source in sources:
        if intact(folder / source.file, source.sha256):
            return folder / source.file
        if (found := kind(folder / source.file)) not in ("a file", "nothing"):
            raise DownloadError(f"{folder / source.file}: expected a file or nothing, got {found}. Move it away")
    another = f"Name another one: export {CACHE_VARIABLE}=FOLDER"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RecursionError) as error:      # RecursionError: thousands of nested folders, which pooch cannot make either
        reason = (error.strerror if isinstance(error, OSError) else "") or error
        raise DownloadError(f"the folder {brief(folder)} cannot be created ({reason}). {another}") from error
    failures = []
    with _swept(folder):
        for source in sources:
            try:
                known = f"sha256:{source.sha256}"
                return Path(pooch.retrieve(source.url, known, source.file, folder, downloader=reader or Reader()))
            except Exception as error:     # whatever the failure is, the next address may work
                if isinstance(error, OSError) and error.errno in DISK:
                    raise DownloadError(f"the folder {folder} cannot be written to ({error.strerror}). {another}") from error
                failures.append((source, _in_one_line(error)))
    raise DownloadError(_all_failed(failures, folder, others))


@contextlib.contextmanager
def _swept(folder: Path) -> Iterator[None]:
    """Remove the temporary files of killed processes, unless another process downloads into the folder, and run the block.

    Every process that downloads holds a shared lock of the folder, so one that can lock it alone disturbs no other. Where folders
    or file systems have no locks, nothing is removed.
    """
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:         # on Windows no folder can be opened
        yield
        return
    try:
        with contextlib.suppress(OSError):
            lock(handle)
            for entry in os.listdir(folder):
                if TEMPORARY.fullmatch(entry):
                    os.unlink(folder / entry)
        with contextlib.suppress(OSError):
            lock(handle, shared=True)
        yield
    finally:
        os.close(handle)


def intact(path: Path, checksum: str, algorithm: str = "sha256") -> bool:
    """Return whether a file exists and has the checksum.

    Parameters
    ----------
    path : pathlib.Path
    checksum : str
        Hexadecimal digits.
    algorithm : str
        "sha256" or "md5".

    Returns
    -------
    bool

    Raises
    ------
    DataError
        If the file cannot be read.

    Examples
    --------
    >>> intact(Path("nowhere"), "00")
    False
    """
    import pooch

    try:
        return is_file(path) and pooch.file_hash(str(path), algorithm) == checksum
    except OSError as error:
        raise unreadable(path, error) from error


def check_sum(path: Path, sha256: str) -> None:
    """Raise DataError unless a file has the checksum."""
    if not intact(path, sha256):
        raise DataError(f"{path}: its SHA-256 is not {sha256}, so the file is damaged. Fetch it again")


def _in_one_line(error: Exception) -> str:
    text = re.sub(r"Max retries exceeded with url: \S+ ", "", " ".join(str(error).split()))
    if got := re.search(r"but got ([0-9a-f]{64})", text):     # the rest of pooch's message is advice for its own users
        return f"wrong checksum: sha256 {got[1]}"
    return f"{type(error).__name__}: {text if len(text) <= 300 else text[:300] + '…'}"


def _all_failed(failures: Sequence[tuple[Source, str]], folder: Path, others: Sequence[Source]) -> str:
    wanted = dict.fromkeys((source.file, source.sha256) for source, _ in failures)
    more = [entry for entry in dict.fromkeys((source.file, source.sha256) for source in others) if entry not in wanted]
    named = data_dir()
    lines = [f"{failures[0][0].file} could not be fetched. Tried in turn:"]
    lines += [f"  {source.url}\n    {failure}" for source, failure in failures]
    lines += [f"To add it by hand, copy {'one of these files' if len(wanted) > 1 else 'this file'} into {folder}:"]
    lines += [f"  {file}\n    sha256 {sha256}" for file, sha256 in wanted]
    lines += ["and the other files of the set:"] if more else []
    lines += [f"  {file}\n    sha256 {sha256}" for file, sha256 in more]
    lines += [
        f"{DATA_VARIABLE}={brief(named)} was searched first, but {brief(named / folder.name)} does not hold the whole set."
        if named
        else f"Or put any copy of the set into FOLDER/{folder.name} and export {DATA_VARIABLE}=FOLDER."
    ]
    return "\n".join(lines)
