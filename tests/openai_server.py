"""A real HTTP server on this machine that speaks enough of the OpenAI protocol, and fails as servers do."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Body = dict[str, Any]


class FakeServer:
    """``requests`` are (path, headers, body) as they came; ``say`` gives the pieces of an answer to a body.

    Attributes:
        fault: "" or what the server does instead, such as "401", "cut", "html"; see ``_Handler``.
        pause: seconds between two pieces.
        embed: the vector of a text.
        longest: characters of a conversation that are read.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], Body]] = []
        self.say: Callable[[Body], list[str]] = lambda body: ["You said: ", body["messages"][-1]["content"]]
        self.models, self.fault, self.pause = ["tiny"], "", 0.0
        self.embed: Callable[[str], list[float]] = lambda text: [1.0, 0.0]
        self.longest = 1_000_000
        self.gone = threading.Event()  # a client left before its answer was done
        self.url = ""

    @property
    def asked(self) -> list[Body]:
        return [body for path, _, body in self.requests if path.endswith("/chat/completions")]


@contextlib.contextmanager
def serving() -> Iterator[FakeServer]:
    fake = FakeServer()

    class Handler(_Handler):
        server_state = fake

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    fake.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server_state: FakeServer

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, body: Body) -> None:
        fake = self.server_state
        fake.requests.append((self.path, dict(self.headers), body))
        fault = fake.fault
        if fault.isdigit():
            error = {"message": f"words for {fault}", "type": "error", "code": None}
            self._json({"error": error}, int(fault), {"Retry-After": "7"})
        elif fault == "redirect":
            self._json({}, 307, {"Location": "http://elsewhere.example/v1"})
        elif fault == "html":
            self._send(b"<html>welcome</html>", 200, {"Content-Type": "text/html"})
        elif fault == "silent":
            time.sleep(3)
        elif self.path == "/v1/models":
            self._json({"object": "list", "data": [{"id": name, "object": "model"} for name in fake.models]})
        elif self.path not in ("/v1/chat/completions", "/v1/embeddings"):
            self._json({"detail": "Not Found"}, 404)
        elif body.get("model") not in fake.models:
            self._json({"error": {"message": "no such model", "code": "model_not_found"}}, 404)
        elif self.path == "/v1/embeddings":
            rows = [{"index": i, "embedding": fake.embed(text)} for i, text in enumerate(body["input"])]
            self._json({"data": rows[::-1] if fault != "no vectors" else []})
        elif sum(len(message["content"]) for message in body["messages"]) > fake.longest:
            words = f"This model's maximum context length is {fake.longest} tokens."
            self._json({"error": {"message": words, "code": "context_length_exceeded"}}, 400)
        elif fault == "whole":
            message = {"role": "assistant", "content": "".join(fake.say(body))}
            self._json(
                {"choices": [{"message": message, "finish_reason": "length"}], "usage": {"completion_tokens": 2}}
            )
        else:
            self._stream(body, fault)

    def _stream(self, body: Body, fault: str) -> None:
        fake = self.server_state
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.end_headers()
        try:
            self.wfile.write(b": a comment\n\n")
            self._event({"choices": [{"delta": {"role": "assistant", "content": ""}, "finish_reason": None}]})
            for piece in fake.say(body):
                self._event({"choices": [{"delta": {"content": piece}, "finish_reason": None}]})
                time.sleep(fake.pause)
                if fault == "cut":
                    return
                if fault == "error within":
                    self._event({"error": {"message": "out of memory"}})
                    return
                if fault == "nonsense":
                    self.wfile.write(b"data: {half\n\n")
                    return
            self._event({"choices": [{"delta": {}, "finish_reason": "stop"}]})
            self._event({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}})
            self.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            fake.gone.set()

    def _event(self, body: Body) -> None:
        self.wfile.write(f"data: {json.dumps(body, ensure_ascii=False)}\r\n\r\n".encode())
        self.wfile.flush()

    def _json(self, body: Body, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(json.dumps(body).encode(), status, {"Content-Type": "application/json", **(headers or {})})

    def _send(self, content: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(content)
