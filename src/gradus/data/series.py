"""A table with a column of times as a dataset of windows: some steps of history in, the next steps of the target out.

The splits are stretches of time, never a draw by chance: what is tested lies after all that was trained on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gradus.data.columns import KINDS, Target
from gradus.data.encoder import Encoder
from gradus.data.history import Grid, History, read_grid
from gradus.data.read import TableText, read_file, read_frame
from gradus.data.table import infer_kind
from gradus.data.times import find_time, told
from gradus.data.windows import SeriesDataset
from gradus.errors import UserError, nearest

KINDS[History.kind] = History
SEASONS, SHARE = 14, 3  # of history where nothing is asked for: so many seasons, within one training row of so many
MOST_HISTORY, MOST_HORIZON = 336, 48  # steps where nothing is asked for


def series(
    source: Any,
    target: str | None = None,
    *,
    time: str | None = None,
    history: int | None = None,
    horizon: int | None = None,
    features: Sequence[str] = (),
    train: int | None = None,
    valid: float | int = 0.2,
    test: float | int = 0.2,
    season: int | None = None,
    fill: str = "short",
    sort: bool = False,
) -> SeriesDataset:
    """A table with a column of times as a dataset of windows; the numbers are standardised by the training rows.

    Args:
        source: a CSV, TSV (both also gzipped) or Parquet file, a data frame, or a dict of columns.
        target: the column to forecast; None takes the last one of numbers.
        time: the column of times; None finds it.
        history: steps that the model reads; None takes up to fourteen seasons.
        horizon: steps to forecast; None takes a season.
        features: columns read beside the target's own past; "all" stands for all of numbers.
        train, valid, test: fractions of the rows, or numbers of rows, in the order of time; train None takes what the
            other two leave, and a number of its own leaves later rows out.
        season: steps in what repeats; None takes it from the step: 24 for hours, 12 for months.
        fill: "short" fills up to three missing steps in a row by straight lines, "interpolate" any number, "none"
            refuses all.
        sort: put the rows in the order of their times, rather than refuse those that go backwards.

    Raises:
        UserError: for anything in the file or the arguments that cannot be used, with its row and column.
    """
    text = read_file(source) if isinstance(source, str | Path) else read_frame(source)
    if time is not None and time not in text.columns:
        raise UserError(f"{text.source}: no column '{time}' of times.{nearest(time, text.columns)}")
    time = time if time is not None else find_time(text)
    names, skipped = _columns(text, time, target, features)
    grid = read_grid(text, time, names, fill=fill, sort=sort)
    ends = _ends(text.source, len(grid.values), train, valid, test)
    grid, names, same = _varied(text.source, grid, names, ends)
    season = _season(season, grid.step.season, ends[0])
    horizon = horizon if horizon is not None else _usual_horizon(season, ends)
    history = history if history is not None else _usual_history(season, horizon, ends[0])
    _check_sizes(text.source, ends, history, horizon)
    known = np.where(grid.measured, grid.values, np.nan)[: ends[0]]
    mean, std = np.nanmean(known, axis=0).tolist(), np.nanstd(known, axis=0).tolist()
    column = History(
        "history", time, names, history, horizon, grid.step.unit, grid.step.count, tuple(mean), tuple(std), fill, sort
    )
    goal = Target(names[0], (), mean[0], std[0], f"the next {horizon} steps of '{names[0]}' from the last {history}")
    last = told(grid.times[np.array(ends) - 1])
    parts = zip(("training", "validation", "test"), np.diff((0, *ends)), last, strict=True)
    notes = [
        f"time: {time}, {grid.step}; {f'a season of {season} steps' if season > 1 else 'no season'} [--time, --season]",
        "by time: " + ", ".join(f"{name} to {end}" for name, size, end in parts if size),
        f"reads {history} steps of {', '.join(names)}; forecasts {horizon} [--history, --horizon]",
        *([f"not read: {', '.join(skipped)} [--feature]"] if skipped else []),
        *([f"left out, for they are always the same: {', '.join(same)}"] if same else []),
        *grid.notes,
    ]
    identity = repr((text.fingerprint, names, history, horizon, ends, fill, sort))
    digest = hashlib.sha256(identity.encode()).hexdigest()
    name = f"{text.source} → {names[0]}"
    return SeriesDataset(name, grid, column, goal, ends, season=season, fingerprint=digest, notes=notes)


def series_like(source: Any, encoder: Encoder) -> SeriesDataset:
    """Another table as a run reads it, to be measured: all of its windows are the test split.

    Raises:
        UserError: where a column is missing, or it has too few rows; for whatever ``read_grid`` refuses.
    """
    text = read_file(source) if isinstance(source, str | Path) else read_frame(source)
    column = encoder.columns[0]
    assert isinstance(column, History)
    column.check(text)
    grid = read_grid(text, column.time, column.features, fill=column.fill, sort=column.sort, step=column.step)
    if len(grid.values) < column.history + column.horizon:
        raise UserError(
            f"{text.source}: {len(grid.values):,} steps are too few for a history of {column.history:,} and a horizon "
            f"of {column.horizon:,}."
        )
    name = f"{text.source} → {encoder.target.name}"
    return SeriesDataset(name, grid, column, encoder.target, (0, 0, len(grid.values)), season=column.step.season)


def _columns(
    text: TableText, time: str, target: str | None, features: Sequence[str]
) -> tuple[tuple[str, ...], list[str]]:
    """The columns to read, the target first, and those that aren't read."""
    asked = [name for name in features if name != "all"]
    for name in [*([target] if target is not None else []), *asked]:
        if name not in text.columns:
            raise UserError(f"{text.source}: no column '{name}'.{nearest(name, text.columns)}")
        if name == time:
            raise UserError(f"{text.source}: column '{name}' is the time itself; forecast another one with --target.")
    numbers = [name for name in text.columns if name != time and infer_kind(text.columns[name]).kind == "number"]
    if target is None and not numbers:
        raise UserError(f"{text.source}: no column of numbers beside '{time}' to forecast.")
    names = dict.fromkeys([target or numbers[-1], *asked, *(numbers if "all" in features else [])])
    return tuple(names), [name for name in text.columns if name != time and name not in names]


