"""The pictures of a forecast, as plain dicts for plotly: some windows with truth and band, and the error by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gradus.reports.figures import COLOURS, Figure

COLUMNS = 2
BAND = "rgba(213, 94, 0, 0.2)"  # the forecast's colour, lighter


@dataclass(frozen=True)
class Window:
    """One window in the target's units: ``past`` (time,), ``true``, ``low``, ``middle`` and ``high`` (horizon,)."""

    times: Sequence[str]
    """Of the past and the horizon, one after the other."""
    past: np.ndarray
    true: np.ndarray
    low: np.ndarray
    middle: np.ndarray
    high: np.ndarray


def windows(shown: Sequence[Window], what: str, split: str, share: float) -> Figure:
    """Some windows side by side: what was read, what came, what was forecast.

    Args:
        what: the target's name.
        split: where the windows are from, for the note.
        share: how often the truth should lie within the band.
    """
    data = []
    layout: dict[str, object] = {
        "grid": {"rows": -(-len(shown) // COLUMNS), "columns": COLUMNS, "pattern": "independent", "ygap": 0.3},
        "height": 60 + 230 * -(-len(shown) // COLUMNS),
        "margin": {"t": 20, "r": 20},
        "legend": {"orientation": "h", "y": -0.08},
    }
    for number, window in enumerate(shown, start=1):
        axis = "" if number == 1 else str(number)
        layout[f"xaxis{axis}"], layout[f"yaxis{axis}"] = {"nticks": 5}, {"nticks": 5}
        after = window.times[len(window.past) :]
        common = {"type": "scatter", "xaxis": f"x{axis}", "yaxis": f"y{axis}", "showlegend": number == 1}
        lines = (
            ("past", window.times[: len(window.past)], window.past, COLOURS[7], "solid"),
            ("truth", after, window.true, COLOURS[0], "solid"),
            ("forecast", after, window.middle, COLOURS[1], "dot"),
        )
        data += [
            {**common, "mode": "lines", "x": after, "y": window.low, "line": {"width": 0}, "showlegend": False,
             "hoverinfo": "skip"},
            {**common, "mode": "lines", "x": after, "y": window.high, "line": {"width": 0}, "fill": "tonexty",
             "fillcolor": BAND, "name": f"{100 * share:.0f} % band", "hoverinfo": "skip"},
            *(
                {**common, "mode": "lines", "name": name, "x": x, "y": y, "line": {"color": colour, "dash": dash},
                 "legendgroup": name, "hovertemplate": f"%{{x}}<br>{name} %{{y:.4g}}<extra></extra>"}
                for name, x, y, colour, dash in lines
            ),
        ]  # fmt: skip
    return {
        "title": f"Forecasts of {what}",
        "note": f"Windows of the {split} split, evenly spaced in time. The model reads the past and gives the rest at "
        f"once. The truth should lie within the band {100 * share:.0f} % of the time.",
        "data": data,
        "layout": layout,
    }


def by_step(errors: Mapping[str, np.ndarray], split: str) -> Figure:
    """The mean absolute error of each step ahead, (horizon,) in the target's units, by name: the model's first."""
    colours = (COLOURS[1], COLOURS[7], COLOURS[2], COLOURS[0])  # the model's as in the windows
    lines = [
        {
            "type": "scatter", "mode": "lines+markers", "name": name, "x": np.arange(1, len(values) + 1), "y": values,
            "line": {"color": colour, "width": 2.5 if colour == COLOURS[1] else 1.5}, "marker": {"size": 4},
            "hovertemplate": f"{name}<br>%{{x}} steps ahead<br>error %{{y:.4g}}<extra></extra>",
        }
        for colour, (name, values) in zip(colours, errors.items(), strict=False)
    ]  # fmt: skip
    return {
        "title": "Error by step ahead",
        "note": f"The mean absolute error over the {split} split, in the target's units. The further ahead, the less "
        "the last value helps; a season ahead it is as good as the seasonal guess.",
        "data": lines,
        "layout": {
            "xaxis": {"title": {"text": "steps ahead"}},
            "yaxis": {"title": {"text": "mean absolute error"}, "rangemode": "tozero"},
            "height": 400, "margin": {"t": 20, "r": 20}, "legend": {"orientation": "h", "y": -0.2},
        },
    }  # fmt: skip
