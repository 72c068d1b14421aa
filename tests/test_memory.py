"""A batch that doesn't fit in the memory is computed in more parts, to the bits of as many parts from the start."""

from __future__ import annotations

import copy
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gradus as gd
from gradus.data import Batch
from gradus.errors import UserError
from gradus.training import TrainState, supervised


class Fails(torch.autograd.Function):
    """Gives its input; its backward pass has no memory for more than so many rows."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: int) -> Tensor:
        ctx.rows = rows
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        if len(gradients[0]) > ctx.rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return gradients[0], None


class Room(nn.Module):
    """Gives its input on, but has no memory for more than so many rows; how it fails is up to ``where``."""

    def __init__(self, rows: int, where: str) -> None:
        super().__init__()
        self.rows, self.where = rows, where
        self.failed: list[weakref.ref[Tensor]] = []
        self.alive = 0

    def forward(self, x: Tensor) -> Tensor:
        self.alive += sum(failed() is not None for failed in self.failed)
        if len(x) <= self.rows:
            return x
        activation = x * 2
        self.failed.append(weakref.ref(activation))
        if self.where == "forward":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        if self.where == "cpu":
            torch.empty(1 << 50)  # for real
        return Fails.apply(activation / 2, self.rows)  # type: ignore[no-untyped-call, no-any-return]


def batches(*sizes: int) -> list[Batch]:
    chance = torch.Generator().manual_seed(1)
    return [
        Batch(torch.randn(n, 5, generator=chance), torch.randn(n, generator=chance), torch.arange(n)) for n in sizes
    ]


def net(room: nn.Module, *, norm: bool) -> nn.Sequential:
    torch.manual_seed(0)
    inner = nn.BatchNorm1d(8) if norm else nn.LayerNorm(8)
    return nn.Sequential(nn.Linear(5, 8), inner, nn.Dropout(0.3), room, nn.ReLU(inplace=True), nn.Linear(8, 1))


def trained(
    model: nn.Module, given: list[Batch], parts: int = 1, *, optimizer: str = "AdamW", **settings: Any
) -> TrainState:
    state = TrainState(model.train(), getattr(torch.optim, optimizer)(model.parameters(), lr=0.01), 100, parts=parts)
    step = supervised(gd.tasks.Regression(), lr=0.01, **settings)
    for batch in given:
        step(state, batch)
        state.step += 1
    return state


def same(one: TrainState, other: TrainState) -> bool:
    pairs = zip(one.model.state_dict().values(), other.model.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("where", ["forward", "backward", "cpu"])
@pytest.mark.parametrize("optimizer", ["AdamW", "LBFGS"])
@pytest.mark.parametrize("norm", [True, False])
def test_the_bits_are_those_of_as_many_parts_from_the_start(where: str, optimizer: str, norm: bool) -> None:
    given = batches(32, 32, 20, 32)
    room = Room(8, where)
    state = trained(net(room, norm=norm), given, optimizer=optimizer)
    plain = trained(net(nn.Identity(), norm=norm), given, parts=4, optimizer=optimizer)
    assert state.parts == 4
    assert same(state, plain)
    assert len(room.failed) == 2  # whole, in halves; never again
    assert room.alive == 0  # what a failed try held was gone when the next one began
    (notice,) = state.notices
    assert notice.startswith(
        "step 1: out of memory on cpu; from now on each batch is computed in 4 parts, here of 8 samples"
    )
    assert ("BatchNorm sees 8 samples at a time" if norm else "the gradient is the same") in notice
    assert "--accumulate 4" in notice


def test_accumulation_is_where_it_begins() -> None:
    given = batches(30, 30)
    state = trained(net(Room(5, "forward"), norm=False), given, accumulate=3)
    assert state.parts == 6
    assert same(state, trained(net(nn.Identity(), norm=False), given, accumulate=6))
    assert same(state, trained(net(nn.Identity(), norm=False), given, parts=6))
    few = trained(net(Room(1, "backward"), norm=False), batches(3, 7, 2))  # not a power of two: as many as there are
    assert few.parts == 7
    assert [notice[:6] for notice in few.notices] == ["step 1", "step 2"]


def test_memory_that_becomes_short_later() -> None:
    given = batches(16, 16, 16)
    room = Room(16, "forward")
    model = net(room, norm=False)
    state = trained(model, given[:2])
    twin = copy.deepcopy(state)
    room.rows = 4
    for each, parts in ((state, 1), (twin, 4)):
        each.parts = parts
        supervised(gd.tasks.Regression(), lr=0.01)(each, given[2])
    assert state.parts == 4
    assert same(state, twin)


def test_a_sample_that_does_not_fit_alone_is_told() -> None:
    with pytest.raises(UserError, match="step 1: one sample alone doesn't fit in the memory of cpu") as told:
        trained(net(Room(0, "forward"), norm=False), batches(8))
    assert "\n" not in str(told.value)
    with pytest.raises(UserError, match="step 1: 2 samples at once don't fit"):  # of one BatchNorm learns nothing
        trained(net(Room(1, "backward"), norm=True), batches(8))


def test_another_error_is_none_of_memory() -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        trained(nn.Linear(4, 1), batches(8))


def test_failing_in_each_batch_of_another_shape_leaves_buffers_as_they_should_be() -> None:
    given = batches(6, 12, 24)
    state = trained(net(Room(6, "backward"), norm=True), given)
    plain = trained(net(nn.Identity(), norm=True), given[:1], parts=1)
    step = supervised(gd.tasks.Regression(), lr=0.01)
    for number, parts in ((1, 2), (2, 4)):
        plain.parts = parts
        step(plain, given[number])
        plain.step += 1
    assert same(state, plain)
