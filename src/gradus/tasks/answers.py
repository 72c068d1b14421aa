"""The objective of learning to answer: the next token of the answers only; and how questions with known answers went.

``Answers`` is for conversations of a person's own, judged by perplexity. ``Lessons`` is for the built-in ones: in the
end the model is asked questions that it never saw, and what it writes is right or wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.data.chat import Message, encode_chat
from gradus.data.chats import ChatRows
from gradus.data.dataset import Batch, Dataset
from gradus.data.encoder import Encoder
from gradus.data.lessons import HOWS, Lesson, score
from gradus.data.tokens import IGNORE, Tokens
from gradus.models import GPT
from gradus.tasks.chunked import LARGE, chunked_cross_entropy
from gradus.tasks.decoding import Decoding, State, Written, write
from gradus.tasks.task import Prediction
from gradus.tasks.tokens import TokenTask

ANSWER_TOKENS = 160  # that an answer to a question of the test may have
ASKED_AT_ONCE = 64


@dataclass(frozen=True)
class Answers(TokenTask):
    """The next token of what an assistant says; all else counts for nothing."""

    name: ClassVar[str] = "answers"

    @classmethod
    def of(cls, reply: Tokens, *, num_tokens: int | None = None, **options: Any) -> Self:
        """The task of answering in a vocabulary; ``num_tokens`` where the model has room for more than it."""
        return cls(num_tokens or reply.size, **options)

    def loss_of(self, model: nn.Module, batch: Batch) -> Tensor:
        """As of all tasks; the output layer is asked only where something is learnt: at a third of the places, say."""
        watched = model._forward_hooks or model._forward_pre_hooks  # by who wants to see all logits
        if not isinstance(model, GPT) or watched or batch.count is None or self.label_smoothing:
            return super().loss_of(model, batch)
        targets = batch.targets.flatten()
        places = torch.nonzero_static(targets != IGNORE, size=batch.count).squeeze(1)  # a GPU isn't asked how many
        features = model.features(*batch.all_inputs).flatten(0, 1).index_select(0, places)
        targets = targets.index_select(0, places)
        if len(targets) * self.num_tokens >= LARGE:
            return chunked_cross_entropy(features, model.head.weight, targets, IGNORE)
        return F.cross_entropy(model.head(features), targets, reduction="sum")

    @property
    def usual(self) -> Decoding:
        return Decoding(max_tokens=ANSWER_TOKENS)

    def write(self, model: nn.Module, inputs: Tensor, encoder: Encoder, decoding: Decoding) -> list[Prediction]:
        """What the model answers to texts, (rows, time) of ids, each put to it as a person's message."""
        column = encoder.columns[0]
        assert isinstance(column, Tokens)
        texts = [column.decode(i for i in row.tolist() if i != column.pad_id) for row in inputs]
        asked = [[{"role": "user", "content": text}] for text in texts]
        found = answered(model, column, asked, decoding)
        return [{"text": said, "score": one.score} for said, one in found]


@dataclass(frozen=True)
class Lessons(Answers):
    """The same, judged by how many questions of the test are answered rightly, kind by kind."""

    name: ClassVar[str] = "lessons"
    primary: ClassVar[str] = "answers_right"
    higher_is_better: ClassVar[bool] = True

    def written(self, model: nn.Module, data: Dataset, rows: np.ndarray) -> dict[str, float]:
        """The share of right answers to each kind of question and way of asking, and ``answers_right``, the mean over
        the kinds."""
        if not isinstance(data, ChatRows) or not data.questions:
            return {}
        found = answered(model, data.tokens, [lesson.question for lesson in data.questions], self.usual)
        return right_by_kind(data.questions, [said for said, _ in found])


def right_by_kind(questions: Sequence[Lesson], said: Sequence[str]) -> dict[str, float]:
    """The share of right answers by kind, their mean as ``answers_right``, and those by ways of asking."""
    marks: dict[str, list[bool]] = {}
    for lesson, answer in zip(questions, said, strict=True):
        marks.setdefault(lesson.group, []).append(score(answer, lesson.expected))
    shares = {kind: sum(found) / len(found) for kind, found in marks.items()}
    kinds = [share for kind, share in shares.items() if kind not in HOWS]
    return {"answers_right": sum(kinds) / len(kinds) if kinds else math.nan, **shares}


@torch.no_grad()
def answered(
    model: Any, tokens: Tokens, asked: Sequence[Sequence[Message]], decoding: Decoding
) -> list[tuple[str, Written]]:
    """What a language model answers to conversations that end with a question, in their order.

    Those of equal length are answered side by side; none has a say in another's answer.
    """
    device = next(model.parameters()).device
    prompts = [encode_chat(tokens, messages, answer=True)[0] for messages in asked]
    prompts = [ids[-(model.max_length - 1) :] for ids in prompts]  # of a long one the end
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    found: dict[int, tuple[str, Written]] = {}
    while order:
        size = len(prompts[order[0]])
        some = [i for i in order[:ASKED_AT_ONCE] if len(prompts[i]) == size]
        ids = torch.tensor([prompts[i] for i in some], device=device)
        for place, one in zip(some, _written(model, tokens, ids, decoding), strict=True):
            found[place] = tokens.decode(one.tokens), one
        order = order[len(some) :]
    return [found[i] for i in range(len(prompts))]


def _written(model: Any, tokens: Tokens, ids: Tensor, decoding: Decoding) -> list[Written]:
    """Answers to prompts of one length, (rows, time)."""
    state = model.begin(len(ids))
    if ids.shape[1] > 1:
        _, state = model.read(ids[:, :-1], state)
    end, others = tokens.stop_ids[0], list(tokens.stop_ids[1:])

    def advance(last: Tensor, state: State) -> tuple[Tensor, State]:
        """Whichever token ends an answer, it is taken for the first of them."""
        logits, state = model.advance(last, state)
        if others:
            logits[:, end] = logits[:, list(tokens.stop_ids)].logsumexp(1)
        return logits, state

    most = max(1, min(decoding.max_tokens, model.max_length - ids.shape[1] + 1))
    barred = (*_no_text(tokens, model.num_tokens), *others)
    return write(advance, state, ids[:, -1], replace(decoding, max_tokens=most), end=end, forbidden=barred)


def _no_text(tokens: Tokens, size: int) -> tuple[int, ...]:
    """Tokens that are no part of any text, such as padding and the marks of roles; those that end an answer apart."""
    none = np.ones(size, dtype=bool)
    none[: tokens.size] = tokens.byte_length[:size] == 0
    none[list(tokens.stop_ids)] = False
    return tuple(np.flatnonzero(none).tolist())
