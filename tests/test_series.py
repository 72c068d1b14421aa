"""Series: times and steps, windows against a plain loop, splits by time that never leak, bad ones refused."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import gradus as gd
from gradus.data.read import read_frame
from gradus.data.times import Step, find_time, read_times, told
from gradus.data.windows import windows
from gradus.errors import UserError

Gradus = Callable[..., tuple[int, str, str]]


def hourly(n: int, seed: int = 0) -> dict[str, Any]:
    """So many hours of a day that repeats with noise, and a second column."""
    chance = np.random.default_rng(seed)
    times = [str(datetime(2024, 2, 27) + timedelta(hours=i)) for i in range(n)]
    return {"when": times, "load": np.sin(np.arange(n) / 24 * 2 * np.pi) + chance.normal(0, 0.1, n) + 5,
            "heat": chance.normal(size=n)}  # fmt: skip


def written(frame: dict[str, Any], name: str = "t.csv") -> str:
    """A dict of columns as a CSV file; None is an empty field."""
    rows = zip(*frame.values(), strict=True)
    lines = [",".join(frame), *(",".join("" if v is None else str(v) for v in row) for row in rows)]
    Path(name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return name


def times_of(*values: str) -> np.ndarray:
    text = read_frame({"t": list(values)})
    return read_times(text.columns["t"], "t", text)


@pytest.mark.parametrize(
    ("values", "step", "season", "following"),
    [
        (["2016-07-01 00:00:00", "2016-07-01 01:00:00"], "hourly", 24, "2016-07-01 02:00"),
        (["2016-07-01T23:45Z", "2016-07-02T00:00Z"], "every 15 minutes", 96, "2016-07-02 00:15"),
        (["2016-07-01T01:00+01:00", "2016-07-01T02:00+01:00"], "hourly", 24, "2016-07-01 02:00"),
        (["1949-01", "1949-02", "1949-03"], "monthly", 12, "1949-04"),
        (["2020-01-31", "2020-02-29", "2020-03-31"], "monthly", 12, "2020-04-30"),
        (["2019-01-01", "2019-04-01", "2019-07-01"], "quarterly", 4, "2019-10"),
        (["1949", "1950", "1951"], "yearly", 1, "1952"),
        (["2016-07-01 23:58", "2016-07-01 23:59"], "every minute", 1440, "2016-07-02 00:00"),
        (["1600000000", "1600003600"], "hourly", 24, "2020-09-13 14:26:40"),
        (["1600000000000", "1600003600000"], "hourly", 24, "2020-09-13 14:26:40"),
        (["28.02.2021", "01.03.2021"], "daily", 7, "2021-03-02"),
        (["12/30/2020", "12/31/2020"], "daily", 7, "2021-01-01"),
        (["2016/7/1 3:05 PM", "2016/7/1 4:05 PM"], "hourly", 24, "2016-07-01 17:05"),
        (["20200107", "20200114"], "weekly", 52, "2020-01-21"),
        ([str(np.busday_offset("2024-01-01", i)) for i in range(10)], "every weekday", 5, "2024-01-15"),
        (["Jan 2020", "Feb 2020"], "monthly", 12, "2020-03"),
    ],
    ids=str,
)
def test_times_are_read_and_their_step_is_found(values: list[str], step: str, season: int, following: str) -> None:
    times = times_of(*values)
    found = Step.of(times)
    assert (str(found), found.season) == (step, season)
    assert found.places(times).tolist() == list(range(len(times)))
    assert told(found.after(times[-1], np.arange(1, 3)))[0] == following


def test_of_day_first_and_month_first_the_regular_one_is_taken() -> None:
    months = [f"01/{month:02d}/2020" for month in range(1, 13)]
    assert str(Step.of(times_of(*months, "01/01/2021"))) == "monthly"
    days = [f"01/{day:02d}/2020" for day in range(1, 13)]
    assert str(Step.of(times_of(*days, "01/13/2020"))) == "daily"
    with pytest.raises(UserError, match="day before month or month before day"):
        times_of("01/02/2020", "02/03/2020")


@given(st.sampled_from(["microseconds", "weekdays", "months"]), st.integers(1, 7), st.integers(0, 3000))
@settings(max_examples=60, deadline=None)
def test_a_step_undoes_itself(unit: str, count: int, start: int) -> None:
    step = Step(unit, {"microseconds": count * 900_000_000, "weekdays": 1, "months": count}[unit])
    first = step.after(np.datetime64("2000-01-03T06", "us"), np.array([start]))[0]
    times = step.after(first, np.arange(40))
    assert step.places(times).tolist() == list(range(40))
    assert (np.diff(times) > np.timedelta64(0)).all()


def test_the_column_of_times_is_found() -> None:
    n = ["1.5", "2.5"]
    assert find_time(read_frame({"price": ["2016.5", "2017.5"], "day": ["2020-01-01", "2020-01-02"]})) == "day"
    assert find_time(read_frame({"year": ["1949", "1950"], "x": n})) == "year"
    assert find_time(read_frame({"x": n, "unix_ts": ["1600000000", "1600000060"]})) == "unix_ts"
    assert find_time(read_frame({"x": n, "日期": ["2020-01-01", "2020-01-02"]})) == "日期"
    with pytest.raises(UserError, match="no column of times was found among x, n"):
        find_time(read_frame({"x": n, "n": ["1949", "1950"]}))


@given(st.integers(1, 9), st.integers(1, 7), st.integers(1, 3), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_batches_are_those_of_a_plain_loop(history: int, horizon: int, batch: int, seed: int) -> None:
    frame = hourly(80, seed)
    data = gd.data.series(
        frame, "load", features=["heat"], history=history, horizon=horizon, train=48, valid=16, test=16
    )
    load, heat = (np.array(frame[name], np.float64) for name in ("load", "heat"))
    mean, std = load[:48].mean(), load[:48].std()
    rows = np.random.default_rng(seed).integers(0, len(data), batch)
    found = data.batch(torch.from_numpy(rows))
    assert found.inputs.shape == (batch, history, 2)
    assert found.targets.shape == (batch, horizon)
    for place, row in enumerate(rows.tolist()):
        for t in range(history):
            assert float(found.inputs[place, t, 0]) == pytest.approx((load[row + t] - mean) / std, abs=1e-5)
            expected = (heat[row + t] - heat[:48].mean()) / heat[:48].std()
            assert float(found.inputs[place, t, 1]) == pytest.approx(expected, abs=1e-5)
        for t in range(horizon):
            expected = (load[row + history + t] - mean) / std
            assert float(found.targets[place, t]) == pytest.approx(expected, abs=1e-5)
    words = data.row_words(int(rows[0]))
    assert words["forecast from"] == frame["when"][rows[0] + history][:16]


@given(st.integers(1, 12), st.integers(1, 6), st.integers(20, 60), st.integers(0, 30), st.integers(0, 30), st.data())
@settings(max_examples=150, deadline=None)
def test_splits_never_leak(history: int, horizon: int, train: int, valid: int, test: int, draw: st.DataObject) -> None:
    """Every target lies within its split's rows, each possible window is in one, and none ends or answers in a gap."""
    n = train + valid + test
    filled = draw.draw(st.sets(st.integers(0, n - 1), max_size=5))
    measured = np.ones((n, 2), dtype=bool)
    measured[list(filled), 0] = False
    found = windows(measured, history, horizon, (train, train + valid, n))
    bounds = {"train": (0, train), "valid": (train, train + valid), "test": (train + valid, n)}
    expected: dict[str, list[int]] = {name: [] for name in bounds}
    for row in range(n - history - horizon + 1):
        targets = range(row + history, row + history + horizon)
        for name, (begin, end) in bounds.items():
            inside = all(begin <= t < end for t in targets)
            if inside and not filled & set(targets) and row + history - 1 not in filled:
                expected[name].append(row)
    assert {name: rows.tolist() for name, rows in found.items()} == expected


