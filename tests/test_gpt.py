"""The language model against its formulas, the loss in pieces, the plan, and the recipe that puts them together."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

import gradus as gd
from gradus.models import GPT
from gradus.tasks import chunked
from gradus.tasks.chunked import chunked_cross_entropy
from gradus.training import plan
from gradus.training.muon import Muon, groups_of

V = 23
SHAPES: list[dict[str, Any]] = [
    {},
    {"kv_heads": 2, "head_width": 6, "tie": False},
    {"qk_norm": False, "qkv_bias": True, "theta": 500.0},
    {"plain": True},
    {"plain": True, "gelu_by_tanh": True},
]


def model_of(**shape: Any) -> GPT:
    torch.manual_seed(3)
    model = GPT(V, **{"width": 16, "heads": 4, "layers": 2, "max_length": 40, **shape}).double().eval()
    with torch.no_grad():  # norms and biases too
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return model


def by_the_book(model: GPT, ids: Tensor) -> Tensor:
    """The logits of one text, (time,) → (time, tokens), token by token and head by head."""

    def norm(x: Tensor, part: nn.Module) -> Tensor:
        if isinstance(part, nn.LayerNorm):
            x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + model.epsilon).sqrt()
            return x * part.weight + part.bias
        return x / (x.square().mean(-1, keepdim=True) + model.epsilon).sqrt() * part.weight  # type: ignore[operator]

    def turn(x: Tensor, place: int) -> Tensor:
        half = len(x) // 2
        angles = torch.tensor([place * model.theta ** (-i / half) for i in range(half)], dtype=torch.float64)
        turned = torch.complex(x[:half], x[half:]) * torch.polar(torch.ones_like(angles), angles)
        return torch.cat([turned.real, turned.imag])

    d, shared = model.head_width, model.heads // model.kv_heads
    x = model.embed.weight[ids]
    if model.places is not None:
        x = x + model.places[: len(ids)]
    for block in model.blocks:
        h, part = norm(x, block.attention_norm), block.attention
        q, k, v = part.queries(h), part.keys(h), part.values(h)
        answers = []
        for head in range(model.heads):
            own, of_keys = slice(head * d, (head + 1) * d), slice(head // shared * d, (head // shared + 1) * d)
            qs, ks = list(q[:, own]), list(k[:, of_keys])
            if model.qk_norm:
                qs, ks = [norm(t, part.queries_norm) for t in qs], [norm(t, part.keys_norm) for t in ks]
            if not model.plain:
                qs, ks = [turn(t, i) for i, t in enumerate(qs)], [turn(t, i) for i, t in enumerate(ks)]
            rows = []
            for time, query in enumerate(qs):
                shares = torch.softmax(torch.stack([query @ key for key in ks[: time + 1]]) / math.sqrt(d), dim=0)
                rows.append(shares @ v[: time + 1, of_keys])
            answers.append(torch.stack(rows))
        x = x + part.out(torch.cat(answers, dim=1))
        h, part = norm(x, block.hidden_norm), block.hidden
        inner = (
            F.gelu(part.up(h), approximate="tanh" if model.gelu_by_tanh else "none")
            if model.plain
            else F.silu(part.gate(h)) * part.up(h)
        )
        x = x + part.down(inner)
    return norm(x, model.norm) @ model.head.weight.T


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_it_is_its_formula(shape: dict[str, Any]) -> None:
    model, ids = model_of(**shape), torch.randint(0, V, (9,))
    with torch.no_grad():
        # the table of cosines is in float32
        assert torch.allclose(model(ids[None])[0], by_the_book(model, ids), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES[:3], ids=str)
def test_texts_in_one_row_don_t_see_each_other(shape: dict[str, Any]) -> None:
    model, row = model_of(**shape), torch.randint(0, V, (1, 12))
    numbers = torch.tensor([[4] * 5 + [9] * 1 + [2] * 6])
    with torch.no_grad():
        together = model(row, numbers)[0]
        alone = torch.cat([model(part)[0] for part in row.split([5, 1, 6], dim=1)])
    assert torch.allclose(together, alone, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(model(row)[0], alone, atol=1e-3)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("parts", [[1] * 10, [4, 1, 5], [7, 3]])
def test_read_in_parts_at_places_of_their_own(shape: dict[str, Any], parts: list[int]) -> None:
    """Rows at different places of one cache, each as if it were alone."""
    model = model_of(**shape)
    ids = torch.randint(0, V, (3, 10))
    before = torch.tensor([0, 3, 8])  # tokens that each row has read already
    first = torch.randint(0, V, (3, 8))
    cache = model.fresh_cache(3, 24)
    with torch.no_grad():
        for row, count in enumerate(before.tolist()):
            if count:
                model.read_at(first[row : row + 1, :count], torch.tensor([0]), cache[row : row + 1], count)
        answers, done = [], before.clone()
        for part in ids.split(parts, dim=1):
            answers.append(model.head(model.read_at(part, done, cache, 20)))
            done = done + part.shape[1]
        for row, count in enumerate(before.tolist()):
            whole = model(torch.cat([first[row, :count], ids[row]])[None])[0, count:]
            assert torch.allclose(torch.cat(answers, dim=1)[row], whole, rtol=1e-6, atol=1e-6)


@given(st.integers(1, 40), st.integers(2, 30), st.integers(1, 17), st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_the_loss_in_pieces_is_cross_entropy(rows: int, words: int, at_once: int, seed: int) -> None:
    chance = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 5, generator=chance, dtype=torch.float64).requires_grad_()
    weight = torch.randn(words, 5, generator=chance, dtype=torch.float64).requires_grad_()
    targets = torch.randint(0, words, (rows,), generator=chance)
    targets[torch.rand(rows, generator=chance) < 0.3] = -100
    kept, chunked.ROWS = chunked.ROWS, at_once
    try:
        loss = chunked_cross_entropy(x, weight, targets)
    finally:
        chunked.ROWS = kept
    exact = F.cross_entropy(x @ weight.T, targets, reduction="sum")
    assert torch.allclose(loss, exact)
    for mine, theirs in zip(
        torch.autograd.grad(loss * 3, (x, weight)), torch.autograd.grad(exact * 3, (x, weight)), strict=True
    ):
        assert torch.allclose(mine, theirs)


def test_the_task_takes_the_loss_in_pieces_where_the_vocabulary_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model, ids = GPT(V, width=16, heads=2, layers=1), torch.randint(0, V, (4, 11))
    batch = gd.data.Batch(ids[:, :-1], ids[:, 1:], torch.arange(4))
    task = gd.tasks.NextToken(V)
    plain = task.loss_of(model, batch)
    monkeypatch.setattr("gradus.tasks.tokens.LARGE", 1)
    monkeypatch.setattr(GPT, "forward", None)  # no logits are made
    assert torch.allclose(task.loss_of(model, batch), plain)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.allclose(task.loss_of(model, batch), plain, rtol=0.02)


def test_under_muon_a_table_goes_by_adamw() -> None:
    torch.manual_seed(0)
    model = GPT(V, width=8, heads=2, layers=1)
    table, twin = model.embed.weight, nn.Parameter(model.embed.weight.detach().clone())
    first = model.blocks[0].hidden.up.weight.detach().clone()
    mine = Muon(groups_of(model), lr=0.01, weight_decay=0.1)
    other = torch.optim.AdamW([twin], lr=0.01, betas=(0.9, 0.95), weight_decay=0.1)
    for _ in range(3):
        for weight in model.parameters():
            weight.grad = torch.randn_like(weight)
        twin.grad = table.grad.clone()  # type: ignore[union-attr]
        mine.step()
        other.step()
    assert torch.allclose(table, twin, atol=1e-6)
    moved = torch.linalg.svdvals(model.blocks[0].hidden.up.weight.detach() - first)
    assert moved.min() > 0.2 * moved.max()  # AdamW's would be far from it


def test_the_dial_sets_everything_by_the_told_rules() -> None:
    for depth in (1, 2, 4, 6, 8, 12):
        made = plan.plan_for(depth, 8000, 10**9)
        model = made.model(8000)
        assert (made.layers, made.width, made.heads) == (depth, 64 * depth, depth)
        assert plan.weights_of(made, 8000) == sum(p.numel() for p in model.parameters())
        assert made.tokens == 10 * plan.weights_of(made, 8000)
        assert made.dropout == 0.0
        assert made.steps == round(made.tokens / (made.batch_size * made.length))
    short = plan.plan_for(4, 8000, 100_000)
    assert short.tokens == 800_000  # eight times the text
    assert short.dropout == 0.1
    assert plan.plan_for(4, 8000, 100_000, tokens=2_000_000).dropout == 0.3
    sizes = [plan.fitting(8000, 10**9, minutes, 1e11).layers for minutes in (1, 10, 100, 1000)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]
    made = plan.fitting(8000, 10**9, 10, 1e11)
    spent = made.tokens * plan.operations(made, 8000) / 1e11
    assert spent == pytest.approx(plan.SHARE * 600, rel=0.01)


def test_the_plan_warns_where_text_and_model_don_t_fit() -> None:
    def words(depth: int, text: int, tokens: int | None = None) -> str:
        return " ".join(plan.told(plan.plan_for(depth, 8000, text, tokens=tokens), 8000, text, 1e11))

    assert "by heart" not in words(2, 10**9)
    assert "by heart" in words(2, 10_000)
    assert "weights for each token" in words(12, 10**6)
    assert "tokens a weight are few" in words(12, 10**9, 10**6)
    assert "the text is read 20 times" in words(2, 10**5, 2 * 10**6)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--depth", "0"], "depth: 0 is not a whole number from 1 to 64"),
        (["--data", "nothing.txt"], "nothing.txt"),
        (["--tokenizer", "nowhere"], "nowhere"),
        (["--length", "2"], "length 2"),
    ],
)
def test_bad_input_is_one_line(flags: list[str], words: str, gradus: Any, text: Path) -> None:
    given = flags if "--data" in flags else ["--data", str(text), *flags]
    status, _, told = gradus("train", "gpt", "--steps", "1", *given)
    assert status == 2
    assert words in told
    assert len(told.strip().splitlines()) == 1
    assert not list(Path().glob("runs/*"))


@pytest.fixture
def text() -> Path:
    path = Path("text.txt")
    path.write_text("".join(f"{n} and {n + 1} are {2 * n + 1}.\n" for n in range(3000)))
    return path


def test_what_was_timed_before_changes_no_weight(text: Path, monkeypatch: pytest.MonkeyPatch, gradus: Any) -> None:
    """The first run times this machine and fills the cache, the second one finds it all there."""
    monkeypatch.setenv("GRADUS_CACHE", str(Path("cache").resolve()))
    flags = ["--data", str(text), "--vocabulary", "300", "--depth", "1", "--length", "32", "--steps", "3"]
    ends = []
    for out in ("first", "second"):
        assert gradus("train", "gpt", *flags, "--batch-size", "4", "--out", out)[0] == 0
        ends.append(gd.Run(out).model.state_dict())
    assert list(Path("cache/timings").iterdir())
    for key, value in ends[0].items():
        assert torch.equal(value, ends[1][key]), key


def test_the_recipe_learns_and_goes_on_as_it_was_begun(
    text: Path, monkeypatch: pytest.MonkeyPatch, gradus: Any
) -> None:
    flags = ["--data", str(text), "--tokens", "characters", "--depth", "1", "--length", "32", "--train-tokens", "60000"]
    flags += ["--batch-size", "16", "--precision", "fp32", "--save-every", "20 steps"]
    assert gradus("train", "gpt", *flags, "--out", "whole")[0] == 0
    summary = json.loads(Path("whole/summary.json").read_text())
    assert summary["steps"] == round(60000 / 16 / 32)
    test, beside = summary["metrics"]["test"], summary["baseline"]
    assert test["bits_per_byte"] == pytest.approx(test["bits_per_char"])
    assert test["loss"] < 0.7 * math.log(beside["unigram model"]["perplexity"])

    monkeypatch.setattr(plan, "rate_here", None)  # what was measured is not measured again
    assert gradus("train", "gpt", *flags, "--out", "whole", "--resume", "auto")[0] == 0
    run = gd.Run("whole")
    assert isinstance(run.model, GPT)
    assert (run.model.layers, run.model.max_length) == (1, 32)
