"""What stands before every request: the name that it was sent to, the key, and a count of how it was answered."""

from __future__ import annotations

import hmac
import ipaddress
import json
import socket
from collections.abc import Iterable
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gradus.serving.check import parse
from gradus.serving.counts import Counts
from gradus.serving.protocol_error import ProtocolError

OPEN = ("/", "/health", "/openapi.json")  # what needs no key: nothing of the model's or its users' is in it
MOST_BYTES = 4_000_000  # of a body
MOST_DRAINED = 64_000_000  # that are read and dropped, so that a client who sends too much gets to read why


class Gate:
    """Refuses what doesn't come from where it may.

    A server without a key answers only to the machine's own names: a page elsewhere can have its name lead to this
    machine (DNS rebinding), and would then be asked for like one of ours.

    Args:
        api_key: what ``Authorization: Bearer`` must hold; None: nothing.
        names: names of this machine beside ``localhost``, its own name and addresses.
        paths: those that are counted by name.
    """

    def __init__(
        self, app: ASGIApp, *, api_key: str | None, names: Iterable[str], paths: Iterable[str], counts: Counts
    ) -> None:
        self.app, self.api_key, self.counts, self.paths = app, api_key, counts, frozenset(paths)
        own = socket.gethostname().lower()
        self.names = {"localhost", own, f"{own}.local", *(name.lower() for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._count(scope, message["status"])
                message["headers"] = [*message["headers"], (b"x-content-type-options", b"nosniff")]
            await send(message)

        try:
            self._check(Request(scope))
        except ProtocolError as error:
            await error.response()(scope, receive, counted)
            return
        try:
            await self.app(scope, receive, counted)
        except Exception:  # a bug of ours: it is answered further out
            self._count(scope, 500)
            raise

    def _count(self, scope: Scope, status: int) -> None:
        self.counts.requests[scope["path"] if scope["path"] in self.paths else "other", status] += 1

    def _check(self, request: Request) -> None:
        if self.api_key is None:
            if not self._is_own(request.headers.get("host", "")):
                raise ProtocolError(
                    421, "This server answers only to this machine's own names. Start it with --api-key for others."
                )
        elif request.url.path not in OPEN:
            given = request.headers.get("authorization", "").encode("latin-1")
            scheme, _, key = given.partition(b" ")
            if scheme.lower() != b"bearer" or not hmac.compare_digest(key.strip(), self.api_key.encode()):
                what = "The API key is wrong." if key else "An API key is needed: Authorization: Bearer KEY."
                raise ProtocolError(401, what, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})

    def _is_own(self, host: str) -> bool:
        """Whether a Host header names this machine: by an address, or by one of its names."""
        name = host[1 : host.find("]")] if host.startswith("[") else host.partition(":")[0]
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name.lower() in self.names or name.lower().endswith(".localhost")
        return True


async def body_of(request: Request) -> dict[str, Any]:
    """The JSON object that a request holds.

    Raises:
        ProtocolError: 415 for another kind of body (which a page elsewhere could send unasked), 413 for one that is too
            long, 400 for one that isn't a JSON object.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ProtocolError(
            415, f"The body is {json.dumps(kind)}, and should be JSON: send Content-Type: application/json."
        )
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size <= MOST_BYTES:
            parts.append(part)
        elif size > MOST_DRAINED:
            break
    if size > MOST_BYTES:
        raise ProtocolError(413, f"The body has more than {MOST_BYTES:,} bytes.", code="request_too_large")
    body = parse(b"".join(parts))
    if not isinstance(body, dict):
        raise ProtocolError(400, "The body should be a JSON object.", code="invalid_json")
    return body
