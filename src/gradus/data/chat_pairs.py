"""Pairs for preference tuning: to one conversation an answer that is preferred and one that isn't.

A pair is one row: both answers with what stands before them, neither sees the other. What a frozen model says of them,
the reference, is a column of the data: it is computed once, when a run begins, and kept with the run.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gradus.data.chat import Message, check_messages
from gradus.data.chat_files import objects_in
from gradus.data.chats import NOTHING
from gradus.data.clean_text import counted
from gradus.data.columns import Target
from gradus.data.dataset import Batch, Draw
from gradus.data.encoded_chats import encode, with_marks
from gradus.data.encoder import Encoder
from gradus.data.lesson_pairs import lesson_pairs
from gradus.data.lessons import Lesson, held_out
from gradus.data.ragged import Ragged
from gradus.data.text_splits import split_by_group
from gradus.data.token_rows import TokenRows
from gradus.data.tokens import IGNORE, Tokens
from gradus.errors import UserError

Pair = Mapping[str, Any]
"""``messages`` up to the question, and the answers ``chosen`` and ``rejected``, both str."""


class PairRows(TokenRows):
    """Pairs of answers. Inputs are ids (batch, time) and which of the two texts each token is of, 0 the preferred one;
    targets are three rows a pair in float32, (batch, 3, time): the id one further on where it is of an answer (else
    ``IGNORE``), +1 where it is of the preferred answer and −1 where it is of the other, and the reference's
    log-probability of a whole answer at its first token.

    A pair whose texts together are longer than ``length`` loses the ends of its answers, where these are long, and what
    is said first.

    Args:
        read: gives the pairs, the same ones each time.
        tokens: a vocabulary with a chat template.
        length: the most tokens of both texts together.
        reference: log-probabilities of the preferred and the other answer by the frozen model, (pairs, 2); ``refer``
            puts them in later, too.
        questions: with known answers, to be asked of the model in the end.
    """

    def __init__(
        self,
        name: str,
        read: Callable[[], Iterable[Pair]],
        tokens: Tokens,
        *,
        length: int,
        valid: float = 0.05,
        test: float = 0.1,
        seed: int = 0,
        reference: Sequence[Sequence[float]] | None = None,
        questions: Sequence[Lesson] = (),
    ) -> None:
        self.name, self.length, self.questions = name, length, tuple(questions)
        self._read, self._shares = read, (valid, test, seed)
        self._fill(Encoder((tokens,), Target("answer")))
        if reference is not None:
            self.refer(np.asarray(reference))

    def _fill(self, encoder: Encoder) -> None:
        """Encode the pairs."""
        self.encoder, self.target = encoder, encoder.target
        ids, sides, texts, ends = array("i"), array("b"), array("b"), array("q", [0])
        keys: list[str] = []
        self._cut = self._equal = 0
        digest = hashlib.sha256(f"{self.length} {self.tokens!r}".encode())
        for pair in self._read():
            digest.update(json.dumps([pair["messages"], pair["chosen"], pair["rejected"]]).encode())
            found = [
                encode(self.tokens, [*pair["messages"], {"role": "assistant", "content": pair[side]}])[0]
                for side in ("chosen", "rejected")
            ]
            shared = _shared(*found)
            if len(found[0]) == len(found[1]) == shared:
                self._equal += 1
                continue
            if sum(map(len, found)) - 2 > self.length:
                self._cut += 1
                found, shared = self._shortened(found, shared)
            for number, (text, sign) in enumerate(zip(found, (1, -1), strict=True)):
                ids.extend(text)
                texts.extend([number] * len(text))
                sides.extend([0] * shared + [sign] * (len(text) - shared))
            ends.append(len(ids))
            keys.append(hashlib.blake2b(json.dumps(pair["messages"]).encode(), digest_size=12).hexdigest())
        if not keys:
            raise UserError(f"{self.name}: no pair of two different answers is left to learn from; give more.")
        self._lay(*(np.asarray(values) for values in (ids, sides, texts, ends)))
        self.fingerprint = digest.hexdigest()
        valid, test, seed = self._shares
        parts = np.full(len(keys), "", dtype=object)
        try:
            self.splits = split_by_group(np.array(keys, dtype=object), parts, valid=valid, test=test, seed=seed)
        except UserError as error:
            raise UserError(f"{self.name}: {error}") from None
        self.notes = self._told()

    def _lay(self, ids: np.ndarray, sides: np.ndarray, texts: np.ndarray, ends: np.ndarray) -> None:
        """Put the tokens that are read, and what is foretold of each, into rows: a text's last token isn't read."""
        last = np.append(texts[1:] != texts[:-1], True)
        last[ends[1:] - 1] = True
        read = np.flatnonzero(~last)
        starts = ends - 2 * np.arange(len(ends))  # two tokens a pair less
        self.source, self._texts = Ragged(ids[read], starts), Ragged(texts[read], starts)
        self._sides = Ragged(sides[read + 1], starts)
        self._targets = Ragged(np.where(sides[read + 1] != 0, ids[read + 1], IGNORE), starts)
        self.lengths = self.source.lengths
        self.reference = np.zeros((len(self), 2))

    def _shortened(self, texts: list[list[int]], shared: int) -> tuple[list[list[int]], int]:
        """Both texts of a pair in half a row each: of long answers the beginnings, of what comes before the end."""
        half = self.length // 2 + 1
        most = max(half - shared, half // 2)
        answers = [text[shared:][:most] for text in texts]
        before = texts[0][:shared][-(half - max(map(len, answers))) :]
        return [before + answer for answer in answers], len(before)

    def _told(self) -> tuple[str, ...]:
        out = []
        if self._equal:
            out.append(f"{counted(self._equal, 'pair')} of equal answers left out")
        if self._cut:
            out.append(f"{counted(self._cut, 'pair')} of more than {self.length} tokens together cut to fit [--length]")
        return tuple(out)

    def refer(self, reference: np.ndarray) -> None:
        """Put in what the reference says: log-probabilities of both answers of each pair, (pairs, 2)."""
        if reference.shape != (len(self), 2):
            raise UserError(f"{self.name}: a reference of shape {reference.shape} for {len(self):,} pairs.")
        self.reference = reference

    @property
    def num_outputs(self) -> int:
        return self.tokens.size

    def batch(self, indices: Tensor, draw: Draw | None = None) -> Batch:
        rows = indices.numpy()
        inputs = self.source.padded(rows, self.tokens.pad_id), self._texts.padded(rows, NOTHING)
        sides = self._sides.padded(rows).float()
        targets = torch.stack([self._targets.padded(rows, IGNORE).float(), sides, torch.zeros_like(sides)], dim=1)
        for column, sign in enumerate((1.0, -1.0)):
            first = (sides == sign).float().argmax(1)
            targets[torch.arange(len(rows)), 2, first] = torch.from_numpy(self.reference[rows, column]).float()
        return self._given(inputs, targets, indices, len(rows))

    def row_words(self, row: int, draw: Draw | None = None) -> dict[str, Any]:
        """Both texts of a pair, with the marks between what is said."""
        ids, texts = self.source[row], self._texts[row]
        names = ("chosen", "rejected")
        return {name: with_marks(self.tokens, ids[texts == n].tolist()) for n, name in enumerate(names)}

    def describe(self) -> str:
        counts = ", ".join(f"{name} {len(rows):,}" for name, rows in self.splits.items())
        return f"{self.name}: {len(self):,} pairs of answers, {self.source.lengths.mean():.3g} tokens each; {counts}"


def chat_pairs(source: str | Path, tokens: Tokens, **options: Any) -> PairRows:
    """Pairs of a person's own, from a file or folder as ``read_pairs`` reads them; options as of ``PairRows``."""
    return PairRows(Path(source).name, lambda: read_pairs(source), tokens, **options)


