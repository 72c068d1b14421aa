"""Writes answers to many requests at once: each joins when it comes and leaves when it is done (continuous batching).

A turn reads a piece of the prompts that are waiting, then takes one step with all texts that are being written. An
answer is what it would be alone: draws are keyed by its own seed and step, and no row of a batch looks at another.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import torch

from gradus.errors import UserError
from gradus.language.model import LanguageModel
from gradus.language.request import Piece, Request
from gradus.language.rows import Rows
from gradus.language.sampling import NOT_FINITE, Chooser, Sampling, choose

T = TypeVar("T")
CHUNK = 256  # tokens of prompts that are read in a turn: running answers wait no longer for it


class Full(UserError):  # noqa: N818 (a state of the queue, not a fault)
    """As many requests are waiting as may; try again later."""


@dataclass
class Stats:
    """What an engine has done and is doing: requests, tokens, and the seconds in which it worked."""

    running: int = 0
    waiting: int = 0
    finished: int = 0
    tokens_read: int = 0
    tokens_written: int = 0
    seconds: float = 0.0


class Engine:
    """Writes with one model for all who ask.

    Either ``start`` it, and a thread of its own takes turns as requests come; or call ``turn`` oneself while it answers
    True. ``submit`` and ``cancel`` may be called from any thread and never wait for a step.

    Args:
        rows: answers that are written side by side.
        queue: requests that may wait for a row.
    """

    def __init__(self, lm: LanguageModel, *, rows: int = 16, queue: int = 64) -> None:
        self.lm, self.rows, self.queue = lm, rows, queue
        self._changed = threading.Condition()  # guards what follows, up to the rows
        self._waiting: deque[Request] = deque()
        self._tasks: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._closed = ""  # why no more requests are taken
        self._thread: threading.Thread | None = None
        self._stats = Stats()
        self._cache = Rows(lm.writer)  # only the thread that takes turns touches the rows
        self._writing: list[Request] = []  # the requests of the first rows
        self._reading: Request | None = None  # that of the row after them, whose prompt isn't read to its end

    def submit(self, ids: Sequence[int], sampling: Sampling) -> Request:
        """Have a prompt answered.

        Args:
            ids: tokens of the prompt, at least one.

        Raises:
            Full: where ``queue`` requests are waiting already.
            UserError: where the prompt leaves no place for an answer, or the engine is closed.
        """
        request = self._request(list(ids), sampling)
        with self._changed:
            if self._closed:
                raise UserError(self._closed)
            if len(self._waiting) >= self.queue + self._free():
                raise Full(f"{len(self._waiting)} requests are waiting, as many as may; try again in a moment.")
            self._waiting.append(request)
            self._changed.notify()
        return request

    @property
    def closed(self) -> str:
        """Why it takes no more requests; empty while it does."""
        return self._closed

    def run(self, function: Callable[[], T]) -> Future[T]:
        """Have a function called between two turns, by the thread that takes them: nothing else uses the model then."""
        future: Future[T] = Future()
        with self._changed:
            if self._closed:
                raise UserError(self._closed)
            self._tasks.append((function, future))
            self._changed.notify()
        return future

    def start(self) -> Engine:
        """Begin to take turns in a thread of its own."""
        self._thread = threading.Thread(target=self._serve, name="gradus-engine", daemon=True)
        self._thread.start()
        return self

    def close(self) -> None:
        """Take no more requests; those that are not done end as cancelled."""
        with self._changed:
            self._closed = self._closed or "the engine is closed; start another one."
            self._changed.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        else:
            self._end_all("cancelled")

    def stats(self) -> dict[str, Any]:
        """What it is doing and has done; see ``Stats``."""
        with self._changed:
            now = replace(self._stats, running=self.rows - self._free(), waiting=len(self._waiting))
        return asdict(now)

    def __enter__(self) -> Engine:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    @torch.inference_mode()
    def turn(self) -> bool:
        """Do what is to be done between two steps, and a step; False where there was nothing to do."""
        begun = time.perf_counter()
        self._run_tasks()
        self._drop_cancelled()
        if not (self._writing or self._reading or self._waiting):
            return False
        if self._writing:
            logits = self._cache.step([request.last for request in self._writing])
            self._go_on(self._writing, logits)
        self._read()
        self._stats.seconds += time.perf_counter() - begun
        return True

    def _request(self, ids: list[int], sampling: Sampling) -> Request:
        size, places = self.lm.model.num_tokens, self.lm.max_length
        if not ids:
            raise UserError("an empty prompt: give at least one token.")
        if not all(0 <= i < size for i in ids):
            raise UserError(f"a prompt with tokens that there aren't: the vocabulary has 0 to {size - 1}.")
        if len(ids) >= places:
            raise UserError(
                f"a prompt of {len(ids)} tokens, but the model has places for {places}, the answer's among them; "
                "give a shorter one."
            )
        most = min(sampling.max_tokens or places, places - len(ids))
        chooser = Chooser(sampling, ids, size, self.lm.device)
        return Request(ids, chooser, self.lm.tokens, most)

    def _free(self) -> int:
        return self.rows - len(self._writing) - (self._reading is not None)

    def _run_tasks(self) -> None:
        while self._tasks:
            function, future = self._tasks.popleft()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function())
                except BaseException as error:
                    future.set_exception(error)

    def _drop_cancelled(self) -> None:
        for request in [r for r in self._requests() if r.cancelled]:
            self._leave(request, "cancelled")
        with self._changed:
            dropped = [request for request in self._waiting if request.cancelled]
            for request in dropped:
                self._waiting.remove(request)
        for request in dropped:
            request.end("cancelled")

    def _requests(self) -> list[Request]:
        """Those that have a row, in the order of the rows."""
        return self._writing + ([] if self._reading is None else [self._reading])

    def _read(self) -> None:
        """Give rows to requests that wait and read their prompts, each by itself, but no more than a turn's worth.

        A prompt is cut at the same places whoever is there beside, so that its numbers are always the same.
        """
        left = CHUNK
        while left > 0 and self._admitted():
            request, row = self._requests()[-1], len(self._writing)
            done = self._cache.lengths[row]
            part = request.ids[done : done + CHUNK]
            logits = self._cache.read(row, part)
            self._stats.tokens_read += len(part)
            left -= len(part)
            if done + len(part) == len(request.ids):
                self._writing.append(request)
                self._reading = None
                self._go_on([request], logits)

    def _admitted(self) -> bool:
        """Whether there is a prompt to read: one that was begun, or the next that waits and has a row."""
        if self._reading is None and self._free() > 0:
            with self._changed:
                if self._waiting:
                    self._reading = self._waiting.popleft()
                    self._cache.add()
        return self._reading is not None

    def _go_on(self, requests: list[Request], logits: torch.Tensor) -> None:
        """Choose the next token of each request, and let those go that are done."""
        chosen, logprobs = choose(logits, [request.chooser for request in requests], self.lm.barred)
        for request, token, logprob in zip(list(requests), chosen, logprobs, strict=True):
            if token == NOT_FINITE:
                self._leave(request, "error", "the model's logits are not finite, so that no token can be chosen.")
                continue
            self._stats.tokens_written += 1
            finish = request.write(token, logprob)
            if finish:
                self._leave(request, finish)

    def _leave(self, request: Request, finish: str, error: str = "") -> None:
        """Take a request out of its row and give its last piece."""
        if request is self._reading:
            self._cache.remove(len(self._writing), len(self._writing))
            self._reading = None
        else:
            row, last = self._writing.index(request), len(self._writing) - 1
            self._cache.remove(row, last)
            self._writing[row] = self._writing[last]
            self._writing.pop()
        self._stats.finished += 1
        request.end(finish, error)

    def _serve(self) -> None:
        """Take turns until closed; an error of ours ends every request with it, and the engine."""
        error = ""
        try:
            while True:
                with self._changed:
                    while not (self._closed or self._waiting or self._tasks or self._writing or self._reading):
                        self._changed.wait()
                    if self._closed:
                        break
                self.turn()
        except BaseException as failure:
            error = f"the engine failed: {type(failure).__name__}: {failure}"
            with self._changed:
                self._closed = error
            raise
        finally:
            self._end_all("error" if error else "cancelled", error)

    def _end_all(self, finish: str, error: str = "") -> None:
        with self._changed:
            left = [*self._requests(), *self._waiting]
            tasks = list(self._tasks)
            self._waiting.clear()
            self._tasks.clear()
        self._writing, self._reading = [], None
        self._cache = Rows(self.lm.writer)
        for _, future in tasks:
            future.cancel()
        for request in left:
            request.end(finish, error)


def generate(lm: LanguageModel, prompts: Sequence[Sequence[int]], sampling: Sampling, *, rows: int = 32) -> list[Piece]:
    """Whole answers to prompts, in their order, written side by side in this thread.

    Answer number i is written with ``seed + i``: the same prompt twice gives two answers.

    Raises:
        UserError: where a prompt doesn't fit, or the model's logits are not finite.
    """
    engine = Engine(lm, rows=min(rows, max(len(prompts), 1)), queue=len(prompts))
    seeds = [None if sampling.seed is None else sampling.seed + i for i in range(len(prompts))]
    requests = [
        engine.submit(prompt, replace(sampling, seed=seed)) for prompt, seed in zip(prompts, seeds, strict=True)
    ]
    while engine.turn():
        pass
    return [request.whole() for request in requests]
