"""Rung 17: the next steps of a series, with a band, against guesses that are hard to beat."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

import gradus as gd
from gradus.recipes.rung import rung

ETT = dict(train=8640, valid=2880, test=2880)  # hours: 12, 4 and 4 months of 30 days, the convention for ETTh1
STEPS, FEW = 1000, 640  # at least so many steps; fewer windows than this go in smaller batches
SHOWN, MEASURED = 6, 2000  # windows in the pictures


@rung(17, data="downloaded (2.6 MB), generated, or --data", model="LSTM, linear", target="ETTh1: below seasonal naive",
      seconds=15)  # fmt: skip
def forecast(
    *,
    data: str | None = None,
    target: str | None = None,
    time: str | None = None,
    feature: tuple[str, ...] = (),
    history: int | None = None,
    horizon: int | None = None,
    season: int | None = None,
    valid: float | None = None,
    test: float | None = None,
    fill: Literal["short", "interpolate", "none"] = "short",
    sort: bool = False,
    model: Literal["lstm", "linear"] = "lstm",
    hidden: int = 64,
    patch: int | None = None,
    dropout: float = 0.3,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | str = 2e-3,
    weight_decay: float = 0.01,
    schedule: str = "one-cycle",
    seed: int = 0,
    **settings: Any,
) -> gd.Run:
    """What comes next in a series of numbers, and how sure that is.

    Settings:
        data: a table with a column of times, the directory of ETTh1.csv, or the word generated
        target: the column to forecast [the last one of numbers]
        time: the column of times [found by looking]
        feature: another column that is read beside the target's own past, or all; may be repeated
        history: steps that the model reads [up to fourteen seasons]
        horizon: steps to forecast [a season]
        season: steps in what repeats [from the step: 24 for hours, 12 for months]
        valid: share of the rows, after those for training, to validate on [0.2; ETTh1 as is the custom]
        test: share of the rows, the last ones, to test on [0.2; ETTh1 as is the custom]
        fill: gaps filled by straight lines: short (up to three steps), interpolate (any), none
        sort: put the rows in the order of their times
        model: lstm reads a season at a time; linear is one affine map
        hidden: width of the LSTM
        patch: steps that the LSTM reads at a time [a season]
        dropout: share of the LSTM's last state that is dropped in training
        epochs: passes over the training windows [8, and at least 1000 steps]
        batch_size: windows a step [64; 16 where they are few]
    """
    # 1 data: windows over the series, split by time
    source: Any = generated(seed) if data == "generated" else find(data)
    shares: dict[str, Any] = {name: share for name, share in (("valid", valid), ("test", test)) if share is not None}
    if isinstance(source, Path) and source.name.startswith("ETTh1.") and not shares:
        shares = ETT
    rows = gd.data.series(
        source, target, time=time, history=history, horizon=horizon, features=feature, season=season, fill=fill,
        sort=sort, **shares,
    )  # fmt: skip
    length, num_features = rows.input_shape

    # 2 model: for each step ahead a low, a middle and a high answer
    if model == "linear":
        network: Any = gd.models.LinearForecaster(length, num_features, rows.num_outputs)
    else:
        patch = patch or (rows.season if 1 < rows.season <= length else max(1, length // 14))
        network = gd.models.LSTMForecaster(num_features, rows.num_outputs, hidden=hidden, patch=patch, dropout=dropout)

    # 3 objective: the pinball loss of the three, told as errors in the target's units
    task = gd.tasks.Forecast.of(rows)

    # 4 loop
    windows = len(rows.splits["train"])
    batch_size = batch_size or (64 if windows >= FEW else 16)
    if epochs is None and not any(settings.get(budget) for budget in ("steps", "minutes")):
        epochs = max(8, -(-STEPS // -(-windows // batch_size)))
    run = gd.train(
        network, rows, task, epochs=epochs, batch_size=batch_size, lr=lr, weight_decay=weight_decay,
        schedule=schedule, seed=seed, **settings,
    )  # fmt: skip
    draw(run, rows, task)
    return run


def find(data: str | None) -> Path:
    """The file that was named, or ETTh1's."""
    try:
        return gd.data.find_file("timeseries", "ETTh1.csv.gz", data)
    except gd.UserError as fault:
        raise gd.UserError(f"{fault} A series that needs no file: --data generated.") from None


def generated(seed: int, days: int = 150) -> dict[str, np.ndarray]:
    """An hourly series of so many days: a trend, a day and a week that repeat, and noise that lasts for some hours."""
    chance = np.random.Generator(np.random.Philox(seed))
    hours = np.arange(24 * days)
    noise = chance.standard_normal(len(hours))
    for hour in range(1, len(hours)):
        noise[hour] += 0.8 * noise[hour - 1]
    day = np.sin(2 * np.pi * hours / 24) + 0.4 * np.sin(4 * np.pi * hours / 24 + 1)
    week = np.where(hours // 24 % 7 < 5, 1.0, 0.3)
    value = 50 + hours / 300 + 8 * day * week + 0.8 * noise
    return {"time": np.datetime64("2025-01-06T00", "s") + hours * np.timedelta64(3600, "s"), "value": value}


def draw(run: gd.Run, rows: gd.data.SeriesDataset, task: gd.tasks.Forecast) -> None:
    """Some windows with their forecasts, and the error by step beside the baselines'."""
    import torch

    from gradus.data.splits import some_rows
    from gradus.reports import forecasts
    from gradus.tasks.forecast import baseline_outputs

    split = "test" if len(rows.splits["test"]) else "valid"
    if run.opened or not len(rows.splits[split]):
        return
    ids = some_rows(rows.splits[split], MEASURED)
    batch = rows.batch(torch.from_numpy(ids).to(rows.place))
    assert isinstance(batch.inputs, torch.Tensor)
    outputs, targets = run.predictor.outputs(batch.inputs), batch.targets.cpu()
    low, middle, high = (part.numpy() for part in task.band(outputs))
    past = task.units(batch.inputs[..., 0]).cpu().numpy()[:, -3 * max(rows.season, rows.num_outputs) :]
    true = task.units(targets).numpy()
    shown = [
        forecasts.Window(rows.times(int(ids[i]), past.shape[1]), past[i], true[i], low[i], middle[i], high[i])
        for i in some_rows(np.arange(len(ids)), SHOWN)
    ]
    share = task.quantiles[-1] - task.quantiles[0]
    run.figure("forecast_1_windows", **forecasts.windows(shown, rows.target.name, split, share))
    every = {"model": outputs, **baseline_outputs(task, rows, ids)}
    errors = {name: task.errors(answers, targets).numpy() for name, answers in every.items()}
    run.figure("forecast_2_steps", **forecasts.by_step(errors, split))
