"""The pictures that recipes add to their runs, as plain dicts for plotly: title, note, data and layout.

Nothing here draws; the report does. The page gives text, grid and background their colours, light or dark, so a colour
stands here only where it means something: the same optimiser has the same one in every picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradus.training.lr_find import LrRange

Figure = dict[str, Any]
"""``title``, ``note``, ``data`` (plotly traces) and ``layout``: what ``Run.figure`` takes."""

# Eight that colour-blind readers tell apart, on white and on black (after Okabe and Ito 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#8C6D31", "#7F7F7F")
SHADES = [[0.0, "#3B6E8F"], [0.5, "#8FB3C4"], [1.0, "#D9D2C3"]]  # of a valley: quiet, below the paths
FLOOR = 1e-4  # the least loss that a logarithm is taken of


def squared_error(x: np.ndarray, y: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The mean of (w x + b − y)² over the points (points,), for every w and b, of the shape that these broadcast to."""
    difference = np.multiply.outer(np.asarray(w, np.float64), x) + np.asarray(b, np.float64)[..., None] - y
    return np.asarray(np.mean(difference**2, axis=-1))


def valley_surface(x: np.ndarray, y: np.ndarray, paths: Mapping[str, np.ndarray]) -> Figure:
    """The loss of every line over (w, b), as a landscape, with the paths (steps + 1, 2) of some optimisers on it."""
    w, b, loss = _valley(x, y, paths)
    top = 1.4 * max(float(squared_error(x, y, path[:, 0], path[:, 1]).max()) for path in paths.values())
    surface = {
        "type": "surface", "x": w, "y": b, "z": loss, "colorscale": SHADES, "cmin": 0, "cmax": top,
        "opacity": 0.75, "showscale": False,
        "name": "loss", "hovertemplate": "w %{x:.3f}<br>b %{y:.3f}<br>loss %{z:.4g}<extra></extra>",
        "contours": {"z": {"show": True, "usecolormap": False, "color": "#5B7C8D", "width": 1}},
    }  # fmt: skip
    lines = [
        {
            "type": "scatter3d", "mode": "lines+markers", "name": name, "x": path[:, 0], "y": path[:, 1],
            "z": squared_error(x, y, path[:, 0], path[:, 1]), "customdata": np.arange(len(path)),
            "line": {"color": colour, "width": 5}, "marker": {"color": colour, "size": 2.5},
            "hovertemplate": f"{name}<br>{_AT}<br>loss %{{z:.4g}}<extra></extra>",
        }
        for colour, (name, path) in zip(COLOURS, paths.items(), strict=False)
    ]  # fmt: skip
    return {
        "title": "The loss valley",
        "note": "Each place on the floor is a line y = w·x + b; the height above it is the mean squared error of that "
        f"line. All optimisers start at the same place and go {_steps(paths)} steps. Drag to turn, click a name to "
        "hide its path.",
        "data": [surface, *lines],
        "layout": {
            "scene": {
                "xaxis": {"title": {"text": "w"}}, "yaxis": {"title": {"text": "b"}},
                "zaxis": {"title": {"text": "loss"}, "range": [0, top]},  # the walls above are cut off
                "aspectratio": {"x": 1, "y": 1, "z": 0.6}, "camera": {"eye": {"x": 0.6, "y": -1.1, "z": 1.0}},
            },
            "height": 600, "margin": {"l": 0, "r": 0, "t": 10, "b": 0}, "legend": _LEGEND,
        },
    }  # fmt: skip


def valley_contour(x: np.ndarray, y: np.ndarray, paths: Mapping[str, np.ndarray]) -> Figure:
    """The same valley seen from above: lines of equal loss, each a fixed share above the one inside it."""
    w, b, loss = _valley(x, y, paths)
    lowest = int(np.floor(np.log10(max(FLOOR, loss.min()))))
    ticks = list(range(lowest, int(np.ceil(np.log10(loss.max()))) + 1))
    contour = {
        "type": "contour", "x": w, "y": b, "z": np.log10(np.maximum(loss, FLOOR)), "customdata": loss,
        "colorscale": SHADES, "opacity": 0.75, "contours": {"size": 0.25}, "line": {"width": 0.5, "color": "#5B7C8D"},
        "colorbar": {"title": {"text": "loss"}, "tickvals": ticks, "ticktext": [f"{10.0**t:g}" for t in ticks],
                     "thickness": 12, "len": 0.9},
        "hovertemplate": "w %{x:.3f}<br>b %{y:.3f}<br>loss %{customdata:.4g}<extra></extra>",
    }  # fmt: skip
    lines = [
        {
            "type": "scatter", "mode": "lines+markers", "name": name, "x": path[:, 0], "y": path[:, 1],
            "customdata": np.stack([np.arange(len(path)), squared_error(x, y, path[:, 0], path[:, 1])], axis=1),
            "line": {"color": colour, "width": 2}, "marker": {"color": colour, "size": 4},
            "hovertemplate": f"{name}<br>{_AT.replace('customdata', 'customdata[0]')}"
            "<br>loss %{customdata[1]:.4g}<extra></extra>",
        }
        for colour, (name, path) in zip(COLOURS, paths.items(), strict=False)
    ]  # fmt: skip
    best_w, best_b = least_squares(x, y)
    lowest_point = {
        "type": "scatter", "mode": "markers", "name": "least squares", "x": [best_w], "y": [best_b],
        "marker": {"symbol": "x", "size": 11, "color": "#B00020"},
        "hovertemplate": "the least loss<br>w %{x:.4f}<br>b %{y:.4f}<extra></extra>",
    }  # fmt: skip
    return {
        "title": "The loss valley from above",
        "note": "Along a line of equal loss all fits are equally good. Across the valley the slope is steep, along it "
        "gentle: a rate that is small enough for the one is slow for the other, and each optimiser has its own answer.",
        "data": [contour, *lines, lowest_point],
        "layout": {
            "xaxis": {"title": {"text": "w"}, "range": [w[0], w[-1]]},
            "yaxis": {"title": {"text": "b"}, "range": [b[0], b[-1]]},
            "height": 520, "margin": _MARGIN, "legend": _LEGEND,
        },
    }  # fmt: skip


