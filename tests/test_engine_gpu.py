"""Writing on a GPU, by captured graphs: ``pytest -m gpu`` on a machine that has one; skipped elsewhere."""

from __future__ import annotations

import copy

import pytest
import torch
from test_engine import ENDLESS, lm, prompts

from gradus.language import Engine, LanguageModel, Sampling, generate

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device"),
]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_answers_by_captured_graphs_are_those_of_the_cpu(temperature: float) -> None:
    there = LanguageModel(copy.deepcopy(lm().model).cuda(), lm().tokens)
    asked = prompts(4, 12)
    sampling = Sampling(temperature=temperature, max_tokens=60, seed=3, logprobs=2)
    found, wanted = generate(there, asked, sampling, rows=5), generate(lm(), asked, sampling, rows=5)
    assert [piece.tokens for piece in found] == [piece.tokens for piece in wanted]
    for piece, other in zip(found, wanted, strict=True):
        logs = [told.logprob for told in piece.logprobs]
        assert logs == pytest.approx([told.logprob for told in other.logprobs], abs=1e-2)


def test_steps_are_captured_once_for_a_number_of_rows_and_places() -> None:
    engine = Engine(LanguageModel(copy.deepcopy(lm().model).cuda(), lm().tokens), rows=4)
    for number in range(3):
        engine.submit([9 + number], Sampling(seed=0, logit_bias=ENDLESS, max_tokens=40))
    while engine.turn():
        pass
    captured = engine._cache.captured
    assert captured is not None
    assert len(captured._graphs) == 1


def test_half_the_bits_say_nearly_the_same() -> None:
    there = LanguageModel(copy.deepcopy(lm().model).cuda(), lm().tokens, arithmetic="bf16")
    asked = prompts(6, 8)
    sampling = Sampling(temperature=0, max_tokens=1)
    found, wanted = generate(there, asked, sampling), generate(lm(), asked, sampling)
    assert sum(a.tokens == b.tokens for a, b in zip(found, wanted, strict=True)) >= 7
