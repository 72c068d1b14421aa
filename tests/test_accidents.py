"""Planted accidents on the way forwards: each is found in its step, layer and samples."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from planted import Log, Scale, expected, made, named, numbers, searched, through
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import gradus as gd


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("batch_size", [7, 60])
def test_inputs(value: float, batch_size: int) -> None:
    x, y = numbers()
    x[17, 2] = x[55, 1] = value
    prepared = made(named(first=nn.Linear(3, 4), act=nn.ReLU(inplace=True), last=nn.Linear(4, 1)), x, y,
                    batch_size=batch_size)  # fmt: skip
    found = searched(prepared)
    assert (found.step, found.samples) == expected(prepared, {17, 55})
    assert (found.what, found.layer) == ("inputs", None)
    assert found.value == ("NaN" if math.isnan(value) else "inf")
    if batch_size == 60:
        assert "at [2] of sample 17 first" in found.cause
        assert "samples 17 and 55 (2 of 60 in the batch)" in found.line()


def test_logarithm_of_a_negative_number_in_a_middle_layer() -> None:
    x, y = numbers()
    x[8, 0] = x[31, 2] = -1.0
    model = named(first=through(3), middle=named(log=Log(), act=nn.Tanh()), last=nn.Linear(3, 1))
    prepared = made(model, x, y)
    found = searched(prepared)
    assert (found.step, found.samples) == expected(prepared, {8, 31})
    assert (found.what, found.layer, found.kind, found.value) == ("output", "middle.log", "Log", "NaN")
    assert "a logarithm or a root of a number below 0" in found.cause


def test_accumulated_in_parts() -> None:
    x, y = numbers()
    model = named(first=through(3), log=Log(), last=nn.Linear(3, 1))
    prepared = made(model, x, y, accumulate=3)
    last = int(prepared.order.indices(4)[-1])  # of the third part of the fifth batch
    x[last, 1] = -1.0
    found = searched(prepared)
    step, samples = expected(prepared, {last})
    assert (found.step, found.samples, found.layer) == (step, samples, "log")
    x[last, 1] = 1.0
    whole = made(named(first=through(3), log=Log(), last=nn.Linear(3, 1)), x, y, accumulate=3, batch_size=60)
    place = whole.order.indices(0)[-1]
    x[place, 1] = -1.0
    assert searched(whole).samples == (int(place),)
    x[whole.order.indices(0)[3], 1] = -1.0
    whole = made(named(first=through(3), log=Log(), last=nn.Linear(3, 1)), x, y, accumulate=3, batch_size=60)
    assert searched(whole).samples == tuple(sorted((int(place), int(whole.order.indices(0)[3]))))


class Between(nn.Module):
    """A root between two layers, of no module's own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = Scale(), nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x).sqrt())


def test_operations_between_layers_are_those_of_the_module_around_them() -> None:
    x, y = numbers()
    x[5] = -1.0
    prepared = made(named(body=Between()), x, y)
    found = searched(prepared)
    assert (found.step, found.samples) == expected(prepared, {5})
    assert (found.what, found.layer, found.kind) == ("output", "body", "Between")
    assert "gives to its part body.last" in found.where
    x[5] = 0.0
    prepared = made(named(body=Between()), x, y)
    found = searched(prepared)
    assert (found.step, found.samples) == expected(prepared, {5})
    assert (found.what, found.layer, found.kind) == ("gradient", "body", "Between")


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = through(3), nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(x + torch.exp(self.first(x)))


def test_overflow_of_exp_in_a_residual_branch() -> None:
    x, y = numbers()
    x[33, 2] = 120.0
    prepared = made(nn.Sequential(nn.Identity(), Residual()), x, y)
    found = searched(prepared)
    assert (found.step, found.samples) == expected(prepared, {33})
    assert (found.what, found.layer, found.kind, found.value) == ("output", "1", "Residual", "inf")
    assert "exp of more than 88" in found.cause


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_targets(value: float) -> None:
    x, y = numbers()
    y[12] = value
    prepared = made(nn.Linear(3, 1), x, y)
    found = searched(prepared)
    assert (found.step, found.samples) == expected(prepared, {12})
    assert (found.what, found.layer) == ("targets", None)


