"""Tokens as text while they are being written: no half character, and nothing of a stop string, is ever given out."""

from __future__ import annotations

from gradus.data.tokens import Tokens

BROKEN = "\ufffd"  # what stands for bytes that are no character; at the end they may be the beginning of one


class TextStream:
    """The text of an answer as it grows.

    All that is given out, put together, is the answer's text up to the stop string that is complete first, if any is.

    Args:
        stop: texts before which the answer ends.
    """

    def __init__(self, tokens: Tokens, stop: tuple[str, ...] = ()) -> None:
        self.tokens, self.stop = tokens, stop
        self.stopped = False  # a stop string came
        self._context: list[int] = []  # whole characters before the window, which may have a say in how it reads
        self._window: list[int] = []  # tokens since
        self._told = ""  # the text of the context and of what of the window is settled
        self._held = ""  # settled text that may be the beginning of a stop string

    def add(self, token: int) -> str:
        """The text that has become certain with one more token; it may be empty."""
        self._window.append(token)
        text = self.tokens.decode(self._context + self._window)
        settled = text[:-1] if text.endswith(BROKEN) else text
        new = settled[len(self._told) :]
        self._told = settled
        if settled == text and new:
            self._context, self._window = self._window, []
            self._told = self.tokens.decode(self._context)
        return self._released(new)

    def finish(self) -> str:
        """What is left when no more tokens come; empty where a stop string came."""
        text = self.tokens.decode(self._context + self._window)
        out = self._released(text[len(self._told) :]) + self._held
        self._told, self._held = text, ""
        return out

    def _released(self, new: str) -> str:
        """What of the held text and the new one can be given out; sets ``stopped`` at the first stop string."""
        if self.stopped:
            return ""
        text = self._held + new
        found = [(text.find(stop) + len(stop), text.find(stop)) for stop in self.stop if stop in text]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)[1]]  # the one that was complete first
        kept = max((_overlap(text, stop) for stop in self.stop), default=0)
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept]


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of a text are the beginning of a stop string."""
    return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)