def test_only_training_rows_are_standardised_by() -> None:
    frame = hourly(200)
    before = gd.data.series(frame, "load", history=24, horizon=6)
    changed = {**frame, "load": np.where(np.arange(200) < 120, frame["load"], 1000.0)}
    after = gd.data.series(changed, "load", history=24, horizon=6)
    assert before.column == after.column
    assert gd.tasks.Forecast.of(before) == gd.tasks.Forecast.of(after)
    rows = torch.from_numpy(before.splits["train"])
    assert torch.equal(before.batch(rows).inputs, after.batch(rows).inputs)  # type: ignore[arg-type]
    assert before.fingerprint != after.fingerprint


def test_short_gaps_are_filled_and_counted_and_not_measured_on() -> None:
    frame = hourly(200)
    whole = gd.data.series(frame, "load", history=24, horizon=6)
    values = list(frame["load"])
    values[50] = values[51] = None
    kept = [i for i in range(200) if i not in (80, 81, 82)]  # three rows are not there at all
    holed = {"when": [frame["when"][i] for i in kept], "load": [values[i] for i in kept]}
    data = gd.data.series(holed, "load", history=24, horizon=6)
    assert any("5 missing values in 2 gaps of at most 3" in note for note in data.notes)
    assert len(data) == len(whole)
    line = np.interp([50, 51], [49, 52], [values[49], values[52]])
    assert data.grid.values[50:52, 0] == pytest.approx(line)
    lost = set(whole.splits["train"].tolist()) - set(data.splits["train"].tolist())
    assert lost == {first - 24 for gap in ((50, 52), (80, 83)) for first in range(gap[0] - 5, gap[1] + 1)}
    assert data.splits["test"].tolist() == whole.splits["test"].tolist()
    far = {**frame, "load": [None if 50 <= i < 60 else v for i, v in enumerate(frame["load"])]}
    with pytest.raises(UserError, match=r"row 51, column 'load': 10 values are missing in a row; up to 3 are filled"):
        gd.data.series(far, "load")
    assert gd.data.series(far, "load", fill="interpolate").grid.measured.sum() == 190
    with pytest.raises(UserError, match="2 values are missing in a row; up to 0"):
        gd.data.series({**frame, "load": values}, "load", fill="none")


