"""What the server answers instead of a result: one exception, in the protocol's form of an error."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import JSONResponse


class ProtocolError(Exception):
    """A request that is not answered, and why.

    Args:
        status: the HTTP status.
        message: one line for a person: what, where, why, what to do.
        param: the field that is wrong, as ``messages[0].content``.
        code: a word for programs, as ``context_length_exceeded``.
        headers: sent with it.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code, self.headers = status, message, param, code, headers

    def to_json(self) -> dict[str, dict[str, str | None]]:
        """The body, ``{"error": {"message", "type", "param", "code"}}``."""
        kind = KINDS.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        return JSONResponse(self.to_json(), self.status, self.headers)


KINDS = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def wrong(message: str, param: str | None = None, code: str | None = None) -> ProtocolError:
    """A request that can't be answered as it is: status 400."""
    return ProtocolError(400, message, param=param, code=code)
