"""The sample of a big text that its vocabulary is fitted on."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gradus.data.documents import MARK
from gradus.data.python_docs import is_built_in, lesson_texts
from gradus.data.text_files import Piece, TextFile, texts_of
from gradus.data.tokens import Tokens

if TYPE_CHECKING:
    from gradus.data.prepare_text import Asked, Lines

SAMPLES = {  # bytes that a vocabulary is fitted on
    "characters": 32_000_000,
    "words": 32_000_000,
    "bpe": 8_000_000,
    "chat": 16_000_000,
    "imported": 0,
}
PLACES = 128  # from how many pieces of the text they come
SIZES = {"bpe": 8_000, "words": 50_000}  # of a vocabulary where none is asked for
_AFTER_BLANKS = re.compile(rf"(?<=\n)(?=[^\s{MARK}])|{MARK}")


@dataclass(frozen=True)
class Fit:
    """What a process needs to fit a vocabulary on a sample of a text's pieces."""

    files: tuple[TextFile, ...]
    asked: Asked
    lines: Lines | None

    def run(self, pieces: Sequence[Piece]) -> Tokens:
        asked, total = self.asked, sum(piece.size for piece in pieces)
        size = asked.size or (size_for(total) if asked.tokens == "chat" else SIZES.get(asked.tokens))
        texts = sample(self.files, pieces, asked.tokens, self.lines)
        if asked.tokens == "chat" and is_built_in(self.files[0].path):
            texts += lesson_texts()
        return Tokens.fit(
            "text",
            texts,
            asked.tokens,
            size=size,
            begin=asked.lines,
            end=asked.lines,
            max_length=asked.max_length,
        )


def size_for(size: int) -> int:
    """The tokens of a vocabulary for so many bytes of text: 3 · √bytes as a power of two, from 512 to 32,768.

    For the number of different words grows about with the square root of a text (Heaps 1978).
    """
    return int(2 ** min(max(round(math.log2(3 * math.sqrt(max(size, 1)))), 9), 15))


def sample(files: Sequence[TextFile], pieces: Sequence[Piece], tokens: str, lines: Lines | None = None) -> list[str]:
    """Some of the training text for a vocabulary: all of it, or the beginnings of pieces spread over it."""
    some, most = pieces, SAMPLES[tokens]
    if len(pieces) > PLACES:
        some = [pieces[len(pieces) * number // PLACES] for number in range(PLACES)]
    if sum(piece.size for piece in pieces) > most:
        most //= len(some)
    return [text for piece in some for text in _texts(files, piece, tokens, lines, most)]


def _texts(files: Sequence[TextFile], piece: Piece, tokens: str, lines: Lines | None, most: int) -> Iterator[str]:
    """Texts from the beginning of a piece, of so many bytes at most: lines, for chat with the blank ones after each."""
    for span in piece.spans:
        texts, _ = texts_of(files, Piece(0, (span,)), most)
        if lines is not None:
            rows = rows_of(texts)
            yield from (row for row, split in zip(rows, lines.splits(rows), strict=True) if split == 0)
        elif tokens == "chat":
            yield from _AFTER_BLANKS.split(texts[0])
        else:
            yield from texts[0].replace(MARK, "\n").splitlines(keepends=True)
        most -= span.end - span.begin
        if most <= 0:
            return


def rows_of(texts: Sequence[str]) -> list[str]:
    """The lines of texts that aren't empty, without blanks at their ends."""
    rows = (row.strip() for text in texts for row in text.replace(MARK, "\n").split("\n"))
    return [row for row in rows if row]
