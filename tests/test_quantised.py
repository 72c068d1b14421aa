"""Weights of fewer bits against exact ones, rows alone against rows among others, and the choice between them."""

from __future__ import annotations

import copy
import json
import math
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.data import Encoder, Tokens
from gradus.data.columns import Target
from gradus.errors import UserError
from gradus.language import LanguageModel, Sampling, generate, quantised
from gradus.language.compact import Compact
from gradus.language.quantised import Int8, available, choose_arithmetic, writer_of
from gradus.models import GPT, MLP
from gradus.tasks import NextToken
from gradus.training import machine
from gradus.training.predictor import Predictor

needs_int8 = pytest.mark.skipif(not available(), reason="this build of torch has no exact 8-bit products here")
SHAPES: dict[str, dict[str, Any]] = {
    "llama": dict(kv_heads=2, qk_norm=False, tie=False),
    "qwen2": dict(kv_heads=1, qk_norm=False, qkv_bias=True),
    "qwen3": dict(kv_heads=2, head_width=24, theta=1e6),
    "gpt2": dict(plain=True),
    "gpt2-tanh": dict(plain=True, gelu_by_tanh=True),
}


def model_of(shape: str = "qwen3", width: int = 64) -> GPT:
    torch.manual_seed(0)
    model = GPT(320, width, 4, 3, max_length=200, **SHAPES[shape]).eval()
    with torch.no_grad():
        for weight in model.parameters():  # biases and norms too
            weight += 0.05 * torch.randn_like(weight)
    return model


def read(decoder: Any, ids: Tensor, starts: Tensor, cache: Tensor, room: int = 128) -> Tensor:
    with torch.inference_mode():
        logits: Tensor = decoder.head(decoder.read_at(ids, starts, cache, room))
    return logits


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("time", [1, 9])
def test_laid_out_for_writing_a_model_says_the_same(shape: str, time: int) -> None:
    model = model_of(shape)
    ids, starts = torch.randint(0, 320, (3, time)), torch.tensor([0, 40, 111])
    before = torch.randn_like(model.fresh_cache(3, 128))
    mine, own = before.clone(), before.clone()
    wanted = read(model, ids, starts, own)
    found = read(writer_of(model, "exact"), ids, starts, mine)
    assert isinstance(writer_of(model, "exact"), Compact)
    assert torch.allclose(found, wanted, atol=1e-4)
    assert torch.allclose(mine, own, atol=1e-4)


@needs_int8
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("arithmetic", ["int8", "bf16"])
def test_rounded_weights_say_nearly_the_same(shape: str, arithmetic: str) -> None:
    model = model_of(shape)
    ids, starts = torch.randint(0, 320, (8, 12)), torch.zeros(8, dtype=torch.int64)
    writer = writer_of(model, arithmetic)
    exact = read(model, ids, starts, model.fresh_cache(8, 64), 64)
    rounded = read(writer, ids, starts, writer.fresh_cache(8, 64), 64).float()
    divergence = F.kl_div(rounded.log_softmax(-1), exact.log_softmax(-1), log_target=True, reduction="none").sum(-1)
    # inputs of 7 bits, where a machine needs them, have twice the error of 8, and weights have theirs: 5/2 in squares
    more = 2.5 if arithmetic == "int8" and quantised._saturates() else 1.0
    assert divergence.mean() < 2e-3 * more
    assert (rounded - exact).std() < 0.06 * more**0.5 * exact.std()
    assert (rounded - exact).std() > 0  # they are rounded


@needs_int8
@settings(max_examples=40, deadline=None)
@given(
    number=st.integers(0, 10**6),
    inputs=st.sampled_from([1, 3, 64, 100, 257]),
    outputs=st.sampled_from([1, 5, 96]),
    rows=st.integers(1, 20),
    spread=st.sampled_from([1e-20, 1e-3, 1.0, 1e6, 1e20]),
)
def test_a_row_is_the_same_alone_and_among_others(
    number: int, inputs: int, outputs: int, rows: int, spread: float
) -> None:
    chance = torch.Generator().manual_seed(number)
    weight = torch.randn(outputs, inputs, generator=chance)
    x = torch.randn(rows, inputs, generator=chance) * spread ** torch.rand(rows, 1, generator=chance)
    product = Int8(weight, torch.randn(outputs, generator=chance))
    together = product(x)
    for row in range(rows):
        assert torch.equal(product(x[row : row + 1])[0], together[row])
    exact = x.double() @ weight.double().T + product.bias
    bound = 0.02 * x.abs().amax(1, keepdim=True) * weight.abs().sum(1) + 1e-30
    assert ((together - exact).abs() <= bound + 1e-4).all()


@needs_int8
@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_a_row_that_is_not_finite_stays_so_and_spoils_no_other(broken: float) -> None:
    product, x = Int8(torch.randn(8, 30)), torch.randn(4, 30)
    whole = product(x)
    x[2, 5] = broken
    found = product(x)
    assert torch.equal(found[[0, 1, 3]], whole[[0, 1, 3]])
    assert not found[2].isfinite().any()


