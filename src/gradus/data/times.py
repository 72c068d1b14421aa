"""The times of a series: text read as times, and the step from one row to the next: hours, weekdays, months.

Times are datetime64[us], (rows,), without a time zone; those of text that names one are brought to UTC.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

import numpy as np

from gradus.data.read import TableText
from gradus.errors import UserError

DATES = ("%Y-%m-%d", "%d-%m-%Y", "%m-%d-%Y", "%d-%m-%y", "%m-%d-%y", "%d-%b-%Y", "%d-%b-%y", "%Y%m%d")
CLOCKS = ("", " %H:%M:%S%.f", " %H:%M", " %I:%M %p", " %I:%M:%S %p")
ZONES = ("", "%#z")
UNIX = {"seconds": (9, 11, 1_000_000), "milliseconds": (12, 14, 1_000), "microseconds": (15, 17, 1)}  # digits, µs
NAMES = {"time", "date", "datetime", "timestamp", "ts", "ds", "unix", "epoch", "year", "month", "week", "day", "hour"}
NAMES |= {"时间", "日期", "年", "月", "日"}
FIRST_YEAR, LAST_YEAR = 1000, 3000  # what lies outside was read by the wrong format
MINUTE, HOUR, DAY, WEEK = 60_000_000, 3_600_000_000, 86_400_000_000, 604_800_000_000  # microseconds


@dataclass(frozen=True)
class Step:
    """The time from one row to the next: ``count`` microseconds, weekdays (Monday to Friday) or months."""

    unit: str
    count: int

    @classmethod
    def of(cls, times: np.ndarray) -> Step:
        """The step of times (rows,) that rise, at least two: the commonest difference, by the calendar where it fits.

        Times of one day of the month, or of the last one, go by months; days without a Saturday or Sunday go by
        weekdays.
        """
        size = _commonest(np.diff(times).astype(np.int64))
        if size >= 28 * DAY and _by_months(times):
            return cls("months", _commonest(np.diff(times.astype("datetime64[M]")).astype(np.int64)))
        days = times.astype("datetime64[D]")
        if size == DAY and len(times) >= 7 and np.is_busday(days).all():
            return cls("weekdays", 1)
        return cls("microseconds", size)

    def places(self, times: np.ndarray) -> np.ndarray:
        """How many steps after the first each time is, float64 (rows,); not whole for a time between two steps."""
        first = times[0]
        if self.unit == "microseconds":
            return np.asarray((times - first).astype(np.int64) / self.count)
        if self.unit == "weekdays":
            days = times.astype("datetime64[D]")
            off = ~np.is_busday(days) | (times - days != first - days[0])
            return np.asarray(np.busday_count(days[0], days) + 0.5 * off, dtype=np.float64)
        months = times.astype("datetime64[M]")
        off = np.zeros(len(times), dtype=bool) if _by_months(times) else _in_month(times) != _in_month(times[:1])
        return np.asarray((months - months[0]).astype(np.int64) / self.count + 0.25 / self.count * off)

    def after(self, time: np.datetime64, steps: np.ndarray) -> np.ndarray:
        """The times so many steps (n,) after a time, datetime64[us] (n,)."""
        if self.unit == "microseconds":
            return np.asarray(time + (steps * self.count).astype("timedelta64[us]"))
        day = time.astype("datetime64[D]")
        if self.unit == "weekdays":
            return np.asarray(np.busday_offset(day, steps, roll="forward").astype("datetime64[us]") + (time - day))
        month = time.astype("datetime64[M]")
        later = (month + steps * self.count).astype("datetime64[us]")
        last = (later.astype("datetime64[M]") + 1).astype("datetime64[D]") - np.timedelta64(1, "D")
        if day + 1 == (month + 1).astype("datetime64[D]"):  # the last of a month stays the last
            return np.asarray(last.astype("datetime64[us]") + (time - day))
        return np.asarray(np.minimum(later + (time - month), last.astype("datetime64[us]") + (time - day)))

    @property
    def season(self) -> int:
        """Steps in what is likely to repeat: the day of an hourly series, the week of a daily one, the year; else 1."""
        if self.unit == "weekdays":
            return 5
        if self.unit == "months":
            return 12 // self.count if 12 % self.count == 0 else 1
        around = {DAY: WEEK, WEEK: 52 * WEEK}.get(self.count, DAY if self.count >= MINUTE else MINUTE)
        return around // self.count if around % self.count == 0 else 1

    def __str__(self) -> str:
        known = {("months", 1): "monthly", ("months", 3): "quarterly", ("months", 12): "yearly",
                 ("microseconds", HOUR): "hourly", ("microseconds", DAY): "daily", ("microseconds", WEEK): "weekly",
                 ("weekdays", 1): "every weekday"}  # fmt: skip
        if (self.unit, self.count) in known:
            return known[self.unit, self.count]
        if self.unit == "months":
            return f"every {self.count} months"
        for size, name in ((DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"), (1_000_000, "second")):
            if self.count % size == 0:
                return f"every {self.count // size} {name}s" if self.count > size else f"every {name}"
        return f"every {self.count / 1_000_000:g} seconds"


def read_times(values: np.ndarray, name: str, text: TableText) -> np.ndarray:
    """Text, (rows,) of str or None, as times (rows,): ISO dates with or without a clock, months, years, Unix seconds.

    The format is one for all rows: of those that fit, the one in which the steps are the most regular.

    Raises:
        UserError: naming the row of the first value that is no time.
    """
    written = values.tolist()
    for row, value in enumerate(written):
        if value is None:
            raise UserError(f"{text.place(row)}, column '{name}': no time is given. Fill it in, or leave the row out.")
    readings = _readings(written)
    if not readings:
        raise UserError(
            f"{text.place(0)}, column '{name}': '{written[0]}' is not a time. Write times as 2016-07-01 13:00, "
            "2016-07-01, 2016-07 or Unix seconds, or name another column with --time."
        )
    good = [times for times in readings if not np.isnat(times).any()]
    if not good:
        times = max(readings, key=lambda times: int((~np.isnat(times)).sum()))
        row = int(np.flatnonzero(np.isnat(times))[0])
        like = written[int(np.flatnonzero(~np.isnat(times))[0])]
        raise UserError(
            f"{text.place(row)}, column '{name}': '{written[row]}' is not a time as '{like}' is. "
            "Mend the value, or leave the row out."
        )
    irregular = [_irregular(times) if len(good) > 1 else 0 for times in good]
    best = int(np.argmin(irregular))
    if irregular.count(irregular[best]) > 1 and any((good[best] != times).any() for times in good):
        raise UserError(
            f"{text.place(0)}, column '{name}': '{written[0]}' may be day before month or month before day. "
            "Write the times as 2016-07-01."
        )
    return good[best]


def find_time(text: TableText) -> str:
    """The column of times: the first whose values look like them; numbers only under a name that says so.

    Raises:
        UserError: where there is none.
    """
    for name, values in text.columns.items():
        first = next((v for v in values.tolist() if v is not None), None)
        named = bool(NAMES & set(re.split(r"[^\w]|_", name.lower())))
        if first is not None and (named or not _is_number(first)) and _readings([first]):
            return name
    raise UserError(
        f"{text.source}: no column of times was found among {', '.join(list(text.columns)[:12])}. "
        "Name it with --time COLUMN."
    )


def told(times: np.ndarray) -> list[str]:
    """Times (n,) as a person writes them, only as long as all of them need."""
    units = ("Y", "M", "D", "m", "s") if len(times) > 1 else ("D", "m", "s")  # of one time, never less than its day
    unit = next((u for u in units if (times == times.astype(f"datetime64[{u}]")).all()), "us")
    return [str(t).replace("T", " ") for t in times.astype(f"datetime64[{unit}]")]


def _commonest(differences: np.ndarray) -> int:
    sizes, counts = np.unique(differences[differences > 0], return_counts=True)
    return int(sizes[counts.argmax()])


def _irregular(times: np.ndarray) -> int:
    """How many rows aren't one step after the row before."""
    distinct = np.unique(times)
    if len(distinct) < 2:
        return len(times)
    return int((np.abs(np.diff(Step.of(distinct).places(times)) - 1) > 1e-9).sum())


