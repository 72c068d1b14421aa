"""The forms of the protocol: answers, chunks of a stream, counts and log-probabilities as JSON."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gradus.data.tokens import Tokens
from gradus.language.request import Piece
from gradus.language.sampling import TokenLogprob

Json = dict[str, Any]
LEAST = -9999.0  # the protocol's word for what can't be: JSON has no infinity


@dataclass
class Choice:
    """One answer as it grows."""

    text: str = ""
    tokens: int = 0
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finish: str | None = None

    def add(self, piece: Piece) -> None:
        self.text += piece.text
        self.tokens += len(piece.tokens)
        self.logprobs += piece.logprobs
        self.finish = piece.finish


class Form:
    """The JSON of one response, whole or in chunks: those of ``chat`` and those of plain texts differ.

    Args:
        model: the name that the answer tells.
        logprobs: whether log-probabilities are told.
        extra: fields of the message beyond the protocol, as the passages that an answer is from.
    """

    def __init__(self, chat: bool, model: str, tokens: Tokens, *, logprobs: bool, extra: Json | None = None) -> None:
        self.chat, self.tokens, self.logprobs, self.extra = chat, tokens, logprobs, extra or {}
        kind = "chat.completion" if chat else "text_completion"
        id = f"{'chatcmpl' if chat else 'cmpl'}-{secrets.token_hex(12)}"
        self.head: Json = {"id": id, "object": kind, "created": int(time.time()), "model": model}
        self.written: dict[int, int] = {}  # characters of each plain text so far, for its offsets

    def whole(self, choices: Sequence[Choice], usage: Json) -> Json:
        """The response to a request without stream."""
        return {**self.head, "choices": [self._whole(i, choice) for i, choice in enumerate(choices)], "usage": usage}

    def first(self, index: int, text: str = "") -> Json:
        """The chunk that opens an answer: of a chat the role, of a plain text what is echoed."""
        if self.chat:
            return self._chunk(index, {"delta": {"role": "assistant", "content": "", **self.extra}}, None, None)
        self.written[index] = len(text)
        return self._chunk(index, {"text": text}, None, None)

    def chunk(self, index: int, piece: Piece) -> Json:
        """The chunk of a piece."""
        logprobs = None
        if self.logprobs and piece.logprobs:
            logprobs = self._logprobs(piece.logprobs, self.written.get(index, 0))
        self.written[index] = self.written.get(index, 0) + len(piece.text)
        if not self.chat:
            return self._chunk(index, {"text": piece.text}, logprobs, piece.finish)
        return self._chunk(index, {"delta": {"content": piece.text} if piece.text else {}}, logprobs, piece.finish)

    def last(self, usage: Json) -> Json:
        """The chunk with the counts, which has no answer in it."""
        return {**self._head_of_chunk(), "choices": [], "usage": usage}

    def _whole(self, index: int, choice: Choice) -> Json:
        logprobs = self._logprobs(choice.logprobs, 0) if self.logprobs else None
        said: Json = {"text": choice.text}
        if self.chat:
            said = {"message": {"role": "assistant", "content": choice.text, "refusal": None, **self.extra}}
        return {"index": index, **said, "logprobs": logprobs, "finish_reason": choice.finish}

    def _chunk(self, index: int, said: Json, logprobs: Json | None, finish: str | None) -> Json:
        choice = {"index": index, **said, "logprobs": logprobs, "finish_reason": finish}
        return {**self._head_of_chunk(), "choices": [choice]}

    def _head_of_chunk(self) -> Json:
        return {**self.head, "object": "chat.completion.chunk"} if self.chat else self.head

    def _logprobs(self, told: Sequence[TokenLogprob], offset: int) -> Json:
        if self.chat:
            return {"content": [chat_logprob(t, self.tokens) for t in told], "refusal": None}
        return text_logprobs(told, self.tokens, offset)


def usage_of(prompts: Sequence[Sequence[int]], written: int) -> Json:
    """The count of tokens: those of each prompt once, and all that were written."""
    read = sum(map(len, prompts))
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def chat_logprob(told: TokenLogprob, tokens: Tokens) -> Json:
    """A token's log-probability in the form of chats, with its alternatives."""
    return {**_named(told.token, told.logprob, tokens), "top_logprobs": [_named(t, p, tokens) for t, p in told.top]}


def text_logprobs(told: Sequence[TokenLogprob], tokens: Tokens, offset: int) -> Json:
    """Log-probabilities in the form of plain texts: four lists, one entry a token.

    Args:
        offset: characters before the first of them. The first token of a text has none: NaN, told as null.
    """
    names = [tokens.spoken([t.token])[0] for t in told]
    out: Json = {"tokens": names, "token_logprobs": [], "top_logprobs": [], "text_offset": []}
    for one in told:
        known = one.logprob == one.logprob
        top: dict[str, float] = {}
        for token, value in one.top:  # two tokens may read the same; the likelier one is told
            top.setdefault(tokens.spoken([token])[0], max(value, LEAST))
        out["token_logprobs"].append(max(one.logprob, LEAST) if known else None)
        out["top_logprobs"].append(top if known else None)
        out["text_offset"].append(offset)
        offset += len(tokens.decode([one.token]))
    return out


def _named(token: int, logprob: float, tokens: Tokens) -> Json:
    name = tokens.spoken([token])[0]
    return {"token": name, "logprob": max(logprob, LEAST), "bytes": list(tokens.token_bytes(token))}
