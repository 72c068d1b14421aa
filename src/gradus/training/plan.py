"""One dial for a language model: its depth sets width, heads, batch and learning rate, by rules that are told.

What a machine does in a minute is measured on the model itself, and the plan says what will come of it: tokens, epochs,
memory, minutes, and where text and model don't fit each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from gradus.data import Batch
from gradus.errors import UserError, nearest
from gradus.models import GPT
from gradus.tasks import NextToken
from gradus.training import machine

SIZES = {"tiny": 4, "mini": 6, "small": 8, "base": 12}
"""Sizes by name, as their depth."""
HEAD = 64  # features of a head, and of the width for each layer
TOKENS_A_WEIGHT = 10  # that a model is trained on where nothing else is asked for
LENGTHS = (512, 1024)  # tokens read at once, up to depth 8 and beyond
CHARACTERS = 256  # read at once, where tokens are characters: 512 take a CPU a quarter longer a token
EPOCHS = 8  # over the text, at most, where nothing else is asked for: later ones teach little (Muennighoff et al. 2023)
WEIGHT_DECAY = (0.1, 0.5)  # where the text is read up to so many times, and more often
LEAST_TOKENS_A_WEIGHT = 2  # that the largest model for a given time must get
SHARE = 0.8  # of a given time that goes into steps; the rest measures, writes samples and saves


@dataclass(frozen=True)
class Budget:
    """What a person asked for: the first one spent ends the run."""

    epochs: int | None = None
    steps: int | None = None
    minutes: float | None = None
    tokens: int | None = None

    @property
    def says_more_than_minutes(self) -> bool:
        return any(value is not None for value in (self.epochs, self.steps, self.tokens))


@dataclass(frozen=True)
class Plan:
    """A model's shape and how it is to be trained."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    length: int
    batch_size: int
    lr: float
    dropout: float
    weight_decay: float
    tokens: int

    @property
    def steps(self) -> int:
        return max(1, round(self.tokens / (self.batch_size * self.length)))

    def model(self, num_tokens: int, *, plain: bool = False, dropout: float | None = None) -> GPT:
        """A fresh model of this shape for a vocabulary; ``plain`` gives it GPT-2's block."""
        return GPT(
            num_tokens, width=self.width, heads=self.heads, layers=self.layers, max_length=self.length, plain=plain,
            dropout=self.dropout if dropout is None else dropout, kv_heads=self.heads if plain else self.kv_heads,
        )  # fmt: skip


def depth_of(size: str) -> int:
    """The depth of a size by name.

    Raises:
        UserError: for a name that there isn't.
    """
    if size not in SIZES:
        raise UserError(f"size: no '{size}'.{nearest(size, SIZES)} Or give --depth N.")
    return SIZES[size]


