"""Models: shapes, and the round trip through a description of name and arguments."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

import gradus as gd
from gradus.errors import UserError

CASES = [
    (gd.models.Linear(6, 2), (5, 6), (5, 2)),
    (gd.models.MLP(784, 32, 16, 10), (5, 1, 28, 28), (5, 10)),
    (gd.models.MLP(8, 6, 1, activation="tanh", dropout=0.2, batch_norm=True, skip=True), (5, 8), (5, 1)),
    (gd.models.MLP(4, 6, 3, categories=(5, 100)), (5, 4), (5, 3)),
    (gd.models.NotesCNN((1, 28, 28), 10), (5, 1, 28, 28), (5, 10)),
    (gd.models.CNN((3, 32, 32), 7, width=4, dropout=0.1), (5, 3, 32, 32), (5, 7)),
    (gd.models.CNN((1, 8, 8), 10, width=4), (5, 1, 8, 8), (5, 10)),
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
