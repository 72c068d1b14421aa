"""Where a model looked as it wrote, as a page of its own: what ``gradus predict --figure`` gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gradus.reports.html import Section, text
from gradus.reports.page import document, write_page
from gradus.reports.texts import attention_section
from gradus.reports.words import Words

MAX_PICTURES = 24  # of one page


def write_attention(
    out: Path, name: str, sources: Sequence[str], answers: Sequence[Mapping[str, Any]], words: Words
) -> None:
    """Write a page with a picture of attention for each of the first answers.

    Args:
        name: of the run.
        answers: predictions with "text", "attention", "tokens" and "source_tokens".

    Raises:
        UserError: where the file can't be written.
    """
    shown = [dict(answer) for answer in answers[:MAX_PICTURES]]
    titles = [f"{source} → {answer['text']}" for source, answer in zip(sources, shown, strict=False)]
    head = f'<p class="kind">Gradus · {text(words("attention"))}</p><h1>{text(name)}</h1>'
    parts = [Section("masthead", "", f"<header>{head}</header>"), attention_section(shown, titles, words)]
    write_page(out, document(f"{name} · {words('attention')}", parts, words))
