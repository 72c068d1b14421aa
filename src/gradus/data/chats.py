"""Conversations to learn answering from: encoded once, packed into rows of one length, the loss on answers only.

A row holds as many whole conversations as fit (``packing.py``); none sees another, for the model is told which token is
of which. What is to be learnt are the assistant's words and where they end.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gradus.data.chat import Message
from gradus.data.chat_files import read_chats
from gradus.data.columns import Target
from gradus.data.dataset import Batch, Draw
from gradus.data.encoded_chats import Encoded, with_marks
from gradus.data.encoder import Encoder
from gradus.data.lessons import HOWS, Lesson, held_out, lessons
from gradus.data.packing import pack, padding
from gradus.data.ragged import Ragged
from gradus.data.token_rows import TokenRows
from gradus.data.tokens import IGNORE, Tokens
from gradus.errors import UserError

Read = Callable[[], Iterable[tuple[Sequence[Message], str]]]
"""Gives the conversations, the same ones each time, each with its split: train, valid, test, or "" to be cut."""

NOTHING = -1  # the number of the text that padding belongs to


class ChatRows(TokenRows):
    """Conversations in rows of ``length`` tokens. Inputs are ids and the number of each token's conversation within its
    row, both (batch, length); targets the ids one further on where they are to be learnt, else ``IGNORE``.

    A conversation that is longer than a row is cut at its end; one of whose answers nothing is left is left out.

    Args:
        read: gives the conversations.
        tokens: a vocabulary with a chat template.
        length: tokens of a row.
        valid, test: shares of the conversations; equal ones are on one side.
        questions: with known answers, to be asked of the model in the end.
    """

    def __init__(
        self,
        name: str,
        read: Read,
        tokens: Tokens,
        *,
        length: int,
        valid: float = 0.05,
        test: float = 0.05,
        seed: int = 0,
        questions: Sequence[Lesson] = (),
    ) -> None:
        if length < 2:
            raise UserError(f"{name}: rows of {length} tokens hold no question and answer; give a larger length.")
        self.name, self.length, self.questions = name, length, tuple(questions)
        self.steps = length
        self._read, self._shares = read, (valid, test, seed)
        self._fill(Encoder((tokens,), Target("answer")))

    def _fill(self, encoder: Encoder) -> None:
        """Encode the conversations and pack them."""
        self.encoder, self.target = encoder, encoder.target
        found = Encoded(self.tokens, self.length + 1, self._read())
        self.fingerprint, self.num_chats = found.fingerprint, len(found.chats)
        parts = found.splits(self.name, *self._shares)
        chats, learn = found.chats, found.learn
        lengths = chats.lengths - 1  # a token is read for each that is foretold
        order: list[np.ndarray] = []
        widths: list[np.ndarray] = []
        self.splits, first = {}, 0
        for split, numbers in parts.items():
            packed = pack(lengths[numbers], self.length)
            self.splits[split] = np.arange(first, first + len(packed))
            first += len(packed)
            order.append(numbers[packed.flat])
            widths.append(packed.lengths)
        chosen, counts = np.concatenate(order), np.concatenate(widths)
        begins = np.repeat(chats.starts[chosen] - np.cumsum(lengths[chosen]) + lengths[chosen], lengths[chosen])
        places = begins + np.arange(len(begins))  # in chats.flat, of each token that is read
        texts = np.repeat(np.arange(len(chosen)) - np.repeat(np.cumsum(counts) - counts, counts), lengths[chosen])
        starts = np.concatenate([[0], np.cumsum(lengths[chosen])])[np.concatenate([[0], np.cumsum(counts)])]
        targets = np.where(learn[places + 1], chats.flat[places + 1], IGNORE)
        self.source = Ragged(chats.flat[places], starts)
        self._targets, self._texts = Ragged(targets, starts), Ragged(texts.astype(np.int32), starts)
        learnt = np.concatenate([[0], np.cumsum(targets != IGNORE)])
        self.counts = learnt[starts[1:]] - learnt[starts[:-1]]  # of the targets of each row
        self.notes = (
            *found.notes(self.length),
            f"packed by best fit: {100 * self.padding:.2g} % of the rows is padding",
        )

    @property
    def num_outputs(self) -> int:
        return self.tokens.size

    @property
    def padding(self) -> float:
        """The share of the rows that is padding."""
        return padding(self.source.lengths, len(self.source), self.length)

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (self.length,)

    def batch(self, indices: Tensor, draw: Draw | None = None) -> Batch:
        rows = indices.numpy()
        ids = self._wide(self.source, rows, self.tokens.pad_id)
        inputs = ids, self._wide(self._texts, rows, NOTHING)
        return self._given(inputs, self._wide(self._targets, rows, IGNORE), indices, int(self.counts[rows].sum()))

    def _wide(self, values: Ragged, rows: np.ndarray, fill: int) -> Tensor:
        """Some rows, all of the whole length: every batch has one shape."""
        found = values.padded(rows, fill)
        return F.pad(found, (0, self.length - found.shape[1]), value=fill)

    def encoded_by(self, encoder: Encoder) -> Self:
        other = copy.copy(self)
        other._device = torch.device("cpu")
        if encoder != self.encoder:
            other._fill(encoder)
        return other

    def row_words(self, row: int, draw: Draw | None = None) -> dict[str, Any]:
        """The conversations of a row, with the marks between what is said."""
        return {"conversations": with_marks(self.tokens, self.source[row].tolist())}

    def describe(self) -> str:
        rows = ", ".join(f"{name} {len(numbers):,}" for name, numbers in self.splits.items())
        share = self.counts.sum() / max(len(self.source.flat), 1)
        size = f"{len(self.source.flat):,} tokens, of which {100 * share:.0f} % are to be learnt"
        return f"{self.name}: {self.num_chats:,} conversations, {size}, in {len(self):,} rows of {self.length}; {rows}"


def chats(
    source: str | Path,
    tokens: Tokens,
    *,
    length: int,
    valid: float = 0.05,
    test: float = 0.05,
    seed: int = 0,
) -> ChatRows:
    """Conversations of a person's own, from a file or folder as ``read_chats`` reads them."""

    def read() -> Iterable[tuple[Sequence[Message], str]]:
        return ((messages, "") for messages in read_chats(source))

    return ChatRows(Path(source).name, read, tokens, length=length, valid=valid, test=test, seed=seed)


