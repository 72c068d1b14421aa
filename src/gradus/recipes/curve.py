"""Rung 2: the same loop, a bent world. What a model cannot bend to, no training will teach it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

import gradus as gd
from gradus.recipes.rung import rung

NAMES = ("quadratic", "line", "sigmoids", "relus")
RATE = 0.1


@rung(2, data="built in: 100 points of a parabola", model="Polynomial(2), sums of sigmoids and ReLUs",
      target="its least-squares coefficients within 1 %", seconds=9)  # fmt: skip
def curve(
    *,
    model: Literal["quadratic", "line", "sigmoids", "relus"] = "quadratic",
    a: float = 1.0,
    b: float = -1.0,
    c: float = 2.0,
    points: int = 100,
    noise: float = 0.3,
    width: int = 12,
    steps: int = 2000,
    batch_size: int = 100,
    optimizer: str = "adam",
    lr: float | str = RATE,
    schedule: str = "one-cycle",
    seed: int = 0,
    **settings: Any,
) -> gd.Run:
    """Fit a parabola: a line can't, a quadratic can, sums of sigmoids or ReLUs can.

    Settings:
        model: the model of the run; the others are fitted beside it, for the picture
        a: the world is y = a x² + b x + c + noise
        b: of x in that formula
        c: the constant in that formula
        points: how many, x between -3 and 3; a fifth of them is held back for the test
        noise: standard deviation of the noise on y
        width: how many sigmoids or ReLUs are summed up
    """
    import torch

    # 1 data: taken as they are, so that the coefficients are those of the world
    chance = np.random.Generator(np.random.Philox(seed))
    x = chance.uniform(-3, 3, points)
    y = a * x**2 + b * x + c + noise * chance.standard_normal(points)
    data = gd.data.arrays(x[:, None], y, valid=0.0, test=0.2, seed=seed, name="curve")

    # 2 model: one that is right, one that is too simple, two that can be bent to anything
    def build(name: str) -> Any:
        torch.manual_seed(seed)  # each begins from weights of its own, whatever was fitted before it
        if name in ("sigmoids", "relus"):
            return gd.models.SumOf(name.removesuffix("s"), width)
        return gd.models.Polynomial({"line": 1, "quadratic": 2}[name])

    # 3 objective: the mean of the squared differences
    task = gd.tasks.Regression()

    # 4 loop: for the model that was asked for, and in memory for the three that it is held against
    settings |= dict(steps=steps, batch_size=batch_size, optimizer=optimizer, schedule=schedule, seed=seed)
    run = gd.train(build(model), data, task, lr=lr, **settings)
    if not run.opened:
        rate = lr if lr != "find" else RATE
        fitted = {name: gd.fit(build(name), data, task, lr=rate, **settings) for name in NAMES if name != model}
        fitted[model] = run.model
        train = data.splits["train"]
        compare(run, {name: fitted[name] for name in NAMES}, x[train], y[train])
    return run


def compare(run: gd.Run, fitted: Mapping[str, Any], x: np.ndarray, y: np.ndarray) -> None:
    """Note coefficients and errors on the training points (points,) beside those of ``numpy.polyfit``, and draw."""
    import torch

    from gradus.reports import figures
    from gradus.training.progress import tell

    def values(function: Any, places: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            inputs = torch.from_numpy(places).float()[:, None].to(run.predictor.device)
            return np.asarray(function(inputs).double().cpu())

    rmse = {name: float(np.sqrt(np.mean((values(f, x)[:, 0] - y) ** 2))) for name, f in fitted.items()}
    found = {name: fitted[name].coefficients.tolist() for name in ("quadratic", "line")}
    exact = {name: np.polyfit(x, y, fitted[name].degree).tolist() for name in found}
    run.note(coefficients=found, least_squares=exact, train_rmse=rmse)
    if not run.config["settings"]["quiet"]["value"]:
        for name in found:
            ours, theirs = (", ".join(f"{v:.4f}" for v in numbers) for numbers in (found[name], exact[name]))
            tell(name, f"coefficients {ours}  (least squares {theirs})")
        tell("train", "rmse " + ", ".join(f"{value:.3f} {name}" for name, value in rmse.items()))
    at = np.linspace(-3.5, 3.5, 281)
    curves = {f"{name}, rmse {rmse[name]:.3g}": (at, values(f, at)[:, 0]) for name, f in fitted.items()}
    run.figure("curve_1_fits", **figures.fits(x, y, curves))
    for number, (name, piece) in enumerate({"sigmoids": "sigmoid", "relus": "ReLU"}.items(), start=2):
        sum_of = fitted[name]
        drawn = figures.pieces(x, y, at, values(sum_of.pieces, at), sum_of.offset.item(), piece)
        run.figure(f"curve_{number}_{name}", **drawn)
