"""Choosing the next token against a plain reference in NumPy, one text at a time and one token at a time."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from gradus.data.order import keyed_uniform
from gradus.errors import UserError
from gradus.language import Sampling
from gradus.language.sampling import LIKELIEST, NOT_FINITE, Chooser, choose, uniform
from gradus.tasks.decoding import Decoding, chances

CPU = torch.device("cpu")


def reference(
    logits: np.ndarray, sampling: Sampling, prompt: list[int], answer: list[int], barred: set[int]
) -> np.ndarray:
    """The probabilities to draw from, (size,), as the rules say them; the likeliest token alone where greedy."""
    size = len(logits)
    adjusted = logits.astype(np.float64).copy()
    for token in range(size):
        adjusted[token] += (sampling.logit_bias or {}).get(token, 0.0)
        if token in prompt or token in answer:
            by = sampling.repetition_penalty
            adjusted[token] = adjusted[token] / by if adjusted[token] > 0 else adjusted[token] * by
        count = answer.count(token)
        adjusted[token] -= sampling.frequency_penalty * count + sampling.presence_penalty * (count > 0)
        if token in barred:
            adjusted[token] = -math.inf
    if sampling.temperature == 0:
        return np.eye(size)[int(np.argmax(adjusted))]
    weights = np.exp((adjusted - adjusted.max()) / sampling.temperature)
    weights /= weights.sum()
    order = sorted(range(size), key=lambda token: -weights[token])
    if sampling.top_k is not None:
        order = order[: sampling.top_k]
    if sampling.top_p is not None:
        whole, sums, kept = sum(weights[token] for token in order), 0.0, []
        for token in order:
            if sums >= sampling.top_p * whole:
                break
            kept.append(token)
            sums += weights[token]
        order = kept
    if sampling.min_p is not None:
        order = [token for token in order if weights[token] >= sampling.min_p * weights.max()]
    out = np.zeros(size)
    out[order] = weights[order] / weights[order].sum()
    return out


samplings = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.3, 1.0, 2.5]),
    top_k=st.sampled_from([None, 1, 3, 40, 1000]),
    top_p=st.sampled_from([None, 0.05, 0.4, 0.93]),
    min_p=st.sampled_from([None, 0.02, 0.5]),
    repetition_penalty=st.sampled_from([1.0, 1.3]),
    presence_penalty=st.sampled_from([0.0, 0.7, -0.4]),
    frequency_penalty=st.sampled_from([0.0, 0.5]),
    logit_bias=st.sampled_from([None, {3: 4, 7: -100.0}]),
    seed=st.integers(-(2**63), 2**63),
)


@settings(max_examples=60, deadline=None)
@given(
    each=st.lists(samplings, min_size=1, max_size=5),
    number=st.integers(0, 10**6),
    size=st.sampled_from([10, 60, 2 * LIKELIEST]),
)
def test_texts_chosen_together_are_chosen_by_the_rules_of_each(each: list[Sampling], number: int, size: int) -> None:
    numbers = np.random.default_rng(number)
    logits = numbers.normal(scale=2, size=(len(each), size)).astype(np.float32)
    barred = {0, int(numbers.integers(1, size))}
    bars = torch.zeros(size)
    bars[list(barred)] = -torch.inf
    choosers, histories = [], []
    for sampling in each:
        prompt, answer = ([int(t) for t in numbers.integers(0, size, n)] for n in (5, 4))
        chooser = Chooser(sampling, prompt, size, CPU)
        for token in answer:
            chooser.enter(token)
        choosers.append(chooser)
        histories.append((prompt, answer))
    tokens, _ = choose(torch.from_numpy(logits), choosers, bars)
    for row, (sampling, (prompt, answer)) in enumerate(zip(each, histories, strict=True)):
        wanted = reference(logits[row], sampling, prompt, answer, barred)
        sums = np.cumsum(wanted)
        point = float(keyed_uniform(torch.zeros(1, dtype=torch.int64), 1, sampling.seed or 0, 4)) * sums[-1]
        near = {int(np.searchsorted(sums, point * (1 + e), side="right")) for e in (-1e-5, 0, 1e-5)}
        assert tokens[row] in near
        assert tokens[row] not in barred


@settings(max_examples=30, deadline=None)
@given(
    number=st.integers(0, 10**6),
    top_k=st.sampled_from([None, 5, 300]),
    top_p=st.sampled_from([None, 0.3, 0.999]),
    flat=st.booleans(),
)
def test_the_chances_are_those_of_the_other_decoder(
    number: int, top_k: int | None, top_p: float | None, flat: bool
) -> None:
    """Also where more tokens are kept than are sorted first."""
    size = 3 * LIKELIEST
    logits = torch.randn(1, size, generator=torch.Generator().manual_seed(number)) * (0.1 if flat else 3)
    wanted = chances(logits, Decoding(temperature=0.8, top_k=top_k, top_p=top_p))[0].cumsum(0)
    chooser = Chooser(Sampling(temperature=0.8, top_k=top_k, top_p=top_p, seed=number), [1], size, CPU)
    for step in range(20):
        chooser.step = step
        point = uniform(number, step)
        tokens, _ = choose(logits, [chooser], torch.zeros(size))
        near = {int(torch.searchsorted(wanted, point + e, right=True)) for e in (-1e-7, 0.0, 1e-7)}
        assert tokens[0] in near


def test_draws_come_as_often_as_they_are_likely() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0, 0.5, 1.5, -3.0, 0.2]])
    sampling = Sampling(temperature=1.3, top_k=6, seed=11)
    chooser = Chooser(sampling, [0], 8, CPU)
    wanted = reference(logits[0].numpy(), sampling, [0], [], set())
    counts: Counter[int] = Counter()
    for step in range(2000):
        chooser.step = step
        counts.update(choose(logits, [chooser], torch.zeros(8))[0])
    kept = [token for token in range(8) if wanted[token] > 0]
    assert sum(counts[token] for token in kept) == 2000
    found = chisquare([counts[token] for token in kept], [2000 * wanted[token] for token in kept])
    assert found.pvalue > 0.01


@given(seed=st.integers(-(2**70), 2**70), step=st.integers(0, 10**6))
def test_the_random_number_is_that_of_the_keyed_generator(seed: int, step: int) -> None:
    assert uniform(seed, step) == float(keyed_uniform(torch.zeros(1, dtype=torch.int64), 1, seed, step))


def test_logprobs_are_the_models_own_whatever_is_drawn() -> None:
    logits = torch.tensor([[3.0, 1.0, 2.0, 0.0], [0.0, 5.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]])
    bars = torch.tensor([-torch.inf, 0, 0, 0])
    each = [
        Sampling(temperature=0, logprobs=2, logit_bias={3: 50.0}),
        Sampling(temperature=0, logprobs=None),
        Sampling(temperature=2.0, top_k=1, logprobs=0, logit_bias={2: 1.0}),
    ]
    tokens, told = choose(logits, [Chooser(s, [1], 4, CPU) for s in each], bars)
    assert tokens == [3, 1, 2]
    exact = torch.log_softmax(logits[0], 0).tolist()
    assert told[0] is not None
    assert told[0].token == 3
    assert told[0].logprob == pytest.approx(exact[3])
    assert [token for token, _ in told[0].top] == [0, 2]
    assert [log for _, log in told[0].top] == pytest.approx([exact[0], exact[2]])
    assert told[1] is None
    assert told[2] is not None
    assert told[2].top == []
    assert told[2].logprob == pytest.approx(math.log(1 / 4))


@pytest.mark.parametrize("broken", [math.nan, math.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_not_finite_spoil_only_their_own_row(broken: float, temperature: float) -> None:
    logits = torch.randn(3, 20, generator=torch.Generator().manual_seed(0))
    choosers = [Chooser(Sampling(temperature=temperature, top_p=0.9, seed=i), [1], 20, CPU) for i in range(3)]
    whole, _ = choose(logits, choosers, torch.zeros(20))
    logits[1, 7] = broken
    tokens, told = choose(logits, choosers, torch.zeros(20))
    assert tokens == [whole[0], NOT_FINITE, whole[2]]
    assert told == [None, None, None]


@pytest.mark.parametrize("temperature", [5e-324, 1e-320, 1e-9])
def test_the_least_temperature_is_as_good_as_none(temperature: float) -> None:
    logits = torch.randn(4, 50, generator=torch.Generator().manual_seed(0))
    choosers = [Chooser(Sampling(temperature=temperature, seed=i), [1], 50, CPU) for i in range(4)]
    assert choose(logits, choosers, torch.zeros(50))[0] == logits.argmax(1).tolist()


def test_where_no_token_is_left_to_choose_none_is_chosen() -> None:
    tokens, _ = choose(torch.zeros(1, 4), [Chooser(Sampling(seed=0), [1], 4, CPU)], torch.full((4,), -torch.inf))
    assert tokens == [NOT_FINITE]


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ({"temperature": -0.1}, "temperature=-0.1"),
        ({"temperature": math.nan}, "temperature=nan"),
        ({"temperature": "hot"}, "temperature='hot'"),
        ({"temperature": True}, "temperature=True"),
        ({"temperature": None}, "temperature=None"),
        ({"top_k": 0}, "top_k=0"),
        ({"top_k": 2.5}, "top_k=2.5"),
        ({"top_p": 0.0}, "top_p=0.0"),
        ({"top_p": 1.1}, "top_p=1.1"),
        ({"min_p": -1}, "min_p=-1"),
        ({"repetition_penalty": 0}, "repetition_penalty=0"),
        ({"presence_penalty": math.inf}, "presence_penalty=inf"),
        ({"max_tokens": 0}, "max_tokens=0"),
        ({"stop": "end"}, "stop='end'"),
        ({"stop": ("",)}, "stop=('',)"),
        ({"seed": 1.5}, "seed=1.5"),
        ({"logprobs": 21}, "logprobs=21"),
        ({"logit_bias": {"a": 1.0}}, "'a'"),
        ({"logit_bias": {1: math.nan}}, "logit_bias of token 1"),
    ],
)
def test_a_bad_sampling_is_told_in_one_line(bad: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError) as found:
        Sampling(**bad)
    assert told in str(found.value)
    assert "\n" not in str(found.value)


def test_a_bias_of_a_token_that_there_is_not_is_told() -> None:
    with pytest.raises(UserError, match="no token 9: the vocabulary has 0 to 7"):
        Chooser(Sampling(logit_bias={9: 1.0}), [1], 8, CPU)
