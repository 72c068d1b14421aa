"""Models: shapes, and the round trip through a description of name and arguments."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

import gradus as gd
from gradus.errors import UserError

CASES = [
    (gd.models.Linear(6, 2), (5, 6), (5, 2)),
    (gd.models.Polynomial(3), (5, 1), (5, 1)),
    (gd.models.SumOf("sigmoid", 7, reach=2.0), (5, 1), (5, 1)),
    (gd.models.MLP(784, 32, 16, 10), (5, 1, 28, 28), (5, 10)),
    (gd.models.MLP(8, 6, 1, activation="tanh", dropout=0.2, batch_norm=True, skip=True), (5, 8), (5, 1)),
    (gd.models.MLP(4, 6, 3, categories=(5, 100)), (5, 4), (5, 3)),
    (gd.models.NotesCNN((1, 28, 28), 10), (5, 1, 28, 28), (5, 10)),
    (gd.models.CNN((3, 32, 32), 7, width=4, dropout=0.1), (5, 3, 32, 32), (5, 7)),
    (gd.models.CNN((1, 8, 8), 10, width=4), (5, 1, 8, 8), (5, 10)),
    (gd.models.MLP(3, 6, 2, skip=True, only=(4, 0, 2)), (5, 6), (5, 2)),
    (gd.models.VGG((3, 30, 20), 4, widths=(4, 8), depth=3, hidden=10), (5, 3, 30, 20), (5, 4)),
    (gd.models.ResNet((1, 28, 28), 10, width=4), (5, 1, 28, 28), (5, 10)),
    (
        gd.models.ResNet((3, 67, 45), 3, width=4, blocks=(1, 2, 1, 1), stem=4, dropout=0.1, flips=True),
        (5, 3, 67, 45),
        (5, 3),
    ),
    (gd.models.Inception((1, 28, 28), 10), (5, 1, 28, 28), (5, 10)),
    (gd.models.SpeedNet((3, 32, 32), 2, width=4), (5, 3, 32, 32), (5, 2)),
]


@pytest.mark.parametrize(("model", "shape_in", "shape_out"), CASES, ids=lambda v: type(v).__name__)
def test_shapes_and_description(model: nn.Module, shape_in: tuple[int, ...], shape_out: tuple[int, ...]) -> None:
    x = torch.rand(shape_in)
    assert model.eval()(x).shape == shape_out
    again = gd.models.build(json.loads(json.dumps(gd.models.describe(model))))
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.eval()(x), model(x))


def test_the_notes_networks_have_their_sizes() -> None:
    assert sum(p.numel() for p in gd.models.MLP(784, 512, 256, 128, 64, 10).parameters()) == 575_050
    assert sum(p.numel() for p in gd.models.NotesCNN((1, 28, 28), 10).parameters()) == 260 + 5_020 + 3_210


def test_a_polynomial_and_a_sum_of_pieces_are_their_formulas() -> None:
    x = torch.tensor([[-2.0], [0.0], [1.5]])
    cubic = gd.models.Polynomial(3)
    cubic.load_state_dict({"coefficients": torch.tensor([1.0, -2.0, 0.5, 3.0])})
    assert cubic(x)[:, 0].tolist() == pytest.approx(np.polyval([1, -2, 0.5, 3], x[:, 0]).tolist())
    hat = gd.models.SumOf("relu", 3)  # up from -1, down from 0, level from 1 on
    one = torch.tensor([1.0, 1.0, 1.0])
    heights, places = torch.tensor([1.0, -2.0, 1.0]), torch.tensor([1.0, 0.0, -1.0])
    hat.load_state_dict({"w": one, "b": places, "c": heights, "offset": torch.tensor(0.25)})
    assert hat(torch.tensor([[-3.0], [-0.5], [0.0], [0.5], [9.0]]))[:, 0].tolist() == [0.25, 0.75, 1.25, 0.75, 0.25]
    with pytest.raises(RuntimeError):  # one number a sample, never two in silence
        cubic(torch.zeros(4, 2))


def test_an_inception_block_has_the_notes_channels() -> None:
    block = gd.models.inception.InceptionBlock(10)
    assert block(torch.zeros(2, 10, 12, 12)).shape == (2, 88, 12, 12)
    assert block.channels_out == 88


def test_a_fresh_residual_block_hands_its_input_on() -> None:
    x = torch.rand(4, 8, 6, 6)
    assert torch.equal(gd.models.resnet.ResidualBlock(8, 8)(x), x)


def test_only_some_inputs_are_read() -> None:
    model = gd.models.MLP(2, 5, 1, only=(3, 1))
    x = torch.rand(4, 6, requires_grad=True)
    model(x).sum().backward()
    assert x.grad is not None
    assert (x.grad.abs().sum(0) > 0).tolist() == [False, True, False, True, False, False]


def test_whitened_patches_are_white() -> None:
    pictures = torch.rand(64, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    pictures = (pictures + pictures.roll(1, 2) + pictures.roll(1, 3)) / 3  # neighbours alike, as in photographs
    pictures -= pictures.mean()
    net = gd.models.SpeedNet((3, 32, 32), 2, width=4)
    net.whiten(pictures, epsilon=0.0)
    out = net.whitening(pictures)[:, :12].permute(1, 0, 2, 3).flatten(1)
    assert torch.allclose(out @ out.T / out.shape[1], torch.eye(12), atol=1e-3)
    x = torch.rand(3, 3, 32, 32)
    assert torch.allclose(net.eval()(x), net(x.flip(-1)), atol=1e-5)  # evaluated, a picture and its mirror image agree


@pytest.mark.parametrize(("model", "shape_in", "shape_out"), CASES, ids=lambda v: type(v).__name__)
def test_the_summary_shows_every_parameter_once(
    model: nn.Module, shape_in: tuple[int, ...], shape_out: tuple[int, ...]
) -> None:
    training = model.train().training
    layers = gd.models.summary(model, torch.rand(shape_in))
    assert model.training is training
    assert sum(layer.parameters for layer in layers) == sum(p.numel() for p in model.parameters())
    assert layers[-1].shape == shape_out[1:]
    assert 1 <= len(layers) <= 16


def test_the_summary_of_a_person_s_own_module() -> None:
    class Tower(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))
            self.blocks = nn.ModuleList(nn.Linear(3, 3) for _ in range(40))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for block in self.blocks:
                x = torch.relu(block(x))
            return x * self.scale

    layers = gd.models.summary(Tower(), torch.zeros(2, 3))
    assert sum(layer.parameters for layer in layers) == 40 * 12 + 3
    assert len(layers) == 1


def test_a_category_is_looked_up_by_its_code() -> None:
    model = gd.models.MLP(2, 1, categories=(3,))
    vector = model.embeddings[0].weight[2]
    x = torch.tensor([[0.5, 2.0]])
    expected = model.layers(torch.cat([torch.tensor([0.5]), vector]))
    assert torch.allclose(model(x)[0], expected)


def test_other_modules_are_not_described() -> None:
    assert gd.models.describe(nn.Linear(2, 2)) is None

    class CNN(nn.Module):  # of the same name, but not ours
        pass

    assert gd.models.describe(CNN()) is None
    with pytest.raises(UserError, match=r"no model 'os\.system'"):
        gd.models.build({"name": "os.system", "positional": ["true"], "named": {}})