def lesson_chat_pairs(
    tokens: Tokens,
    *,
    count: int,
    language: str = "both",
    level: str = "normal",
    questions: int = 350,
    seed: int = 0,
    **options: Any,
) -> PairRows:
    """Built-in pairs: right answers beside wrong ones, and questions of the test with their answers."""
    if count < 1 or questions < 0:
        raise UserError(f"pairs: {count} to learn from and {questions} questions; give at least 1 and 0.")
    asked = held_out(questions, seed, language=language, level=level)

    def read() -> Iterable[Pair]:
        return lesson_pairs(count, seed, language=language, level=level)

    return PairRows("pairs of lessons", read, tokens, seed=seed, questions=asked, **options)


def read_pairs(path: str | Path) -> Iterable[Pair]:
    """Pairs of a JSON or JSON lines file: ``prompt`` (a text, or messages) or ``messages``, ``chosen``, ``rejected``.

    The answers are texts, messages, or whole conversations that end with the answer.

    Raises:
        UserError: for a line that holds no pair, with its number.
    """
    for where, value in objects_in(path):
        missing = [key for key in ("chosen", "rejected") if key not in value]
        if missing:
            raise UserError(f'{where}: no \'{missing[0]}\'. A pair is {{"prompt": …, "chosen": …, "rejected": …}}.')
        before, answers = _prompt(value, where), []
        for key in ("chosen", "rejected"):
            said, answer = _answer(value[key], f"{where}, {key}")
            answers.append(answer)
            if before is None:
                before = said
            elif said and said != before:
                raise UserError(f"{where}: '{key}' answers another conversation. Both must answer the same one.")
        if not before:
            raise UserError(f"{where}: nothing to answer. Give a 'prompt', or 'messages' up to the question.")
        yield {"messages": before, "chosen": answers[0], "rejected": answers[1]}


def _prompt(value: Mapping[str, Any], where: str) -> list[Message] | None:
    asked = value.get("messages", value.get("prompt"))
    if asked is None:
        return None
    return check_messages([{"role": "user", "content": asked}] if isinstance(asked, str) else asked, where)


def _answer(value: Any, where: str) -> tuple[list[Message], str]:
    """What is said before an answer, where that is told with it, and the answer."""
    if isinstance(value, str):
        value = {"role": "assistant", "content": value}
    said = check_messages(value if isinstance(value, list) else [value], where)
    if said[-1]["role"] != "assistant":
        raise UserError(f"{where}: ends with the {said[-1]['role']}'s words. It must end with an assistant's answer.")
    return said[:-1], said[-1]["content"]


def _shared(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens two texts begin with alike."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
