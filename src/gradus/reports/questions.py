"""The section of a model that answers: the share of right answers to each kind of question, with some of them."""

from __future__ import annotations

from typing import Any

from gradus.reports.html import Section, table, text
from gradus.reports.record import Record
from gradus.reports.words import Words


def questions(record: Record, words: Words) -> Section | None:
    """How each kind of question of the test went, and some of the questions with what was answered, right or wrong."""
    found: list[dict[str, Any]] = (record.evidence or {}).get("questions", [])
    if not found or record.summary is None:
        return None
    metrics = record.summary["metrics"]["test"]
    kinds = list(dict.fromkeys(entry["kind"] for entry in found))
    rows = [[text(_kind(kind, words)), f"{100 * float(metrics[kind]):.0f} %"] for kind in kinds if kind in metrics]
    body = table([words("questions_kind"), words("questions_right")], rows, numbers=(1,), kind="tight")
    for kind in kinds:
        lines = "".join(_answered(entry, words) for entry in found if entry["kind"] == kind)
        body += f'<h3>{text(_kind(kind, words))}</h3><ol class="rows texts">{lines}</ol>'
    return Section("questions", words("questions"), body, words("questions_note"))


def _answered(entry: dict[str, Any], words: Words) -> str:
    told = [(words("said"), entry["said"], "right" if entry["right"] else "")]
    told += [] if entry["right"] else [(words("expected"), entry["expected"], "right")]
    lines = "".join(
        f'<p class="saying {kind}"><i>{text(tag)}</i><span dir="auto" style="white-space:pre-line">'
        f"{text(said) or '–'}</span></p>"
        for tag, said, kind in told
    )
    asked = f'<span dir="auto" style="white-space:pre-line">{text(entry["asked"])}</span>'
    return f'<li><div class="answer">{asked}</div><div>{lines}</div></li>'


def _kind(kind: str, words: Words) -> str:
    return words(f"kind_{kind}")
