"""The report of a vocabulary: how well it cuts text that it never saw, and its tokens as a person can read them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gradus.reports import sections as usual
from gradus.reports.html import Section, facts, table, text
from gradus.reports.record import Record
from gradus.reports.words import Words
from gradus.training.result import Run
from gradus.training.whole import read_directory

KINDS = {
    "latin": "lines of Latin letters", "chinese": "lines of Chinese", "code": "lines of code",
    "other": "lines of other letters", "signs": "lines without letters",
    "letters": "Latin letters", "han": "Chinese characters", "letters_other": "other letters",
    "digits": "digits", "sign": "signs", "blank": "blanks", "part": "parts of a character",
}  # fmt: skip


def is_one(record: Record) -> bool:
    """Whether a run made a vocabulary."""
    return "vocabulary" in (record.evidence or {})


def sections(record: Record, words: Words) -> list[Section]:
    """The sections of a vocabulary's report."""
    found = (record.evidence or {})["vocabulary"]
    return [_masthead(record, words), _cuts(found, words), _tokens(found, words), usual.settings(record, words)]


def lines(run: Run) -> Iterator[tuple[str, str]]:
    """What the terminal says of a vocabulary: labelled lines."""
    config, summary = run.config, run.summary
    found = read_directory(run.directory.evidence)[1]["evidence"]["vocabulary"]
    yield "data", config["data"]["description"]
    for note in config["data"]["notes"]:
        yield "", note
    size = config["chosen"]["size"]
    yield "vocabulary", f"{size['value']:,} tokens ({size['reason']}) [--size]"
    yield "held out", f"{found['bytes_per_token']:.2f} bytes a token, of {found['bytes'] / 1e6:.2g} MB it never saw"
    for row in (*found["lines"], *found["kinds"]):
        told = f"{KINDS[row['name']]:<24}{row['bytes'] / row['tokens']:>6.2f} bytes a token"
        yield "", f"{told}   {100 * row['bytes'] / max(found['bytes'], 1):>5.1f} % of the text"
    exact = "every text comes back from its tokens exactly" if found["round_trip"] else "NOT every text comes back"
    yield "round trip", exact
    yield "frequent", "  ".join(token["text"] for token in found["frequent"][:16])
    yield "longest", "  ".join(token["text"] for token in found["longest"][:8])
    seconds = summary["seconds"]
    yield "time", f"{seconds['total']:.1f} s (making it {seconds['train']:.1f}, measuring {seconds['test']:.1f})"
    yield "run", str(run.path)
    yield "next", f"gradus train gpt --tokenizer {run.path}   ·   gradus report {run.path}"


def _masthead(record: Record, words: Words) -> Section:
    config, summary = record.config, record.summary or {}
    notes = "".join(f"<br>{text(note)}" for note in config["data"]["notes"])
    size = config["chosen"]["size"]
    pairs = [
        (words("recipe"), text(config["recipe"])),
        (words("data"), text(config["data"]["description"]) + notes),
        (words("vocabulary"), text(words("tokens_because", count=f"{size['value']:,}", reason=size["reason"]))),
        (words("begun"), text(config["begun"][:16].replace("T", " "))),
        (words("took"), text(words("seconds", value=f"{summary['seconds']['total']:.1f}"))),
    ]
    state = f'<span class="state finished">{text(words("finished"))}</span>'
    kind = f'<p class="kind">Gradus · {text(words("report_of_vocabulary"))}{state}</p>'
    return Section("masthead", "", f"<header>{kind}<h1>{text(record.name)}</h1>{facts(pairs)}</header>")


def _cuts(found: dict[str, Any], words: Words) -> Section:
    """Bytes a token in all, by kind of line and by kind of token."""
    lead = words("bytes_a_token", size=f"{found['bytes'] / 1e6:.2g}")
    body = f'<div class="lead"><p class="big">{found["bytes_per_token"]:.2f}</p><p>{text(lead)}</p></div>'
    for title, rows in (("by_line", found["lines"]), ("by_token", found["kinds"])):
        cells = [
            [
                text(words(f"vocabulary_{row['name']}")),
                f"{row['bytes'] / row['tokens']:.2f}",
                f"{row['characters'] / row['tokens']:.2f}",
                f"{100 * row['bytes'] / max(found['bytes'], 1):.1f} %",
            ]
            for row in rows
        ]
        header = [words(title), words("bytes_per_token"), words("chars_per_token"), words("share_of_text")]
        body += table(header, cells, numbers=(1, 2, 3), kind="figures")
    told = words("round_trip" if found["round_trip"] else "no_round_trip")
    return Section("cuts", words("result"), f"{body}<p>{text(told)}</p>", words("cuts_note"))


def _tokens(found: dict[str, Any], words: Words) -> Section:
    """The most frequent tokens and the longest ones."""
    body = ""
    for title in ("frequent", "longest"):
        shown = " ".join(_token(token, words) for token in found[title])
        body += f'<h3>{text(words(f"tokens_{title}"))}</h3><p class="passage" dir="auto">{shown}</p>'
    unused = words("tokens_unused", count=f"{found['unused']:,}")
    body += f'<p class="small">{text(unused)}</p>'
    return Section("tokens", words("tokens"), body, words("tokens_note"))


def _token(token: dict[str, Any], words: Words) -> str:
    told = words("occurs", id=f"{token['id']:,}", count=f"{token['count']:,}")
    return f'<code title="{text(told)}">{text(token["text"])}</code>'
