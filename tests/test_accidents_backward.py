"""Planted accidents on the way back and in updates; and that the search for one changes no bit."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from planted import Log, Root, Scale, expected, made, named, numbers, searched, through
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import gradus as gd
from gradus.training import batches_of
from gradus.training.accident import NotFinite, check_weights, find, finite_weights
from gradus.training.prepare import Prepared
from gradus.training.state import Average


class Product(gd.tasks.Regression):
    """A loss that is linear in outputs and targets."""

    def loss_sum(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs[:, 0] * targets).sum()


def test_weights_that_an_update_makes_infinite() -> None:
    x, y = numbers()
    y = y * 1e-20
    y[39] = 1e32
    torch.manual_seed(0)
    model = named(first=nn.Linear(3, 4), last=nn.Linear(4, 1))
    prepared = made(model, x, y, task=Product(), optimizer="sgd", lr=1e9)
    twin = copy.deepcopy(model)  # the same steps in plain torch
    optimizer = torch.optim.SGD(twin.parameters(), lr=1e9)
    step = 0
    while all(p.isfinite().all() for p in twin.parameters()):
        rows = prepared.order.indices(step)
        optimizer.zero_grad()
        loss = (twin(x[rows])[:, 0] * y[rows]).mean()
        loss.backward()
        assert loss.isfinite()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in twin.parameters())
        optimizer.step()
        step += 1
    layer = next(name for name, p in twin.named_parameters() if not p.isfinite().all()).rpartition(".")[0]
    found = searched(prepared)
    assert (found.step, found.what, found.layer, found.samples) == (step, "weights", layer, ())
    assert found.step == expected(prepared, {39})[0]
    assert "learning rate of 1e+09" in found.cause
    with pytest.raises(NotFinite, match="weights aren't finite"):
        check_weights(prepared.state)


class Huber(gd.tasks.Regression):
    def loss_sum(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.smooth_l1_loss(outputs[:, 0], targets, reduction="sum")


def test_weights_that_have_grown_until_a_layer_overflows() -> None:
    x, y = numbers()
    model = named(first=nn.Linear(3, 4), middle=nn.Linear(4, 4), last=nn.Linear(4, 1))
    prepared = made(model, x, y, task=Huber(), optimizer="sgd", lr=1e12)
    twin = copy.deepcopy(model)  # the same steps in plain torch
    optimizer = torch.optim.SGD(twin.parameters(), lr=1e12)
    step, overflown = 0, ""
    while not overflown:
        rows = prepared.order.indices(step)
        optimizer.zero_grad()
        h = x[rows]
        for name, layer in twin.named_children():
            h = layer(h)
            overflown = overflown or ("" if h.isfinite().all() else name)
        F.smooth_l1_loss(h[:, 0], y[rows]).backward()
        optimizer.step()
        step += 1
    found = searched(prepared)
    assert (found.step, found.what, found.layer) == (step, "output", overflown)
    assert "grown to" in found.cause
    assert "lower the learning rate; --lr find" in found.change
    found = searched(made(named(only=nn.Linear(3, 1)), x, y, optimizer="sgd", lr=1e15))
    assert (found.what, found.layer) == ("loss", None)
    assert "grown to" in found.cause
    assert "lower the learning rate; --lr find" in found.change


def test_gradient_of_a_root_at_zero() -> None:
    x, y = numbers()
    x[23, 1] = x[42, 0] = 0.0
    prepared = made(named(scale=Scale(), root=Root(), last=nn.Linear(3, 1)), x, y)
    found = searched(prepared)
    assert (found.step, found.samples) == expected(prepared, {23, 42})
    assert (found.what, found.layer, found.kind) == ("gradient", "root", "Root")
    assert "the slope of a root is infinite at 0" in found.cause


def test_gradients_in_several_parts() -> None:
    x, y = numbers()
    x[23, 1] = x[42, 0] = x[5, 2] = 0.0
    found = searched(made(named(scale=Scale(), root=Root(), last=nn.Linear(3, 1)), x, y, accumulate=7, batch_size=60))
    assert (found.what, found.layer, found.samples) == ("gradient", "root", (5, 23, 42))


class Norm(nn.Module):
    """Finite forwards; backwards its weight has no slope where it is 0."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        return x * (1 + self.weight**2).sum().sqrt() + x * (self.weight**2).sum().sqrt()


def test_gradient_of_a_weight_alone_is_of_all_samples() -> None:
    x, y = numbers()
    found = searched(made(named(first=nn.Linear(3, 3), norm=Norm(), last=nn.Linear(3, 1)), x, y, batch_size=20))
    assert (found.step, found.what, found.layer) == (1, "gradient", "norm")
    assert len(found.samples) == found.batch == 20
    assert "all 20 samples of the batch" in found.line()


