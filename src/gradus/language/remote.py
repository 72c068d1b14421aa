"""A client of any OpenAI-style server (Ollama, vLLM, ``gradus serve``): its models, chat as it is written, vectors.

Python's own HTTP is enough for that. Whatever the network or the server does ends in the answer or in one line.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from gradus.errors import UserError, nearest

SILENCE = 300.0  # seconds without a byte: a server may have to load its model first
LONGEST_ERROR = 65_536  # bytes of an error's body that are read
LOCAL = ("localhost", "127.0.0.1", "::1")


class TooLong(UserError):  # noqa: N818 - it is told to a person as a UserError
    """The conversation has more tokens than the model reads."""


class Remote:
    """A model on a server.

    Args:
        url: the address that the server's paths begin with, mostly ending in ``/v1``.
        model: by the server's name; None takes the only one that it has.
        api_key: sent to this address only: redirects are not followed.
        silence: seconds without a byte that are waited for.

    Raises:
        UserError: where the address is none, or the server has no such model.
    """

    def __init__(
        self, url: str, *, model: str | None = None, api_key: str | None = None, silence: float = SILENCE
    ) -> None:
        self.url, self.silence = url.rstrip("/"), silence
        self._key = api_key
        try:
            host = urlsplit(self.url).hostname
            _ = urlsplit(self.url).port
        except ValueError:
            host = None
        if not host or not self.url.startswith(("http://", "https://")):
            raise UserError(f"{url}: not the address of a server. Give one such as http://localhost:11434/v1.")
        if api_key is not None and not (api_key.isascii() and api_key.isprintable() and " " not in api_key):
            raise UserError("--api-key: a key is of letters, digits and signs of ASCII, without blanks.")
        proxies = urllib.request.ProxyHandler({}) if host in LOCAL else urllib.request.ProxyHandler()
        self._opener = urllib.request.build_opener(proxies, _NoRedirect)
        self.model = model or self._only_model()

    def models(self) -> list[str]:
        """The names of the server's models; none where it doesn't tell them."""
        with self._answer("/models") as response:
            body = _json(self._read(response), self.url)
        entries = body.get("data")
        return [str(one["id"]) for one in entries or () if isinstance(one, dict) and "id" in one]

    def chat(self, messages: Sequence[Mapping[str, str]], options: Mapping[str, Any]) -> Chat:
        """Have a conversation answered; the answer comes as it is written.

        Args:
            options: what the protocol calls ``temperature``, ``top_p``, ``max_tokens``, …

        Raises:
            TooLong: where it has more tokens than the model reads.
            UserError: for every other refusal.
        """
        body = {"model": self.model, "messages": list(messages), "stream": True, **options}
        return Chat(self, self._answer("/chat/completions", {**body, "stream_options": {"include_usage": True}}))

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """A vector of each text, float32 (texts, width), as the server gives it."""
        with self._answer("/embeddings", {"model": self.model, "input": list(texts)}) as response:
            body = _json(self._read(response), self.url)
        try:
            rows = sorted(body["data"], key=lambda row: row["index"])
            vectors = np.array([row["embedding"] for row in rows], np.float32)
        except (KeyError, TypeError, ValueError):
            raise UserError(f"{self.url}: the answer holds no embeddings. Does '{self.model}' make any?") from None
        if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
            raise UserError(f"{self.url}: {len(texts)} texts were sent, and no vector for each came back.")
        return vectors

    def _only_model(self) -> str:
        names = self.models()
        if len(names) == 1:
            return names[0]
        known = f" It has {_listed(names)}." if names else ""
        raise UserError(f"{self.url}: which of its models? Name it: --model NAME.{known}")

    def _answer(self, path: str, body: Mapping[str, Any] | None = None) -> http.client.HTTPResponse:
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, content, {"User-Agent": "gradus", "Accept": "*/*"})
        if content is not None:
            request.add_header("Content-Type", "application/json")
        if self._key is not None:
            request.add_header("Authorization", f"Bearer {self._key}")
        try:
            answer: http.client.HTTPResponse = self._opener.open(request, timeout=self.silence)
            return answer
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(error, path) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._broken(error) from None

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        try:
            return response.read()
        except (OSError, http.client.HTTPException) as error:
            raise self._broken(error) from None

    def _refusal(self, error: urllib.error.HTTPError, path: str) -> UserError:
        """What a status other than 200 means, with the server's own words."""
        try:
            words = _words_of(error.read(LONGEST_ERROR))
        except (OSError, http.client.HTTPException):
            words = ""
        said = f" It says: {words}" if words else ""
        if error.code in (401, 403):
            what = "the key isn't taken" if self._key else "it wants a key"
            return UserError(f"{self.url}: {what} ({error.code}). Give --api-key KEY, or set GRADUS_API_KEY.{said}")
        if 300 <= error.code < 400:
            there = error.headers.get("Location", "elsewhere")
            return UserError(f"{self.url}: it sends on to {there}. Give that address, if you trust it.")
        if error.code in (400, 413) and any(sign in words.lower() for sign in _LONG):
            return TooLong(f"{self.url}: the conversation is longer than the model reads.{said}")
        if error.code == 404 and path != "/models":
            return self._no_model(said)
        if error.code in (404, 405):
            hint = "" if self.url.endswith("/v1") else f" Is it {self.url}/v1?"
            return UserError(f"{self.url}: no OpenAI-style server answers there ({error.code}).{hint}")
        if error.code == 429:
            after = error.headers.get("Retry-After")
            wait = f" in {after} s" if after and after.isdigit() else " later"
            return UserError(
                f"{self.url}: it has too much to do, or your limit is reached (429). Try again{wait}.{said}"
            )
        return UserError(f"{self.url}: {error.code} {error.reason}.{said}")

    def _no_model(self, said: str) -> UserError:
        try:
            names = self.models()
        except UserError:
            return UserError(f"{self.url}: no OpenAI-style server answers there (404).{said}")
        if self.model in names:
            return UserError(f"{self.url}: it can't do that with '{self.model}' (404).{said}")
        close = nearest(self.model, names) if names else ""
        return UserError(f"{self.url}: no model '{self.model}'.{close or f' Known: {_listed(names)}.'}")

    def _broken(self, error: Exception) -> UserError:
        """What the network did."""
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(reason, TimeoutError):
            return UserError(f"{self.url}: not a byte for {self.silence:g} s. Is the server still at work?")
        if isinstance(reason, socket.gaierror | UnicodeError):
            return UserError(f"{self.url}: no such host, or no network. Look at the address.")
        if isinstance(reason, ConnectionRefusedError):
            return UserError(f"{self.url}: nothing listens there. Start the server, or look at the port.")
        if isinstance(reason, ssl.SSLError):
            return UserError(f"{self.url}: the connection isn't safe ({reason.reason or reason}). Is it http://?")
        words = " ".join(str(reason).split()) or type(reason).__name__
        return UserError(f"{self.url}: the connection broke ({words}). Try again.")


