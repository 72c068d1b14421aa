"""Between the engine's thread and the event loop: answers as they are written, and what reads texts without writing."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import TypeVar

import torch

from gradus.errors import UserError
from gradus.language.engine import Engine, Full
from gradus.language.model import LanguageModel
from gradus.language.request import Piece, Request
from gradus.language.sampling import TokenLogprob
from gradus.serving.counts import Counts
from gradus.serving.protocol_error import ProtocolError, wrong
from gradus.serving.requests import Asked

T = TypeVar("T")
READ_TOKENS = 2048  # that are read between two steps of the answers that are being written
HEAD_TOKENS = 128  # whose logits are held at a time


class Writing:
    """The answers to one HTTP request while the engine writes them; it belongs to the event loop.

    Raises:
        ProtocolError: 429 where the engine's queue is full, 503 where it takes no more requests; none is left then.
    """

    def __init__(self, engine: Engine, asked: Asked, counts: Counts) -> None:
        self.counts, self.begun = counts, time.perf_counter()
        self._pieces: asyncio.Queue[tuple[int, Piece]] = asyncio.Queue()
        self._requests: list[Request] = []
        self._done: set[int] = set()
        self._stop_ids = engine.lm.tokens.stop_ids
        loop = asyncio.get_running_loop()
        writings = list(asked.writings())
        if len(writings) > engine.rows + engine.queue:
            most = engine.rows + engine.queue
            raise wrong(f"{len(writings)} answers at once, and this server takes {most} at most. Ask in parts.")
        try:
            for index, (ids, sampling) in enumerate(writings):
                self._requests.append(engine.submit(ids, sampling))
                self._requests[-1].on_piece(partial(self._hand, loop, index))
        except Full as error:
            self.cancel()
            raise full(str(error)) from None
        except UserError as error:
            self.cancel()
            raise ProtocolError(503, str(error), code="stopping") if engine.closed else wrong(str(error)) from None

    def __len__(self) -> int:
        return len(self._requests)

    async def pieces(self) -> AsyncIterator[tuple[int, Piece]]:
        """Each piece as it comes, with the number of its answer, until all answers are done.

        Raises:
            ProtocolError: 503 where the server is stopping, 500 where the model can't go on.
        """
        fresh = set(range(len(self)))
        while len(self._done) < len(self):
            index, piece = await self._pieces.get()
            if index in fresh:
                fresh.remove(index)
                self.counts.first_token(time.perf_counter() - self.begun)
            if piece.finish is not None:
                self._done.add(index)
            if piece.finish == "cancelled":
                raise ProtocolError(503, "The server is stopping; this answer was not finished.", code="stopping")
            if piece.finish == "error":
                raise ProtocolError(500, piece.error, code="model_failed")
            yield index, self._without_end(piece)

    def cancel(self) -> None:
        """Write no further. Where all is done, nothing happens."""
        for index, request in enumerate(self._requests):
            if index not in self._done:
                request.cancel()
                self.counts.cancelled += 1
        self._done = set(range(len(self)))

    def _without_end(self, piece: Piece) -> Piece:
        """A piece without the log-probability of the token that ended the answer: it is no part of the text."""
        if piece.logprobs and piece.finish == "stop" and piece.logprobs[-1].token in self._stop_ids:
            return replace(piece, logprobs=piece.logprobs[:-1])
        return piece

    def _hand(self, loop: asyncio.AbstractEventLoop, index: int, piece: Piece) -> None:
        """Called by the engine's thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody is left to be told
            loop.call_soon_threadsafe(self._pieces.put_nowait, (index, piece))


class Said:
    """Answers that are known without asking the model: the same text, so many times."""

    def __init__(self, text: str, n: int) -> None:
        self.text, self.n = text, n

    async def pieces(self) -> AsyncIterator[tuple[int, Piece]]:
        for index in range(self.n):
            yield index, Piece(self.text, finish="stop")

    def cancel(self) -> None:
        """There is nothing to be cancelled."""


async def between_steps(engine: Engine, function: Callable[[], T]) -> T:
    """What a function gives that the engine's thread calls between two steps.

    Raises:
        ProtocolError: 503 where the engine stops before.
    """
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def tell(_: Future[T]) -> None:
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(done.set)

    try:
        future = engine.run(function)
    except UserError as error:
        raise ProtocolError(503, str(error), code="stopping") from None
    future.add_done_callback(tell)
    try:
        await done.wait()
    finally:
        future.cancel()
    if future.cancelled():
        raise ProtocolError(503, "The server is stopping; nothing was read.", code="stopping")
    return future.result()


async def embed(engine: Engine, texts: list[list[int]]) -> list[list[float]]:
    """The mean of what the output layer reads at each token of a text, scaled to length 1, for each text."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # texts of like length are read together
    out: list[list[float]] = [[] for _ in texts]
    while order:
        some = [order.pop()]  # the longest that is left
        while order and (len(some) + 1) * len(texts[some[0]]) <= READ_TOKENS:
            some.append(order.pop())
        vectors = await between_steps(engine, partial(_embedded, engine.lm, [texts[i] for i in some]))
        if not all(map(math.isfinite, chain.from_iterable(vectors))):
            raise ProtocolError(500, "The model's features of a text are not finite.", code="model_failed")
        for i, vector in zip(some, vectors, strict=True):
            out[i] = vector
    return out


async def score(engine: Engine, ids: list[int], alternatives: int) -> list[TokenLogprob]:
    """The log-probability of each token of a text after those before it; of the first there is none: NaN."""
    return await between_steps(engine, partial(_scored, engine.lm, ids, alternatives))


def full(message: str) -> ProtocolError:
    """More is asked than can wait."""
    return ProtocolError(429, message, code="queue_full", headers={"Retry-After": "1"})


def _embedded(lm: LanguageModel, texts: list[list[int]]) -> list[list[float]]:
    lengths = torch.tensor([len(text) for text in texts], device=lm.device)
    ids = torch.zeros(len(texts), int(lengths.max()), dtype=torch.int64)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = torch.tensor(text)
    features = lm.model.features(ids.to(lm.device)).float()  # what is filled up comes after: no token looks at it
    there = torch.arange(ids.shape[1], device=lm.device) < lengths[:, None]
    means = (features * there[..., None]).sum(1) / lengths[:, None]
    vectors: list[list[float]] = torch.nn.functional.normalize(means, dim=1).tolist()
    return vectors


def _scored(lm: LanguageModel, ids: list[int], alternatives: int) -> list[TokenLogprob]:
    features = lm.model.features(torch.tensor([ids], device=lm.device))[0]
    out = [TokenLogprob(ids[0], float("nan"))]
    for begin in range(0, len(ids) - 1, HEAD_TOKENS):
        read = features[begin : min(begin + HEAD_TOKENS, len(ids) - 1)]
        logs = torch.log_softmax(lm.model.head(read).float(), dim=1)
        following = ids[begin + 1 : begin + 1 + len(read)]
        own = logs.gather(1, torch.tensor(following, device=lm.device)[:, None]).flatten().tolist()
        values, tokens = (t.tolist() for t in logs.topk(min(alternatives, logs.shape[1])))
        for place, token in enumerate(following):
            out.append(TokenLogprob(token, own[place], list(zip(tokens[place], values[place], strict=True))))
    return out
