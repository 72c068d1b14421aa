"""Augmentation: what each does to a picture, and that a sample's chance is its own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image

from gradus.data import Augmentation, Colour, Crop, Erase, Flip, Noise, Rotate, Shift

EACH = [Shift(2), Crop(2), Flip(), Noise(), Rotate(25, 0.3), Colour(), Erase(0.4), Erase(0.4, probability=0.5)]


@pytest.mark.parametrize("augmentation", EACH, ids=str)
def test_a_sample_s_chance_is_its_own(augmentation: Augmentation) -> None:
    pictures = torch.rand(8, 3, 9, 12, generator=torch.Generator().manual_seed(0))
    samples = torch.tensor([5, 3, 99, 0, 12, 7, 1_000_000, 4])
    together = augmentation(pictures, samples, 77, -1.0)
    assert together.shape == pictures.shape
    assert not torch.equal(together, pictures)
    assert not torch.equal(together, augmentation(pictures, samples, 78, -1.0))
    turned = augmentation(pictures.flip(0), samples.flip(0), 77, -1.0).flip(0)
    alone = torch.cat([augmentation(pictures[i : i + 1], samples[i : i + 1], 77, -1.0) for i in range(8)])
    assert torch.equal(turned, together)
    assert torch.equal(alone, together)
    last = augmentation(pictures.contiguous(memory_format=torch.channels_last), samples, 77, -1.0)
    assert torch.allclose(last, together, atol=1e-6)


def test_nothing_is_done_at_strength_zero() -> None:
    pictures, samples = torch.rand(4, 3, 8, 8), torch.arange(4)
    for nothing in (Shift(0), Flip(0.0), Rotate(0.0), Colour(0.0, 0.0, 0.0), Erase(0.5, probability=0.0), Noise(0.0)):
        assert torch.allclose(nothing(pictures, samples, 1, 0.0), pictures, atol=1e-5), nothing


@pytest.mark.parametrize("height", [33, 65])
def test_rotation_is_pillow_s(height: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the largest angle, against Pillow, within the circle that no border reaches."""
    monkeypatch.setattr("gradus.data.augment.keyed_uniform", lambda s, width, key: torch.full((len(s), width), 1.0))
    grid = np.add.outer(np.linspace(0, 6, height) ** 2, np.linspace(0, 9, 33)).astype(np.float32)
    mine = Rotate(30.0)(torch.from_numpy(grid)[None, None], torch.zeros(1, dtype=torch.long), 0, 0.0)[0, 0].numpy()
    theirs = np.asarray(Image.fromarray(grid).rotate(30, Image.Resampling.BILINEAR))
    y, x = np.mgrid[:height, :33]
    inside = (x - 16) ** 2 + (y - height // 2) ** 2 < 14**2
    either = [
        np.abs(mine - turned)[inside].max()
        for turned in (theirs, np.asarray(Image.fromarray(grid).rotate(-30, Image.Resampling.BILINEAR)))
    ]
    assert min(either) < 0.05
    assert max(either) > 1.0


def test_brightness_contrast_and_saturation_are_their_formulas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradus.data.augment.keyed_uniform", lambda s, width, key: torch.full((len(s), width), 1.0))
    shares = torch.rand(2, 3, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mean, std = 0.4, 0.3
    standard, samples, black = (shares - mean) / std, torch.zeros(2, dtype=torch.long), -mean / std
    brighter = Colour(0.2, 0.0, 0.0)(standard, samples, 0, black) * std + mean
    assert torch.allclose(brighter, shares * 1.2, atol=1e-6)  # the strengths are float32
    contrast = Colour(0.0, 0.2, 0.0)(standard, samples, 0, black) * std + mean
    middle = shares.mean(dim=(1, 2, 3), keepdim=True)
    assert torch.allclose(contrast, middle + 1.2 * (shares - middle), atol=1e-6)
    grey = (shares * torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64).view(1, 3, 1, 1)).sum(1, keepdim=True)
    saturated = Colour(0.0, 0.0, 0.2)(standard, samples, 0, black) * std + mean
    assert torch.allclose(saturated, grey + 1.2 * (shares - grey), atol=1e-6)
    grey_picture = standard[:, :1]  # has no colour to be changed
    assert torch.allclose(Colour(0.0, 0.0, 0.9)(grey_picture, samples, 0, black), grey_picture)


def test_a_square_of_the_side_that_was_asked_for_is_erased() -> None:
    pictures = torch.ones(500, 1, 20, 20)
    holes = Erase(0.5)(pictures, torch.arange(500), 3, -1.0) == 0
    sizes = holes.flatten(1).sum(1)
    assert int(sizes.max()) == 100
    for hole in holes[:50, 0]:
        rows, columns = hole.any(1).sum(), hole.any(0).sum()
        assert int(hole.sum()) == int(rows) * int(columns)  # a rectangle: the square, or what of it is inside
    spread = holes.float().mean(dim=(0, 1))
    assert float(spread.min()) > 0.06  # no place is spared, not even a corner
    assert math.isclose(float(spread.mean()), float(sizes.float().mean()) / 400, rel_tol=1e-5)
