"""LoRA: what it computes, what of it learns, and that nothing is left of it once it is merged."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

import gradus as gd
from gradus.models import LowRank, add_lora, merge_lora, with_tokens


def small(**options: object) -> gd.models.GPT:
    torch.manual_seed(0)
    return gd.models.GPT(50, width=16, heads=2, layers=2, max_length=32, **options)  # type: ignore[arg-type]


def stirred(model: nn.Module) -> nn.Module:
    """The model with adapters that are no longer zero."""
    torch.manual_seed(3)
    for part in model.modules():
        if isinstance(part, LowRank):
            nn.init.normal_(part.up)
    return model


IDS = torch.arange(20).reshape(2, 10)


def test_the_formula() -> None:
    torch.manual_seed(1)
    part = LowRank(nn.Linear(7, 5), rank=3, alpha=6.0)
    nn.init.normal_(part.up)
    x = torch.randn(4, 7)
    w, b, a, up = (
        t.detach().numpy().astype(np.float64) for t in (part.base.weight, part.base.bias, part.down, part.up)
    )
    wanted = x.numpy() @ w.T + b + (6.0 / 3) * (x.numpy() @ a.T) @ up.T
    assert np.allclose(part(x).detach().numpy(), wanted, atol=1e-5)


def test_it_begins_as_no_change_and_only_the_small_maps_learn() -> None:
    model = small()
    before, weights = model(IDS), copy.deepcopy(model.state_dict())
    count = add_lora(model, rank=4)
    assert count == 2 * 7
    assert torch.equal(model(IDS), before)
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    assert learning == {n for n, _ in model.named_parameters() if n.endswith((".down", ".up"))} - {
        n for n, _ in model.named_parameters() if n.endswith("hidden.down.base.weight")
    }
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    for _ in range(3):
        model(IDS).square().sum().backward()
        optimizer.step()
    assert all(p.grad is None for p in model.parameters() if not p.requires_grad)
    now = {
        name.replace(".base.", "."): t for name, t in model.state_dict().items() if not name.endswith((".down", ".up"))
    }
    assert all(torch.equal(now[name], weights[name]) for name in weights)
    assert not torch.allclose(model(IDS), before)


@pytest.mark.parametrize("options", [{}, {"plain": True}, {"qkv_bias": True, "kv_heads": 1}])
def test_merged_it_answers_as_before_and_is_a_plain_model(options: dict[str, object]) -> None:
    model, plain = small(**options), small(**options)
    add_lora(model, rank=4, alpha=8)
    stirred(model)
    apart = model(IDS)
    assert merge_lora(model) is model
    assert not any(isinstance(part, LowRank) for part in model.modules())
    assert torch.allclose(model(IDS), apart, atol=1e-4)
    assert all(p.requires_grad for p in model.parameters())
    assert model.state_dict().keys() == plain.state_dict().keys()
    assert gd.models.describe(model) == gd.models.describe(plain)
    assert model.head.weight is model.embed.weight


def test_a_model_without_it_is_left_alone() -> None:
    model = small().requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    assert merge_lora(model) is model
    assert not any(p.requires_grad for p in model.parameters())
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in before)


def test_other_weights_may_go_on_learning() -> None:
    model = small()
    add_lora(model, rank=2, also=[model.embed.weight])
    assert model.embed.weight.requires_grad
    assert not model.norm.weight.requires_grad


def test_dropout_is_of_the_small_map_only_and_in_training_only() -> None:
    torch.manual_seed(0)
    part = LowRank(nn.Linear(64, 8), rank=4, alpha=4, dropout=0.9)
    nn.init.normal_(part.up)
    x = torch.randn(3, 64)
    part.eval()
    assert torch.equal(part(x), part(x))
    part.train()
    assert not torch.equal(part(x), part(x))
    nn.init.zeros_(part.up)
    assert torch.equal(part(x), part.base(x))


def test_a_run_with_it_leaves_a_plain_predictor_and_its_checkpoints_hold_both() -> None:
    from gradus.training import Predictor, checkpoint

    torch.manual_seed(0)
    text = [f"line {i} of a text" for i in range(80)]
    data = gd.data.lines(gd.data.read_lines({"text": text}), max_length=32)
    model = gd.models.GPT(data.num_tokens, width=16, heads=2, layers=1, max_length=32)
    base = model.blocks[0].attention.queries.weight.detach().clone()
    add_lora(model, rank=2)
    run = gd.train(model, data, steps=6, batch_size=8, lr=0.05, out="run", quiet=True)
    names = set(run.predictor.model.state_dict())
    assert not any(name.endswith((".up", ".base.weight")) and "hidden.up" not in name for name in names)
    assert not torch.equal(run.model.blocks[0].attention.queries.weight, base)
    again = Predictor.load(run.directory.predictor)
    assert set(again.model.state_dict()) == names
    from safetensors.torch import load_file

    newest = run.directory.checkpoints / f"{checkpoint.steps(run.directory.checkpoints)[-1]:08}"
    kept = load_file(newest / "model.safetensors")
    assert torch.equal(kept["blocks.0.attention.queries.base.weight"], base)
    assert kept["blocks.0.attention.queries.up"].abs().sum() > 0


def test_more_tokens_change_nothing_of_those_that_were_known() -> None:
    for tie in (True, False):
        model = small(tie=tie).eval()
        larger = with_tokens(model, 54)
        assert larger.num_tokens == 54
        assert torch.allclose(larger(IDS)[..., :50], model(IDS), atol=1e-5)
        assert torch.allclose(larger.embed.weight[50:], model.embed.weight.mean(0).expand(4, -1), atol=1e-6)
        assert (larger.head.weight is larger.embed.weight) == tie
        assert with_tokens(larger, 54) is larger
        assert gd.models.describe(larger)["named"]["num_tokens"] == 54  # type: ignore[index]
