"""Small pieces of HTML. Whatever comes from data or files passes through ``text`` here before it is part of a page."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from gradus.reports.charts import Chart


@dataclass
class Section:
    """A part of a page: its heading stands in the margin, its body is HTML, its charts are drawn into places of it."""

    id: str
    title: str
    body: str
    note: str = ""
    charts: dict[str, Chart] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"id": self.id, "html": self.html(), "charts": self.charts}

    def html(self) -> str:
        if not self.title:
            return self.body
        note = f"<p>{text(self.note)}</p>" if self.note else ""
        return f'<div class="margin"><h2>{text(self.title)}</h2>{note}</div><div class="body">{self.body}</div>'


def text(value: object) -> str:
    """Anything as text of a page or as an attribute's value."""
    return html.escape(str(value), quote=True)


def figure(value: Any) -> str:
    """A number as a person reads it; the words "nan" and "inf" as they are."""
    if not isinstance(value, int | float):
        return str(value)
    if not math.isfinite(value) or isinstance(value, int):
        return f"{value:,}" if isinstance(value, int) else str(value)
    if value and not 0.001 <= abs(value) < 1e6:
        return f"{value:.3g}"
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.4f}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Iterable[int] = (), kind: str = "") -> str:
    """A table of cells that are HTML already; ``numbers`` are the columns of figures, which stand to the right."""
    right = set(numbers)

    def row(cells: Sequence[str], tag: str) -> str:
        marks = (' class="num"' if place in right else "" for place in range(len(cells)))
        return "<tr>" + "".join(f"<{tag}{m}>{c}</{tag}>" for m, c in zip(marks, cells, strict=True)) + "</tr>"

    head = f"<thead>{row([text(h) for h in header], 'th')}</thead>" if any(header) else ""
    body = "".join(row(cells, "td") for cells in rows)
    return f'<div class="wide"><table class="{kind}">{head}<tbody>{body}</tbody></table></div>'


def place(name: str, chart: Chart, title: str = "", *, label: str = "", log: str = "") -> str:
    """Where a chart is drawn; one that has "widths", the least and the greatest in pixels, scrolls where it must.

    Args:
        label: what it shows, where it has no title.
        log: the label of a switch for a logarithmic axis.
    """
    switch = f'<label class="switch"><input type="checkbox" data-log="{text(name)}"> {text(log)}</label>' if log else ""
    head = f"<figcaption>{text(title)}{switch}</figcaption>" if title or switch else ""
    least, most = chart.get("widths", (0, 0))
    style = f"height:{int(chart['height'])}px" + (f";min-width:{least}px;max-width:{most}px" if most else "")
    drawn = (
        f'<div class="chart" id="chart-{text(name)}" role="img" aria-label="{text(title or label)}" '
        f'style="{style}"></div>'
    )
    drawn = f'<div class="wide">{drawn}</div>' if most else drawn
    return f'<figure class="plot">{head}{drawn}</figure>'


def slider(label: str) -> str:
    """How strongly the curves of the page are smoothed."""
    return (
        f'<p class="controls"><label>{text(label)} '
        '<input type="range" id="smoothing" min="0" max="0.98" step="0.02" value="0.6"></label>'
        '<output id="smoothing-value">0.60</output></p>'
    )


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Names with their values, which are HTML already."""
    return "<dl>" + "".join(f"<div><dt>{text(n)}</dt><dd>{v}</dd></div>" for n, v in pairs) + "</dl>"


def picture(pixels: Tensor, words: str) -> str:
    """A picture (channels, height, width) of bytes as part of the page."""
    from PIL import Image

    values = pixels.permute(1, 2, 0).numpy()
    out = io.BytesIO()
    Image.fromarray(values[:, :, 0] if values.shape[2] == 1 else values).save(out, "PNG", optimize=True)
    kind = "small" if max(values.shape[:2]) < 64 else ""  # shown as pixels, not blurred
    code = base64.b64encode(out.getvalue()).decode()
    return f'<img class="{kind}" alt="{text(words)}" src="data:image/png;base64,{code}">'


def values(row: Mapping[str, Any], missing: str, more: str, most: int = 12) -> str:
    """The columns of a row with what is in them; those beyond ``most`` are folded away."""

    def told(pairs: Iterable[tuple[str, Any]]) -> str:
        absent = f"<em>{text(missing)}</em>"
        return "".join(f"<span><i>{text(n)}</i> {absent if v is None else text(_short(v))}</span> " for n, v in pairs)

    pairs = list(row.items())
    rest = pairs[most:]
    folded = f"<details><summary>{text(more.format(count=len(rest)))}</summary>{told(rest)}</details>" if rest else ""
    return f'<div class="values">{told(pairs[:most])}{folded}</div>'


def passage(texts: Mapping[str, str], more: str, most: int = 360) -> str:
    """Texts as paragraphs, each under its name where there are several; what is beyond ``most`` letters is folded."""
    out = ""
    for name, whole in texts.items():
        head = f"<i>{text(name)}</i> " if len(texts) > 1 else ""
        shown = f'<span dir="auto">{text(cut(whole, most))}</span>'
        rest = f'<details><summary>{text(more)}</summary><span dir="auto">{text(whole)}</span></details>'
        rest = rest if len(whole) > most else ""
        out += f'<p class="passage">{head}{shown}</p>{rest}'
    return f"<div>{out}</div>"


def cut(whole: str, most: int) -> str:
    """A text of so many letters at most."""
    return whole if len(whole) <= most else whole[: most - 1] + "…"


def _short(value: Any, most: int = 120) -> str:
    return cut(f"{value:.6g}" if isinstance(value, float) else str(value), most)
