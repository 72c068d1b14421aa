"""How the next token is chosen from the logits: penalties, temperature, top-k, top-p, min-p; for many texts at once.

Each draw is a function of (seed, step) of its own text, so that a text is the same whatever is written beside it.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gradus.data.order import mix
from gradus.errors import UserError

LIKELIEST = 256  # tokens that are sorted first; nearly always top-k and top-p are found among them
ABOVE_0 = math.ulp(0.0)  # as the lowest number that is allowed
OPTIONAL = ("top_k", "top_p", "min_p", "max_tokens", "logprobs")
NOT_FINITE = -1  # in the place of a token: the model's logits were NaN or infinite


@dataclass(frozen=True)
class Sampling:
    """How to write an answer. A temperature of 0 takes the likeliest token each time.

    Args:
        temperature: what the logits are divided by; below 1 likely tokens become likelier.
        top_k: draw only among the so many likeliest tokens, and those as likely as the last of them.
        top_p: draw only among the likeliest tokens that together have this probability (Holtzman et al. 2019).
        min_p: draw only among tokens at least this many times as likely as the likeliest (Nguyen et al. 2024).
        repetition_penalty: of tokens in the prompt or the answer so far: positive logits are divided by it, negative
            ones multiplied (Keskar et al. 2019); 1 changes nothing, 0.01 to 100 are allowed.
        presence_penalty: taken from the logits of tokens that the answer has already.
        frequency_penalty: taken from the logits of tokens as often as the answer has them.
        max_tokens: the longest answer; None: as long as the model has places.
        stop: the answer ends before any of these.
        seed: of the draws; with the same one an answer comes out the same. None: another each time.
        logprobs: so many alternatives to each token are told with their log-probabilities; None: nothing of it.
        logit_bias: what is added to the logits of some tokens.
    """

    temperature: float = 0.7
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    logprobs: int | None = None
    logit_bias: dict[int, float] | None = None

    def __post_init__(self) -> None:
        for name, lowest, highest in (
            ("temperature", 0, math.inf),
            ("top_k", 1, math.inf),
            ("top_p", ABOVE_0, 1),
            ("min_p", 0, 1),
            ("repetition_penalty", 0.01, 100),
            ("presence_penalty", -math.inf, math.inf),
            ("frequency_penalty", -math.inf, math.inf),
            ("max_tokens", 1, math.inf),
            ("logprobs", 0, 20),
        ):
            if getattr(self, name) is not None or name not in OPTIONAL:
                _check(name, getattr(self, name), lowest, highest)
        for name in ("top_k", "max_tokens", "seed", "logprobs"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
                raise UserError(f"{name}={value!r}, but it must be a whole number.")
        if isinstance(self.stop, str) or not all(isinstance(s, str) and s for s in self.stop):
            raise UserError(f"stop={self.stop!r}, but it must be a tuple of texts, none of them empty.")
        for token, bias in (self.logit_bias or {}).items():
            if isinstance(token, bool) or not isinstance(token, int):
                raise UserError(f"logit_bias: {token!r} is not the number of a token.")
            _check(f"logit_bias of token {token}", bias, -math.inf, math.inf)


@dataclass(frozen=True)
class TokenLogprob:
    """The log-probability of a token in the model's own distribution, and its likeliest alternatives, best first."""

    token: int
    logprob: float
    top: list[tuple[int, float]] = field(default_factory=list)


class Chooser:
    """What a text's next token depends on beside the logits: its sampling, its seed, and what it has so far.

    Args:
        prompt: the tokens that it begins with.
        size: of the vocabulary.

    Raises:
        UserError: for a bias of a token that there isn't.
    """

    def __init__(self, sampling: Sampling, prompt: Sequence[int], size: int, device: torch.device) -> None:
        self.sampling, self.step = sampling, 0
        self.seed = secrets.randbits(63) if sampling.seed is None else sampling.seed
        bias = sampling.logit_bias or {}
        unknown = [token for token in bias if not 0 <= token < size]
        if unknown:
            raise UserError(f"logit_bias: no token {unknown[0]}: the vocabulary has 0 to {size - 1}.")
        self.bias = torch.zeros(size, device=device) if bias else None
        if self.bias is not None:
            self.bias[list(bias)] = torch.tensor(list(bias.values()), dtype=torch.float32, device=device)
        self.counts: Tensor | None = None  # of each token in the answer, (size,)
        if sampling.presence_penalty or sampling.frequency_penalty or sampling.repetition_penalty != 1:
            self.counts = torch.zeros(size, device=device)
            self.seen = torch.zeros(size, dtype=torch.bool, device=device)
            self.seen[list(prompt)] = True

    def enter(self, token: int) -> None:
        """The answer goes on with a token."""
        self.step += 1
        if self.counts is not None:
            self.counts[token] += 1
            self.seen[token] = True

    @property
    def adjusts(self) -> bool:
        return self.bias is not None or self.counts is not None

    def adjust(self, logits: Tensor) -> None:
        """Apply bias and penalties to logits, (size,), in place."""
        if self.bias is not None:
            logits += self.bias
        if self.counts is not None:
            given, by = self.sampling, self.sampling.repetition_penalty
            if by != 1:
                logits.copy_(torch.where(self.seen, torch.where(logits > 0, logits / by, logits * by), logits))
            logits -= given.frequency_penalty * self.counts + given.presence_penalty * (self.counts > 0)