def losses_by_step(x: np.ndarray, y: np.ndarray, paths: Mapping[str, np.ndarray]) -> Figure:
    """The loss above the least one, after each step of each path; on a logarithmic axis a steady pace is straight."""
    least = squared_error(x, y, *(np.array(v) for v in least_squares(x, y)))
    lines = [
        {
            "type": "scatter", "mode": "lines", "name": name, "x": np.arange(len(path)),
            "y": np.maximum(squared_error(x, y, path[:, 0], path[:, 1]) - least, 1e-14),
            "line": {"color": colour, "width": 2},
            "hovertemplate": f"{name}<br>step %{{x}}<br>%{{y:.3g}} above the least<extra></extra>",
        }
        for colour, (name, path) in zip(COLOURS, paths.items(), strict=False)
    ]  # fmt: skip
    return {
        "title": "Loss by step",
        "note": "How far each optimiser's loss still is above the least possible one. The axis is logarithmic: a "
        "straight fall takes the same share off with each step. One step of LBFGS holds up to twenty of its own, so "
        "it is there at once. Below 1e-12 there is only the rounding of float32.",
        "data": lines,
        "layout": {
            "xaxis": {"title": {"text": "step"}},
            "yaxis": {"title": {"text": "loss above the least"}, "type": "log", "exponentformat": "power"},
            "height": 420, "margin": _MARGIN, "legend": _LEGEND,
        },
    }  # fmt: skip


def search(x: np.ndarray, y: np.ndarray, tried: Sequence[float], w: float, b: float) -> Figure:
    """The loss of each weight that a search tried, at the bias b that it found, and the weight w of the least one."""
    weights = np.array(tried)
    losses = squared_error(x, y, weights, np.full_like(weights, b))
    best = int(np.abs(weights - w).argmin())
    return {
        "title": "Every weight that was tried",
        "note": f"Each dot is one w with b = {b:g}. The loss is a parabola in w, and the search takes its lowest dot; "
        "it can find nothing between two dots, which is what slopes are good for.",
        "data": [
            {"type": "scatter", "mode": "lines+markers", "name": "tried", "x": weights, "y": losses,
             "line": {"color": COLOURS[0]}, "hovertemplate": "w %{x:.2f}<br>loss %{y:.4g}<extra></extra>"},
            {"type": "scatter", "mode": "markers", "name": "found", "x": [w], "y": [losses[best]],
             "marker": {"size": 13, "color": COLOURS[1]},
             "hovertemplate": "found: w %{x:.2f}<br>loss %{y:.4g}<extra></extra>"},
        ],
        "layout": {"xaxis": {"title": {"text": "w"}}, "yaxis": {"title": {"text": "loss"}}, "height": 380,
                   "margin": _MARGIN, "legend": _LEGEND},
    }  # fmt: skip