class NegativeLog(gd.tasks.Regression):
    def loss_sum(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return -torch.log(outputs[:, 0]).sum()


def test_the_loss_of_one_sample_is_infinite() -> None:
    x, y = numbers(width=1)
    x[44] = 0.0
    model = through(1)
    prepared = made(model, x, y, task=NegativeLog(), lr=1e-12)
    found = searched(prepared)
    assert (found.step, found.samples) == expected(prepared, {44})
    assert (found.what, found.layer, found.value) == ("loss", None, "inf")
    assert "these of 0 at most, but their loss isn't" in found.cause


def spoiling(kind: type[nn.RNNBase]) -> type[nn.RNNBase]:
    """A recurrent layer that gives NaN at steps where it reads more than 100."""

    class Spoiling(kind):  # type: ignore[misc, valid-type]
        def forward(self, given: Any) -> Any:
            memories, last = super().forward(given)
            if isinstance(given, PackedSequence):
                large = (given.data > 100).any(-1, keepdim=True)
                return memories._replace(data=memories.data.masked_fill(large, math.nan)), last
            return memories.masked_fill((given > 100).any(-1, keepdim=True), math.nan), last

    return Spoiling


class Reader(nn.Module):
    """Rows of unequal length, padded with zeros, through a recurrent layer, as they are or packed."""

    def __init__(self, kind: type[nn.RNNBase], packed: bool, batch_first: bool) -> None:
        super().__init__()
        self.recurrence = spoiling(kind)(2, 5, batch_first=batch_first)
        self.head = nn.Linear(5, 1)
        self.packed, self.batch_first = packed, batch_first

    def forward(self, x: Tensor) -> Tensor:
        lengths = (x[:, :, 0] != 0).sum(1)
        given = x if self.batch_first else x.transpose(0, 1)
        if self.packed:
            rows = pack_padded_sequence(given, lengths, batch_first=self.batch_first, enforce_sorted=False)
            memories, _ = pad_packed_sequence(self.recurrence(rows)[0], batch_first=True)
        else:
            memories, _ = self.recurrence(given)
            memories = memories if self.batch_first else memories.transpose(0, 1)
        return self.head(memories[torch.arange(len(x)), lengths - 1])


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM, nn.RNN])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("batch_size", [20, 8])  # 8 is also how many steps the longest row has
def test_recurrent_layers_over_unequal_lengths(
    kind: type[nn.RNNBase], packed: bool, batch_first: bool, batch_size: int
) -> None:
    chance = torch.Generator().manual_seed(0)
    lengths = torch.randint(2, 9, (60,), generator=chance)
    x = (0.1 + torch.rand(60, 8, 2, generator=chance)) * (torch.arange(8) < lengths[:, None])[:, :, None]
    for sample in (9, 26):
        x[sample, lengths[sample] - 1, 1] = 200.0
    prepared = made(Reader(kind, packed, batch_first), x, torch.rand(60, generator=chance), batch_size=batch_size)
    found = searched(prepared)
    assert (found.step, found.samples) == expected(prepared, {9, 26})
    assert (found.what, found.layer, found.kind, found.value) == ("output", "recurrence", "Spoiling", "NaN")


class Square(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x


class Eighth(nn.Module):
    """One layer called three times."""

    def __init__(self) -> None:
        super().__init__()
        self.square, self.last = Square(), nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.square(self.square(self.square(x))))


def test_the_call_of_a_layer_that_is_called_several_times() -> None:
    x, y = numbers()
    x[20, 0] = 1e6  # its eighth power is 1e48
    prepared = made(named(body=Eighth()), x, y)
    found = searched(prepared)
    assert (found.step, found.samples) == expected(prepared, {20})
    assert (found.layer, found.call, found.value) == ("body.square", 3, "inf")
    assert "body.square (Square, call 3)" in found.line()


class Masked(nn.Module):
    """Attention weights over the features before and at each one: a mask of -inf, a module or not, and a softmax."""

    def __init__(self, module: bool) -> None:
        super().__init__()
        self.scores, self.softmax, self.log = nn.Linear(3, 9), nn.Softmax(-1), Log()
        self.mask = Mask() if module else Mask().forward
        self.last = nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.softmax(self.mask(self.scores(x).view(-1, 3, 3)))
        return self.last(self.log((weights @ x[:, :, None])[:, :, 0]))


class Mask(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.masked_fill(torch.ones(3, 3).triu(1).bool(), -math.inf)


@pytest.mark.parametrize(("module", "step"), [(True, 71), (False, 71), (False, 1)])
def test_a_mask_of_infinities_is_not_taken_for_an_accident(module: bool, step: int) -> None:
    x, y = numbers(600)
    prepared = made(Masked(module), x, y, batch_size=4, steps=1000)
    bad = int(prepared.order.indices(step - 1)[2])
    x[bad] = -1.0
    found = searched(prepared)
    assert (found.step, found.layer, found.samples) == (step, "log", (bad,))


def test_samples_are_told_by_their_words() -> None:
    x, y = numbers()
    x[[4, 7, 11, 20, 21, 22, 23, 24, 25, 26, 27], 0] = math.nan
    prepared = made(nn.Linear(3, 1), x, y, batch_size=60)
    prepared.data.row_words = lambda row, draw: {"name": f"Ann {row}", "text": "long " * 100}  # type: ignore[method-assign]
    found = searched(prepared)
    assert list(found.words) == [4, 7, 11]
    assert all(words.startswith(f"name Ann {row}; text long long") for row, words in found.words.items())
    assert all(len(words) <= 80 for words in found.words.values())
    assert "samples 4, 7, 11, 20, 21, 22, 23, 24 and 3 more (11 of 60 in the batch): 4: name Ann 4" in found.lines()[1]


class Room(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if self.training and len(x) > 8:
            raise torch.OutOfMemoryError
        return x


def test_a_batch_that_does_not_fit_in_the_memory_while_it_is_searched() -> None:
    x, y = numbers()
    prepared = made(named(first=through(3), room=Room(), log=Log(), last=nn.Linear(3, 1)), x, y, batch_size=30)
    bad = {int(prepared.order.indices(0)[place]) for place in (3, 17, 29)}
    x[list(bad)] = -1.0
    found = searched(prepared)
    assert (found.step, found.layer, found.samples) == (1, "log", tuple(sorted(bad)))
    assert prepared.state.parts == 4
