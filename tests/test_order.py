"""The order of the data and all chance are functions of (seed, k): no state, no company, no order of asking."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from gradus.data import Crop, Draw, Flip, Noise, Order, Shift, arrays, keyed_uniform, permutation


@given(st.integers(1, 300), st.integers(1, 80), st.integers(0, 2**40), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_each_epoch_visits_every_sample_once(n: int, size: int, seed: int, epoch: int) -> None:
    samples = np.arange(n) * 3
    order = Order(samples, size, seed=seed)
    first = epoch * order.batches_per_epoch
    batches = [order.indices(k) for k in range(first, first + order.batches_per_epoch)]
    assert sorted(torch.cat(batches).tolist()) == samples.tolist()
    assert all(len(b) == min(size, n) for b in batches[:-1])


def test_a_batch_depends_on_seed_and_number_alone() -> None:
    forwards, asked_at_random = Order(np.arange(100), 7, seed=5), Order(np.arange(100), 7, seed=5)
    expected = [forwards.indices(k).tolist() for k in range(60)]
    for k in np.random.default_rng(0).permutation(60).tolist():
        assert asked_at_random.indices(k).tolist() == expected[k]
    assert Order(np.arange(100), 7, seed=6).indices(0).tolist() != expected[0]
    assert expected[0] != expected[forwards.batches_per_epoch]  # another epoch, another order


def test_the_permutation_is_the_same_on_every_machine_and_version() -> None:
    # written down once: a change here would break the resuming of every run there is
    assert permutation(8, 0, 0).tolist() == [4, 5, 7, 6, 1, 2, 3, 0]
    assert permutation(8, 7, 3).tolist() == [6, 1, 3, 5, 0, 2, 7, 4]


def test_permutations_are_uniform() -> None:
    counts = np.zeros((6, 6))
    for epoch in range(3000):
        counts[np.arange(6), permutation(6, 1, epoch)] += 1
    assert stats.chisquare(counts.ravel()).pvalue > 1e-4


def test_uniform_numbers_are_uniform_and_independent_of_company() -> None:
    samples = torch.arange(20_000)
    u = keyed_uniform(samples, 3, 7, 1)
    for column in u.T:
        assert stats.kstest(column.numpy(), "uniform").pvalue > 1e-4
    assert abs(np.corrcoef(u.T.numpy())[np.triu_indices(3, 1)]).max() < 0.03
    alone = torch.cat([keyed_uniform(samples[i : i + 1], 3, 7, 1) for i in (5, 19_999)])
    assert torch.equal(alone, u[[5, 19_999]])
    assert not torch.equal(keyed_uniform(samples, 3, 7, 2), u)


@pytest.mark.parametrize("augmentation", [Shift(2), Crop(2), Flip(), Noise(0.3)], ids=str)
@pytest.mark.parametrize("channels_last", [False, True])
def test_augmentation_depends_on_seed_epoch_and_sample_alone(augmentation: object, channels_last: bool) -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (40, 3, 9, 9)).astype(np.uint8)
    data = arrays(pictures, np.arange(40) % 4, augment=[augmentation])  # type: ignore[list-item]
    data = data.to(torch.device("cpu"), channels_last=channels_last)
    together = data.batch(torch.arange(40), Draw(3, 5)).inputs
    alone = torch.cat([data.batch(torch.tensor([i]), Draw(3, 5)).inputs for i in range(40)])
    assert torch.equal(together, alone)
    assert not torch.equal(together, data.batch(torch.arange(40), Draw(3, 6)).inputs)
    plain = data.batch(torch.arange(40)).inputs
    assert not torch.equal(together, plain)
    assert together.shape == plain.shape
    if channels_last:
        assert together.is_contiguous(memory_format=torch.channels_last)


def test_shift_moves_whole_pictures_and_fills_with_black() -> None:
    pictures = np.zeros((500, 1, 5, 5), dtype=np.uint8)
    pictures[:, 0, 2, 2] = 255
    data = arrays(pictures, np.arange(500) % 2, augment=[Shift(1)])
    batch = data.batch(torch.arange(500), Draw(0, 0)).inputs
    column = data.encoder.columns[0]
    white, black = batch.max(), batch.min()
    assert torch.allclose(black, torch.tensor(column.black), atol=1e-6)  # type: ignore[attr-defined]
    assert ((batch == white).sum(dim=(1, 2, 3)) == 1).all()
    places = (batch[:, 0] == white).nonzero()[:, 1:]
    seen = {tuple(p) for p in places.tolist()}
    assert seen == {(r, c) for r in (1, 2, 3) for c in (1, 2, 3)}


def lengths_of(n: int, seed: int) -> np.ndarray:
    chance = np.random.default_rng(seed)
    source = chance.geometric(0.1, n)
    return np.stack([source, source + chance.integers(0, 4, n)], axis=1)


@given(st.integers(2, 500), st.integers(1, 40), st.integers(0, 5), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_with_lengths_every_sample_still_comes_once_an_epoch(n: int, batch: int, seed: int, epoch: int) -> None:
    order = Order(np.arange(n) * 3, batch, seed=seed, lengths=lengths_of(n, seed))
    first = epoch * order.batches_per_epoch
    batches = [order.indices(k) for k in range(first, first + order.batches_per_epoch)]
    assert sorted(torch.cat(batches).tolist()) == (np.arange(n) * 3).tolist()
    assert sorted(map(len, batches))[1:] == [order.batch_size] * (len(batches) - 1)


@given(st.integers(0, 400), st.integers(0, 5))
@settings(max_examples=30, deadline=None)
def test_with_lengths_a_batch_is_a_function_of_seed_and_number(k: int, seed: int) -> None:
    lengths = lengths_of(3000, 1)
    one, other = (Order(np.arange(3000), 16, seed=seed, lengths=lengths) for _ in range(2))
    for number in (7, k + 1, 0):
        one.indices(number)
    assert one.indices(k).tolist() == other.indices(k).tolist()


def test_batches_are_of_like_length_and_the_padding_is_told() -> None:
    lengths = lengths_of(20_000, 0)
    order = Order(np.arange(len(lengths)), 32, seed=3, lengths=lengths)
    real = cells = 0
    for k in range(order.batches_per_epoch):
        rows = lengths[order.indices(k).numpy()]
        real, cells = real + rows.sum(), cells + (rows.max(0) * len(rows)).sum()
    assert order.padding() == pytest.approx(1 - real / cells)
    assert order.padding() < 0.05 < 0.5 < order.padding(sorted_by_length=False)


def test_batches_of_like_length_come_in_no_order_of_length() -> None:
    lengths = lengths_of(6400, 0)[:, :1]
    order = Order(np.arange(6400), 32, seed=0, lengths=lengths)
    means = [lengths[order.indices(k).numpy()].mean() for k in range(200)]
    assert abs(np.corrcoef(np.arange(200), means)[0, 1]) < 0.25
    assert {tuple(order.indices(k).tolist()) for k in range(200)}.isdisjoint(
        tuple(order.indices(200 + k).tolist()) for k in range(200)
    )
