"""``--lr find``: the range test leaves no trace but its rate, is repeated by nobody, and finds rates that train."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import gradus as gd
from gradus import recipes
from gradus.data import Shift
from gradus.errors import Interrupted, UserError
from gradus.training import Settings, batches_of, loop, prepare
from gradus.training.lr_find import HIGHEST, LOWEST

Gradus = Callable[..., tuple[int, str, str]]


def digits() -> tuple[gd.data.Dataset, nn.Module, dict[str, Any]]:
    torch.manual_seed(0)
    data = gd.data.digits(augment=[Shift(1)])
    settings = dict(steps=30, batch_size=100, seed=5, quiet=True)
    return data, gd.models.MLP(64, 32, 10, dropout=0.3, batch_norm=True), settings


def bits(run: gd.Run) -> bytes:
    return (run.path / "predictor/model.safetensors").read_bytes()


def test_it_leaves_model_generators_and_order_as_they_are() -> None:
    data, model, settings = digits()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    chance = random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state()
    prepared = prepare(model, data, None, Settings(**settings, lr="find"))
    assert all(torch.equal(before[name], tensor) for name, tensor in prepared.state.model.state_dict().items())
    assert prepared.state.step == 0
    assert random.getstate() == chance[0]
    assert np.random.get_state()[1].tobytes() == chance[1]
    assert torch.equal(torch.get_rng_state(), chance[2])
    plain = prepare(model, data, None, Settings(**settings, lr=0.01))
    for k in (0, 1, 20):
        mine, theirs = (batches_of(p.data, p.order)(k) for p in (prepared, plain))
        assert torch.equal(mine.indices, theirs.indices)
        assert torch.equal(mine.inputs, theirs.inputs)


def test_the_rate_typed_by_hand_gives_the_same_bits() -> None:
    data, model, settings = digits()
    found = gd.train(model, data, lr="find", **settings)
    rate = float(found.config["chosen"]["lr"]["value"])
    assert found.config["settings"]["lr"]["value"] == "find"
    data, model, settings = digits()
    assert bits(gd.train(model, data, lr=rate, **settings)) == bits(found)
    data, model, settings = digits()
    assert bits(gd.train(model, data, lr="find", **settings)) == bits(found)
    data, model, settings = digits()
    assert bits(gd.train(model, data, lr=rate * 1.1, **settings)) != bits(found)


def test_an_interrupted_run_keeps_its_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    data, model, settings = digits()
    whole = gd.train(model, data, lr="find", **settings)

    class StopAt(loop.Observer):
        def step(self, state: gd.training.TrainState) -> None:
            state.stop = "SIGTERM" if state.step == 12 else state.stop

    run = loop.run
    with monkeypatch.context() as patched, pytest.raises(Interrupted):
        patched.setattr(loop, "run", lambda s, b, step, observers: run(s, b, step, [*observers, StopAt()]))
        data, model, settings = digits()
        gd.train(model, data, lr="find", out="cut", **settings)
    picture = Path("cut/figures/lr_find.json").read_bytes()

    def never(*_: Any) -> None:
        raise AssertionError("the range test was repeated")

    monkeypatch.setattr("gradus.training.lr_find._sweep", never)
    resumed = gd.resume("cut", digits()[1], data)
    assert resumed.summary["steps"] == 30
    assert resumed.config["chosen"]["lr"] == whole.config["chosen"]["lr"]
    assert bits(resumed) == bits(whole)
    assert Path("cut/figures/lr_find.json").read_bytes() == picture


def test_what_it_records_is_what_a_hand_made_test_sees() -> None:
    """Plain SGD on one fixed batch, with torch's own optimiser and loss."""
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(1))
    data = gd.data.arrays(x, x @ torch.tensor([1.0, -2.0, 0.5]) + 1, valid=0.0, test=0.0)
    torch.manual_seed(3)
    model = gd.models.Linear(3, 1)
    twin = gd.models.Linear(3, 1)
    twin.load_state_dict(model.state_dict())
    found = prepare(model, data, None, Settings(optimizer="sgd", lr="find", batch_size=40)).lr_range
    assert found is not None
    assert found.rates[0] == LOWEST
    assert found.rates == pytest.approx(np.geomspace(LOWEST, HIGHEST, 100)[: len(found.rates)])
    optimizer = torch.optim.SGD(twin.parameters(), lr=1.0)
    for rate, loss in zip(found.rates, found.losses, strict=True):
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        own = F.mse_loss(twin(data.inputs)[:, 0], data.targets)
        own.backward()
        optimizer.step()
        assert loss == pytest.approx(own.item(), rel=1e-4, abs=1e-8)


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_on_a_parabola_the_rate_is_below_the_one_that_diverges_and_not_far(scale: float) -> None:
    """Plain descent on a squared error diverges from 2 / curvature on, that of the steepest direction."""
    x = scale * np.random.default_rng(0).normal(size=(200, 4))
    data = gd.data.arrays(x, x.sum(axis=1), valid=0.0, test=0.0)
    torch.manual_seed(0)
    settings = Settings(optimizer="sgd", lr="find", batch_size=200)
    found = prepare(gd.models.Linear(4, 1), data, None, settings).lr_range
    assert found is not None
    design = np.concatenate([x, np.ones((200, 1))], axis=1)
    diverges = 2 / np.linalg.eigvalsh(2 / 200 * design.T @ design)[-1]
    assert 0.02 * diverges < found.rate < diverges


