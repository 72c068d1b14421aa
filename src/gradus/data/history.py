"""A table of times on an even grid, its faults named with their rows, and the column kind that a forecaster reads.

Short gaps are filled by straight lines and counted; what was filled is marked, so that nothing is measured on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from gradus.data.read import MISSING, TableText, read_frame
from gradus.data.times import Step, read_times, told
from gradus.errors import UserError, nearest

FILLS = ("short", "interpolate", "none")
SHORT = 3  # steps in a row that are filled where nothing is asked for
MOST_GAPS = 100  # times as many steps as rows: one of the times must be wrong
LAST = "last time"


@dataclass(frozen=True)
class Grid:
    """A series on even steps: ``times`` (time,), ``values`` and ``measured`` (False: filled), (time, columns) each."""

    times: np.ndarray
    step: Step
    values: np.ndarray
    measured: np.ndarray
    notes: tuple[str, ...]


def read_grid(
    text: TableText,
    time: str,
    columns: Sequence[str],
    *,
    fill: str = "short",
    sort: bool = False,
    step: Step | None = None,
    last: int | None = None,
) -> Grid:
    """Columns of numbers over a column of times, on the grid of its commonest step.

    Args:
        fill: "short" fills up to ``SHORT`` missing steps in a row, "interpolate" any number, "none" refuses all.
        sort: put the rows in the order of their times, rather than refuse those that go backwards.
        step: what it must be; None finds it.
        last: only so many steps, the newest.

    Raises:
        UserError: naming the row of a time that is none, goes backwards, comes twice or is off the grid, of a value
            that is no number, of a gap that isn't filled; for too few rows.
    """
    if fill not in FILLS:
        raise UserError(f"fill: no '{fill}'.{nearest(fill, FILLS)}")
    times = read_times(text.columns[time], time, text)
    rows = np.argsort(times, kind="stable") if sort else np.arange(len(times))
    times = times[rows]
    _check_order(text, time, times, rows)
    step = step or Step.of(times)
    places = _on_grid(text, time, times, rows, step)
    numbers = np.stack([as_numbers(text, name)[rows] for name in columns], axis=1)
    if last is not None:
        if places[-1] + 1 < last:
            raise UserError(f"{text.source}: {places[-1] + 1:,} steps, but the model reads the last {last:,} ({step}).")
        recent = places > places[-1] - last
        times, rows, places, numbers = times[recent], rows[recent], places[recent], numbers[recent]
        places = places - (places[-1] - last + 1)
    limit = {"short": SHORT, "interpolate": len(times) * MOST_GAPS, "none": 0}[fill]
    jumps = np.diff(places, prepend=-1) - 1
    if jumps.max() > limit:
        row = int(np.argmax(jumps > limit))
        before = f"{told(times[row - 1 :])[0]} is before it" if row else "the file begins there"
        raise UserError(
            f"{text.place(rows[row])}: {jumps[row]:,} rows are missing before {told(times)[row]} "
            f"({before}, and the series is {step}); {_remedy(fill)}"
        )
    if places[-1] > MOST_GAPS * len(times):
        raise UserError(f"{text.source}: {len(times):,} rows in {places[-1] + 1:,} steps ({step}); mend the times.")
    values = np.full((places[-1] + 1, len(columns)), np.nan)
    values[places] = numbers
    measured = np.isfinite(values)
    runs, longest = 0, 0
    for place, name in enumerate(columns):
        starts, lengths = _runs(~measured[:, place])
        if not measured[:, place].any():
            raise UserError(f"{text.source}: column '{name}' is empty in every row.")
        if len(lengths) and lengths.max() > limit:
            at = int(starts[np.argmax(lengths > limit)])
            row = int(rows[np.searchsorted(places, at)])
            raise UserError(
                f"{text.place(row)}, column '{name}': {lengths[lengths > limit][0]:,} values are missing in a row; "
                f"{_remedy(fill)}"
            )
        runs, longest = runs + len(lengths), max([longest, *lengths.tolist()])
        values[:, place] = _filled(values[:, place])
    notes: tuple[str, ...] = ()
    if runs:
        filled = int((~measured).sum())
        notes = (f"{filled:,} missing values in {runs:,} gaps of at most {longest} filled by straight lines [--fill]",)
    return Grid(step.after(times[0], np.arange(len(values)) - places[0]), step, values, measured, notes)


def as_numbers(text: TableText, name: str) -> np.ndarray:
    """A column as float64 (rows,), NaN for missing.

    Raises:
        UserError: naming the row of the first value that is no number.
    """
    import polars as pl

    values = text.columns[name]
    numbers = pl.Series(values.tolist(), dtype=pl.String).cast(pl.Float64, strict=False).to_numpy().astype(np.float64)
    for row in np.flatnonzero(~np.isfinite(numbers)).tolist():
        value = values[row]
        if value is not None and value.lower() not in MISSING:
            raise UserError(
                f"{text.place(row)}, column '{name}': '{value}' is not a number. Mend the value, or empty it."
            )
    return np.where(np.isfinite(numbers), numbers, np.nan)


@dataclass(frozen=True)
class History:
    """The last steps of a series, (time, features), as a forecaster reads them: standardised by the training rows.

    Args:
        time: the column of times; ``features`` the columns read, the target first.
        history, horizon: steps that are read, and that are forecast.
        unit, count: the ``Step``.
    """

    kind: ClassVar[str] = "history"
    name: str
    time: str
    features: tuple[str, ...]
    history: int
    horizon: int
    unit: str
    count: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fill: str = "short"
    sort: bool = False

    @property
    def step(self) -> Step:
        return Step(self.unit, self.count)

    @property
    def shape(self) -> tuple[int, int]:
        return self.history, len(self.features)

    def encode(self, values: np.ndarray, *, one_hot: bool = False) -> np.ndarray:
        """Values in their own units, (…, features), as float32 of the same shape."""
        return np.asarray((values - np.array(self.mean)) / np.array(self.std), dtype=np.float32)

    def describe(self) -> str:
        return f"the last {self.history} steps ({self.step}) of {', '.join(self.features)}"

    def raw_rows(self, rows: Sequence[Any] | np.ndarray) -> dict[str, np.ndarray]:
        """Histories as a person gives them: (rows, history, features), and when each ends, NaT where it isn't known.

        Args:
            rows: arrays (history, features), tables (``TableText``) or lists of a table's rows as dicts; or the rows
                of one table as dicts. Of a table the newest steps are read.

        Raises:
            UserError: for whatever ``read_grid`` refuses, a column that is missing, or an array of another shape.
        """
        if len(rows) and isinstance(rows[0], Mapping):
            rows = [list(rows)]
        values, times = [], []
        for number, row in enumerate(rows, start=1):
            if isinstance(row, list) and row and isinstance(row[0], Mapping):
                row = read_frame({name: [r.get(name) for r in row] for name in (self.time, *self.features)})
            if isinstance(row, TableText):
                grid = self._read(row)
                values.append(grid.values)
                times.append(grid.times[-1])
                continue
            array = np.asarray(row, dtype=np.float64)
            if array.shape != self.shape or not np.isfinite(array).all():
                raise UserError(
                    f"row {number}: {'not finite' if array.shape == self.shape else f'of shape {array.shape}'}; "
                    f"give numbers of shape {self.shape}: {self.describe()}."
                )
            values.append(array)
            times.append(np.datetime64("NaT", "us"))
        return {self.name: np.stack(values), LAST: np.array(times, dtype="datetime64[us]")}

    def add_times(self, raw: Mapping[str, np.ndarray], predictions: Sequence[dict[str, Any]]) -> None:
        """Put the times that are forecast into each prediction, where it is known when the history ended."""
        for time, prediction in zip(raw[LAST], predictions, strict=True):
            if not np.isnat(time):
                prediction["times"] = told(self.step.after(time, np.arange(1, self.horizon + 1)))

    def check(self, text: TableText) -> None:
        """Refuse a table that lacks a column."""
        for name in (self.time, *self.features):
            if name not in text.columns:
                raise UserError(f"{text.source}: no column '{name}', which the run reads.{nearest(name, text.columns)}")

    def _read(self, text: TableText) -> Grid:
        self.check(text)
        return read_grid(
            text, self.time, self.features, fill=self.fill, sort=self.sort, step=self.step, last=self.history
        )


def _check_order(text: TableText, time: str, times: np.ndarray, rows: np.ndarray) -> None:
    if len(times) < 2:
        raise UserError(f"{text.source}: one row only; a series needs many.")
    differences = np.diff(times).astype(np.int64)
    written = text.columns[time]
    if (differences < 0).any():
        row = int(np.argmax(differences < 0)) + 1
        raise UserError(
            f"{text.place(rows[row])}, column '{time}': time goes backwards: '{written[rows[row]]}' comes after "
            f"'{written[rows[row - 1]]}'. Put the rows in order, or have it done by --sort."
        )
    if (differences == 0).any():
        row = int(np.argmax(differences == 0)) + 1
        raise UserError(
            f"{text.place(rows[row])}, column '{time}': '{written[rows[row]]}' is there twice. Keep one row a time; "
            "several series in one file are trained one by one."
        )


def _on_grid(text: TableText, time: str, times: np.ndarray, rows: np.ndarray, step: Step) -> np.ndarray:
    """Each row's place on the grid, int64 (rows,)."""
    places = step.places(times)
    off = np.abs(places - np.rint(places)) > 1e-9
    if off.any():
        row = int(np.argmax(off))
        written = text.columns[time]
        raise UserError(
            f"{text.place(rows[row])}, column '{time}': '{written[rows[row]]}' is not a whole number of steps after "
            f"'{written[rows[0]]}' (the series is {step}). Put the times on even steps first."
        )
    return np.asarray(np.rint(places), dtype=np.int64)


def _remedy(fill: str) -> str:
    more = "; --fill interpolate draws straight lines" if fill == "short" else ""
    return f"up to {SHORT if fill == 'short' else 0} are filled{more}."


def _runs(missing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where runs of True begin in (n,), and how long each is."""
    edges = np.diff(np.concatenate([[0], missing.astype(np.int8), [0]]))
    starts = np.flatnonzero(edges == 1)
    return starts, np.flatnonzero(edges == -1) - starts


def _filled(values: np.ndarray) -> np.ndarray:
    """Values (time,) with straight lines where one is missing; before the first and after the last, that one."""
    known = np.isfinite(values)
    if known.all() or not known.any():
        return values
    at = np.arange(len(values))
    return np.asarray(np.interp(at, at[known], values[known]))
