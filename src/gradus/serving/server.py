"""The server as a process: a port of its own before anything is loaded, and an end at which every client is told."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
from asyncio import to_thread

import uvicorn
from starlette.applications import Starlette

from gradus.errors import UserError
from gradus.language.engine import Engine

GOODBYE_SECONDS = 5  # at most, for open connections to take the end
BACKLOG = 512  # connections that may wait to be taken up


def listen(host: str, port: int) -> socket.socket:
    """Take a port; 0 takes a free one. Who asks while the model is still being loaded waits.

    Raises:
        UserError: where it is taken, or the host isn't one of this machine.
    """
    if not 0 <= port < 65536:
        raise UserError(f"--port {port}: ports are 0 to 65535.")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        taken = socket.socket(family, kind, protocol)
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # Windows, where two could share a port
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a server that has just ended is no hindrance
        taken.bind(address)
        taken.listen(BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UserError(f"port {port} of {host} is taken by another program. Name another --port.") from None
        raise UserError(f"--host {host} --port {port}: can't be listened at: {error.strerror}.") from None
    return taken


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host by this name."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def address_of(listening: socket.socket) -> str:
    """What to type in a browser on this machine."""
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(app: Starlette, engine: Engine, listening: socket.socket) -> None:
    """Answer until Ctrl-C or SIGTERM; then answers that are being written end with an error that says so."""
    with contextlib.suppress(KeyboardInterrupt):  # how a server is ended
        Server(app, engine).run(sockets=[listening])


class Server(uvicorn.Server):
    """Answers from ``run`` on until ``should_exit`` is set, or a signal comes."""

    def __init__(self, app: Starlette, engine: Engine) -> None:
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="off",
            backlog=BACKLOG,
            timeout_graceful_shutdown=GOODBYE_SECONDS,
        )
        super().__init__(config)
        self.engine = engine

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await to_thread(self.engine.close)  # ends every answer, so that no connection has to be waited for
        await super().shutdown(sockets)