class Twice(torch.autograd.Function):
    """x · 2, whose gradient is NaN where x is above 100."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * 2

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return (gradients[0] * 2).masked_fill(x > 100, math.nan)


class Own(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return Twice.apply(x)  # type: ignore[no-untyped-call]


class Again(nn.Module):
    """Computes its inside anew on the way back, as is done to save memory."""

    def __init__(self, inside: nn.Module, reentrant: bool) -> None:
        super().__init__()
        self.inside, self.reentrant = inside, reentrant

    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(self.inside, x, use_reentrant=self.reentrant)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")  # by prepare, which asks for no gradient
@pytest.mark.parametrize("around", ["nothing", "in place", "checkpoint", "reentrant checkpoint"])
def test_gradient_of_a_function_of_one_s_own(around: str) -> None:
    x, y = numbers()
    x[[3, 50], 0] = 300.0
    own: nn.Module = Own()
    if around == "in place":
        own = named(relu=nn.ReLU(inplace=True), own=Own(), again=nn.ReLU(inplace=True))
    elif around != "nothing":
        own = Again(named(own=Own(), tanh=nn.Hardtanh(-1e4, 1e4, inplace=True)), reentrant="reentrant" in around)
    found = searched(made(named(scale=Scale(), own=own, last=nn.Linear(3, 1)), x, y, batch_size=60))
    assert (found.step, found.what, found.samples) == (1, "gradient", (3, 50))
    layer = {"nothing": "own", "in place": "own.own", "checkpoint": "own.inside.own", "reentrant checkpoint": "own"}
    assert found.layer == layer[around]


class GRU(nn.GRU):
    """Its inputs pass through a function with time first, as they do inside the library's."""

    def forward(self, x: Tensor) -> Any:  # type: ignore[override]
        return super().forward(Own()(x.transpose(0, 1)).transpose(0, 1))


class Last(nn.Module):
    def forward(self, given: tuple[Tensor, Tensor]) -> Tensor:
        return given[0][:, -1]


@pytest.mark.parametrize("time", [5, 8])  # 8 is also how many samples a batch has
def test_gradient_in_a_recurrent_layer(time: int) -> None:
    x = numbers(64, time * 3)[0].view(64, time, 3)
    x[10, 2, 1] = x[40, 1, 0] = 300.0
    model = named(first=through(3), scale=Scale(), gru=GRU(3, 4, batch_first=True), take=Last(), last=nn.Linear(4, 1))
    prepared = made(model, x, x[:, 0, 0], batch_size=8)
    found = searched(prepared)
    assert (found.step, found.samples) == expected(prepared, {10, 40})
    assert (found.what, found.layer) == ("gradient", "gru")


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.last = nn.Embedding(10, 3), nn.Linear(3, 1)

    def forward(self, ids: Tensor) -> Tensor:
        return self.last(self.embed(ids).sum(1))


def test_whole_numbers_as_inputs_and_weights_that_are_not_finite_from_the_start() -> None:
    ids, y = torch.arange(60)[:, None] % 7, torch.zeros(60)
    prepared = made(Words(), ids, y)
    with torch.no_grad():
        prepared.state.model.get_parameter("embed.weight")[4] = math.inf
    found = searched(prepared)
    assert (found.what, found.layer, found.kind, found.samples) == ("weights", "embed", "Embedding", ())
    assert prepared.state.step == 0
    with torch.no_grad():
        prepared.state.model.get_parameter("embed.weight")[4] = 0.0
    assert finite_weights(prepared.state)
    prepared.state.average = Average(prepared.state.model, 0.9)
    assert finite_weights(prepared.state)
    prepared.state.average.weights[1][0, 1] = math.nan
    assert not finite_weights(prepared.state)


class Everything(nn.Module):
    """Dropout, BatchNorm, an LSTM, an in-place module and a residual, then a logarithm."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.lstm, self.drop = nn.BatchNorm1d(3), nn.LSTM(3, 6, batch_first=True), nn.Dropout(0.3)
        self.act, self.last, self.log = nn.ELU(inplace=True), nn.Linear(6, 1), Log()

    def forward(self, x: Tensor) -> Tensor:
        h = self.drop(self.lstm(self.norm(x)[:, None, :])[0][:, 0])
        return self.last(h + self.act(h * 2)) + self.log(x[:, :1])


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lbfgs"])
def test_the_search_takes_the_steps_of_the_loop_to_the_bit(optimizer: str) -> None:
    x, y = numbers(600)
    settings = dict(batch_size=5, accumulate=2, ema=0.9, schedule="one-cycle", lr=1e-3, clip=1.0, steps=300)

    def fresh() -> Prepared:
        torch.manual_seed(1)
        return made(Everything(), x, y, optimizer=optimizer, **settings)

    searching, plain = fresh(), fresh()
    bad = int(plain.order.indices(66)[-1])
    x[bad, 0] = -1.0
    found = searched(searching, until=90)
    assert (found.step, found.layer, found.samples) == (67, "log", (bad,))
    plain.state.model.train()
    for k in range(found.step):
        plain.step(plain.state, batches_of(plain.data, plain.order)(k))
        plain.state.step += 1
        if k == found.step - 2:
            assert finite_weights(plain.state)
    for a, b in zip(searching.state.model.state_dict().values(), plain.state.model.state_dict().values(), strict=True):
        assert a.numpy().tobytes() == b.numpy().tobytes()
    for one, two in zip(searching.state.average.weights, plain.state.average.weights, strict=True):  # type: ignore[union-attr]
        assert one.numpy().tobytes() == two.numpy().tobytes()


def test_nothing_is_found_where_all_is_finite() -> None:
    x, y = numbers()
    prepared, plain = made(nn.Linear(3, 1), x, y), made(nn.Linear(3, 1), x, y)
    plain.state.model.load_state_dict(prepared.state.model.state_dict())
    batches = batches_of(prepared.data, prepared.order)
    assert find(prepared.state, batches, prepared.step, prepared.task, prepared.data, prepared.order, 120) is None
    for k in range(120):
        plain.step(plain.state, batches(k))
    assert all(torch.equal(a, b) for a, b in zip(prepared.state.model.parameters(), plain.state.model.parameters(),
                                                  strict=True))  # fmt: skip
