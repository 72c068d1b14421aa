"""What the tests of accidents share: data and layers to plant one with, and the search for it."""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn

import gradus as gd
from gradus.training import Settings, batches_of, prepare
from gradus.training.accident import find
from gradus.training.accident_words import Accident
from gradus.training.prepare import Prepared


class Samples(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
    """A person's own dataset of given tensors, read sample by sample."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        return self.x[i], self.y[i]


class Log(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.log(x)


class Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


class Root(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sqrt(x)


def numbers(n: int = 60, width: int = 3) -> tuple[Tensor, Tensor]:
    """Inputs between 0.5 and 1.5, and their sum as the target."""
    x = torch.rand(n, width, generator=torch.Generator().manual_seed(0)) + 0.5
    return x, x.sum(1)


def through(width: int) -> nn.Linear:
    """An affine map that gives what it is given, at first."""
    layer = nn.Linear(width, width)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(width))
        layer.bias.zero_()
    return layer


def named(**layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(layers))


def made(model: nn.Module, x: Tensor, y: Tensor, task: Any = None, **settings: Any) -> Prepared:
    torch.manual_seed(0)
    data = gd.data.wrap(Samples(x, y), valid=0.0, test=0.0)
    given = {"steps": 200, "batch_size": 20, "lr": 1e-5, "device": "cpu", "precision": "fp32", "workers": 0, **settings}
    return prepare(model, data, task or gd.tasks.Regression(), Settings.of(given))


def searched(prepared: Prepared, until: int = 100) -> Accident:
    """What the search finds; the model has no hooks then."""
    batches = batches_of(prepared.data, prepared.order, prepared.state.total_steps)
    found = find(prepared.state, batches, prepared.step, prepared.task, prepared.data, prepared.order, until)
    assert found is not None
    assert len(found.lines()) in (3, 4)
    assert "\n" not in found.line()
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["samples"] == list(found.samples)
    for module in prepared.state.model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    assert not any(p._backward_hooks for p in prepared.state.model.parameters())
    return found


def expected(prepared: Prepared, bad: set[int]) -> tuple[int, tuple[int, ...]]:
    """The first step whose batch holds some of the bad samples, and which, by the order alone."""
    for k in range(200):
        met = bad & set(prepared.order.indices(k).tolist())
        if met:
            return k + 1, tuple(sorted(met))
    raise AssertionError
