"""Conversations as tokens: encoded once, one after the other, with which tokens are to be learnt."""

from __future__ import annotations

import hashlib
import itertools
import json
from array import array
from collections.abc import Iterable, Sequence

import numpy as np

from gradus.data.chat import Message, encode_chat
from gradus.data.chat_template import TEMPLATE
from gradus.data.clean_text import counted
from gradus.data.ragged import Ragged
from gradus.data.splits import Splits
from gradus.data.text_splits import split_by_group
from gradus.data.tokens import Tokens
from gradus.errors import UserError


def encode(tokens: Tokens, messages: Sequence[Message]) -> tuple[list[int], list[bool]]:
    """A whole conversation as ``encode_chat`` has it; by our own template six times as fast, without rendering it."""
    if tokens.template != TEMPLATE:
        return encode_chat(tokens, messages)
    ids: list[int] = []
    learn: list[bool] = []
    for message in messages:
        said = tokens.encode_text(message["content"])
        ids += [tokens.specials[f"<|{message['role']}|>"], *said, tokens.specials["<|end|>"]]
        learn += [False, *([message["role"] == "assistant"] * (len(said) + 1))]
    return ids, learn


def with_marks(tokens: Tokens, ids: Iterable[int]) -> str:
    """Ids as text in which the special tokens can be seen."""
    names = {i: name for name, i in tokens.specials.items()}
    runs = itertools.groupby(ids, lambda i: i in names)
    return "".join("".join(names[i] for i in run) if special else tokens.decode(run) for special, run in runs)


class Encoded:
    """Conversations as tokens, at most ``most`` each, with which of them are to be learnt."""

    def __init__(self, tokens: Tokens, most: int, given: Iterable[tuple[Sequence[Message], str]]) -> None:
        flat, learnt, ends = array("i"), array("b"), array("q", [0])
        keys: list[str] = []
        parts: list[str] = []
        self.cut = self.silent = self.unanswered = 0
        digest = hashlib.sha256(f"{most} {tokens!r}".encode())
        for messages, part in given:
            key = hashlib.blake2b(json.dumps(messages).encode(), digest_size=12).hexdigest()
            digest.update(f"{part} {key}".encode())
            ids, learn = encode(tokens, messages)
            if not any(learn):
                self.silent += 1
                continue
            if len(ids) > most:
                self.cut += 1
                ids, learn = ids[:most], learn[:most]
                if not any(learn[1:]):
                    self.unanswered += 1
                    continue
            flat.extend(ids)
            learnt.extend(learn)
            ends.append(len(flat))
            keys.append(key)
            parts.append(part)
        self.chats = Ragged(np.frombuffer(flat, dtype=np.int32), np.frombuffer(ends, dtype=np.int64))
        self.learn = np.frombuffer(learnt, dtype=np.int8).astype(bool)
        self.keys, self.parts = np.array(keys, dtype=object), np.array(parts, dtype=object)
        self.fingerprint = digest.hexdigest()

    def splits(self, name: str, valid: float, test: float, seed: int) -> Splits:
        """Numbers of conversations by split, equal ones on one side."""
        if not len(self.keys):
            raise UserError(f"{name}: no conversation with an answer is left to learn from; give more, or longer rows.")
        try:
            return split_by_group(self.keys, self.parts, valid=valid, test=test, seed=seed)
        except UserError as error:
            raise UserError(f"{name}: {error}") from None

    def notes(self, length: int) -> list[str]:
        """What was repaired, in short sentences."""
        out = []
        if self.silent:
            out.append(f"{counted(self.silent, 'conversation')} without an answer left out")
        if self.cut:
            out.append(f"{counted(self.cut, 'conversation')} of more than {length} tokens cut there [--length]")
        if self.unanswered:
            out.append(f"{counted(self.unanswered, 'conversation')} left out, for nothing of an answer was left")
        return out