def _ends(source: str, rows: int, train: int | None, valid: float | int, test: float | int) -> tuple[int, int, int]:
    """Where training, validation and test end."""
    sizes = []
    for name, given in (("valid", valid), ("test", test)):
        if not given >= 0 or (isinstance(given, float) and given >= 1):
            raise UserError(f"{name}: {given} is neither a share of the rows, from 0 up to 1, nor a number of rows.")
        sizes.append(round(given * rows) if isinstance(given, float) else given)
    first = rows - sum(sizes) if train is None else train
    if first < 2 or first + sum(sizes) > rows:
        raise UserError(
            f"{source}: {rows:,} rows don't hold {max(first, 2):,} for training, {sizes[0]:,} for validation and "
            f"{sizes[1]:,} for the test; ask for fewer."
        )
    return first, first + sizes[0], first + sum(sizes)


def _varied(
    source: str, grid: Grid, names: tuple[str, ...], ends: tuple[int, int, int]
) -> tuple[Grid, tuple[str, ...], list[str]]:
    """The grid up to the last end with the columns that change in the training rows, and the names of the others."""
    end = ends[2]
    train = np.where(grid.measured, grid.values, np.nan)[: ends[0]]
    changes = np.nanmax(train, axis=0, initial=-np.inf) > np.nanmin(train, axis=0, initial=np.inf)
    if not changes[0]:
        raise UserError(
            f"{source}: '{names[0]}' is always the same in the {ends[0]:,} training rows; there is nothing to learn."
        )
    same = [name for name, change in zip(names, changes, strict=True) if not change]
    cut = Grid(grid.times[:end], grid.step, grid.values[:end, changes], grid.measured[:end, changes], grid.notes)
    return cut, tuple(name for name in names if name not in same), same


def _season(asked: int | None, usual: int, train: int) -> int:
    if asked is None:
        return usual if 2 * usual <= train else 1
    if not 1 <= asked < train:
        raise UserError(f"season: {asked} steps; give a number from 1 to below the {train:,} training rows.")
    return asked


def _usual_horizon(season: int, ends: tuple[int, int, int]) -> int:
    """A season, where nothing is asked for, within half of what it is measured on."""
    halves = [size // 2 for size in np.diff(ends).tolist() if size]
    return max(1, min([season if season > 1 else 10, MOST_HORIZON, *halves]))


def _usual_history(season: int, horizon: int, train: int) -> int:
    """As many whole seasons as fit, where nothing is asked for; without a season twice the horizon."""
    seasons = min(SEASONS, MOST_HISTORY // season, train // (SHARE * season)) if season > 1 else 0
    return seasons * season or max(1, min(2 * horizon, train // SHARE))


def _check_sizes(source: str, ends: tuple[int, int, int], history: int, horizon: int) -> None:
    for name, steps in (("history", history), ("horizon", horizon)):
        if steps < 1:
            raise UserError(f"{name}: {steps} is not a whole number from 1.")
    train, *others = np.diff((0, *ends)).tolist()
    if train < history + horizon:
        raise UserError(
            f"{source}: {train:,} training rows are too few for a history of {history:,} steps and a horizon of "
            f"{horizon:,}. Give more rows, or ask for less with --history and --horizon."
        )
    for name, rows in zip(("validation", "test"), others, strict=True):
        if 0 < rows < horizon:
            raise UserError(
                f"{source}: {rows:,} {name} rows are fewer than the horizon of {horizon:,} steps. Give more rows, or "
                "ask for a shorter --horizon."
            )
