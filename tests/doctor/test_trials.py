"""Experiments on copies of a run's model: what it could learn, how its loss curves, how fast it was."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import gradus as gd
from gradus.cli import main
from gradus.doctor.curvature import extremes
from gradus.doctor.measured import kind_of_place
from gradus.doctor.trials import of_run, speed, try_out
from gradus.doctor.tried import Probe


class Point(nn.Module):
    def __init__(self, at: Tensor) -> None:
        super().__init__()
        self.at = nn.Parameter(at)


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=20), st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_curvatures_are_the_eigenvalues(eigenvalues: list[float], seed: int) -> None:
    """Of a quadratic whose Hessian is known, up to a constant."""
    chance = torch.Generator().manual_seed(seed)
    n = len(eigenvalues)
    turn = torch.linalg.qr(torch.randn(n, n, generator=chance, dtype=torch.float64)).Q
    hessian = turn @ torch.diag(torch.tensor(eigenvalues, dtype=torch.float64)) @ turn.T
    model = Point(torch.randn(n, generator=chance, dtype=torch.float64))
    found = extremes(model, lambda m: 0.5 * m.at @ hessian @ m.at + 7)
    assert found is not None
    assert found[1] == pytest.approx(min(eigenvalues), abs=1e-4)
    assert found[2] == pytest.approx(max(eigenvalues), abs=1e-4)
    at = model.at.detach()
    steep = float((hessian @ at).norm() * at.norm() / (0.5 * at @ hessian @ at + 7).abs())
    assert found[0] == pytest.approx(steep, rel=1e-6, abs=1e-9)


def test_curvatures_of_a_network_are_those_of_torch_s_own_hessian() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).double()
    x, y = torch.randn(30, 3, dtype=torch.float64), torch.randint(0, 2, (30,))
    names, sizes = zip(*((n, p.numel()) for n, p in model.named_parameters()), strict=True)
    shapes = [p.shape for p in model.parameters()]

    def loss(flat: Tensor) -> Tensor:
        parts = {n: f.view(s) for n, f, s in zip(names, flat.split(sizes), shapes, strict=True)}
        return nn.functional.cross_entropy(torch.func.functional_call(model, parts, x), y)

    here = nn.utils.parameters_to_vector(model.parameters()).detach()
    exact = torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, here))
    found = extremes(model, lambda m: nn.functional.cross_entropy(m(x), y))
    assert found is not None
    assert found[2] == pytest.approx(float(exact[-1]), rel=1e-3)
    assert found[1] == pytest.approx(float(exact[0]), abs=1e-3 * float(exact[-1]))
    assert torch.equal(nn.utils.parameters_to_vector(model.parameters()), here)


def test_the_kinds_of_places() -> None:
    """A bowl, a saddle and a plane, at their middle; and a bowl beside it."""

    def at(x: float, y: float, a: float, b: float) -> str:
        model = Point(torch.tensor([x, y], dtype=torch.float64))
        found = extremes(model, lambda m: 1 + a * m.at[0] ** 2 + b * m.at[1] ** 2)
        assert found is not None
        return kind_of_place(*found)

    assert at(1e-4, 1e-4, 1, 2) == "minimum"
    assert at(1e-4, 1e-4, 1, -0.5) == "saddle"
    assert at(1e-4, 1e-4, 0, 0) == "plateau"
    assert at(2, 1, 1, 2) == "slope"


def digits_run(out: Path, **changes: object) -> gd.Run:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    settings: dict[str, object] = {"epochs": 2, "quiet": True, "out": str(out)}
    return gd.train(model, gd.data.digits(), **{**settings, **changes})


def test_what_a_model_can_learn_is_found_and_nothing_changes(tmp_path: Path) -> None:
    run = digits_run(tmp_path / "run", lr=1e-8)
    data, before = run.as_it_reads(), copy.deepcopy(run.model.state_dict())
    torch.manual_seed(11)
    drawn = torch.rand(3)
    torch.manual_seed(11)
    found = try_out(run.model, run.predictor.task, data)
    assert torch.equal(torch.rand(3), drawn)  # no generator was moved
    assert all(torch.equal(before[key], value) for key, value in run.model.state_dict().items())
    assert found.memorised is not None
    assert found.memorised < 0.05 < 1.5 < (found.memorised_from or 0)
    assert found.again is not None
    assert found.again < 0.5 * math.log(10)
    assert found.plain is not None
    assert found.plain < 0.5 * math.log(10)
    assert found == try_out(run.model, run.predictor.task, data)  # and again it is the same
    assert not found.failed


def test_the_speed_is_that_of_the_products(tmp_path: Path) -> None:
    run = digits_run(tmp_path / "run")
    found = speed(run.model, run.predictor.task, run.as_it_reads(), run.summary)
    assert found is not None
    forward = 2 * (64 * 32 + 32 * 10)
    backward = 2 * forward - 2 * 64 * 32  # the first layer's input wants no gradient
    samples = run.summary["samples"] / run.summary["seconds"]["train"]
    assert found[0] == pytest.approx((forward + backward) * samples, rel=1e-6)
    assert found[1] > found[0]
    probe = of_run(run)
    assert probe.speed == pytest.approx(found[0])


@pytest.mark.parametrize("recipe", ["table", "logistic", "hello"])
def test_a_run_is_probed_from_the_command_line(recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "run")
    arguments = {"table": ["table", "--data", str(written(tmp_path)), "--target", "y"]}.get(recipe, [recipe])
    assert main(["train", *arguments, "--out", out]) == 0
    capsys.readouterr()
    assert main(["doctor", "--probe", "--json", out]) == 0
    told = json.loads(capsys.readouterr().out)["measured"]
    assert {"one batch", "modes", "rates", "stands"} <= told.keys()
    assert main(["doctor", "--probe", "--lang", "zh", out]) == 0
    assert "单个 batch" in capsys.readouterr().err


def written(folder: Path) -> Path:
    chance = torch.Generator().manual_seed(0)
    x = torch.randn(400, 3, generator=chance)
    rows = [f"{a:.4f},{b:.4f},{c:.4f},{'yes' if a + b > 0.3 * c else 'no'}" for a, b, c in x.tolist()]
    path = folder / "table.csv"
    path.write_text("\n".join(["a,b,c,y", *rows]) + "\n")
    return path


def test_what_cannot_be_probed_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "script.py"
    script.write_text("print(1)\n")
    assert main(["doctor", "--probe", str(script)]) == 2
    assert "--probe is for a run" in capsys.readouterr().err
    run = digits_run(tmp_path / "own")
    assert main(["doctor", "--probe", str(run.path)]) == 2
    assert "begun by code of your own" in capsys.readouterr().err


class Unlike(nn.Module):
    """A model that can't be copied, and has no gradient in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def __deepcopy__(self, memo: object) -> Unlike:
        raise TypeError("one of a kind")

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x.flatten(1))
        return out


def test_a_model_that_cannot_be_tried_does_not_end_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = gd.train(Unlike(), gd.data.digits(), epochs=5, lr=1e-9, quiet=True, out=str(tmp_path / "run"))
    assert main(["doctor", "--json", str(run.path)]) in (0, 1)
    assert "one of a kind" in json.loads(capsys.readouterr().out)["measured"]["not tried"]


def test_a_short_run_is_not_held_up_by_experiments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gradus.doctor import run as doctor

    seconds: list[float] = []

    def noted(*args: object) -> Probe:
        seconds.append(float(str(args[-1])))
        return Probe()

    monkeypatch.setattr(doctor, "try_out", noted)
    for steps in (60, 120):
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        gd.train(model, gd.data.digits(), steps=steps, lr=1e-9, quiet=True, out=str(tmp_path / str(steps)))
    assert seconds == [0.5]  # the longer one, for which each experiment has half a second
