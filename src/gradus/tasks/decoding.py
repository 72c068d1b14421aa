"""How a model that tells the next token writes a text: greedily, by beam search, or by drawing at random.

All of it needs of a model only ``advance``: (tokens, state) → (logits, state), with a state of tensors whose first
axis is the batch. What is written to one row never depends on the rows beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from gradus.data.order import keyed_uniform
from gradus.data.tokens import BOS, EOS, PAD, UNK
from gradus.errors import UserError

State = tuple[Tensor, ...]
Advance = Callable[[Tensor, State], tuple[Tensor, State]]
NEVER = (PAD, UNK, BOS)  # tokens that no text is written with


@dataclass(frozen=True)
class Decoding:
    """How to write: a beam above 1 searches, a temperature above 0 draws, neither takes the likeliest token each time.

    Args:
        beam: how many beginnings of a text are followed side by side.
        length_penalty: of texts by their log-probability over length to this power, the best is taken; 0 favours
            short ones.
        temperature: what the logits are divided by; below 1 likely tokens become likelier.
        top_k: draw only among the so many likeliest tokens.
        top_p: draw only among the likeliest tokens that together have this probability (Holtzman et al. 2019).
        max_tokens: the longest text, its end included; then it is cut off.
        seed: of the draws; with the same one a text comes out the same.
    """

    beam: int = 1
    length_penalty: float = 0.7
    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    max_tokens: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        for name, lowest in (("beam", 1), ("top_k", 1), ("max_tokens", 1), ("length_penalty", 0), ("temperature", 0)):
            value = getattr(self, name)
            if value is not None and not lowest <= value < math.inf:
                raise UserError(f"decoding: {name}={value}, but it must be a number of at least {lowest}.")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UserError(f"decoding: top_p={self.top_p}, but it is a probability: above 0 and at most 1.")
        if self.beam > 1 and self.temperature > 0:
            raise UserError(
                f"decoding: a beam of {self.beam} looks for the likeliest text, a temperature of {self.temperature} "
                "draws one at random; choose: beam=1, or temperature=0."
            )


@dataclass(frozen=True)
class Written:
    """A text that was written.

    ``tokens`` are without the end; ``ended`` is False where it was cut off; ``log_probability`` counts the end too, and
    ``score`` is that over length ** length_penalty.
    """

    tokens: list[int]
    score: float
    log_probability: float
    ended: bool


@torch.no_grad()
def write(
    advance: Advance,
    state: State,
    first: Tensor,
    decoding: Decoding,
    *,
    end: int = EOS,
    forbidden: tuple[int, ...] = NEVER,
    number: int = 0,
) -> list[Written]:
    """Write on from a state, the way that ``decoding`` says; one text a row.

    Args:
        first: the token that each row begins with or has come to, (batch,); it isn't a part of what is written.
        end: the token that ends a text.
        forbidden: tokens that are never written; the others share their probability.
        number: of the first row, by which its draws are keyed; rows written apart differ as rows side by side do.
    """
    if decoding.beam > 1:
        return beam_search(advance, state, first, decoding, end, forbidden)
    if decoding.temperature > 0:
        return sample(advance, state, first, decoding, end, forbidden, number)
    return greedy(advance, state, first, decoding, end, forbidden)


def write_answers(model: Any, sources: Tensor, decoding: Decoding) -> list[Written]:
    """What an encoder–decoder answers to sources, (batch, time) of ids."""
    first = torch.full_like(sources[:, 0], BOS)
    with torch.no_grad():
        state = model.begin(sources)
    return write(model.advance, state, first, _that_fits(model, decoding, 0))


def write_on(model: Any, ids: Tensor, decoding: Decoding, number: int = 0) -> list[Written]:
    """How a language model goes on with beginnings, (batch, time) of ids, all of one length and at least one token."""
    with torch.no_grad():
        state = model.begin(len(ids))
        if ids.shape[1] > 1:
            _, state = model.read(ids[:, :-1], state)
    return write(model.advance, state, ids[:, -1], _that_fits(model, decoding, ids.shape[1] - 1), number=number)


def greedy(
    advance: Advance, state: State, first: Tensor, decoding: Decoding, end: int, forbidden: tuple[int, ...] = ()
) -> list[Written]:
    """Write the likeliest token each time."""
    return _one_by_one(advance, state, first, decoding, end, forbidden, lambda logs, rows, step: logs.argmax(1))


def sample(
    advance: Advance,
    state: State,
    first: Tensor,
    decoding: Decoding,
    end: int,
    forbidden: tuple[int, ...] = (),
    number: int = 0,
) -> list[Written]:
    """Draw each token from ``chances``, with a random number that is a function of (seed, step, number of the row)."""

    def draw(logs: Tensor, rows: Tensor, step: int) -> Tensor:
        sums = chances(logs, decoding).cumsum(1)
        point = keyed_uniform(rows + number, 1, decoding.seed, step) * sums[:, -1:]
        return torch.searchsorted(sums, point, right=True).squeeze(1).clamp(max=logs.shape[1] - 1)

    return _one_by_one(advance, state, first, decoding, end, forbidden, draw)


def chances(logs: Tensor, decoding: Decoding) -> Tensor:
    """The probabilities to draw from: logits over the temperature, then the top_k, then the top_p of what is left.

    Shapes: logits or log-probabilities (batch, tokens) → (batch, tokens), whose rows sum to 1.
    """
    whole = torch.softmax(logs.double() / decoding.temperature, dim=1)
    if decoding.top_k is None and decoding.top_p is None:
        return whole
    likeliest, order = whole.sort(dim=1, descending=True, stable=True)
    if decoding.top_k is not None:
        likeliest[:, decoding.top_k :] = 0
    if decoding.top_p is not None:
        likeliest /= likeliest.sum(1, keepdim=True)
        before = likeliest.cumsum(1) - likeliest
        likeliest[before >= decoding.top_p] = 0
    return torch.zeros_like(whole).scatter(1, order, likeliest / likeliest.sum(1, keepdim=True))


def beam_search(
    advance: Advance, state: State, first: Tensor, decoding: Decoding, end: int, forbidden: tuple[int, ...] = ()
) -> list[Written]:
    """Follow the ``beam`` likeliest beginnings of each text side by side, and take the best text that came to an end.

    At each step the likeliest continuations of all beginnings are kept. One that ends leaves the beam, which goes on
    with one beginning less, and is kept if its score is the best so far: nothing that is still being written can push
    it out. A row is done when no beginning is left, or when the likeliest, were it to grow to ``max_tokens`` at no
    further loss, would not score better than the best that ended; so stopping early changes no result. Only where
    nothing ended is the best of those that were cut off taken.
    """
    best: dict[int, Written] = {}
    rows = torch.arange(len(first), device=first.device)  # those that are not done
    left = torch.full_like(rows, decoding.beam)  # beginnings to follow, of each row
    tokens, written = first, first.new_empty(len(first), 1, 0)
    logs = torch.zeros(len(first), 1, device=first.device)  # log-probability of each beginning, falling
    record = torch.full_like(logs[:, 0], -math.inf)  # the best score of a row so far
    for step in range(1, decoding.max_tokens + 1):
        logits, state = advance(tokens, state)
        logs, parents, tokens = _continued(logs, _log_softmax(logits, forbidden), decoding.beam)
        written = torch.cat([written.gather(1, parents[..., None].expand(-1, -1, step - 1)), tokens[..., None]], dim=2)

        followed = torch.arange(logs.shape[1], device=logs.device) < left[:, None]
        ended = followed & (tokens == end)
        length = step**decoding.length_penalty
        score, place = torch.where(ended, logs / length, -math.inf).max(1)
        better = (score > record).nonzero().flatten()
        best |= _texts(rows, written, logs, place, length, better, ended=True)
        record = torch.maximum(record, score)

        left = left - ended.sum(1)
        logs = torch.where(followed & ~ended, logs, -math.inf)
        if step == decoding.max_tokens:
            none_ended = torch.isneginf(record).nonzero().flatten()
            best |= _texts(rows, written, logs, logs.argmax(1), length, none_ended, ended=False)
            break
        on = (logs.amax(1) / decoding.max_tokens**decoding.length_penalty > record).nonzero().flatten()
        if not len(on):
            break
        width = logits.shape[0] // len(rows)  # beginnings a row that this step began with
        origins = (on[:, None] * width + parents[on]).flatten()
        state = tuple(t[origins] for t in state)
        rows, left, record, logs, written, tokens = (t[on] for t in (rows, left, record, logs, written, tokens))
        tokens = tokens.flatten()
    nothing = Written([], math.nan, math.nan, ended=False)  # of a model that says NaN
    return [best.get(row, nothing) for row in range(len(first))]


def _continued(logs: Tensor, next_logs: Tensor, beam: int) -> tuple[Tensor, Tensor, Tensor]:
    """The likeliest continuations of each row's beginnings, likeliest first.

    Shapes: (rows, width) and (rows · width, vocabulary) → log-probabilities, parents and tokens, each (rows, kept).
    """
    vocabulary = next_logs.shape[1]
    total = (logs[..., None] + next_logs.unflatten(0, logs.shape)).flatten(1)
    kept, places = total.topk(min(beam, total.shape[1]))
    return kept, places // vocabulary, places % vocabulary


def _texts(
    rows: Tensor, written: Tensor, logs: Tensor, place: Tensor, length: float, which: Tensor, ended: bool
) -> dict[int, Written]:
    """The texts at some places of some rows, by the rows' numbers."""
    if not len(which):
        return {}
    texts = written[which, place[which]].tolist()
    found = zip(rows[which].tolist(), texts, logs[which, place[which]].tolist(), strict=True)
    return {row: Written(text[:-1] if ended else text, log / length, log, ended) for row, text, log in found}