def chats_like(path: Path, encoder: Encoder, *, length: int) -> ChatRows:
    """Conversations read for a run that is there already, all of them as the test split."""
    tokens = encoder.columns[0]
    assert isinstance(tokens, Tokens)

    def read() -> Iterable[tuple[Sequence[Message], str]]:
        return ((messages, "test") for messages in read_chats(path))

    return ChatRows(path.name, read, tokens, length=length)


def lesson_chats(
    tokens: Tokens,
    *,
    count: int,
    length: int,
    language: str = "both",
    level: str = "normal",
    questions: int = 350,
    valid: float = 0.02,
    seed: int = 0,
) -> ChatRows:
    """Built-in lessons, and questions of the test with their answers.

    The test split is the test's own lessons; none of them is among those of training.

    Args:
        count: lessons to train on.
        questions: of the test, that are asked in the end; a quarter as many are asked in each other way of ``HOWS``.
    """
    given: dict[str, Any] = dict(language=language, level=level)
    if count < 1 or questions < 0:
        raise UserError(f"lessons: {count} to learn from and {questions} questions; give at least 1 and 0.")
    asked = held_out(questions, seed, **given)

    def read() -> Iterable[tuple[Sequence[Message], str]]:
        yield from ((lesson.messages, "") for lesson in lessons(count, seed, **given))
        yield from ((lesson.messages, "test") for lesson in asked)

    more = [lesson for how in HOWS if how for lesson in held_out(questions // 4, seed, how=how, **given)]
    return ChatRows("lessons", read, tokens, length=length, valid=valid, seed=seed, questions=[*asked, *more])
