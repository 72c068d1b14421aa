"""From the blocks of a document to passages: pieces that are short enough to be read as an answer's source.

A passage ends where a heading, a page or a paragraph does wherever that is possible, and begins with the last sentence
of the one before it, where that belongs to the same section.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gradus.language.markup import Block

AIM, MOST, LEAST = 120, 200, 40  # words; the last passage of a section isn't shorter than the least
OVERLAP = 30  # words of the sentence that two passages share, at most
LETTERS = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7af\U00020000-\U0003ffff"
"""A regular expression's range: Chinese, Japanese and Korean writing, which has no blanks, or few."""

_WORD = re.compile(rf"[{LETTERS}]|[^\s{LETTERS}]{{1,20}}")  # what is longer counts as several
_LETTER = re.compile(f"[{LETTERS}]")
_BORDERS = (
    re.compile(r"(?<=[.!?])[\"')\]]*\s+|(?<=[。！？；])[”’」』）]*"),
    re.compile(r"\n"),
    re.compile(r"\s+|(?<=[，、：])"),
)
_PIECE = 400  # characters that something without any border is cut after


@dataclass(frozen=True)
class Cut:
    """A passage of a document, and its place there: ``Install › Linux``, ``page 3`` or ``lines 10 to 24``."""

    text: str
    place: str


def cut(blocks: Iterable[Block]) -> Iterator[Cut]:
    """The passages of a document, in its order; each has about 80 to 200 words, or it is a whole section."""
    for (headings, page), section in itertools.groupby(blocks, lambda block: (block.headings, block.page)):
        for text, line in _filled(list(section)):
            place = " › ".join(headings) or (f"page {page}" if page else "")
            yield Cut(text.lstrip("\n").rstrip(), place or (_lines(line, text) if line else ""))


def length(text: str) -> float:
    """Words; of Chinese writing, characters, five of which are counted as three words."""
    letters = len(_LETTER.findall(text))
    return len(_WORD.findall(text)) - 0.4 * letters


def _lines(first: int, text: str) -> str:
    last = first + text.rstrip().count("\n")
    return f"line {first}" if last == first else f"lines {first} to {last}"


def _filled(section: list[Block]) -> list[tuple[str, int]]:
    """The text of a section in passages, each with its first line."""
    passages: list[tuple[list[str], int]] = []
    held: list[str] = []
    first, words = 0, 0.0
    for piece, line in _pieces(section):
        size = length(piece)
        if held and (words >= AIM or words + size > MOST):
            passages.append((held, first))
            shared = held[-1] if len(held) > 1 and length(held[-1]) <= OVERLAP else ""
            held = [shared] if shared else []
            first, words = line - shared.count("\n") if line else 0, length(shared)
        first = first or line
        held.append(piece)
        words += size
    if passages and words < LEAST:
        before, first_before = passages.pop()
        passages.append(([*before, *(held[1:] if held[0] == before[-1] else held)], first_before))
    elif held:
        passages.append((held, first))
    return [("".join(pieces), line) for pieces, line in passages]


def _pieces(section: list[Block]) -> Iterator[tuple[str, int]]:
    """Blocks, those that are too long in sentences; each with what parts it from the next, and its line."""
    for block in section:
        line = block.line
        for piece in _small(block.text + "\n\n", 0):
            yield piece, line
            line += piece.count("\n") if line else 0


def _small(text: str, level: int) -> Iterator[str]:
    """A text in parts that are no longer than a passage: sentences, else lines, else words, else anywhere.

    Whole paragraphs stay whole where they are short; of a longer one every sentence is a part.
    """
    if length(text) <= (AIM if level == 0 else MOST):
        yield text
    elif level == len(_BORDERS):
        yield from (text[begin : begin + _PIECE] for begin in range(0, len(text), _PIECE))
    else:
        ends = [found.end() for found in _BORDERS[level].finditer(text) if found.end() < len(text)]
        for begin, end in itertools.pairwise([0, *ends, len(text)]):
            yield from _small(text[begin:end], level + 1)