def choose(logits: Tensor, choosers: Sequence[Chooser], barred: Tensor) -> tuple[list[int], list[TokenLogprob | None]]:
    """The next token of each text, ``NOT_FINITE`` where it can't be told; and its log-probability where one is wanted.

    Args:
        logits: (texts, size).
        barred: −∞ for tokens that are never written and 0 for the others, (size,).
    """
    logits = logits.float()
    adjusted = logits + barred
    for row, chooser in zip(adjusted, choosers, strict=True):
        if chooser.adjusts:
            chooser.adjust(row)
    chosen = adjusted.argmax(1, keepdim=True)
    best = adjusted.gather(1, chosen)
    if any(chooser.sampling.temperature > 0 for chooser in choosers):
        chosen = _drawn(adjusted, chosen, choosers)
    tokens = torch.where(best.isfinite(), chosen, NOT_FINITE).flatten().tolist()
    return tokens, _logprobs(logits, tokens, choosers)


def uniform(seed: int, step: int) -> float:
    """A number in [0, 1), a function of (seed, step): what ``keyed_uniform`` gives sample 0, without its tensors."""
    key = mix(seed, step)
    return (_murmur((_murmur(key & 0xFFFFFFFF) + (key >> 32)) & 0xFFFFFFFF) >> 8) / (1 << 24)


def _drawn(adjusted: Tensor, likeliest: Tensor, choosers: Sequence[Chooser]) -> Tensor:
    """A token of each row, (rows, 1): drawn, or the likeliest where the temperature is 0."""
    size = adjusted.shape[1]
    numbers = [
        (
            c.sampling.temperature or 1.0,
            uniform(c.seed, c.step),
            c.sampling.min_p or 0.0,
            min(c.sampling.top_k or size, size),
            c.sampling.top_p or 1.0,
        )
        for c in choosers
    ]
    table = torch.tensor(numbers, dtype=torch.float64).to(adjusted.device)
    temperature, point, min_p, top_k, top_p = table.split(1, dim=1)
    below = adjusted.double() - adjusted.amax(1, keepdim=True)  # the likeliest is 0, also over the least temperature
    chances = torch.softmax(below / temperature, dim=1)
    if any(k < size or p < 1 for _, _, _, k, p in numbers):
        chances = torch.where(chances >= _least(chances, top_k, top_p), chances, 0)
    if any(p > 0 for _, _, p, _, _ in numbers):
        chances = torch.where(chances >= min_p * chances.amax(1, keepdim=True), chances, 0)
    sums = chances.cumsum(1)
    drawn = torch.searchsorted(sums, point * sums[:, -1:], right=True).clamp(max=size - 1)
    greedy = [c.sampling.temperature == 0 for c in choosers]
    if any(greedy):
        drawn = torch.where(torch.tensor(greedy, device=drawn.device)[:, None], likeliest, drawn)
    return drawn


def _least(chances: Tensor, top_k: Tensor, top_p: Tensor) -> Tensor:
    """The smallest probability that top-k, and then top-p of what it leaves, keep; (rows, 1) as all but the first."""
    size = chances.shape[1]
    free = (top_k == size) & (top_p == 1)
    for width in (min(LIKELIEST, size), size):
        kept = chances.topk(width).values
        kept[torch.arange(width, device=kept.device) >= top_k] = 0
        sums = kept.cumsum(1)
        whole = torch.where(top_k <= width, sums[:, -1:], 1.0)
        last = ((sums - kept < top_p * whole) & (kept > 0)).sum(1, keepdim=True) - 1
        told = (top_k <= width) | ((top_k == size) & (last < width - 1)) | free
        if width == size or bool(told.all()):
            break
    return torch.where(free, 0, kept.gather(1, last.clamp(min=0)))


def _logprobs(logits: Tensor, tokens: list[int], choosers: Sequence[Chooser]) -> list[TokenLogprob | None]:
    """What is told of each row's token, in the distribution of the logits as the model gave them."""
    asked = [row for row, c in enumerate(choosers) if c.sampling.logprobs is not None and tokens[row] >= 0]
    out: list[TokenLogprob | None] = [None] * len(choosers)
    if not asked:
        return out
    logs = torch.log_softmax(logits[asked], dim=1)
    own = logs.gather(1, torch.tensor([[tokens[row]] for row in asked], device=logs.device)).flatten().tolist()
    most = min(max(choosers[row].sampling.logprobs or 0 for row in asked), logs.shape[1])
    values, ids = (t.tolist() for t in logs.topk(most))
    for place, row in enumerate(asked):
        count = choosers[row].sampling.logprobs or 0
        top = list(zip(ids[place][:count], values[place][:count], strict=True))
        out[row] = TokenLogprob(tokens[row], own[place], top)
    return out


def _check(name: str, value: object, lowest: float, highest: float) -> None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not good or not lowest <= value <= highest:  # type: ignore[operator]
        least = {-math.inf: "", ABOVE_0: " above 0"}.get(lowest, f" of at least {lowest}")
        most = "" if highest == math.inf else f" and at most {highest}"
        raise UserError(f"{name}={value!r}, but it must be a number{least}{most}.")


def _murmur(x: int) -> int:
    x = ((x ^ (x >> 16)) * 0x85EBCA6B) & 0xFFFFFFFF
    x = ((x ^ (x >> 13)) * 0xC2B2AE35) & 0xFFFFFFFF
    return x ^ (x >> 16)
