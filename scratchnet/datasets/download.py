"""Fetching a file once: several addresses, tried in turn whatever goes wrong, and a checksum before it is believed.

pooch keeps the file: it writes under another name, hashes, and gives the file its own name only if the sum is right.
What it is given here is the way to read from one address, with a bar, and with a limit to patience: an address that
averages under 200 kB/s over 30 s has failed, as much as one that answers 404.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from .places import CACHE_VARIABLE, DATA_VARIABLE, DataError, data_dir

CONNECT_SECONDS = 10.0
PIECE = 1 << 16
MOST_BYTES = 1 << 30


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
    """No address gave the file; the message lists each with its failure, and how to put the file in place by hand.

    Examples
    --------
    >>> issubclass(DownloadError, DataError)
    True
    """


@dataclass(frozen=True)
class Reader:
    """Reads one address into a file: the downloader that `pooch.retrieve` is given.

    Parameters
    ----------
    slowest : float
        Bytes per second below which an address has failed.
    window : float
        Seconds over which that is averaged; also the longest silence.

    Examples
    --------
    >>> Reader().slowest, Reader().window
    (200000.0, 30.0)
    """

    slowest: float = 200e3
    window: float = 30.0

    def __call__(self, url: str, output_file: str, pooch: Any = None) -> None:
        """Write what the address gives to `output_file`; raise an OSError if it is slow, short or endless."""
        import requests  # pooch's own requirement, and slow to import
        from tqdm import tqdm

        # identity: a server that unpacks or packs on the way would change the bytes whose sum we know
        headers = {"Accept-Encoding": "identity", "User-Agent": "scratchnet"}
        timeout = (min(CONNECT_SECONDS, self.window), self.window)
        answer = requests.get(url, stream=True, timeout=timeout, headers=headers)
        with answer as response, open(output_file, "wb") as out:
            response.raise_for_status()
            length = int(response.headers.get("content-length") or 0)
            # read1 returns what has come; read would wait for a whole piece, out of sight of the clock
            read = getattr(response.raw, "read1", response.raw.read)
            received, window_start, window_bytes = 0, time.monotonic(), 0
            with tqdm(
                total=length or None,
                unit="B",
                unit_scale=True,
                desc=url.split("/")[2],
                leave=False,
                disable=None,
            ) as bar:
                while piece := read(PIECE):
                    out.write(piece)
                    bar.update(len(piece))
                    received += len(piece)
                    window_bytes += len(piece)
                    elapsed = time.monotonic() - window_start
                    if elapsed >= self.window:
                        if window_bytes < self.slowest * elapsed:
                            rate = window_bytes / elapsed / 1e3
                            wanted = f"at least {self.slowest / 1e3:.0f} kB/s"
                            raise OSError(f"too slow: {rate:.1f} kB/s over {elapsed:.0f} s, expected {wanted}")
                        window_start, window_bytes = time.monotonic(), 0
                    if received > MOST_BYTES:
                        raise OSError(f"more than {MOST_BYTES:,} bytes: that is another file")
            if length and received != length:
                raise OSError(f"the connection closed after {received:,} of {length:,} bytes")


def fetch(
    sources: Sequence[Source],
    folder: Path,
    *,
    others: Sequence[Source] = (),
    reader: Callable[[str, str, Any], None] | None = None,
) -> Path:
    """Give the path of a checked file: the one in `folder`, or the first that an address gives whole.

    Parameters
    ----------
    sources : sequence of Source
        In the order to try them. They may differ in the file they give.
    folder : pathlib.Path
        Where the file is kept, in the cache.
    others : sequence of Source
        Files that the set needs as well, named in the error for the person who fetches them by hand.
    reader : callable, optional
        Reads an address into a file; a `Reader` of the usual patience by default.

    Returns
    -------
    pathlib.Path
        Its SHA-256 is the source's.

    Raises
    ------
    DownloadError
        If no address gives the file, or the folder cannot be written to.

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
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DownloadError(
            f"cannot make {folder} ({error.strerror}); name another place: export {CACHE_VARIABLE}=FOLDER"
        ) from error
    failures = []
    for source in sources:
        try:
            known = f"sha256:{source.sha256}"
            return Path(pooch.retrieve(source.url, known, source.file, folder, downloader=reader or Reader()))
        except Exception as error:     # whatever the failure is, the next address may do
            failures.append((source, _in_one_line(error)))
    raise DownloadError(_all_failed(failures, folder, others))


def intact(path: Path, sha256: str) -> bool:
    """Tell whether a file is there and has the sum.

    Parameters
    ----------
    path : pathlib.Path
    sha256 : str
        64 hexadecimal digits.

    Returns
    -------
    bool

    Examples
    --------
    >>> intact(Path("nowhere"), "00")
    False
    """
    import pooch

    return path.is_file() and pooch.file_hash(str(path)) == sha256


def _in_one_line(error: Exception) -> str:
    text = re.sub(r"Max retries exceeded with url: \S+ ", "", " ".join(str(error).split()))
    if got := re.search(r"but got ([0-9a-f]{64})", text):     # pooch's message advises readers of its documentation
        return f"wrong checksum: sha256 {got[1]}"
    return f"{type(error).__name__}: {text if len(text) <= 300 else text[:300] + '…'}"


def _all_failed(failures: Sequence[tuple[Source, str]], folder: Path, others: Sequence[Source]) -> str:
    wanted = dict.fromkeys((source.file, source.sha256) for source, _ in failures)
    more = [entry for entry in dict.fromkeys((source.file, source.sha256) for source in others) if entry not in wanted]
    named = data_dir()
    lines = [f"{failures[0][0].file} could not be fetched. Tried in turn:"]
    lines += [f"  {source.url}\n    {failure}" for source, failure in failures]
    lines += [f"To put it there by hand, copy {'one of these' if len(wanted) > 1 else 'this'} into {folder}:"]
    lines += [f"  {file}\n    sha256 {sha256}" for file, sha256 in wanted]
    lines += ["and the set's other files:"] if more else []
    lines += [f"  {file}\n    sha256 {sha256}" for file, sha256 in more]
    lines += [
        f"{DATA_VARIABLE}={named} was looked into first; {named / folder.name} doesn't hold the whole set."
        if named
        else f"Or copy any good copy of the set into FOLDER/{folder.name} and export {DATA_VARIABLE}=FOLDER."
    ]
    return "\n".join(lines)
