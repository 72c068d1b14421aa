"""A request to an engine: what it is asked, what it has written, and the pieces in which that is told."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from gradus.data.tokens import Tokens
from gradus.errors import UserError
from gradus.language.sampling import Chooser, TokenLogprob
from gradus.language.streaming import TextStream


@dataclass
class Piece:
    """What has been written since the piece before.

    ``tokens`` holds every token that was drawn, the one that ended the answer among them, and ``logprobs`` those that
    were asked for. The last piece has ``finish``: "stop" where the answer came to an end of its own or to a stop
    string, "length" where it was cut off, "cancelled", or "error" with a line in ``error``.
    """

    text: str = ""
    tokens: list[int] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finish: str | None = None
    error: str = ""


class Request:
    """A prompt that is being answered.

    Args:
        most: the tokens that the answer may have.
    """

    def __init__(self, ids: list[int], chooser: Chooser, tokens: Tokens, most: int) -> None:
        self.ids, self.chooser, self.cancelled = ids, chooser, False
        self.last = ids[-1]
        self._stream = TextStream(tokens, chooser.sampling.stop)
        self._stop_ids = frozenset(tokens.stop_ids)
        self._left = most
        self._next = Piece()  # what is gathered for the next piece
        self._lock = threading.Lock()  # guards what follows
        self._ended = False
        self._pieces: queue.SimpleQueue[Piece] = queue.SimpleQueue()
        self._callback: Callable[[Piece], object] | None = None

    def pieces(self) -> Iterator[Piece]:
        """The pieces as they come, up to the last one.

        Raises:
            UserError: where the answer ended with an error.
        """
        finish = None
        while finish is None:
            piece = self.next()
            finish = piece.finish
            if finish == "error":
                raise UserError(piece.error)
            yield piece

    def next(self, timeout: float | None = None) -> Piece:
        """The next piece. After the last one there is none to wait for.

        Args:
            timeout: seconds.

        Raises:
            TimeoutError: where none comes in time.
        """
        try:
            return self._pieces.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError(f"no piece within {timeout} seconds.") from None

    def whole(self) -> Piece:
        """All that is written in one piece, once the answer is done.

        Raises:
            UserError: where it ended with an error.
        """
        whole = Piece()
        for piece in self.pieces():
            whole.text += piece.text
            whole.tokens += piece.tokens
            whole.logprobs += piece.logprobs
            whole.finish = piece.finish
        return whole

    def on_piece(self, callback: Callable[[Piece], object]) -> None:
        """Have each piece handed to a function, by the engine's thread; those that have come already at once."""
        with self._lock:
            while not self._pieces.empty():
                callback(self._pieces.get())
            self._callback = callback

    def cancel(self) -> None:
        """Write no further: the row is free at the next step."""
        self.cancelled = True

    def write(self, token: int, logprob: TokenLogprob | None) -> str | None:
        """The engine has chosen a token; gives the reason where the answer is done with it."""
        self.last = token
        self.chooser.enter(token)
        self._left -= 1
        self._next.tokens.append(token)
        if logprob is not None:
            self._next.logprobs.append(logprob)
        if token in self._stop_ids:
            return "stop"
        self._next.text += self._stream.add(token)
        if self._stream.stopped:
            return "stop"
        if not self._left:
            return "length"
        if self._next.text:
            self._give()
        return None

    def end(self, finish: str, error: str = "") -> None:
        """The engine is done with it; only the first call counts."""
        if not self._ended:
            self._ended = True
            self._next.text += self._stream.finish()
            if self._stream.stopped and finish == "length":  # the stop string was completed by the last half character
                finish = "stop"
            self._next.finish, self._next.error = finish, error
            self._give()

    def _give(self) -> None:
        piece, self._next = self._next, Piece()
        with self._lock:
            if self._callback is None:
                self._pieces.put(piece)
                return
            try:
                self._callback(piece)
            except Exception as failure:  # whoever listens has a fault of his own: the engine goes on for the others
                print(f"gradus: a listener failed: {type(failure).__name__}: {failure}", file=sys.stderr)
                self.cancelled = True
