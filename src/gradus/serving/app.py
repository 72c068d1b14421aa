"""The application: what is answered at which path. Every answer is written by the one engine, beside all others."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gradus.language.engine import Engine
from gradus.serving.answers import Choice, Form, Json, usage_of
from gradus.serving.check import check
from gradus.serving.counts import Counts
from gradus.serving.fields import chat_fields, completion_fields, embedding_fields
from gradus.serving.gate import Gate, body_of
from gradus.serving.grounding import Documents, Grounded, ground, search
from gradus.serving.openapi import document
from gradus.serving.page import page
from gradus.serving.protocol_error import ProtocolError, wrong
from gradus.serving.requests import Asked, chat_asked, completion_asked, prompts_of, read_messages
from gradus.serving.writing import Said, Writing, embed, full, score

T = TypeVar("T")


def app_of(
    engine: Engine,
    *,
    name: str | None = None,
    api_key: str | None = None,
    documents: Documents | None = None,
    own_names: Sequence[str] = (),
    origins: Sequence[str] = (),
) -> Starlette:
    """The OpenAI protocol, a page to chat on, and counts, for the model of an engine that was started.

    Args:
        name: what the model is called; its own name where none is given.
        api_key: what a client must send; None: nothing, and the server answers only to the machine's own names.
        documents: passages that answers are grounded on.
        own_names: names of the machine beside those that it knows.
        origins: other sites whose pages may ask in a browser, as ``http://localhost:3000``, or ``*``.
    """
    server = _Server(engine, name or engine.lm.name, documents)
    routes = [
        Route("/", server.page),
        Route("/health", server.health),
        Route("/metrics", server.metrics),
        Route("/openapi.json", server.openapi),
        Route("/v1/models", server.models),
        Route("/v1/models/{id:path}", server.model),
        Route("/v1/chat/completions", server.chat, methods=["POST"]),
        Route("/v1/completions", server.complete, methods=["POST"]),
        Route("/v1/embeddings", server.embed, methods=["POST"]),
    ]
    cors = Middleware(CORSMiddleware, allow_origins=list(origins), allow_methods=["*"], allow_headers=["*"])
    paths = [route.path for route in routes]
    gate = Middleware(Gate, api_key=api_key, names=own_names, paths=paths, counts=server.counts)
    handlers: dict[Any, Any] = {ProtocolError: _refused, HTTPException: _not_there, Exception: _failed}
    return Starlette(routes=routes, middleware=[*([cors] if origins else []), gate], exception_handlers=handlers)


class _Server:
    def __init__(self, engine: Engine, name: str, documents: Documents | None) -> None:
        self.engine, self.name, self.documents, self.counts = engine, name, documents, Counts()
        self.created, self.reading, self.encoder = int(time.time()), 0, asyncio.Lock()
        lm = engine.lm
        self.chats = lm.chats and lm.tokens.has_chat
        self.described = document(name, lm.tokens.size, lm.model.width)
        model = {"type": "string", "enum": [name], "description": "The model of this server, or left out."}
        self.chat_fields = chat_fields(model)
        self.completion_fields = completion_fields(model, lm.tokens.size)
        self.embedding_fields = embedding_fields(model, lm.tokens.size, lm.model.width)
        self.card: Json = {
            "id": name,
            "object": "model",
            "created": self.created,
            "owned_by": "gradus",
            "max_model_len": lm.max_length,
            "chat": self.chats,
            "documents": documents is not None,
        }

    async def page(self, request: Request) -> Response:
        return page()

    async def health(self, request: Request) -> Response:
        stats = self.engine.stats()
        state = {"running": stats["running"], "waiting": stats["waiting"], "model": self.name}
        if self.engine.closed:
            return JSONResponse({"status": "stopping", **state}, 503)
        return JSONResponse({"status": "ok", **state})

    async def metrics(self, request: Request) -> Response:
        return PlainTextResponse(
            self.counts.text(self.engine.stats()), media_type="text/plain; version=0.0.4; charset=utf-8"
        )

    async def openapi(self, request: Request) -> Response:
        return JSONResponse(self.described)

    async def models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [self.card]})

    async def model(self, request: Request) -> Response:
        self._check_model({"model": request.path_params["id"]})
        return JSONResponse(self.card)

    async def chat(self, request: Request) -> Response:
        body = await self._body(request, self.chat_fields)
        lm = self.engine.lm
        if not self.chats:
            raise wrong(
                f"{self.name} was not taught to answer: it goes on with texts. Use /v1/completions.", code="no_chat"
            )
        found = Grounded(read_messages(body))
        if self.documents is not None:
            passages = await run_in_threadpool(search, found.messages, self.documents)
            found = await self._encoding(ground, found.messages, passages, lm)
        asked = await self._encoding(chat_asked, body, found.messages, lm)
        form = Form(True, self.name, lm.tokens, logprobs=asked.logprobs is not None, extra=found.extra)
        said = Said(found.answer, asked.n) if found.answer is not None else None
        return await self._answer(request, asked, form, [""] * asked.n, said)

    async def complete(self, request: Request) -> Response:
        body = await self._body(request, self.completion_fields)
        asked = await self._encoding(completion_asked, body, self.engine.lm)
        tokens = self.engine.lm.tokens
        form = Form(False, self.name, tokens, logprobs=asked.logprobs is not None)
        echoes = [tokens.decode(ids) if asked.echo else "" for ids in asked.prompts]
        return await self._answer(request, asked, form, [text for text in echoes for _ in range(asked.n)])

    async def embed(self, request: Request) -> Response:
        body = await self._body(request, self.embedding_fields)
        lm = self.engine.lm
        texts = await self._encoding(prompts_of, body["input"], lm.tokens)
        for place, ids in enumerate(texts):
            if len(ids) > lm.max_length:
                what = f"input[{place}] came to {len(ids)} tokens, and this model has places for {lm.max_length}."
                raise ProtocolError(400, what, param=f"input[{place}]", code="context_length_exceeded")
        if self.reading >= self.engine.queue:
            raise full(f"{self.reading} requests for embeddings are waiting, as many as may.")
        self.reading += 1
        try:
            vectors = await _unless_gone(request, embed(self.engine, texts))
        finally:
            self.reading -= 1
        told: list[Any] = vectors
        if body.get("encoding_format") == "base64":
            told = [base64.b64encode(struct.pack(f"<{len(v)}f", *v)).decode() for v in vectors]
        data = [{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(told)]
        read = sum(map(len, texts))
        usage = {"prompt_tokens": read, "total_tokens": read}
        return JSONResponse({"object": "list", "data": data, "model": self.name, "usage": usage})

    async def _encoding(self, function: Callable[..., T], *given: Any) -> T:
        """What a function gives that makes tokens of texts: beside the event loop, and one at a time."""
        async with self.encoder:
            return await run_in_threadpool(function, *given)

    async def _body(self, request: Request, fields: Json) -> Json:
        body = await body_of(request)
        self._check_model(body)
        check(body, fields)
        return body

    def _check_model(self, body: Json) -> None:
        model = body.get("model")
        if isinstance(model, str) and model not in (self.name, self.engine.lm.name):
            what = f"There is no model {json.dumps(model)} here: this server has {json.dumps(self.name)}."
            raise ProtocolError(404, what, param="model", code="model_not_found")
        if model == self.engine.lm.name:
            body["model"] = self.name

    async def _answer(
        self, request: Request, asked: Asked, form: Form, echoes: list[str], said: Said | None = None
    ) -> Response:
        """Have all answers written, and give them whole or as they come.

        Args:
            echoes: what each answer begins with.
            said: the answers where the model isn't asked.
        """
        writing = said or Writing(self.engine, asked, self.counts)
        if asked.stream:
            return _Events(writing, self._events(writing, asked, form, echoes))
        try:
            return JSONResponse(await _unless_gone(request, self._collect(writing, asked, form, echoes)))
        finally:
            writing.cancel()

    async def _collect(self, writing: Writing | Said, asked: Asked, form: Form, echoes: list[str]) -> Json:
        choices = [Choice(text=text, finish="length") for text in echoes]
        async for index, piece in writing.pieces():
            choices[index].add(piece)
        if asked.echo and asked.logprobs is not None:
            for place, ids in enumerate(asked.prompts):
                told = (await score(self.engine, ids, asked.logprobs))[asked.begun :]
                for choice in choices[place * asked.n : (place + 1) * asked.n]:
                    choice.logprobs = told + choice.logprobs
        return form.whole(choices, usage_of(asked.prompts, sum(choice.tokens for choice in choices)))

    async def _events(
        self, writing: Writing | Said, asked: Asked, form: Form, echoes: list[str]
    ) -> AsyncIterator[Json]:
        for index, text in enumerate(echoes):
            if form.chat or text:
                yield form.first(index, text)
        written = 0
        async for index, piece in writing.pieces():
            written += len(piece.tokens)
            yield form.chunk(index, piece)
        if asked.include_usage:
            yield form.last(usage_of(asked.prompts, written))


class _Events(StreamingResponse):
    """Chunks as server-sent events, ``[DONE]`` last; what is being written ends when nobody listens any more."""

    media_type = "text/event-stream"

    def __init__(self, writing: Writing | Said, chunks: AsyncIterator[Json]) -> None:
        super().__init__(self._lines(chunks), headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        self.writing = writing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.writing.cancel()

    async def _lines(self, chunks: AsyncIterator[Json]) -> AsyncIterator[str]:
        try:
            async for chunk in chunks:
                yield f"data: {json.dumps(chunk, ensure_ascii=False, separators=(',', ':'))}\n\n"
            yield "data: [DONE]\n\n"
        except ProtocolError as error:  # the status went out long ago
            yield f"data: {json.dumps(error.to_json(), ensure_ascii=False)}\n\n"


async def _unless_gone(request: Request, work: Awaitable[T]) -> T:
    """What is worked out, unless the client goes away: then the work ends, and nobody is told."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ProtocolError(499, "The client has gone.")
    finally:
        for part in (task, gone):
            part.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _refused(request: Request, error: ProtocolError) -> Response:
    return error.response()


def _not_there(request: Request, error: HTTPException) -> Response:
    words = {
        404: f"There is nothing at {request.url.path}. The API is below /v1, the page at /.",
        405: f"{request.method} isn't answered at {request.url.path}.",
    }
    return ProtocolError(
        error.status_code, words.get(error.status_code, error.detail), headers=error.headers
    ).response()


def _failed(request: Request, error: Exception) -> Response:
    """A bug of ours; its traceback is in the terminal."""
    return ProtocolError(500, "The server has failed at this request; its terminal says more.", code="bug").response()