def _in_month(times: np.ndarray) -> np.ndarray:
    """The time since each month began."""
    return np.asarray(times - times.astype("datetime64[M]"))


def _by_months(times: np.ndarray) -> bool:
    """Whether all times are at one place in their months, or on the last day."""
    since = _in_month(times)
    tomorrow = times.astype("datetime64[D]") + 1
    last = tomorrow == tomorrow.astype("datetime64[M]")
    return bool((since == since[0]).all() or last.all())


def _readings(written: list[str]) -> list[np.ndarray]:
    """The values as times (rows,), NaT for those that don't fit, in every format that fits the first of them."""
    import polars as pl

    if _is_number(written[0]) and not re.fullmatch(r"\d{8}", written[0]):
        reading = _numbers(written)
        return [] if np.isnat(reading[0]) else [reading]
    tidy = [_tidy(value) for value in written]
    first, whole = pl.Series(tidy[:1], dtype=pl.String), pl.Series(tidy, dtype=pl.String)
    found = []
    for parts in itertools.product(DATES, CLOCKS, ZONES):
        shape = "".join(parts)
        if not np.isnat(_parse(first, shape)[0]):
            found.append(_parse(whole, shape))
    return found


def _parse(written: object, shape: str) -> np.ndarray:
    """A polars column of text as times (rows,) by one format; NaT for what doesn't fit it."""
    import polars as pl

    assert isinstance(written, pl.Series)
    parsed = written.str.to_datetime(shape, strict=False, time_unit="us")
    if "z" in shape:
        parsed = parsed.dt.replace_time_zone(None)
    year = parsed.dt.year()
    sensible = ((year >= FIRST_YEAR) & (year < LAST_YEAR)).fill_null(False).to_numpy()
    times = parsed.to_numpy().astype("datetime64[us]")
    return np.where(sensible, times, np.datetime64("NaT", "us"))


