"""A run's directory as one HTML file that opens offline: its sections, its style, its script and Plotly's, in one text.

Nothing is fetched: the page's content policy forbids it, and a script runs only where it carries the page's own mark.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from importlib import resources
from pathlib import Path
from typing import Any

from gradus.errors import UserError
from gradus.reports import mistakes, overview, questions, sections, texts, vocabulary
from gradus.reports.html import Section, text
from gradus.reports.record import Record, read_record
from gradus.reports.words import Words
from gradus.training.rundir import RunDirectory, finite


def write_report(directory: RunDirectory, out: Path, lang: str) -> None:
    """Write the report of a run, finished or not, as one HTML file.

    Raises:
        UserError: where a file of the run is damaged, or ``out`` can't be written.
    """
    record, words = read_record(directory), Words(lang)
    write_page(out, document(record.name, sections_of(record, words), words))


def sections_of(record: Record, words: Words) -> list[Section]:
    """The sections of a run's report, those that there is something to tell in."""
    if vocabulary.is_one(record):
        return vocabulary.sections(record, words)
    found = [
        overview.masthead(record, words),
        overview.result(record, words),
        overview.verdict(record, words),
        sections.curves(record, words),
        *sections.figures(record, words),
        questions.questions(record, words),
        texts.learnt(record, words),
        texts.answers(record, words),
        texts.attention(record, words),
        texts.written(record, words),
        texts.surprises(record, words),
        texts.tagged(record, words),
        mistakes.errors(record, words),
        mistakes.worst(record, words),
        texts.data(record, words),
        mistakes.samples(record, words),
        sections.steps(record, words),
        sections.layers(record, words),
        sections.seconds(record, words),
        sections.settings(record, words),
    ]
    return [section for section in found if section is not None]


def document(title: str, parts: list[Section], words: Words, *, live: bool = False) -> str:
    """A page of sections as HTML.

    Args:
        live: whether it asks the server that it comes from for what is new.
    """
    body = "".join(f'<section id="{text(part.id)}">{part.html()}</section>' for part in parts)
    drawn = {name: chart for part in parts for name, chart in part.charts.items()}
    content = as_script(
        {"charts": drawn, "live": live, "words": {"smoothed": words("smoothed"), "lost": words("lost")}}
    )
    mark = hashlib.sha256((body + content).encode()).hexdigest()[:32]  # unknown to whoever wrote the labels in it
    assets = resources.files("gradus.reports") / "assets"
    style, script = ((assets / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    source = "'self'" if live else "'none'"
    policy = (
        f"default-src 'none'; script-src 'nonce-{mark}' 'unsafe-eval'; "  # Plotly's 3-D charts compile small functions
        f"style-src 'unsafe-inline'; img-src data: blob:; connect-src {source}; "
        "base-uri 'none'; form-action 'none'"
    )
    return f"""<!doctype html>
<html lang="{"zh-CN" if words.lang == "zh" else "en"}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{text(title)} · Gradus</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<button id="theme" type="button" aria-label="{text(words("theme"))}" title="{text(words("theme"))}">◐</button>
<main>{body}</main>
<script type="application/json" id="content">{content}</script>
<script nonce="{mark}">{plotly()}</script>
<script nonce="{mark}">{script}</script>
</body>
</html>
"""


def as_script(value: Any) -> str:
    """JSON that can stand within a script of a page: no text in it can end the script or begin a comment."""
    told = json.dumps(finite(value), allow_nan=False, separators=(",", ":"))  # ASCII only: no U+2028 either
    return told.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def plotly() -> str:
    """Plotly's script, from the package that carries it, without importing that package (which takes half a second).

    Raises:
        UserError: where the package isn't installed.
    """
    found = importlib.util.find_spec("plotly")
    for folder in (found.submodule_search_locations or []) if found is not None else []:
        file = Path(folder) / "package_data" / "plotly.min.js"
        if file.is_file():
            return file.read_text(encoding="utf-8").replace("</script", "<\\/script")
    raise UserError("the pages need plotly, which isn't installed. Install it with: pip install 'plotly>=6'")


def write_page(out: Path, content: str) -> None:
    """Put a page where it was asked for, whole or not at all.

    Raises:
        UserError: where that can't be done.
    """
    if out.is_dir():
        raise UserError(f"{out}: is a directory. Name a file, as in --out {out / 'report.html'}")
    partial = out.with_name(f".{out.name}.partial")
    try:
        partial.write_text(content, encoding="utf-8")
        partial.replace(out)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UserError(f"{out}: the page can't be written: {error.strerror}. Name another --out.") from None
