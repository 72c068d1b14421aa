"""The charts of the pages as plain dictionaries of Plotly: traces and a layout, drawn by ``assets/page.js``.

Colours are names of the style sheet ("--train"), put in by the page for light and dark. A trace with ``meta.smooth``
is drawn as logged and exponentially smoothed.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from gradus.reports.record import Line, Record
from gradus.reports.words import Words

Chart = dict[str, Any]
MAX_POINTS = 2_000  # of one curve; of a longer one the least and the greatest of each stretch are drawn
MAX_CLASSES = 40  # of a confusion matrix that can still be read
SERIES = [f"--s{i}" for i in range(1, 9)]


def plain(text: str, most: int = 40) -> str:
    """Text that Plotly shows as it is: its own markup made harmless, and cut to a length that fits."""
    return html.escape(text if len(text) <= most else text[: most - 1] + "…", quote=False)


def curve(
    lines: Sequence[Line], key: str, name: str, color: str, *, part: str | None = None, dash: str = "solid"
) -> Chart:
    """A curve over steps of one number of each line, or of its part "valid"; what isn't finite is a gap."""
    pairs = thinned([(line["step"], number((line[part] if part else line).get(key))) for line in lines])
    return {
        "type": "scatter",
        "x": [x for x, _ in pairs],
        "y": [y for _, y in pairs],
        "name": plain(name),
        "mode": "lines+markers" if len(pairs) <= 30 else "lines",
        "line": {"color": color, "width": 2, "dash": dash},
        "marker": {"color": color, "size": 5},
        "hovertemplate": "%{y:.4g}",
        "meta": {"smooth": True},
    }