def _one_by_one(
    advance: Advance,
    state: State,
    first: Tensor,
    decoding: Decoding,
    end: int,
    forbidden: tuple[int, ...],
    choose: Callable[[Tensor, Tensor, int], Tensor],
) -> list[Written]:
    """Follow one text a row; ``choose(log-probabilities, numbers of the rows, step)`` gives the tokens, (batch,)."""
    texts: list[list[int]] = [[] for _ in first]
    sums = [0.0] * len(first)
    rows, tokens = list(range(len(first))), first
    ended: set[int] = set()
    for step in range(decoding.max_tokens):
        logits, state = advance(tokens, state)
        logs = _log_softmax(logits, forbidden)
        tokens = choose(logs, torch.tensor(rows, device=first.device), step)
        chosen = tokens.tolist()
        for row, token, log in zip(rows, chosen, logs.gather(1, tokens[:, None]).squeeze(1).tolist(), strict=True):
            texts[row].append(token)
            sums[row] += log
        going = [place for place, token in enumerate(chosen) if token != end]
        if len(going) < len(rows):
            ended |= {row for row, token in zip(rows, chosen, strict=True) if token == end}
            if not going:
                break
            kept = torch.tensor(going, device=first.device)
            rows, tokens, state = [rows[p] for p in going], tokens[kept], tuple(t[kept] for t in state)
    out = []
    for row, (text, log) in enumerate(zip(texts, sums, strict=True)):
        score = log / len(text) ** decoding.length_penalty
        out.append(Written(text[:-1] if row in ended else text, score, log, row in ended))
    return out


def _log_softmax(logits: Tensor, forbidden: tuple[int, ...]) -> Tensor:
    """Log-probabilities of the next token in fp32 or better; the forbidden have none, the others share it."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    barred = torch.tensor(forbidden, dtype=torch.int64, device=logits.device)
    return torch.log_softmax(logits.index_fill(1, barred, -math.inf), dim=1)


def _that_fits(model: Any, decoding: Decoding, before: int) -> Decoding:
    """The decoding, shortened to the places that a model has after so many tokens."""
    places = getattr(model, "max_length", None)
    if places is None:
        return decoding
    if before >= places:
        raise UserError(
            f"a beginning of {before + 1} tokens, but the model has places for {places}; give a shorter one."
        )
    return replace(decoding, max_tokens=min(decoding.max_tokens, places - before))
