"""Fetch files whose size and checksum are known: from any of several addresses, going on where an earlier try stopped.

What has come lies in ``NAME.part``; only the right bytes, whole, ever get the file's own name. Whatever the network
does, the outcome is the file in its place or one line that says which file to put where.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.text import Text

from gradus.data.part import Part, held
from gradus.errors import UserError

CHUNK = 1 << 16
MEGABYTE = 1_000_000
PASSING = {408, 425, 429, 500, 502, 503, 504}  # a server that answers so may answer otherwise in a moment


@dataclass(frozen=True)
class Remote:
    """A file with a public home.

    Attributes:
        name: what it is called in its directory here.
        bytes: its exact size.
        sha256: its checksum in hexadecimal.
        urls: http or https addresses, the best one first, all of the same bytes.
    """

    name: str
    bytes: int
    sha256: str
    urls: tuple[str, ...]


@dataclass(frozen=True)
class Patience:
    """How long to try: seconds without a byte, tries at each address, seconds before the second try (then doubled).

    A try that brought a megabyte more than any before it isn't counted: a line that breaks often still gets there.
    """

    silence: float = 20.0
    tries: int = 3
    pause: float = 1.0


USUAL = Patience()


def fetch(files: Sequence[Remote], directory: Path, patience: Patience = USUAL, *, terms: str = "") -> None:
    """Have every file in the directory: those that aren't there yet, also not unpacked, are downloaded.

    Args:
        terms: what the files come under, shown before they are downloaded.

    Raises:
        UserError: where one can't be had: what each address said, and which files to put where by hand.
    """
    missing = [file for file in files if not is_there(file, directory)]
    if not missing:
        return
    if os.environ.get("GRADUS_OFFLINE", "0") not in ("", "0"):
        raise UserError(f"GRADUS_OFFLINE forbids the download. {by_hand(missing, directory)}")
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{directory}: can't be made: {error.strerror}. Set GRADUS_CACHE to a directory that can be written to."
        ) from None
    with _Show(missing, directory, terms) as show:
        for number, file in enumerate(missing):
            faults = _from_any_address(file, directory, patience, show)
            if faults:
                todo = by_hand(missing[number:], directory)
                raise UserError(f"{file.name} can't be downloaded ({'; '.join(faults)}). {todo}")


def is_there(file: Remote, directory: Path) -> bool:
    """Whether the file is in the directory, as it came or gunzipped."""
    return (directory / file.name).is_file() or (directory / file.name.removesuffix(".gz")).is_file()


def by_hand(missing: Sequence[Remote], directory: Path) -> str:
    """The sentence that says which file from which address to put where."""
    names = [
        file.urls[0] if file.urls[0].endswith(f"/{file.name}") else f"{file.urls[0]} (as {file.name})"
        for file in missing
    ]
    it, its = ("it", "its") if len(missing) == 1 else ("them", "their")
    return (
        f"Put {', '.join(names)} into {directory}, or keep {it} elsewhere and name {its} directory with --data, "
        f"or set GRADUS_DATA to the directory above '{directory.name}'."
    )


class _AddressError(Exception):
    """Why an address didn't give the file. ``final``: asking it again wouldn't help."""

    def __init__(self, words: str, *, final: bool = False) -> None:
        super().__init__(words)
        self.final = final


def _from_any_address(file: Remote, directory: Path, patience: Patience, show: _Show) -> list[str]:
    """Try the addresses in turn. Returns what each of them said; nothing where the file is in its place now."""
    faults = []
    with held(directory / f"{file.name}.part", show.waiting) as part:
        if is_there(file, directory):  # another process was faster
            return []
        for url in file.urls:
            tries, most = 0, part.size
            while True:
                try:
                    _receive(url, file, part, patience, show)
                    part.place(directory / file.name)
                    return []
                except _AddressError as fault:
                    tries += 1
                    if part.size >= most + MEGABYTE:
                        tries, most = 0, part.size
                    if fault.final or tries >= patience.tries:
                        faults.append(f"{urlsplit(url).hostname}: {fault}")
                        break
                    time.sleep(patience.pause * 2 ** max(tries - 1, 0))
    return faults


def _receive(url: str, file: Remote, part: Part, patience: Patience, show: _Show) -> None:
    """Complete the part from one address and verify it.

    Raises:
        _AddressError: for whatever the network or the server does; the part is wiped where its bytes can't be trusted.
    """
    resumed = part.size > 0
    if part.size < file.bytes:
        request = urllib.request.Request(url, headers={"User-Agent": "gradus", "Accept-Encoding": "identity"})
        if resumed:
            request.add_header("Range", f"bytes={part.size}-")
        try:
            with _opener().open(request, timeout=patience.silence) as response:
                _check_answer(response, file, part)
                resumed = part.size > 0
                while part.size < file.bytes and (chunk := response.read1(min(CHUNK, file.bytes - part.size))):
                    part.write(chunk)
                    show.has(file, part.size)
        except urllib.error.HTTPError as error:
            raise _refusal(error, part) from None
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            raise _broken(error, patience) from None
    if part.size < file.bytes:
        raise _AddressError(f"cut off after {part.size:,} of {file.bytes:,} bytes")
    if part.sha256() != file.sha256:
        part.wipe()
        raise _AddressError("it sends other bytes than the checksum tells", final=not resumed)


def _check_answer(response: http.client.HTTPResponse, file: Remote, part: Part) -> None:
    """Refuse an answer whose header tells that it isn't the file; make the part fit where the body begins."""
    if response.status == http.HTTPStatus.PARTIAL_CONTENT:
        return  # whether it is the rest that was asked for, the checksum tells
    if response.headers.get_content_type() == "text/html":
        raise _AddressError("it answers with a web page instead of the file", final=True)
    if response.length is not None and response.length != file.bytes:
        raise _AddressError(f"it offers {response.length:,} bytes where the file has {file.bytes:,}", final=True)
    part.wipe()  # a server that can't send the rest sends the whole


