"""A web server that does whatever servers and networks do wrong, one behaviour a path; a helper of the tests."""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONTENT = random.Random(7).randbytes(300_000)
WRONG = random.Random(8).randbytes(300_000)
HALF = 100_000  # bytes that come before a fault in the middle


class Answer(BaseHTTPRequestHandler):
    """Leaves every request to the behaviour that its path names, and notes what was asked for and what was sent."""

    server: Site

    def do_GET(self) -> None:
        name = self.path.strip("/")
        self.range = self.headers.get("Range")
        self.first = int(self.range[6:-1]) if self.range else 0
        self.sent = 0
        number = sum(path == name for path, _, _ in self.server.asked) + 1
        place = len(self.server.asked)
        self.server.asked.append((name, self.range, 0))
        try:
            self.server.behaviours[name](self, number)
        except (BrokenPipeError, ConnectionResetError):  # the client has seen enough
            pass
        finally:
            self.server.asked[place] = (name, self.range, self.sent)
            self.close_connection = True

    def head(self, status: int = 200, **fields: object) -> None:
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def body(self, content: bytes) -> None:
        self.wfile.write(content)
        self.wfile.flush()
        self.sent += len(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Site(ThreadingHTTPServer):
    """A web server of this test's own: a behaviour for each path, and a record of what was asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.behaviours: dict[str, Callable[[Answer, int], None]] = {}
        self.asked: list[tuple[str, str | None, int]] = []
        self.over = threading.Event()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


def fine(a: Answer, number: int) -> None:
    """A server as it should be: it sends the whole, or the rest that is asked for."""
    rest = CONTENT[a.first :]
    if a.range:
        a.head(206, Content_Length=len(rest), Content_Range=f"bytes {a.first}-{len(CONTENT) - 1}/{len(CONTENT)}")
    else:
        a.head(Content_Length=len(rest))
    a.body(rest)


def then_fine(fault: Callable[[Answer, int], None], times: int = 1) -> Callable[[Answer, int], None]:
    return lambda a, number: fault(a, number) if number <= times else fine(a, number)


def status(code: int) -> Callable[[Answer, int], None]:
    def answer(a: Answer, number: int) -> None:
        a.head(code, Content_Length=4)
        a.body(b"sad\n")

    return answer


def cut(a: Answer, number: int) -> None:
    a.head(Content_Length=len(CONTENT))
    a.body(CONTENT[:HALF])


def stall(a: Answer, number: int) -> None:
    cut(a, number)
    a.server.over.wait(2)


def silent(a: Answer, number: int) -> None:
    a.server.over.wait(2)


def reset(a: Answer, number: int) -> None:
    cut(a, number)
    time.sleep(0.1)  # so that some of it is read before the reset throws the rest away
    a.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    a.connection.close()


def redirect(target: str) -> Callable[[Answer, int], None]:
    return lambda a, number: a.head(302, Location=target, Content_Length=0)


def length(told: object) -> Callable[[Answer, int], None]:
    def answer(a: Answer, number: int) -> None:
        a.head(Content_Length=told)
        a.body(CONTENT)

    return answer


def unmeasured(a: Answer, number: int) -> None:
    a.head()
    a.body(CONTENT)


def chunked(a: Answer, number: int, size: int = len(CONTENT)) -> None:
    a.protocol_version = "HTTP/1.1"
    a.head(Transfer_Encoding="chunked")
    for start in range(0, size, 50_000):
        a.body(b"c350\r\n" + CONTENT[start : start + 50_000] + b"\r\n")
    if size == len(CONTENT):
        a.body(b"0\r\n\r\n")


def chunked_cut(a: Answer, number: int) -> None:
    chunked(a, number, HALF)


def other_bytes(a: Answer, number: int) -> None:
    a.head(Content_Length=len(WRONG))
    a.body(WRONG)


def web_page(a: Answer, number: int) -> None:
    page = b"<html><body>Please log in to this hotel's network.</body></html>"
    a.head(Content_Type="text/html; charset=utf-8", Content_Length=len(page))
    a.body(page)


def endless(a: Answer, number: int) -> None:
    a.head()
    while not a.server.over.is_set():
        a.body(WRONG)


def no_ranges(a: Answer, number: int) -> None:
    a.head(Content_Length=len(CONTENT))
    a.body(CONTENT)


def unsatisfiable(a: Answer, number: int) -> None:
    if a.range:
        a.head(416, Content_Range=f"bytes */{len(CONTENT)}", Content_Length=0)
    else:
        fine(a, number)


def another_range(a: Answer, number: int) -> None:
    if a.range:
        a.head(206, Content_Range=f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}", Content_Length=len(CONTENT))
        a.body(CONTENT)
    else:
        fine(a, number)


def of_a_longer_file(a: Answer, number: int) -> None:
    if a.range:
        a.head(206, Content_Range=f"bytes {a.first}-399999/400000")
        a.body(WRONG)
    else:
        fine(a, number)


def gibberish(a: Answer, number: int) -> None:
    a.body(b"\x16\x03\x01 this isn't the web\r\n\r\n")


def endless_header(a: Answer, number: int) -> None:
    a.send_response(200)
    for field in range(200):
        a.send_header(f"X-{field}", "x" * 100)
    a.end_headers()


def lost_rest(a: Answer, number: int) -> None:
    """The rest is promised longer than it is."""
    a.head(206, Content_Length=999_999, Content_Range=f"bytes {a.first}-{len(CONTENT) - 1}/{len(CONTENT)}")
    a.body(CONTENT[a.first : a.first + 50_000])
