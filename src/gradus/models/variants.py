"""A language model's variants with the same weights: for a larger vocabulary, with another dropout."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor

from gradus.models.gpt import GPT


@torch.no_grad()
def with_tokens(model: GPT, num_tokens: int) -> GPT:
    """The same model for a larger vocabulary; the model itself where it knows as many tokens already.

    A new token begins as the mean of the others, so that it is likely at first in no place where they weren't, and all
    other probabilities stay nearly as they were (Hewitt 2021).
    """
    if num_tokens <= model.num_tokens:
        return model
    state = model.state_dict()
    for name in ("embed.weight", "head.weight"):
        state[name] = _longer(state[name], num_tokens)
    return _another(model, state, num_tokens=num_tokens)


def with_dropout(model: GPT, dropout: float) -> GPT:
    """The same model with another share that is dropped in training; the model itself where it has that already."""
    return model if dropout == model.dropout else _another(model, model.state_dict(), dropout=dropout)


def _another(model: GPT, state: dict[str, Tensor], **changes: Any) -> GPT:
    shape = {name: getattr(model, name) for name in inspect.signature(GPT).parameters}
    with torch.random.fork_rng(devices=[]):
        found = GPT(**{**shape, **changes}).to(model.embed.weight)
    found.load_state_dict(state)
    return found.train(model.training)


def _longer(table: Tensor, rows: int) -> Tensor:
    return torch.cat([table, table.mean(0, keepdim=True).expand(rows - len(table), -1)])
