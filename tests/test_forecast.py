"""Forecasts: the loss and the metrics against references, models, predictions, the rung itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_error, mean_pinball_loss
from test_resume import StopAt
from test_series import hourly
from torch import nn

import gradus as gd
from gradus import recipes
from gradus.data.history import History, read_grid
from gradus.data.read import read_frame
from gradus.data.series import series_like
from gradus.data.times import Step, told
from gradus.errors import Interrupted, UserError
from gradus.tasks.forecast import baseline_outputs, forecast_baselines

Gradus = Callable[..., tuple[int, str, str]]


@given(st.integers(1, 30), st.integers(1, 8), st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_the_loss_is_scikit_learn_s_pinball_loss(rows: int, horizon: int, seed: int) -> None:
    chance = np.random.default_rng(seed)
    true, answers = chance.normal(size=(rows, horizon)), chance.normal(size=(rows, horizon, 3))
    task = gd.tasks.Forecast(horizon, quantiles=(0.05, 0.5, 0.7))
    targets, outputs = torch.from_numpy(true), torch.from_numpy(answers)
    found = float(task.loss_sum(outputs, targets)) / task.num_targets(targets)
    expected = [mean_pinball_loss(true.ravel(), answers[..., i].ravel(), alpha=q) for i, q in enumerate(task.quantiles)]
    assert found == pytest.approx(np.mean(expected))


def test_metrics_are_in_the_target_s_units() -> None:
    chance = np.random.default_rng(0)
    outputs, targets = np.sort(chance.normal(size=(50, 4, 3))), chance.normal(size=(50, 4))
    task = gd.tasks.Forecast(4, mean=100.0, std=10.0, season=2, scale=8.0)
    found = task.metrics(torch.from_numpy(outputs), torch.from_numpy(targets))
    true, answer = 100 + 10 * targets, 100 + 10 * outputs
    mae = mean_absolute_error(true.ravel(), answer[..., 1].ravel())
    assert found["mae"] == pytest.approx(mae)
    assert found["mase"] == pytest.approx(mae / 8)
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean((true - answer[..., 1]) ** 2)))
    inside = (answer[..., 0] <= true) & (true <= answer[..., 2])
    assert found["coverage"] == pytest.approx(inside.mean())
    assert task.errors(torch.from_numpy(outputs), torch.from_numpy(targets)).mean() == pytest.approx(mae)
    crossed = torch.from_numpy(outputs[:, :, ::-1].copy())
    assert task.metrics(crossed, torch.from_numpy(targets)) == found
    said = task.decode(crossed)[0]
    assert said["low"] < said["forecast"] < said["high"]
    assert said["forecast"] == pytest.approx(answer[0, :, 1].tolist())
    with pytest.raises(UserError, match=r"needs \(50, 4, 3\)"):
        task.check(torch.zeros(50, 12), torch.from_numpy(targets))
    with pytest.raises(UserError, match=r"0\.5 in the middle"):
        gd.tasks.Forecast(4, quantiles=(0.1, 0.9))


def test_naive_and_mase_are_those_of_numpy(real: Callable[[str], Path]) -> None:
    data = gd.data.series(real("timeseries/airline-passengers.csv"), horizon=18, history=12)
    task = gd.tasks.Forecast.of(data)
    y = np.array(
        [float(line.split(",")[1]) for line in real("timeseries/airline-passengers.csv").read_text().split()[1:]]
    )
    train = data.ends[0]
    assert task.season == 12
    assert task.scale == pytest.approx(np.abs(y[12:train] - y[: train - 12]).mean())
    firsts = data.splits["test"] + 12
    true = np.stack([y[f : f + 18] for f in firsts])
    seasonal = np.stack([[y[f - 12 + step % 12] for step in range(18)] for f in firsts])
    last = np.repeat(y[firsts - 1][:, None], 18, axis=1)
    found = forecast_baselines(task, data)
    for name, guess in (("seasonal naive", seasonal), ("last value", last)):
        assert found[name]["mae"] == pytest.approx(np.abs(true - guess).mean(), rel=1e-5)
        assert found[name]["mase"] == pytest.approx(np.abs(true - guess).mean() / task.scale, rel=1e-5)
        assert found[name]["rmse"] == pytest.approx(np.sqrt(((true - guess) ** 2).mean()), rel=1e-5)


def test_the_linear_baseline_is_scikit_learn_s_and_bands_hold_on_training_windows() -> None:
    from sklearn.linear_model import Ridge

    data = gd.data.series(hourly(400), "load", history=24, horizon=6)
    task = gd.tasks.Forecast.of(data)
    y = (np.array(hourly(400)["load"]) - task.mean) / task.std
    train, test = data.splits["train"], data.splits["test"]
    x_train, x_test = (np.stack([y[row : row + 24] for row in rows]) for rows in (train, test))
    model = Ridge().fit(x_train, np.stack([y[row + 24 : row + 30] for row in train]))
    found = baseline_outputs(task, data, test)["ridge regression"]
    assert found.shape == (len(test), 6, 3)
    assert found[..., 1].numpy() == pytest.approx(model.predict(x_test), abs=1e-4)
    assert forecast_baselines(task, data, "train")["seasonal naive"]["coverage"] == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize("kind", ["linear", "lstm"])
def test_models_follow_the_level_of_the_window(kind: str) -> None:
    """A constant added to the history is added to the forecast; and at first the forecast is the last value."""
    torch.manual_seed(0)
    model: nn.Module = gd.models.LinearForecaster(24, 2, 6)
    if kind == "lstm":
        model = gd.models.LSTMForecaster(2, 6, hidden=8, patch=5, dropout=0.5)
    model.eval()
    x = torch.randn(4, 24, 2)
    assert torch.allclose(model(x), x[:, -1:, :1].expand(4, 6, 3))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    out = model(x)
    assert out.shape == (4, 6, 3)
    assert torch.allclose(model(x + 7.0), out + 7.0, atol=1e-4)
    assert not torch.allclose(out, x[:, -1:, :1].expand(4, 6, 3), atol=1e-2)
    again = gd.models.build(json.loads(json.dumps(gd.models.describe(model))))
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.eval()(x), out)


def test_a_forecast_that_was_stopped_and_resumed_ends_in_the_same_bits() -> None:
    data = gd.data.series(hourly(400), "load", history=24, horizon=6)
    task = gd.tasks.Forecast.of(data)

    def build(stop: int) -> nn.Module:
        torch.manual_seed(1)
        return nn.Sequential(StopAt(stop), gd.models.LSTMForecaster(1, 6, hidden=8, patch=6, dropout=0.3))

    chosen = dict(epochs=3, batch_size=32, lr=1e-2, schedule="one-cycle", seed=3, quiet=True)
    whole = build(0)
    gd.train(whole, data, task, out="whole", **chosen)
    for stop in (1, 9, 17):
        with pytest.raises(Interrupted):
            gd.train(build(stop), data, task, out=f"r{stop}", **chosen)
        model = build(0)
        assert gd.resume(f"r{stop}", model, data, task).summary["resumed"] == [stop]
        for a, b in zip(whole.parameters(), model.parameters(), strict=True):
            assert torch.equal(a, b)


def test_histories_are_read_from_tables_rows_and_arrays() -> None:
    frame = hourly(200)
    data = gd.data.series(frame, "load", features=["heat"], history=24, horizon=6)
    column = data.column
    assert gd.data.Encoder.from_json(json.loads(json.dumps(data.encoder.to_json()))) == data.encoder
    newest = np.stack([np.array(frame[name][-24:], np.float64) for name in ("load", "heat")], axis=1)
    rows = [dict(zip(frame, row, strict=True)) for row in zip(*frame.values(), strict=True)]
    for given_rows in ([read_frame(frame)], rows, [rows[-30:]]):
        raw = column.raw_rows(given_rows)
        assert raw["history"] == pytest.approx(newest[None])
        said: list[dict[str, Any]] = [{}]
        column.add_times(raw, said)
        assert said[0]["times"] == told(Step("microseconds", 3_600_000_000).after(data.grid.times[-1], np.arange(1, 7)))
    raw = column.raw_rows(newest[None])
    said = [{}]
    column.add_times(raw, said)
    assert said == [{}]
    assert column.encode(raw["history"]) == pytest.approx((newest[None] - column.mean) / np.array(column.std), abs=1e-5)
    with pytest.raises(UserError, match=r"20 steps, but the model reads the last 24 \(hourly\)"):
        column.raw_rows(rows[-20:])
    with pytest.raises(UserError, match=r"no column 'heat', which the run reads"):
        column.raw_rows([read_frame({"when": frame["when"], "load": frame["load"]})])
    with pytest.raises(UserError, match=r"of shape \(24, 1\); give numbers of shape \(24, 2\)"):
        column.raw_rows(newest[None, :, :1])
    every_other = [read_frame({name: list(values)[::2] for name, values in frame.items()})]
    assert column.raw_rows(every_other)["history"].shape == (1, 24, 2)  # one of two hours is a short gap
    every_tenth = [read_frame({name: list(values)[::10] for name, values in frame.items()})]
    with pytest.raises(UserError, match="9 rows are missing"):
        column.raw_rows(every_tenth)


def test_another_table_is_measured_with_the_run_s_own_numbers() -> None:
    data = gd.data.series(hourly(300), "load", history=24, horizon=6)
    other = series_like(hourly(100, seed=5), data.encoder)
    assert len(other.splits["test"]) == len(other) == 100 - 24 - 6 + 1
    assert other.column == data.column
    with pytest.raises(UserError, match="25 steps are too few"):
        series_like(hourly(25), data.encoder)
    longer = gd.data.series(hourly(300), "load", history=30, horizon=6)
    with pytest.raises(UserError, match="the run reads the last 30 steps"):
        data.encoded_by(longer.encoder)


def test_a_grid_of_one_column_keeps_its_times() -> None:
    grid = read_grid(read_frame(hourly(50)), "when", ["load"], last=10)
    assert told(grid.times)[-1] == hourly(50)["when"][-1][:16]
    assert grid.values[:, 0] == pytest.approx(np.array(hourly(50)["load"][-10:]))
    assert isinstance(gd.data.series(hourly(50), "load", history=4, horizon=2).encoder.columns[0], History)


@pytest.mark.parametrize("model", ["lstm", "linear"])
def test_etth1_is_below_every_baseline(model: str, real: Callable[[str], Path]) -> None:
    real("timeseries/ETTh1.csv.gz")
    run = recipes.call("forecast", {"model": model, "out": "r", "quiet": True})
    found = run.metrics["test"]
    assert run.summary["rows"]["test"] == 2880 - 24 + 1
    data = gd.data.series(real("timeseries/ETTh1.csv.gz"), train=8640, valid=2880, test=2880)
    others = forecast_baselines(gd.tasks.Forecast.of(data), data)
    assert found["mase"] < 0.9 * others["seasonal naive"]["mase"]
    assert found["mase"] < others["last value"]["mase"]
    assert found["mase"] < others["ridge regression"]["mase"]
    figures = run.directory.read_figures()
    assert list(figures) == ["forecast_1_windows", "forecast_2_steps"]
    by_step = figures["forecast_2_steps"]["data"]
    assert [trace["name"] for trace in by_step] == ["model", "last value", "seasonal naive", "ridge regression"]
    assert all(len(trace["y"]) == 24 for trace in by_step)


def test_airline_passengers(real: Callable[[str], Path]) -> None:
    file = real("timeseries/airline-passengers.csv")
    run = recipes.call("forecast", {"data": str(file), "quiet": True})
    data = gd.data.series(file)
    found = forecast_baselines(gd.tasks.Forecast.of(data), data)["seasonal naive"]
    assert run.metrics["test"]["mase"] < 0.7 * found["mase"]


def test_without_a_season_there_is_no_seasonal_guess() -> None:
    years = {"year": [str(1950 + i) for i in range(60)], "people": [1000.0 + i * 13 + i % 7 for i in range(60)]}
    data = gd.data.series(years)
    task = gd.tasks.Forecast.of(data)
    assert (task.season, task.scale) == (1, pytest.approx(np.abs(np.diff(years["people"][: data.ends[0]])).mean()))
    assert list(forecast_baselines(task, data)) == ["last value", "ridge regression"]


def test_generated() -> None:
    run = recipes.call("forecast", {"data": "generated", "model": "linear", "quiet": True})
    assert run.metrics["test"]["mase"] < 0.7
    assert 0.6 < run.metrics["test"]["coverage"] < 0.95


def test_a_forecast_has_times_and_a_band(gradus: Gradus, real: Callable[[str], Path]) -> None:
    file = real("timeseries/airline-passengers.csv")
    assert gradus("train", "forecast", "--data", file, "--model", "linear", "--out", "r")[0] == 0
    assert list(json.loads(Path("r/summary.json").read_text())["baseline"]) == [
        "last value", "seasonal naive", "ridge regression",
    ]  # fmt: skip
    said = json.loads(gradus("predict", "r", file, "--json")[1])
    assert len(said) == 1
    assert said[0]["times"] == [f"1961-{month:02d}" for month in range(1, 13)]
    assert all(a <= b <= c for a, b, c in zip(*(said[0][key] for key in ("low", "forecast", "high")), strict=True))
    assert said[0]["forecast"][6] > 1.2 * said[0]["forecast"][1]  # July is the summer's top, February the winter's low
    lines = gradus("predict", "r", file)[1].splitlines()
    assert any(line.split()[:1] == ["1961-07"] for line in lines)
    rows = [line.replace('"', "").split(",") for line in file.read_text().split()[1:]]
    Path("rows.json").write_text(json.dumps([{"Month": month, "Passengers": number} for month, number in rows[-24:]]))
    assert json.loads(gradus("predict", "r", "rows.json", "--json")[1]) == said
    assert gd.Run("r").predict([{"Month": month, "Passengers": number} for month, number in rows[-24:]]) == said
    tested = json.loads(gradus("test", "r", "--data", file, "--json")[1])
    assert 0 < tested["mase"] < 1
    summary = json.loads(Path("r/summary.json").read_text())
    assert json.loads(gradus("test", "r", "--json")[1]) == pytest.approx(summary["metrics"]["test"], abs=1e-6)
    Path("short.csv").write_text("Month,Passengers\n1961-01,450\n1961-02,400\n")
    status, out, err = gradus("predict", "r", "short.csv")
    assert (status, out) == (2, "")
    assert "short.csv: 2 steps, but the model reads the last 24 (monthly)" in err
