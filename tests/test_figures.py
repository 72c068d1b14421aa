"""The pictures of the first two rungs hold what torch's own loop and closed forms give, and go into the run whole."""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import gradus as gd
from gradus import recipes

line = importlib.import_module("gradus.recipes.line")

POINTS = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[2.0], [4.0], [6.0]])


def figure(run: gd.Run, name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((run.path / "figures" / f"{name}.json").read_text(encoding="utf-8"))
    assert set(value) == {"title", "note", "data", "layout"}
    return value


def torchs_own_path(name: str, lr: float, x: torch.Tensor, y: torch.Tensor, steps: int) -> np.ndarray:
    """The plain loop of every tutorial, from the picture's start."""
    model = nn.Linear(1, 1)
    nn.init.constant_(model.weight, line.START[0])
    nn.init.constant_(model.bias, line.START[1])
    fused = {"fused": True} if name in ("SGD", "Adam", "Adagrad") else {}
    optimizer = getattr(torch.optim, name)(model.parameters(), lr=lr, **fused)
    mse = nn.MSELoss()

    def closure() -> torch.Tensor:
        loss = mse(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        return loss

    places = [line.START]
    for _ in range(steps):
        if name == "LBFGS":
            optimizer.step(closure)
        else:
            closure()
            optimizer.step()
        places.append((model.weight.item(), model.bias.item()))
    return np.array(places)


@pytest.mark.parametrize("name", line.RATES)
@pytest.mark.parametrize(("points", "noise"), [(3, 0.0), (7, 0.5)])
def test_a_path_is_torch_s_own_to_the_bit(name: str, points: int, noise: float) -> None:
    x = np.arange(1, points + 1, dtype=np.float64)[:, None]
    y = 2 * x + noise * np.random.default_rng(0).standard_normal((points, 1))
    data = gd.data.arrays(x, y, valid=0.0, test=0.0)
    lr = line.RATES[name] / 50 if name in ("SGD", "ASGD") else line.RATES[name]
    mine = line.follow(name.lower(), lr, data)
    own = torchs_own_path(name, lr, torch.from_numpy(x).float(), torch.from_numpy(y).float(), line.SHOWN_STEPS)
    assert mine.shape == (line.SHOWN_STEPS + 1, 2)
    assert np.array_equal(mine, own)
    assert len(np.unique(mine, axis=0)) > 10 or name == "LBFGS"


def test_all_eight_come_down_to_the_least_squares_line() -> None:
    run = recipes.call("line", {"quiet": True})
    drawn = {trace["name"]: trace for trace in figure(run, "line_1_valley")["data"]}
    assert [name.split(",")[0] for name in drawn] == [
        "loss", "SGD", "Adagrad", "Adam", "Adamax", "ASGD", "LBFGS", "RMSprop", "Rprop",
    ]  # fmt: skip
    for name, trace in drawn.items():
        if name != "loss":
            assert (trace["x"][0], trace["y"][0]) == (-1, 2)
            assert len(trace["x"]) == line.SHOWN_STEPS + 1
            if "SGD" not in name:  # whose rates are divided by the curvature
                rate = line.RATES[name.split(",")[0]]
                own = torchs_own_path(name.split(",")[0], rate, *POINTS, line.SHOWN_STEPS)
                assert np.array_equal(np.stack([trace["x"], trace["y"]], axis=1), own)
            assert (trace["x"][-1], trace["y"][-1]) == (pytest.approx(2, abs=0.02), pytest.approx(0, abs=0.02)), name
    above = {trace.get("name"): trace for trace in figure(run, "line_2_above")["data"]}
    low_w, high_w = figure(run, "line_2_above")["layout"]["xaxis"]["range"]
    for name, trace in drawn.items():
        if name != "loss":
            assert (above[name]["x"], above[name]["y"]) == (trace["x"], trace["y"])
            assert low_w < min(trace["x"]) < max(trace["x"]) < high_w  # nothing leaves the picture
    assert {t["name"] for t in figure(run, "line_3_losses")["data"]} == set(drawn) - {"loss"}


@pytest.mark.parametrize(("points", "noise", "seed"), [(3, 0.0, 0), (6, 0.7, 3), (12, 2.0, 1)])
def test_the_valley_is_the_closed_form_and_lies_around_the_least_squares_line(
    points: int, noise: float, seed: int
) -> None:
    run = recipes.call("line", {"points": points, "noise": noise, "seed": seed, "steps": 5, "quiet": True})
    x = np.arange(1, points + 1)
    y = 2 * x + noise * np.random.Generator(np.random.Philox(seed)).standard_normal(points)

    def quadratic_form(w: np.ndarray, b: np.ndarray) -> np.ndarray:
        """mean((w x + b − y)²) multiplied out."""
        return (
            w**2 * np.mean(x**2) + 2 * w * b * np.mean(x) + b**2 - 2 * w * np.mean(x * y) - 2 * b * np.mean(y)
            + np.mean(y**2)
        )  # fmt: skip

    surface, *paths = figure(run, "line_1_valley")["data"]
    w, b = np.meshgrid(surface["x"], surface["y"])
    assert np.array(surface["z"]) == pytest.approx(quadratic_form(w, b), rel=1e-9, abs=1e-9)
    for path in paths:
        on_it = quadratic_form(np.array(path["x"]), np.array(path["y"]))
        assert np.array(path["z"]) == pytest.approx(on_it, rel=1e-6, abs=1e-9)
    best = np.polyfit(x, y, 1)
    assert (np.mean(surface["x"]), np.mean(surface["y"])) == (pytest.approx(best[0]), pytest.approx(best[1], abs=1e-9))
    contour = figure(run, "line_2_above")["data"]
    assert np.array(contour[0]["customdata"]) == pytest.approx(np.array(surface["z"]))
    assert (contour[-1]["x"], contour[-1]["y"]) == ([pytest.approx(best[0])], [pytest.approx(best[1], abs=1e-9)])


def test_a_search_shows_what_it_tried() -> None:
    run = recipes.call("line", {"way": "search", "quiet": True, "pictures": True})
    tried, found = figure(run, "line_0_search")["data"]
    assert len(tried["x"]) == 41
    assert tried["y"] == pytest.approx([14 / 3 * (w - 2) ** 2 for w in tried["x"]], abs=1e-12)
    assert (found["x"], found["y"]) == ([2.0], [pytest.approx(0, abs=1e-12)])


@pytest.mark.parametrize(("noise", "seed"), [(0.3, 0), (0.0, 1), (0.3, 2)])
def test_curve_recovers_its_coefficients_and_the_picture_shows_it(noise: float, seed: int) -> None:
    run = recipes.call("curve", {"noise": noise, "seed": seed, "quiet": True})
    chance = np.random.Generator(np.random.Philox(seed))
    x = chance.uniform(-3, 3, 100)
    y = x**2 - x + 2 + noise * chance.standard_normal(100)
    traces = {trace["name"].split(",")[0]: trace for trace in figure(run, "curve_1_fits")["data"]}
    train = np.isin(x, traces["data"]["x"])
    assert train.sum() == 80
    exact = {degree: np.polyfit(x[train], y[train], degree) for degree in (1, 2)}
    found = run.summary["coefficients"]
    assert found["quadratic"] == pytest.approx(exact[2] if noise else [1, -1, 2], rel=0.01)
    assert found["line"] == pytest.approx(exact[1], abs=1e-3)
    assert run.summary["least_squares"]["quadratic"] == pytest.approx(exact[2])
    for name, degree in (("quadratic", 2), ("line", 1)):
        drawn = np.polyval(exact[degree], traces[name]["x"])
        assert traces[name]["y"] == pytest.approx(drawn, abs=0.05)
    rmse = run.summary["train_rmse"]
    assert rmse["line"] == pytest.approx(np.sqrt(np.mean((np.polyval(exact[1], x) - y)[train] ** 2)), abs=1e-3)
    for name in ("sigmoids", "relus"):
        assert rmse[name] < 0.15 * rmse["line"]
        *_, total = figure(run, f"curve_{2 if name == 'sigmoids' else 3}_{name}")["data"]
        assert total["y"] == pytest.approx(traces[name]["y"], abs=1e-4)


@pytest.mark.parametrize("model", ["line", "relus"])
def test_curve_predicts_by_the_model_that_was_asked_for(
    model: str, gradus: Callable[..., tuple[int, str, str]]
) -> None:
    assert gradus("train", "curve", "--model", model, "--out", "r", "--noise", 0)[0] == 0
    np.save("x.npy", np.array([[-2.0], [0.5], [2.0]]))
    values = [p["value"] for p in json.loads(gradus("predict", "r", "x.npy", "--json")[1])]
    traces = {trace["name"].split(",")[0]: trace for trace in figure(gd.Run("r"), "curve_1_fits")["data"]}
    assert values == pytest.approx(np.interp([-2, 0.5, 2], traces[model]["x"], traces[model]["y"]), abs=0.01)
    right = values == pytest.approx([8, 1.75, 4], abs=0.5)
    assert right == (model == "relus")


def test_a_figure_is_plain_json_and_an_opened_run_is_left_alone() -> None:
    run = recipes.call("line", {"quiet": True, "steps": 1, "pictures": False, "out": "r"})
    assert not (run.path / "figures").exists()
    data = [{"y": np.array([1.0, math.nan]), "x": torch.tensor([1, 2]), "z": (math.inf, np.float32(0.5))}]
    run.figure("b", "title", "note", data, {"height": 300})
    run.figure("a", "first", "", [], {})
    assert figure(run, "b")["data"] == [{"y": [1.0, None], "x": [1, 2], "z": [None, 0.5]}]
    assert list(run.directory.read_figures()) == ["a", "b"]
    gd.Run("r", opened=True).figure("c", "title", "note", [], {})
    assert sorted(p.name for p in Path("r/figures").iterdir()) == ["a.json", "b.json"]


def test_fit_gives_the_bits_of_train_and_writes_nothing() -> None:
    x = np.random.default_rng(0).normal(size=(90, 3))
    data = gd.data.arrays(x, x[:, 0] * x[:, 1])
    settings = dict(steps=60, batch_size=16, lr=1e-2, ema=0.9, schedule="cosine")

    def model() -> gd.models.MLP:
        torch.manual_seed(0)
        return gd.models.MLP(3, 8, 1, dropout=0.1)

    class Count(gd.training.Observer):
        steps: tuple[int, ...] = ()

        def step(self, state: gd.training.TrainState) -> None:
            self.steps += (state.step,)

    seen = Count()
    fitted = gd.fit(model(), data, observers=[seen], **settings)
    assert seen.steps == tuple(range(1, 61))
    assert not fitted.training
    assert list(Path().iterdir()) == []
    trained = gd.train(model(), data, quiet=True, **settings).model
    for mine, theirs in zip(fitted.parameters(), trained.parameters(), strict=True):
        assert torch.equal(mine, theirs)
