"""Objectives over tokens: a label of each, the next one, another text. Padding never counts, in loss or metrics.

Of a batch only sums a row are kept (negative log-likelihood, right tokens, characters), so that a split's outputs,
which would be rows × steps × vocabulary, need never be held at once.
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

from gradus.data.dataset import Batch, Dataset
from gradus.data.encoder import Encoder
from gradus.data.sequences import TextPairs
from gradus.data.tokens import BOS, EOS, IGNORE, PAD, UNK, Tokens
from gradus.errors import UserError
from gradus.models import GPT
from gradus.tasks.chunked import LARGE, chunked_cross_entropy
from gradus.tasks.decoding import Decoding, write_answers, write_on
from gradus.tasks.task import Prediction, Task

WRITE_ROWS = 128  # texts that are written side by side
MAX_REFERENCE_ROWS = 3_000  # of a split that are written for a metric: the first of them


@dataclass(frozen=True)
class TokenTask(Task):
    """What the three have in common: cross-entropy over the tokens that count.

    Args:
        num_tokens: the size of the vocabulary that is answered in.
        label_smoothing: the share of each target spread over the whole vocabulary, in training only.
    """

    higher_is_better: ClassVar[bool] = False
    primary: ClassVar[str] = "perplexity"
    writes: ClassVar[bool] = True
    num_tokens: int
    label_smoothing: float = 0.0

    @classmethod
    def of(cls, reply: Tokens, **options: Any) -> Self:
        """The task of answering in a vocabulary."""
        return cls(reply.size, **options)

    @property
    def num_outputs(self) -> int:
        return self.num_tokens

    def loss_sum(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(
            outputs.flatten(0, -2),
            targets.flatten(),
            ignore_index=IGNORE,
            reduction="sum",
            label_smoothing=self.label_smoothing,
        )

    def loss_of(self, model: nn.Module, batch: Batch) -> Tensor:
        watched = model._forward_hooks or model._forward_pre_hooks  # by who wants to see the logits
        large = batch.targets.numel() * self.num_tokens >= LARGE
        if not isinstance(model, GPT) or watched or not large or self.label_smoothing:
            return super().loss_of(model, batch)
        features = model.features(*batch.all_inputs)
        return chunked_cross_entropy(features.flatten(0, 1), model.head.weight, batch.targets.flatten(), IGNORE)

    def num_targets(self, targets: Tensor) -> int:
        return int((targets != IGNORE).sum())

    def keep(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Sums a row: of negative log-likelihood, right tokens, characters and bytes (batch, 4); of tokens (batch,)."""
        counts = targets != IGNORE
        flat = targets.flatten()
        losses = F.cross_entropy(outputs.flatten(0, -2), flat, ignore_index=IGNORE, reduction="none").view_as(targets)
        right = (outputs.argmax(-1) == targets) & counts
        sizes = [size * counts for size in self.sizes(targets.clamp(min=0))]
        sums = torch.stack([part.double().sum(1) for part in (losses, right, *sizes)], dim=1)
        return sums, counts.sum(1)

    def scores(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        loss = float(outputs[:, 0].sum()) / max(int(targets.sum()), 1)
        return {"loss": loss, **self.metrics(outputs, targets)}

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        nats, right, *_ = outputs.sum(0).tolist()
        tokens = max(int(targets.sum()), 1)
        return {"perplexity": perplexity(nats / tokens), "accuracy": right / tokens}

    def check(self, outputs: Tensor, targets: Tensor) -> None:
        wanted = (*targets.shape, self.num_tokens)
        if tuple(outputs.shape) != wanted:
            raise UserError(
                f"the model's output has shape {tuple(outputs.shape)}, but {self.name} on this batch needs {wanted}: "
                f"(batch, steps, tokens). End the model with {self.num_tokens} outputs a step."
            )

    def decode(self, outputs: Tensor) -> list[Prediction]:
        """The likeliest token of each step, as ids."""
        return [{"tokens": row} for row in outputs.argmax(-1).tolist()]

    def constant(self, targets: Tensor) -> tuple[str, Tensor]:
        """The unigram model: each token as often as it occurs among the training targets, each once more (Laplace)."""
        counts = torch.bincount(targets[targets != IGNORE].flatten(), minlength=self.num_tokens).double() + 1
        return "unigram model", (counts / counts.sum()).log().float()

    def sizes(self, targets: Tensor) -> tuple[Tensor, Tensor]:
        """How many characters and bytes of text each target stands for."""
        return torch.ones_like(targets), torch.ones_like(targets)


@dataclass(frozen=True)
class Tagging(TokenTask):
    """A label of each token."""

    name: ClassVar[str] = "tagging"
    primary: ClassVar[str] = "accuracy"
    higher_is_better: ClassVar[bool] = True

    def decoding(self, **options: Any) -> Decoding:
        if options:
            raise UserError(f"{', '.join(options)}: for a model that writes, and this one labels what it is given.")
        return self.usual

    def write(self, model: nn.Module, inputs: Tensor, encoder: Encoder, decoding: Decoding) -> list[Prediction]:
        assert encoder.reply is not None
        outputs = model(inputs).float()
        outputs[..., : EOS + 1] = -torch.inf  # a label is never a special token
        best = torch.softmax(outputs, dim=-1).max(-1)
        out = []
        for row, ids, chances in zip(inputs, best.indices.tolist(), best.values.tolist(), strict=True):
            size = int((row != PAD).sum())
            text = encoder.reply.decode(ids[:size])
            out.append({"text": text, "labels": encoder.reply.spoken(ids[:size]), "probabilities": chances[:size]})
        return out


@dataclass(frozen=True)
class NextToken(TokenTask):
    """The next token of a text: perplexity a token and, whatever the tokens are, bits a character and a byte (UTF-8).

    The end of a text counts as one character, that of a line's end.

    Args:
        characters, bytes: how many of each every token stands for; empty where each is one.
    """

    name: ClassVar[str] = "next token"
    primary: ClassVar[str] = "bits_per_char"
    characters: tuple[int, ...] = ()
    bytes: tuple[int, ...] = ()

    @classmethod
    def of(cls, reply: Tokens, **options: Any) -> Self:
        characters = () if reply.tokenizer == "characters" else tuple(reply.characters.tolist())
        sizes = reply.byte_length.copy()
        sizes[reply.eos_id] = 1
        return cls(reply.size, characters=characters, bytes=tuple(sizes.tolist()), **options)

    @property
    def usual(self) -> Decoding:
        return Decoding(temperature=0.8, top_p=0.95, max_tokens=200)

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        nats, _, characters, size = outputs.sum(0).tolist()
        bits = nats / math.log(2)
        in_units = {"bits_per_char": bits / max(characters, 1), "bits_per_byte": bits / max(size, 1)}
        return {**super().metrics(outputs, targets), **in_units}

    def sizes(self, targets: Tensor) -> tuple[Tensor, Tensor]:
        ones = torch.ones_like(targets)
        tables = [
            torch.tensor(table, device=targets.device) if table else None for table in (self.characters, self.bytes)
        ]
        characters, size = (ones if table is None else table[targets] for table in tables)
        return characters, size

    def write(self, model: nn.Module, inputs: Tensor, encoder: Encoder, decoding: Decoding) -> list[Prediction]:
        """What the model makes of the beginnings of texts, (rows, time) of ids."""
        column = encoder.columns[0]
        assert isinstance(column, Tokens)
        out = []
        for number, row in enumerate(inputs):
            ids = row[row != PAD]
            if int(ids[-1]) == EOS and len(ids) > 1:  # a beginning doesn't end, but the end of a text may be one
                ids = ids[:-1]
            if ids.tolist() == [UNK]:  # nothing that is known: as after the end of another text
                ids = torch.full_like(ids, EOS)
            found = write_on(model, ids[None], decoding, number)[0]
            begun = column.decode(ids.tolist())
            out.append({"text": column.decode([*ids.tolist(), *found.tokens]), "begun": begun, "score": found.score})
        return out


@dataclass(frozen=True)
class SequenceToSequence(TokenTask):
    """Another text of each text: cross-entropy of its tokens in training, BLEU and chrF of what is written."""

    name: ClassVar[str] = "sequence to sequence"
    primary: ClassVar[str] = "bleu"
    higher_is_better: ClassVar[bool] = True

    @property
    def usual(self) -> Decoding:
        return Decoding(beam=5, length_penalty=0.7, max_tokens=100)

    def write(self, model: nn.Module, inputs: Tensor, encoder: Encoder, decoding: Decoding) -> list[Prediction]:
        """What the model answers to sources (rows, time) of ids, with the attention paid to them."""
        reply, column = encoder.reply, encoder.columns[0]
        assert reply is not None
        assert isinstance(column, Tokens)
        out = []
        for row, found in zip(inputs, write_answers(model, inputs, decoding), strict=True):
            source = row[row != PAD]
            answer = {"text": reply.decode(found.tokens), "score": found.score}
            attention = getattr(model, "attention", None)
            if attention is not None:
                said = torch.tensor([[BOS, *found.tokens]], device=inputs.device)
                weights = attention(source[None], said)[0]
                answer["source_tokens"] = column.spoken(source.tolist())
                answer["tokens"] = [*reply.spoken(found.tokens), "<eos>" if found.ended else "…"]
                answer["attention"] = weights.float().cpu().tolist()
            out.append(answer)
        return out

    def written(self, model: nn.Module, data: Dataset, rows: np.ndarray) -> dict[str, float]:
        """BLEU and chrF (sacrebleu's defaults) of what the model writes to the first ``MAX_REFERENCE_ROWS`` rows."""
        if not isinstance(data, TextPairs):
            return {}
        rows = rows[:MAX_REFERENCE_ROWS]
        texts = self.translate(model, data, rows)
        return corpus_scores(texts, [str(t) for t in data.raw[data.reply.name][rows]])

    def translate(self, model: nn.Module, data: TextPairs, rows: np.ndarray) -> list[str]:
        """What the model writes to some rows of a dataset, in their order; sources of like length side by side."""
        order = np.argsort(data.source.lengths[rows], kind="stable")
        device = next(model.parameters()).device
        out = [""] * len(rows)
        for begin in range(0, len(rows), WRITE_ROWS):
            some = order[begin : begin + WRITE_ROWS]
            sources = data.source.padded(rows[some]).to(device)
            most = min(self.usual.max_tokens, 2 * sources.shape[1] + 10)  # a model that has learnt little never ends
            found = write_answers(model, sources, replace(self.usual, max_tokens=most))
            for place, one in zip(some.tolist(), found, strict=True):
                out[place] = data.reply.decode(one.tokens)
        return out


def perplexity(loss: float) -> float:
    """e to the loss in nats a token; infinite rather than an error where that is too much."""
    return math.exp(loss) if loss < 700 else math.inf if loss == loss else math.nan


def corpus_scores(written: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """BLEU and chrF of a corpus by sacrebleu with its default settings, one reference a text."""
    import sacrebleu

    return {
        "bleu": float(sacrebleu.corpus_bleu(list(written), [list(references)]).score),
        "chrf": float(sacrebleu.corpus_chrf(list(written), [list(references)]).score),
    }