def test_the_terminal_the_settings_and_the_picture_tell_it(gradus: Gradus) -> None:
    status, out, _ = gradus("train", "digits", "--lr", "find", "--epochs", 1, "--out", "r")
    assert status == 0
    config = json.loads(Path("r/config.json").read_text())
    rate = config["chosen"]["lr"]["value"]
    assert config["settings"]["lr"] == {"value": "find", "from": "command line"}
    (told,) = (row for row in out.splitlines() if row.startswith("lr "))
    assert told.split()[1] == rate
    assert "range test" in told
    assert told.endswith("[--lr]")
    assert f"learning rate {rate}" in out
    figure = json.loads(Path("r/figures/lr_find.json").read_text())
    raw, smooth, taken = figure["data"]
    assert raw["x"] == smooth["x"]
    assert taken["x"] == [float(rate)]
    assert figure["layout"]["xaxis"]["type"] == "log"
    assert float(rate) == pytest.approx(smooth["x"][int(np.argmin(smooth["y"]))] / 10, rel=0.01)
    assert "--lr FLOAT|FIND" in gradus("train", "digits", "--help")[1]


class Numb(nn.Module):
    """Has a weight, and doesn't listen to it."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.weight, self.value = nn.Parameter(torch.ones(())), value

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 0 * self.weight + self.value + torch.zeros(len(x), 1)


@pytest.mark.parametrize(("value", "word"), [(0.0, "never fell"), (float("nan"), "not finite from the start")])
def test_a_loss_that_never_falls_is_told_in_one_line(value: float, word: str) -> None:
    x = np.random.default_rng(0).normal(size=(50, 2))
    with pytest.raises(UserError, match=f"{word}.*Give --lr a number") as told:
        gd.train(Numb(value), (x, x[:, 0]), lr="find", steps=5)
    assert "\n" not in str(told.value)
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["digits", "--lr", "fast"], ["'fast'", "neither a number nor find"]),
        (["digits", "--lr", "0"], ["lr: 0.0", "above 0"]),
        (["digits", "--lr", "find", "--optimizer", "rprop"], ["rprop", "first step"]),
        (["line", "--way", "gradient", "--lr", "find"], ["line: --lr find", "--way module"]),
    ],
    ids=lambda v: " ".join(v),
)
def test_what_cannot_be_found_is_one_line(command: list[str], words: list[str], gradus: Gradus) -> None:
    status, out, err = gradus("train", *command)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert all(word in err for word in words), err
    assert list(Path().iterdir()) == []


def test_other_words_are_refused_in_python() -> None:
    with pytest.raises(UserError, match=r"lr: 'auto' is neither a number above 0 nor find"):
        gd.train(gd.models.MLP(64, 10), gd.data.digits(), steps=1, lr="auto")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("line", {"pictures": False}), ("curve", {"steps": 50}), ("logistic", {"epochs": 1}),
        ("diabetes", {"epochs": 1, "folds": 2}), ("titanic", {"epochs": 1, "folds": 2}),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)  # fmt: skip
def test_every_recipe_takes_it(name: str, arguments: dict[str, Any], real: Callable[[str], Path]) -> None:
    if name in ("diabetes", "titanic"):
        real(name)
    run = recipes.call(name, {"lr": "find", "quiet": True, **arguments})
    assert LOWEST < float(run.config["chosen"]["lr"]["value"]) < HIGHEST
    assert (run.path / "figures/lr_find.json").exists()
    if "folds" in arguments:
        assert len(run.summary["cross_validation"]["accuracy"]["folds"]) == 2


def test_digits_reach_their_target_at_the_rate_that_was_found() -> None:
    assert recipes.call("digits", {"lr": "find", "quiet": True}).metrics["test"]["accuracy"] >= 0.985