def fits(x: np.ndarray, y: np.ndarray, curves: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Points (points,) and what each model says: by name, places (n,) and values (n,)."""
    points = {
        "type": "scatter", "mode": "markers", "name": "data", "x": x, "y": y,
        "marker": {"size": 6, "color": COLOURS[7], "opacity": 0.7},
        "hovertemplate": "x %{x:.3f}<br>y %{y:.3f}<extra>data</extra>",
    }  # fmt: skip
    lines = [
        {
            "type": "scatter", "mode": "lines", "name": name, "x": at, "y": values,
            "line": {"color": colour, "width": 2.5},
            "hovertemplate": f"x %{{x:.3f}}<br>{name} %{{y:.3f}}<extra></extra>",
        }
        for colour, (name, (at, values)) in zip(COLOURS, curves.items(), strict=False)
    ]  # fmt: skip
    return {
        "title": "What each model can bend to",
        "note": "All four were trained by the same loop on the same points. The line is as good as a line can be and "
        "still wrong: that is model bias, which no training mends. The number behind a name is its root mean squared "
        "error on the training points.",
        "data": [points, *lines],
        "layout": {"xaxis": {"title": {"text": "x"}}, "yaxis": {"title": {"text": "y"}}, "height": 480,
                   "margin": _MARGIN, "legend": _LEGEND},
    }  # fmt: skip


def pieces(x: np.ndarray, y: np.ndarray, at: np.ndarray, parts: np.ndarray, offset: float, what: str) -> Figure:
    """How a sum is put together: its parts (n, width) at the places (n,), the constant, and their sum over the data."""
    thin = [
        {
            "type": "scatter", "mode": "lines", "name": f"{what} {number}", "x": at, "y": part, "showlegend": False,
            "line": {"width": 1.2, "color": COLOURS[4]}, "opacity": 0.8,
            "hovertemplate": f"{what} {number}<br>x %{{x:.3f}}<br>%{{y:.3f}}<extra></extra>",
        }
        for number, part in enumerate(np.asarray(parts).T, start=1)
    ]  # fmt: skip
    total = np.asarray(parts).sum(axis=1) + offset
    return {
        "title": f"A curve out of {what}s",
        "note": f"Each thin line is one {what}, moved, stretched and turned by its own three numbers; added up, with "
        f"{offset:.3g} for all, they are the thick curve. With enough of them the sum bends to any curve.",
        "data": [
            {"type": "scatter", "mode": "markers", "name": "data", "x": x, "y": y,
             "marker": {"size": 6, "color": COLOURS[7], "opacity": 0.7}, "hoverinfo": "skip"},
            *thin,
            {"type": "scatter", "mode": "lines", "name": "their sum", "x": at, "y": total,
             "line": {"width": 3, "color": COLOURS[1]}, "hovertemplate": "x %{x:.3f}<br>sum %{y:.3f}<extra></extra>"},
        ],
        "layout": {"xaxis": {"title": {"text": "x"}}, "yaxis": {"title": {"text": "y"}}, "height": 420,
                   "margin": _MARGIN, "legend": _LEGEND},
    }  # fmt: skip


def lr_range(found: LrRange) -> Figure:
    """The losses of a range test over its rates, raw and smoothed, with the rate that was taken."""
    at = int(np.abs(np.log(np.array(found.rates) / found.rate)).argmin())
    hover = "rate %{x:.3g}<br>loss %{y:.4g}<extra></extra>"
    return {
        "title": "Learning-rate range test",
        "note": "A copy of the model was trained for a moment while the rate grew from step to step. Far left it is "
        f"too small to matter, far right it throws the model out. Taken: {found.rate:g} ({found.reason}).",
        "data": [
            {"type": "scatter", "mode": "lines", "name": "loss of each batch", "x": found.rates, "y": found.losses,
             "line": {"width": 1, "color": COLOURS[7]}, "opacity": 0.7, "hovertemplate": hover},
            {"type": "scatter", "mode": "lines", "name": "smoothed", "x": found.rates, "y": found.smoothed,
             "line": {"width": 2.5, "color": COLOURS[0]}, "hovertemplate": hover},
            {"type": "scatter", "mode": "markers", "name": f"taken: {found.rate:g}", "x": [found.rate],
             "y": [found.smoothed[at]], "marker": {"size": 13, "color": COLOURS[1]},
             "hovertemplate": "taken: %{x:.3g}<extra></extra>"},
        ],
        "layout": {
            "xaxis": {"title": {"text": "learning rate"}, "type": "log", "exponentformat": "power"},
            "yaxis": {"title": {"text": "loss"}}, "height": 420, "margin": _MARGIN, "legend": _LEGEND,
        },
    }  # fmt: skip


def least_squares(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """w and b of the line of least mean squared error through points (points,)."""
    w, b = np.linalg.lstsq(np.stack([x, np.ones_like(x)], axis=1), y, rcond=None)[0]
    return float(w), float(b)


_MARGIN = {"t": 20, "r": 20}
_LEGEND = {"orientation": "h", "y": -0.2}
_AT = "step %{customdata}<br>w %{x:.4f}<br>b %{y:.4f}"


def _valley(
    x: np.ndarray, y: np.ndarray, paths: Mapping[str, np.ndarray], size: int = 61
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """w (size,), b (size,) and the loss (size, size) at [b, w], around the least-squares line, wide enough for all."""
    axes = []
    for number, centre in enumerate(least_squares(x, y)):
        reach = max([1.0, *(float(np.abs(path[:, number] - centre).max()) for path in paths.values())])
        axes.append(centre + 1.1 * reach * np.linspace(-1, 1, size))
    w, b = axes
    return w, b, squared_error(x, y, *np.meshgrid(w, b))


def _steps(paths: Mapping[str, np.ndarray]) -> int:
    return max((len(path) - 1 for path in paths.values()), default=0)
