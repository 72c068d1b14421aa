"""Rung 1: one weight and one bias, found in the notes' four ways, and the valley that the loss is."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

import gradus as gd
from gradus.recipes.rung import rung

START = (-1.0, 2.0)  # w and b from which the optimisers of the picture go down
SHOWN_STEPS = 200
RATES = {
    "SGD": 1.7,
    "Adagrad": 1.5,
    "Adam": 0.3,
    "Adamax": 1.0,
    "ASGD": 1.3,
    "LBFGS": 0.1,
    "RMSprop": 0.1,
    "Rprop": 0.1,
}
TRIED_W, TRIED_B = [w / 10 for w in range(41)], [b / 10 for b in range(-20, 21)]


@rung(1, data="built in: (1, 2) (2, 4) (3, 6)", model="Linear(1, 1)", target="w = 2, b = 0 within 1e-3", seconds=6)
def line(
    *,
    way: Literal["module", "search", "gradient", "autograd"] = "module",
    noise: float = 0.0,
    points: int = 3,
    pictures: bool = True,
    steps: int = 1500,
    optimizer: str = "sgd",
    lr: float | str | None = None,
    momentum: float | None = None,
    seed: int = 0,
    **settings: Any,
) -> gd.Run:
    """Fit a line through three points: by search, by hand, by autograd, by module.

    Settings:
        way: search (try every weight), gradient (derived by hand), autograd (derived by torch), module (all of torch)
        noise: standard deviation of noise on y
        points: how many points, x = 1, 2, 3, …
        pictures: draw the loss valley with the paths of eight optimisers
    """
    # 1 data: y = 2 x, all of it for training: there is nothing to hold back from three points
    x = np.arange(1, points + 1, dtype=np.float64)[:, None]
    y = 2 * x[:, 0] + noise * np.random.Generator(np.random.Philox(seed)).standard_normal(points)
    data = gd.data.arrays(x, y, valid=0.0, test=0.0, name="line")

    # 2 model: y = w x + b
    model = gd.models.Linear(1, 1)

    # 3 objective: the mean of the squared differences
    task = gd.tasks.Regression()

    # 4 loop: the first three ways find w and b by themselves, and leave no step for the last one to do
    if way != "module":
        if isinstance(lr, str):
            raise gd.UserError(f"line: --lr {lr} is for --way module; {way} takes a number, or chooses one by itself.")
        w, b = {"search": by_search, "gradient": by_gradient, "autograd": by_autograd}[way](x[:, 0], y, steps, lr)
        model.linear.weight.data.fill_(w)
        model.linear.bias.data.fill_(b)
        steps = 0
    elif optimizer == "sgd":  # at half the rate at which three points make it diverge
        lr, momentum = lr or 0.05 * 14 / float((x**2).sum()), 0.9 if momentum is None else momentum
    settings |= dict(steps=steps, optimizer=optimizer, lr=lr, momentum=momentum, batch_size=points, seed=seed)
    run = gd.train(model, data, task, **settings)
    found = run.model
    assert isinstance(found, gd.models.Linear)
    w, b = found.linear.weight.item(), found.linear.bias.item()
    run.note(w=w, b=b)
    if not settings.get("quiet"):
        from gradus.training.progress import tell

        tell("found", f"w = {w:.6f}, b = {b:.6f}, by {way}")
    if pictures and not run.opened:
        draw(run, x[:, 0], y, data)
        if way == "search":
            from gradus.reports import figures

            run.figure("line_0_search", **figures.search(x[:, 0], y, TRIED_W, w, b))
    return run


def by_search(x: np.ndarray, y: np.ndarray, steps: int, lr: float | None) -> tuple[float, float]:
    """Try the weights 0.0, 0.1, … 4.0 with the biases -2.0, -1.9, … 2.0, and keep the pair of the least loss."""
    pairs = [(w, b) for w in TRIED_W for b in TRIED_B]
    losses = [float(np.mean((w * x + b - y) ** 2)) for w, b in pairs]
    return pairs[int(np.argmin(losses))]


def by_gradient(x: np.ndarray, y: np.ndarray, steps: int, lr: float | None) -> tuple[float, float]:
    """Go down the slope of the mean squared error, derived by hand: dL/dw = 2 · mean((w x + b − y) x)."""
    w, b, lr = 1.0, 0.0, lr or 0.5 / float(np.mean(x**2) + 1)
    for _ in range(steps):
        difference = w * x + b - y
        slope_w, slope_b = 2 * float(np.mean(difference * x)), 2 * float(np.mean(difference))
        w, b = w - lr * slope_w, b - lr * slope_b
    return w, b


def by_autograd(x: np.ndarray, y: np.ndarray, steps: int, lr: float | None) -> tuple[float, float]:
    """The same descent with the slope derived by torch."""
    import torch

    inputs, targets = torch.from_numpy(x), torch.from_numpy(y)
    w = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    b = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
    lr = lr or 0.5 / float((inputs**2).mean() + 1)
    for _ in range(steps):
        loss = ((w * inputs + b - targets) ** 2).mean()
        loss.backward()
        with torch.no_grad():
            for parameter in (w, b):
                assert parameter.grad is not None
                parameter -= lr * parameter.grad
                parameter.grad = None
    return w.item(), b.item()


def draw(run: gd.Run, x: np.ndarray, y: np.ndarray, data: gd.data.MemoryDataset) -> None:
    """The valley as a surface and from above, with the paths of the optimisers, and their loss by step."""
    from gradus.reports import figures

    # from 2 / curvature on, that of the steepest direction, plain descent diverges; the others scale the slope away
    curvature = 2 * np.linalg.norm(np.stack([x, np.ones_like(x)]), 2) ** 2 / len(x)
    paths = {}
    for name, rate in RATES.items():
        lr = float(rate / curvature) if name in ("SGD", "ASGD") else rate
        paths[f"{name}, rate {lr:.3g}"] = follow(name.lower(), lr, data)
    run.figure("line_1_valley", **figures.valley_surface(x, y, paths))
    run.figure("line_2_above", **figures.valley_contour(x, y, paths))
    run.figure("line_3_losses", **figures.losses_by_step(x, y, paths))


def follow(optimizer: str, lr: float, data: gd.data.MemoryDataset, steps: int = SHOWN_STEPS) -> np.ndarray:
    """Where an optimiser is at ``START`` and after each step from there: (steps + 1, 2), in w and b."""
    model = gd.models.Linear(1, 1)
    model.linear.weight.data.fill_(START[0])
    model.linear.bias.data.fill_(START[1])
    places = [START]

    class Note(gd.training.Observer):
        def step(self, state: gd.training.TrainState) -> None:
            places.append((model.linear.weight.item(), model.linear.bias.item()))

    gd.fit(model, data, gd.tasks.Regression(), observers=[Note()], optimizer=optimizer, lr=lr, steps=steps,
           batch_size=len(data), device="cpu")  # fmt: skip
    return np.array(places)