def _tidy(value: str) -> str:
    """A time with "-" within its date, a blank before its clock, and the first day where only a month is told."""
    match = re.match(r"(\w+[-/. ]+\w+(?:[-/. ]+\d+(?!:))?)(?:[T ]+(\d.*))?$", value)
    if match is None:
        return value
    parts = re.split(r"[-/. ]+", match[1])
    if len(parts) == 2:
        parts = [*parts, "01"] if len(parts[0]) == 4 and parts[0].isdigit() else ["01", *parts]
    clock = match[2] or ""
    return "-".join(parts) + (f" {clock}:00" if re.fullmatch(r"\d\d", clock) else f" {clock}" if clock else "")


def _numbers(written: list[str]) -> np.ndarray:
    """Numbers as times (rows,), by how many digits the first has: years, or Unix time in one of its units."""
    digits = len(written[0].split(".")[0].lstrip("-"))
    nowhere = np.datetime64("NaT", "us")
    if digits == 4:
        years = [np.datetime64(v, "Y").astype("M8[us]") if re.fullmatch(r"\d{4}", v) else nowhere for v in written]
        return np.array(years, dtype="datetime64[us]")
    scale = next((size for least, most, size in UNIX.values() if least <= digits <= most), None)
    out = [np.datetime64(round(float(v) * scale), "us") if scale and _is_number(v) else nowhere for v in written]
    return np.array(out, dtype="datetime64[us]")


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?", text) is not None