def _refusal(error: urllib.error.HTTPError, part: Part) -> _AddressError:
    with error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.wipe()
            return _AddressError("it has no bytes beyond those that have come")
        if 300 <= error.code < 400:
            return _AddressError("its redirects lead nowhere", final=True)
        return _AddressError(f"{error.code} {error.reason}", final=error.code not in PASSING)


def _broken(error: Exception, patience: Patience) -> _AddressError:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, TimeoutError):
        return _AddressError(f"not a byte for {patience.silence:g} s")
    if isinstance(reason, socket.gaierror | UnicodeError):
        return _AddressError("no such host, or no network", final=True)
    if isinstance(reason, ConnectionRefusedError):
        return _AddressError("connection refused")
    if isinstance(reason, ConnectionError | http.client.IncompleteRead):
        return _AddressError("the connection broke")
    if isinstance(reason, str):  # a redirect to what isn't the web
        return _AddressError(reason, final=True)
    if isinstance(reason, ssl.SSLCertVerificationError):
        return _AddressError(f"its certificate doesn't hold: {reason.verify_message}", final=True)
    return _AddressError(" ".join(str(reason).split()) or type(reason).__name__)


def _opener() -> urllib.request.OpenerDirector:
    """Of urllib's ways only the web's, through the machine's proxy: a redirect can't lead to a file or to FTP."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.UnknownHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener


class _Show:
    """One line that tells what is downloaded from where, and a bar where it takes long and a person is looking.

    All of it goes to standard error: standard output may be taken by a program's answer.
    """

    def __init__(self, files: Sequence[Remote], directory: Path, terms: str) -> None:
        self.files, self.directory, self.terms = files, directory, terms
        self.total = sum(file.bytes for file in files)
        self.sizes = dict.fromkeys((file.name for file in files), 0)
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self.progress: Progress | None = None

    def __enter__(self) -> _Show:
        self.begun = time.monotonic()
        size = f"{self.total / MEGABYTE:,.1f} MB" if self.total >= MEGABYTE else f"{self.total / 1000:,.1f} kB"
        host = urlsplit(self.files[0].urls[0]).hostname
        terms = f"; terms: {self.terms}" if self.terms else ""
        words = f"{self.directory.name}: {size} from {host} into {self.directory}{terms} [--data]"
        self.console.print(Text.assemble((f"{'download':<11}", "bold cyan"), words))
        return self

    def has(self, file: Remote, size: int) -> None:
        """So many bytes of a file have come."""
        self.sizes[file.name] = size
        long = self.total > MEGABYTE or time.monotonic() - self.begun > 2.0
        if self.progress is None and long and self.console.is_terminal:
            self.progress = Progress(
                TextColumn(f"[bold cyan]{'download':<11}[/]{{task.description}}"),
                BarColumn(bar_width=24),
                DownloadColumn(),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
                console=self.console,
                transient=True,
            )
            self.progress.start()
            self.task = self.progress.add_task("", total=self.total)
        if self.progress is not None:
            self.progress.update(self.task, completed=sum(self.sizes.values()), description=file.name)

    def waiting(self) -> None:
        """Another process has begun this file."""
        self.console.print(
            f"{'':<11}{self.directory.name}: another process is downloading it; waiting for it to finish"
        )

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        if self.progress is not None:
            self.progress.stop()