@needs_int8
def test_a_row_of_zeros_and_a_weight_of_zeros_give_zeros() -> None:
    assert torch.equal(Int8(torch.randn(8, 30))(torch.zeros(2, 30)), torch.zeros(2, 8))
    assert torch.equal(Int8(torch.randn(8, 30))(torch.zeros(1, 30)), torch.zeros(1, 8))
    assert torch.equal(Int8(torch.zeros(8, 30))(torch.randn(2, 30)), torch.zeros(2, 8))


@needs_int8
def test_no_warning_of_the_library_reaches_the_user() -> None:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        product = Int8(torch.randn(8, 30))
        product(torch.randn(2, 30))
    assert heard == []


def test_what_was_asked_for_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of()
    assert choose_arithmetic(model, "none").value == "exact"
    assert choose_arithmetic(model, "auto") == machine.Choice("exact", "the model is small")
    with pytest.raises(UserError, match="quantise: 'int4' is no choice: give auto, none, int8"):
        choose_arithmetic(model, "int4")
    monkeypatch.setattr(quantised, "available", lambda: False)
    with pytest.raises(UserError, match="int8 products aren't there"):
        choose_arithmetic(model, "int8")
    monkeypatch.setattr(quantised, "SMALL", 0)
    assert choose_arithmetic(model, "auto").value == "exact"


@needs_int8
@pytest.mark.parametrize(("seconds", "chosen"), [((3.0, 1.0), "int8"), ((1.0, 1.0), "exact")])
def test_the_faster_arithmetic_is_chosen_and_the_answer_kept(
    seconds: tuple[float, float], chosen: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GRADUS_CACHE", str(tmp_path))
    monkeypatch.setattr(quantised, "SMALL", 0)
    timed = []

    def fastest(*steps: Any, rounds: int) -> tuple[float, ...]:
        for step in steps:
            timed.append(step())
        return seconds

    monkeypatch.setattr(quantised, "fastest", fastest)
    for _ in range(2):
        found = choose_arithmetic(model_of(), "auto")
        assert found == machine.Choice(chosen, f"int8 weights are {seconds[0]:.1f} × as fast here")
    assert [tuple(logits.shape) for logits in timed] == [(1, 1, 320)] * 2


def test_a_build_without_8_bit_products_is_told_from_one_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch, "quantize_per_channel")
    assert not available.__wrapped__()
    monkeypatch.undo()
    monkeypatch.setattr(Int8, "__call__", lambda self, x: x[:, :8] * x.abs().max())  # where rows influence each other
    assert not available.__wrapped__()


def run_of(path: Path, recipe: str, model: nn.Module, tokens: Tokens) -> Path:
    """A finished run as a recipe leaves it."""
    path.mkdir(parents=True)
    Predictor(model, NextToken(tokens.size), Encoder((tokens,), Target("text"))).save(path / "predictor")
    (path / "config.json").write_text(json.dumps({"recipe": recipe}))
    (path / "summary.json").write_text("{}")
    return path


@pytest.fixture
def tokens() -> Tokens:
    return Tokens.fit("text", ["the cat sat on the mat"] * 4, "chat", size=300)


def test_a_run_is_loaded_with_its_tokens(tokens: Tokens, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = GPT(tokens.size, 32, 4, 2, max_length=64)
    ids = tokens.encode_text("the cat")
    wanted = generate(LanguageModel(model, tokens), [ids], Sampling(temperature=0, max_tokens=20))
    for recipe, chats in (("gpt", False), ("instruct", True)):
        path = run_of(tmp_path / recipe, recipe, model, tokens)
        lm = LanguageModel.load(path, device="cpu")
        assert (lm.name, lm.max_length, lm.chats, str(lm.device)) == (recipe, 64, chats, "cpu")
        assert generate(lm, [ids], Sampling(temperature=0, max_tokens=20)) == wanted
        assert {flag: choice.value for flag, choice in lm.chosen.items()} == {"device": "cpu", "quantise": "exact"}
    if available():
        assert LanguageModel.load(path, device="cpu", quantise="int8").arithmetic == "int8"


def test_what_is_no_language_model_is_told(tokens: Tokens, tmp_path: Path) -> None:
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    (unfinished / "config.json").write_text('{"recipe": "gpt"}')
    vocabulary = tmp_path / "vocabulary"
    vocabulary.mkdir()
    (vocabulary / "config.json").write_text('{"recipe": "tokenizer", "task": null}')
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "config.json").write_text('{"recipe')
    for path, told in (
        (tmp_path / "nothing", "no language model"),
        (unfinished, "gradus resume"),
        (vocabulary, "gradus train gpt --tokenizer"),
        (damaged, "damaged"),
        (run_of(tmp_path / "table", "table", MLP(4, 4), tokens), "another kind of model"),
    ):
        with pytest.raises(UserError, match=told) as found:
            LanguageModel.load(path)
        assert str(path) in str(found.value)
        assert "\n" not in str(found.value)


def test_an_exact_model_of_another_type_writes_by_itself() -> None:
    half = copy.deepcopy(model_of()).to(torch.float64)
    assert writer_of(half, "exact") is half