def test_rows_out_of_order_are_sorted_where_asked() -> None:
    frame = hourly(200)
    turned = {name: list(values)[::-1] for name, values in frame.items()}
    found, expected = gd.data.series(turned, "load", sort=True), gd.data.series(frame, "load")
    assert (found.grid.values == expected.grid.values).all()
    raw = found.column.raw_rows([read_frame(turned)])
    assert raw["history"][0] == pytest.approx(found.grid.values[-found.column.history :])


BAD: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "time going backwards": ({"when": {30: "2024-02-27 03:00:00"}}, {}, r"t\.csv, row 32.*backwards.*--sort"),
    "a time twice": ({"when": {30: "2024-02-28 05:00:00"}}, {}, r"row 32, column 'when': .*is there twice"),
    "a time between two steps": ({"when": {30: "2024-02-28 06:10:00"}}, {}, r"row 32.*not a whole number of steps"),
    "a gap": ({"when": {99: "2024-03-05 03:00:00"}}, {}, r"row 101: 72 rows are missing before 2024-03-05 03:00"),
    "a time that is none": ({"when": {7: "soon"}}, {}, r"row 9, column 'when': 'soon' is not a time as"),
    "an impossible date": ({"when": {7: "2024-02-30 07:00:00"}}, {}, r"row 9.*'2024-02-30 07:00:00' is not a time"),
    "no time": ({"when": {7: None}}, {}, r"row 9, column 'when': no time is given"),
    "no number": ({"load": {11: "much"}}, {}, r"row 13, column 'load': 'much' is not a number"),
    "values missing": ({"load": dict.fromkeys(range(20, 26))}, {}, r"row 22, column 'load': 6 values are missing"),
    "a constant target": ({"load": dict.fromkeys(range(100), 5)}, {}, "'load' is always the same in the 60 training"),
    "an empty target": ({"load": dict.fromkeys(range(100))}, {}, "column 'load' is empty in every row"),
    "too few rows": ({}, {"history": 50, "horizon": 20}, "60 training rows are too few for a history of 50"),
    "a horizon beyond the test": ({}, {"history": 4, "horizon": 30}, "20 validation rows are fewer than the horizon"),
    "a wrong target": ({}, {"target": "laod"}, "no column 'laod'. Did you mean 'load'"),
    "the time as target": ({}, {"target": "when"}, "'when' is the time itself"),
    "a wrong time": ({}, {"time": "whne"}, "no column 'whne' of times. Did you mean 'when'"),
    "numbers as times": ({}, {"time": "heat"}, r"row 2, column 'heat': '.*' is not a time"),
    "a wrong feature": ({}, {"features": ["hate"]}, "no column 'hate'. Did you mean 'heat'"),
    "a split of everything": ({}, {"valid": 0.5, "test": 0.5}, "100 rows don't hold"),
    "a share of nothing": ({}, {"valid": -0.1}, "valid: -0.1 is neither a share"),
    "more rows than there are": ({}, {"train": 90, "valid": 10, "test": 10}, "ask for fewer"),
    "a season of nothing": ({}, {"season": 0}, "season: 0 steps"),
    "a history of nothing": ({}, {"history": 0}, "history: 0 is not a whole number"),
    "an unknown filling": ({}, {"fill": "interpolat"}, "no 'interpolat'. Did you mean 'interpolate'"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_series_are_told_in_one_line(case: str) -> None:
    changes, arguments, words = BAD[case]
    frame = {name: list(values) for name, values in hourly(100).items()}
    for column, values in changes.items():
        for row, value in values.items():
            frame[column][row] = value
    with pytest.raises(UserError, match=words) as error:
        gd.data.series(written(frame), **{"target": "load", "history": 6, "horizon": 4, **arguments})
    assert "\n" not in str(error.value)


def test_a_bad_series_is_one_line_on_the_command_line_and_nothing_is_written(gradus: Gradus) -> None:
    frame = hourly(100)
    frame["when"][30] = "2024-02-27 03:00:00"
    file = written(frame)
    status, out, err = gradus("train", "forecast", "--data", file, "--target", "load")
    assert (status, out) == (2, "")
    assert err.startswith("gradus: t.csv, row 32, column 'when': time goes backwards")
    assert err.count("\n") == 1
    assert [p.name for p in Path().iterdir()] == ["t.csv"]
    assert gradus("train", "forecast", "--data", "nothere.csv")[0] == 2
    assert "--data generated" in gradus("train", "forecast", "--data", ".")[2]


def test_a_table_without_numbers_or_times_is_refused() -> None:
    when = hourly(30)["when"]
    with pytest.raises(UserError, match="no column of numbers beside 'when'"):
        gd.data.series({"when": when, "word": ["a", "b"] * 15})
    with pytest.raises(UserError, match="no column of times"):
        gd.data.series({"word": ["a", "b"] * 15, "x": np.arange(30) * 0.7})
    with pytest.raises(UserError, match="one row only"):
        gd.data.series({"when": when[:1], "x": [1.0]}, "x")


def test_files_of_every_kind_are_the_same_series() -> None:
    import polars as pl

    frame = hourly(120)
    name = written(frame)
    Path("t.csv.gz").write_bytes(gzip.compress(Path(name).read_bytes()))
    Path("t.tsv").write_text(Path(name).read_text().replace(",", "\t"))
    table = pl.DataFrame(frame).with_columns(pl.col("when").str.to_datetime())
    table.write_parquet("t.parquet")
    found = [gd.data.series(source, "load") for source in (name, "t.csv.gz", "t.tsv", "t.parquet", table)]
    for other in found[1:]:
        assert (other.grid.times == found[0].grid.times).all()
        assert other.grid.values == pytest.approx(found[0].grid.values)


def test_of_a_table_with_more_columns_the_others_are_read_where_asked() -> None:
    frame = {**hourly(200), "word": ["a"] * 200, "same": [3.0] * 200}
    assert gd.data.series(frame, "load").column.features == ("load",)
    data = gd.data.series(frame, "load", features=["all"])
    assert data.column.features == ("load", "heat")
    assert gd.data.series(frame, "load", features=["same"]).column.features == ("load",)
