"""Our dropout against what dropout means, and against PyTorch's."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gradus.models.dropping import LEVELS, Dropout


@settings(deadline=None, max_examples=40)
@given(st.integers(0, LEVELS), st.integers(1, 70), st.sampled_from([torch.float32, torch.bfloat16]))
def test_what_is_left_is_scaled_and_its_gradient_alike(dropped: int, size: int, dtype: torch.dtype) -> None:
    torch.manual_seed(dropped + size)
    x = torch.rand(size, 3).add(1).to(dtype).requires_grad_()
    drop = Dropout(dropped / LEVELS)
    y = drop(x)
    assert y.dtype == dtype
    assert y.shape == x.shape
    left = y != 0
    assert torch.equal(left, torch.zeros_like(left)) or dropped < LEVELS
    if dropped < LEVELS:
        scale = LEVELS / (LEVELS - dropped)
        assert torch.allclose(y[left], x[left] * scale, rtol=1e-2 if dtype is torch.bfloat16 else 1e-6)
        y.sum().backward()
        assert x.grad is not None
        assert torch.equal(x.grad != 0, left)
    assert torch.equal(drop.eval()(x), x)


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9])
def test_it_drops_the_share_it_says_each_element_by_itself(share: float) -> None:
    torch.manual_seed(0)
    count, rounds = 40_003, 50
    left = torch.stack([Dropout(share)(torch.ones(count)) != 0 for _ in range(rounds)]).double()
    deviation = (share * (1 - share) / (count * rounds)) ** 0.5
    assert abs(float(1 - left.mean()) - share) < 5 * deviation + 1 / LEVELS
    # neighbours of a draw (four elements) and of the next: no correlation beyond chance
    for apart in (1, 2, 3, 4):
        both = float(((left[:, apart:] - left.mean()) * (left[:, :-apart] - left.mean())).mean())
        assert abs(both) / (share * (1 - share)) < 5 / (count * rounds) ** 0.5


def test_a_seed_gives_the_same_mask() -> None:
    x, drop = torch.ones(1001), Dropout(0.3)
    masks = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        masks.append(drop(x))
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])
