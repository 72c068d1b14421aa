"""A run's page while it is trained: served on this machine's loopback, and pushed whatever is new (server-sent events).

The server has threads of its own and only reads the files that training writes: nothing that it does, and no fault in
it, reaches training.
"""

from __future__ import annotations

import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from gradus.reports.page import as_script, document, sections_of
from gradus.reports.record import MetricsFile, read_record
from gradus.reports.words import Words, language
from gradus.training.rundir import RunDirectory

LOOK_SECONDS = 1.0  # between two looks at the files
WAIT_SECONDS = 3.0  # at most, for open pages to take the end


class LivePage:
    """Serves the page of a run from a free port of 127.0.0.1, from now until ``close``."""

    def __init__(self, directory: RunDirectory, lang: str | None = None) -> None:
        self.directory, self.words = directory, Words(lang or language())
        self.metrics = MetricsFile(directory.metrics)
        self.changed = threading.Condition()
        self.ended = self.closed = False
        self.streams = 0  # open pages
        self.asked = float("-inf")  # when a page was loaded that has no stream yet
        self._seen: tuple[Any, ...] | None = None
        self._event = b""
        self._look = threading.Lock()
        self.server = _Server(self)
        self.address = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    def finish(self) -> None:
        """The run is finished: let every open page take the finished report, for three seconds at most."""
        until = time.monotonic() + WAIT_SECONDS
        with self.changed:
            self.ended = True
            self.changed.notify_all()
            while time.monotonic() < until and (self.streams or time.monotonic() - self.asked < WAIT_SECONDS / 2):
                self.changed.wait(0.05)

    def close(self) -> None:
        """Serve no more."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()
        self.server.shutdown()
        self.server.server_close()

    def document(self) -> bytes:
        """The page before anything is on it: the first event fills it."""
        return document(self.directory.path.resolve().name, [], self.words, live=True).encode()

    def event(self) -> bytes:
        """What the page should show now, as one line of JSON; the same object where nothing is new."""
        with self._look:
            size = self.directory.metrics.stat().st_size if self.directory.metrics.exists() else 0
            seen = (size, self.ended)
            if seen != self._seen:
                record = read_record(self.directory, self.metrics, live=not seen[1])
                sections = [section.to_json() for section in sections_of(record, self.words)]
                self._event = as_script({"sections": sections, "ended": seen[1]}).encode()
                self._seen = seen
            return self._event


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # an open page must not hold the process

    def __init__(self, page: LivePage) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.page = page
        self.hosts = {f"{name}:{self.server_port}" for name in ("127.0.0.1", "localhost")}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A page that went away, or a file that can't be read just now, is no matter of the terminal's."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10

    def do_GET(self) -> None:
        page = self.server.page
        if self.headers.get("Host") not in self.server.hosts:  # a name of another site that leads here
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
        elif self.path == "/":
            page.asked = time.monotonic()
            content = page.document()
            self._begin("text/html; charset=utf-8", len(content))
            self.wfile.write(content)
        elif self.path == "/events":
            self._begin("text/event-stream")
            self._stream(page)
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _refuse(self) -> None:
        self.send_error(HTTPStatus.METHOD_NOT_ALLOWED)

    do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = _refuse  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged: the terminal is the run's."""

    def _begin(self, kind: str, length: int | None = None) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Security-Policy", "frame-ancestors 'none'")
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def _stream(self, page: LivePage) -> None:
        """Push what is new until the run has ended and the page has taken it."""
        shown = b""
        with page.changed:
            page.streams += 1
            page.asked = float("-inf")
        try:
            while not page.closed:
                ended, event = page.ended, page.event()
                self.wfile.write(b"data: " + event + b"\n\n" if event is not shown else b":\n\n")
                shown = event
                if ended:
                    break
                with page.changed:
                    if page.ended == ended and not page.closed:
                        page.changed.wait(LOOK_SECONDS)
        finally:
            with page.changed:
                page.streams -= 1
                page.changed.notify_all()
