"""Muon: its orthogonal update, against singular values and torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gradus.training.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 10, 40), (2, 64, 27), (4, 5, 1)])
def test_the_update_has_singular_values_about_one_and_the_same_directions(shape: tuple[int, ...]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    out = orthogonal(matrices)
    values = torch.linalg.svdvals(out.double())
    assert values.min() > 0.3
    assert values.max() < 1.3
    u, _, v = torch.linalg.svd(matrices.double(), full_matrices=False)
    nearest = u @ v
    cosine = (out * nearest).sum(dim=(1, 2)) / (out.norm(dim=(1, 2)) * nearest.norm(dim=(1, 2)))
    assert cosine.min() > 0.95


@pytest.mark.parametrize("shape", [(32, 32), (8, 40), (40, 8)])
def test_on_matrices_it_is_torch_s_muon(shape: tuple[int, int]) -> None:
    chance = torch.Generator().manual_seed(1)
    begin = torch.randn(shape, generator=chance)
    ours, theirs = nn.Parameter(begin.clone()), nn.Parameter(begin.clone())
    settings = {"lr": 0.02, "momentum": 0.9, "weight_decay": 0.1}
    mine = Muon([ours], **settings)
    other = torch.optim.Muon([theirs], adjust_lr_fn="match_rms_adamw", **settings)
    for _ in range(5):
        gradient = torch.randn(shape, generator=chance)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        mine.step()
        other.step()
    moved = (theirs - begin).norm()
    assert (ours - theirs).norm() < 0.03 * moved  # torch iterates in bf16


def test_filters_count_as_matrices_and_the_rest_goes_by_adamw() -> None:
    chance = torch.Generator().manual_seed(2)
    filters, flat = (nn.Parameter(torch.ones(6, 3, 2, 2)), nn.Parameter(torch.ones(6, 12)))
    bias, reference = nn.Parameter(torch.ones(5)), nn.Parameter(torch.ones(5))
    mine = Muon([filters, flat, bias, nn.Parameter(torch.ones(3))], lr=0.01, weight_decay=0.1)  # one without gradient
    other = torch.optim.AdamW([reference], lr=0.01, betas=(0.9, 0.95), weight_decay=0.1)
    for _ in range(4):
        gradient, one = torch.randn(6, 3, 2, 2, generator=chance), torch.randn(5, generator=chance)
        filters.grad, flat.grad = gradient, gradient.view(6, 12)
        bias.grad, reference.grad = one, one.clone()
        mine.step()
        other.step()
    assert torch.equal(filters.view(6, 12), flat)
    assert torch.allclose(bias, reference, atol=1e-6)