def plan_for(depth: int, num_tokens: int, text: int, *, tokens: int | None = None, length: int | None = None) -> Plan:
    """The rules.

    - width = 64 · depth, heads of 64 features, from depth 8 on half as many for keys and values;
    - length: 512 tokens up to depth 8, then 1,024;
    - tokens to learn from: 10 a weight, but 8 times the text at most;
    - tokens a step: 8,192 for 10 million tokens, and rising with them to the power 0.4 (powers of two);
    - learning rate: 4e-3 up to depth 4, falling with the root of the depth;
    - dropout: where the text is read more than 3 times, 0.1; more than 8 times, 0.2; more than 16 times, 0.3;
    - weight decay: 0.1, and 0.5 where the text is read more than 8 times (read 12.6 times, tinyshakespeare's last
      tenth came to 1.453 nats a character with 0.5, to 1.470 with 0.1).

    Args:
        num_tokens: of the vocabulary.
        text: tokens of the training text.
        tokens: to learn from, where a budget says so.
    """
    if not 1 <= depth <= 64:
        raise UserError(f"depth: {depth} is not a whole number from 1 to 64.")
    heads = depth
    first = Plan(
        layers=depth, width=HEAD * depth, heads=heads, kv_heads=heads // 2 if depth >= 8 and depth % 2 == 0 else heads,
        length=length or LENGTHS[depth > 8],
        batch_size=1, lr=4e-3 * min(1.0, (4 / depth) ** 0.5), dropout=0.0, weight_decay=WEIGHT_DECAY[0], tokens=0,
    )  # fmt: skip
    most = min(TOKENS_A_WEIGHT * weights_of(first, num_tokens), EPOCHS * text)
    tokens = max(tokens or most, first.length)
    a_step = 2 ** round(math.log2(8192 * (tokens / 1e7) ** 0.4))
    rows = max(1, min(round(max(a_step, 2048) / first.length), text // first.length))
    epochs = tokens / max(text, 1)
    dropout = 0.1 * sum(epochs > times for times in (3, 8, 16))
    decay = WEIGHT_DECAY[epochs > EPOCHS]
    return replace(first, batch_size=rows, tokens=tokens, dropout=round(dropout, 1), weight_decay=decay)


def weights_of(plan: Plan, num_tokens: int) -> int:
    """How many weights the model of a plan has."""
    with torch.device("meta"):
        return sum(p.numel() for p in plan.model(num_tokens).parameters())


def fitting(num_tokens: int, text: int, minutes: float, rate: float, length: int | None = None) -> Plan:
    """The plan for the deepest model that gets two tokens a weight in a given time, at so many operations a second."""
    best: Plan | None = None
    for depth in (2, 3, 4, 5, 6, 8, 10, 12, 16, 20):
        shape = plan_for(depth, num_tokens, text, length=length)
        tokens = tokens_in(minutes, shape, num_tokens, rate)
        if best is None or tokens >= LEAST_TOKENS_A_WEIGHT * weights_of(shape, num_tokens):
            best = plan_for(depth, num_tokens, text, tokens=tokens, length=length)
    assert best is not None
    return best


def within(budget: Budget, plan: Plan, num_tokens: int, text: int, rate: float) -> Plan:
    """The plan of the same depth for what a budget leaves it."""
    limits = [budget.tokens, None if budget.epochs is None else budget.epochs * text]
    if budget.minutes is not None:
        limits.append(tokens_in(budget.minutes, plan, num_tokens, rate))
    found = [limit for limit in limits if limit is not None]
    if found:
        plan = plan_for(plan.layers, num_tokens, text, tokens=min(found), length=plan.length)
    if budget.steps is not None and budget.steps < plan.steps:
        plan = replace(plan, tokens=max(1, budget.steps) * plan.batch_size * plan.length)
    return plan


def tokens_in(minutes: float, plan: Plan, num_tokens: int, rate: float) -> int:
    """How many tokens a plan's model learns from in a given time, at so many operations a second."""
    return int(SHARE * 60 * minutes * rate / operations(plan, num_tokens))


def rate_here(num_tokens: int, device: str, precision: str) -> float:
    """Floating-point operations a second of whole steps here, by a short timing of a small model.

    It draws no random numbers that others would have drawn.
    """
    where, _ = machine.choose_device(device)
    shape = plan_for(4, num_tokens, 1 << 20, length=256)
    with torch.random.fork_rng(devices=[]):
        model = shape.model(num_tokens).to(where)
    ids = torch.zeros(16, 256, dtype=torch.int64, device=where)
    batch, task = Batch(ids, ids, ids[:, 0], ids.numel()), NextToken(num_tokens)
    told = machine.choose_precision(precision, model, task, batch).value

    seconds = machine.fastest(machine.rehearsal(model, task, batch, precision=told), rounds=3)[0]
    return ids.numel() * operations(shape, num_tokens) / seconds


def operations(plan: Plan, num_tokens: int) -> float:
    """Floating-point operations that a token costs in training: 6 a weight (Kaplan et al. 2020), and attention's."""
    return 6.0 * weights_of(plan, num_tokens) + 12.0 * plan.layers * plan.width * plan.length


def told(plan: Plan, num_tokens: int, text: int, rate: float) -> list[str]:
    """What a person should know before it begins, a line each; warnings last."""
    weights = weights_of(plan, num_tokens)
    epochs = plan.tokens / max(text, 1)
    # weights, gradient, momentum and a snapshot for a save; activations of a step: some 20 numbers a token and feature
    state = 16.0 * weights + 4.0 * plan.batch_size * plan.length * plan.width * (20 * plan.layers + 2)
    memory = state + 4.0 * min(plan.batch_size * plan.length, 2048) * num_tokens
    lines = [
        f"{weights:,} weights: {plan.layers} layers × {plan.width}, {plan.heads} heads of {plan.width // plan.heads}, "
        f"{num_tokens:,} tokens [--size, --depth]",
        f"{plan.tokens:,} tokens to learn from = {plan.tokens / weights:.3g} a weight, the text {epochs:.3g} times, in "
        f"{plan.steps:,} steps of {plan.batch_size} × {plan.length} [--tokens, --minutes]",
    ]
    seconds = plan.tokens * operations(plan, num_tokens) / rate / SHARE
    lines.append(
        f"about {_bytes(memory)} of memory and {_duration(seconds)} on this machine ({rate / 1e9:.0f} GFLOP/s)"
    )
    if epochs > EPOCHS:
        lines.append(
            f"the text is read {epochs:.3g} times: beyond {EPOCHS} a model begins to know it by heart; "
            f"dropout is {plan.dropout:g}, weight decay "
            f"{plan.weight_decay:g}. More text, a smaller --size or fewer --tokens would serve it better"
        )
    if weights > 2 * text:
        lines.append(
            f"{weights / max(text, 1):.2g} weights for each token of the text: expect it to be learnt by heart"
        )
    if plan.tokens < LEAST_TOKENS_A_WEIGHT * weights:
        lines.append(
            f"{plan.tokens / weights:.2g} tokens a weight are few (10 is usual): a smaller --size would come further "
            "in this time"
        )
    return lines


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _bytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