def thinned(pairs: list[tuple[int, float | None]]) -> list[tuple[int, float | None]]:
    """At most ``MAX_POINTS`` of a curve's points, no peak lost: of each stretch the least and the greatest."""
    if len(pairs) <= MAX_POINTS:
        return pairs
    stretch = -(-2 * len(pairs) // MAX_POINTS)
    kept: set[int] = {0, len(pairs) - 1}
    for begin in range(0, len(pairs), stretch):
        known = [(y, i) for i, (_, y) in enumerate(pairs[begin : begin + stretch], begin) if y is not None]
        kept |= {min(known)[1], max(known)[1]} if known else {begin}
    return [pairs[i] for i in sorted(kept)]


def over_steps(traces: list[Chart], words: Words, height: int = 260, *, log: bool = False) -> Chart:
    """Curves on one axis of steps."""
    layout = {
        "hovermode": "x unified",
        "xaxis": {
            "title": {"text": words("step")},
            "automargin": False,
            "tickangle": 0,
            "hoverformat": ",d",
            "unifiedhovertitle": {"text": f"{words('step')} %{{x:,d}}"},
        },
        "yaxis": {"type": "log" if log else "linear", "automargin": False, "exponentformat": "e"},
        "margin": {"l": 56, "r": 20},  # enough for any tick: margins that follow the ticks can move back and forth
        "showlegend": len(traces) > 1,
    }
    return {"data": traces, "layout": layout, "height": height}


def loss(record: Record, words: Words) -> Chart:
    traces = [curve(record.losses, "loss", words("train"), "--train")]
    if record.checks:
        traces.append(curve(record.checks, "loss", words("valid"), "--valid", part="valid"))
    return over_steps(traces, words, 320)


def metric(record: Record, name: str, words: Words) -> Chart:
    return small(over_steps([curve(record.checks, name, words("valid"), "--valid", part="valid")], words, 170))


def small(chart: Chart) -> Chart:
    """One of many charts over steps: the first of them says what the axis is."""
    chart["layout"]["xaxis"] |= {"title": {"text": ""}}
    chart["layout"]["margin"]["b"] = 24
    return chart


def learning_rate(record: Record, words: Words) -> Chart:
    trace = curve(record.losses, "lr", "lr", "--train")
    del trace["meta"]  # it is as it is
    return over_steps([{**trace, "mode": "lines"}], words, 220)


def gradient(record: Record, words: Words) -> Chart:
    known = [line for line in record.losses if line.get("grad_norm") is not None]
    return over_steps([curve(known, "grad_norm", words("grad_norm"), "--train")], words, 220, log=True)


def confusion(counts: Tensor, labels: Sequence[str], words: Words) -> Chart:
    """True classes down, predicted ones across: what is right in one colour, what is wrong in the other.

    Args:
        counts: (true, predicted).
    """
    size = len(labels)
    rows = counts.tolist()
    totals = [max(sum(row), 1) for row in rows]
    names = [plain(label, 14) for label in labels]
    hints = [
        [f"{words('true')} {plain(t)}<br>{words('predicted')} {plain(p)}<br><b>{rows[i][j]:,}</b>"
         for j, p in enumerate(labels)]
        for i, t in enumerate(labels)
    ]  # fmt: skip

    def cells(right: bool, color: str) -> Chart:
        shown = [[(i == j) == right for j in range(size)] for i in range(size)]
        share = [[rows[i][j] / totals[i] if shown[i][j] else None for j in range(size)] for i in range(size)]
        return {
            "type": "heatmap",
            "z": share if right else [[None if v is None else math.sqrt(v) for v in row] for row in share],
            "zmin": 0,
            "zmax": 1,
            "colorscale": [[0, "--cell"], [1, color]],
            "showscale": False,
            "text": [
                [f"{rows[i][j]:,}" if shown[i][j] and rows[i][j] else "" for j in range(size)] for i in range(size)
            ],
            "texttemplate": "%{text}" if size <= 24 else "",
            "customdata": hints,
            "hovertemplate": "%{customdata}<extra></extra>",
            "hoverongaps": False,
            "xgap": 2,
            "ygap": 2,
        }

    ticks = {"tickvals": list(range(size)), "ticktext": names, "showgrid": False, "automargin": False, "ticks": ""}
    side = max(200, min(520, (42 if size <= 12 else 24) * size))  # of the matrix, in pixels
    longest = _widest(names)
    upright = longest > 0.8 * side / size
    below = 46 + (longest if upright else 12)
    layout = {
        "margin": {"l": 46 + longest, "b": below, "t": 8},
        "xaxis": {
            **ticks, "title": {"text": words("predicted")}, "tickangle": -90 if upright else 0,
            "constrain": "domain", "constraintoward": "left",
        },
        "yaxis": {
            **ticks, "title": {"text": words("true")}, "autorange": "reversed", "scaleanchor": "x",
            "constrain": "domain", "constraintoward": "top",
        },
    }  # fmt: skip
    return {"data": [cells(True, "--train"), cells(False, "--valid")], "layout": layout, "height": side + below + 8}


def predicted_against_true(true: Tensor, predicted: Tensor, words: Words) -> Chart:
    x, y = _finite_pairs(true, predicted)
    ends = [min([*x, *y], default=0.0), max([*x, *y], default=1.0)]
    data = [
        {"type": "scatter", "x": ends, "y": ends, "mode": "lines", "name": words("equal"), "hoverinfo": "skip",
         "line": {"color": "--muted", "width": 1, "dash": "dot"}},
        {"type": "scatter", "x": x, "y": y, "mode": "markers", "name": words("rows"),
         "marker": {"color": "--train", "size": 5, "opacity": 0.45},
         "hovertemplate": f"{words('true')} %{{x:.5g}}<br>{words('predicted')} %{{y:.5g}}<extra></extra>"},
    ]  # fmt: skip
    layout = {
        "xaxis": {"title": {"text": words("true")}},
        "yaxis": {"title": {"text": words("predicted")}},
        "hovermode": "closest",
        "showlegend": False,
    }
    return {"data": data, "layout": layout, "height": 340}


def residual_histogram(true: Tensor, predicted: Tensor, words: Words) -> Chart:
    x, y = _finite_pairs(true, predicted)
    data = [
        {"type": "histogram", "x": [b - a for a, b in zip(x, y, strict=True)], "nbinsx": 40,
         "marker": {"color": "--train", "line": {"color": "--paper", "width": 1}},
         "hovertemplate": "%{x}<br>%{y:,} " + words("rows") + "<extra></extra>"}
    ]  # fmt: skip
    zero = {"type": "line", "x0": 0, "x1": 0, "yref": "paper", "y0": 0, "y1": 1,
            "line": {"color": "--muted", "width": 1, "dash": "dot"}}  # fmt: skip
    layout = {
        "xaxis": {"title": {"text": words("difference")}},
        "yaxis": {"title": {"text": words("count")}},
        "shapes": [zero],
    }
    return {"data": data, "layout": layout, "height": 340}


def lengths(found: Chart, words: Words) -> Chart:
    """How many texts of each split have how many tokens, one split upon the other."""
    width = found["width"]
    begins = found["begins"]
    spans = [f"{b:,}" if width == 1 else f"{b:,}–{b + width - 1:,}" for b in begins]
    if found["clipped"]:
        spans[-1] = f"≥ {begins[-1]:,}"
    colors = {"train": "--train", "valid": "--valid", "test": "--s3"}
    data = [
        {"type": "bar", "x": [b + (width - 1) / 2 for b in begins], "y": counts, "name": words(split), "width": width,
         "marker": {"color": colors[split], "line": {"color": "--paper", "width": 1}}, "customdata": spans,
         "hovertemplate": f"%{{customdata}} {words('tokens')}<br>{words(split)} %{{y:,}}<extra></extra>"}
        for split, counts in found["counts"].items()
    ]  # fmt: skip
    layout = {
        "barmode": "stack",
        "bargap": 0,
        "xaxis": {"title": {"text": words("tokens")}},
        "yaxis": {"title": {"text": words("rows")}},
        "showlegend": len(data) > 1,
        "legend": {"traceorder": "normal", "orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
    }
    return {"data": data, "layout": layout, "height": 260}


def attention(answer: Chart) -> Chart:
    """How much the model looked at each token of the source (across) as it wrote each token (down).

    Args:
        answer: "attention" (written tokens, source tokens), "tokens" and "source_tokens".
    """
    weights, written, source = answer["attention"], answer["tokens"], answer["source_tokens"]
    names = [[plain(shown(token), 14) for token in side] for side in (source, written)]
    hints = [[f"{s} → {t}<br><b>{w:.3f}</b>" for s, w in zip(names[0], line, strict=True)]
             for t, line in zip(names[1], weights, strict=True)]  # fmt: skip
    data = {
        "type": "heatmap", "z": weights, "zmin": 0, "zmax": max(max(line) for line in weights), "showscale": False,
        "colorscale": [[0, "--cell"], [1, "--train"]], "customdata": hints,
        "hovertemplate": "%{customdata}<extra></extra>", "xgap": 1, "ygap": 1,
    }  # fmt: skip
    ticks = {"showgrid": False, "automargin": False, "ticks": ""}
    above, left = 14 + _widest(names[0]), 14 + _widest(names[1])
    layout = {
        "margin": {"l": left, "t": above, "b": 8, "r": 8},
        "xaxis": {
            **ticks, "side": "top", "tickangle": -90, "tickvals": list(range(len(source))), "ticktext": names[0],
        },
        "yaxis": {**ticks, "autorange": "reversed", "tickvals": list(range(len(written))), "ticktext": names[1]},
    }  # fmt: skip
    widths = [left + 8 + size * len(source) for size in (16, 40)]  # in pixels: labels don't overlap, cells aren't slabs
    return {"data": [data], "layout": layout, "height": max(180, 22 * len(written) + above + 8), "widths": widths}


def shown(token: str) -> str:
    """A token as it can be seen: a blank and a line's end by a sign."""
    return token.strip() or ("⏎" if "\n" in token else "␣")


def first_not_finite(lines: Sequence[Line], key: str) -> int | None:
    """The step of the first line whose number is none."""
    return next((line["step"] for line in lines if key in line and number(line[key]) is None), None)


def number(value: Any) -> float | None:
    """A number as JSON has it; None for the words "nan", "inf" and "-inf" and for what isn't there."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _widest(names: Sequence[str]) -> int:
    """About how many pixels the widest of some labels takes."""
    return max(sum(13 if ord(letter) > 0x2E80 else 7 for letter in html.unescape(name)) for name in names)


def _finite_pairs(true: Tensor, predicted: Tensor) -> tuple[list[float], list[float]]:
    pairs = zip(true.tolist(), predicted.tolist(), strict=True)
    known = [(a, b) for a, b in pairs if math.isfinite(a) and math.isfinite(b)]
    return [a for a, _ in known], [b for _, b in known]