class Chat:
    """An answer as it comes: iterate over its pieces of text.

    Attributes:
        finish: why it ended, as the protocol calls it: ``stop``, ``length``; "" while it hasn't.
        usage: the counts of tokens that the server told.
    """

    def __init__(self, remote: Remote, response: http.client.HTTPResponse) -> None:
        self._remote, self._response = remote, response
        self.finish = ""
        self.usage: dict[str, int] = {}

    def __iter__(self) -> Iterator[str]:
        """The pieces of text.

        Raises:
            UserError: where the stream is cut, or holds an error.
        """
        with self._response:
            if "text/event-stream" not in self._response.headers.get("Content-Type", ""):
                yield self._whole()
                return
            for data in self._events():
                if data == "[DONE]":
                    self.finish = self.finish or "stop"
                    return
                yield self._piece(_json(data, self._remote.url))
        if not self.finish:
            raise UserError(f"{self._remote.url}: the answer was cut off: the connection ended before it did.")

    def _events(self) -> Iterator[str]:
        """The data of each event of the stream (WHATWG's server-sent events); comments are left out."""
        held: list[str] = []
        try:
            for line in self._response:
                text = line.decode("utf-8", "replace").rstrip("\r\n")
                if text.startswith("data:"):
                    held.append(text[5:].removeprefix(" "))
                elif not text and held:
                    yield "\n".join(held)
                    held = []
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._remote._broken(error) from None
        if held:
            yield "\n".join(held)

    def _piece(self, body: dict[str, Any], part: str = "delta") -> str:
        if body.get("error"):
            raise UserError(f"{self._remote.url}: the answer ended with an error: {_words_of(body)}")
        if isinstance(body.get("usage"), dict):
            self.usage = {name: count for name, count in body["usage"].items() if isinstance(count, int)}
        choice = next(iter(body.get("choices") or ()), None) or {}
        self.finish = choice.get("finish_reason") or self.finish
        content = (choice.get(part) or {}).get("content")
        return content if isinstance(content, str) else ""

    def _whole(self) -> str:
        """The answer of a server that doesn't stream."""
        body = _json(self._remote._read(self._response), self._remote.url)
        if "choices" not in body and not body.get("error"):
            raise UserError(f"{self._remote.url}: the answer isn't of the OpenAI protocol. Look at the address.")
        text = self._piece(body, "message")
        self.finish = self.finish or "stop"
        return text


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


_LONG = ("context_length", "context length", "maximum context", "context window", "too long", "too many tokens")


def _json(content: bytes | str, url: str) -> dict[str, Any]:
    try:
        body = json.loads(content)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise UserError(f"{url}: the answer isn't of the OpenAI protocol. Look at the address; most end in /v1.")
    return body


def _words_of(content: bytes | Mapping[str, Any]) -> str:
    """The message of an error, in the forms that servers give it, as one line."""
    try:
        body = json.loads(content) if isinstance(content, bytes) else content
    except ValueError:
        return ""
    error = body.get("error", body) if isinstance(body, Mapping) else body
    if isinstance(error, Mapping):
        code, error = error.get("code"), error.get("message") or error.get("detail") or ""
        error = f"{error} ({code})" if isinstance(code, str) and error else error
    return " ".join(str(error).split())[:500]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
