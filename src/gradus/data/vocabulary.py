"""How well a vocabulary cuts text that it wasn't made of: bytes a token by kind of line and by kind of token."""

from __future__ import annotations

import re
import tempfile
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gradus.data import text_folders
from gradus.data.cache import cache_directory
from gradus.data.documents import MARK
from gradus.data.prepare_text import HELD_OUT, SHARE, unpacked
from gradus.data.python_docs import is_built_in, lesson_texts
from gradus.data.text_files import find_texts, pieces_of, texts_of
from gradus.data.text_sample import SAMPLES, sample
from gradus.data.tokens import Tokens
from gradus.errors import UserError

SHOWN = 40  # tokens of a list
MEASURED = 2_000_000  # bytes of held-out text that are looked at

_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_CODE = re.compile(
    r"^\s*(?:>>>|\.\.\.|@\w|#include|(?:async )?def |class \w+.*[:{]$|import \w|from \w[\w.]* import|return\b|"
    r"(?:if|for|while|with|elif|else|try|except)\b.*[:{]$)|[{};]$|\w\(.*\)$|\w = |::="
)


@dataclass(frozen=True)
class TextSample:
    """Text to make a vocabulary of, and text to measure it on.

    Attributes:
        train: texts of the sample; its documents are cut where none is joined across.
        held: the documents at the end of the text, of ``MEASURED`` bytes at most.
        size, trained, files: bytes of the whole text, of its part for training, and how many files they are in.
        notes: what is worth telling.
    """

    train: list[str]
    held: list[str]
    size: int
    trained: int
    files: int
    notes: tuple[str, ...]


def sampled(source: str | Path, field: str | None = None) -> TextSample:
    """The parts of a text that ``corpus`` would train on, as a sample, and hold out.

    Args:
        field: the name of the text in JSON lines and tables; None finds it.

    Raises:
        UserError: for a text that can't be read, or a full disk.
    """
    left: list[Path] = []
    found = find_texts(source, left)
    try:
        cache_directory().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache_directory(), prefix="sample-") as place:
            files = unpacked(found, Path(place), field)
            total = sum(file.size for file in files)
            usual = min(SHARE, HELD_OUT / max(total, 1))
            pieces = pieces_of(files, lines=False, after=True, valid=usual, test=usual)
            train = [piece for piece in pieces if piece.split == 0]
            texts = sample(files, train, "chat")
            held: list[str] = []
            for piece in (piece for piece in pieces if piece.split):
                for text in texts_of(files, piece, MEASURED // 2)[0]:
                    held += [document for document in text.split(MARK) if document]
    except OSError as error:
        raise UserError(
            f"{cache_directory()}: the text can't be unpacked there: {error.strerror}. Make room."
        ) from None
    trained = sum(piece.size for piece in train)
    notes = []
    if left:
        notes.append(text_folders.told(len(left), [path.name for path in left[:3]]))
    if trained > SAMPLES["chat"]:
        notes.append(f"the vocabulary is that of a sample of {SAMPLES['chat'] / 1e6:.0f} MB of the training text")
    if is_built_in(found[0].path):
        texts += lesson_texts()
        held += lesson_texts(held_out=True)
        notes.append("with some of the built-in lessons, a fifth of them Chinese, for `gradus train instruct`")
    return TextSample(texts, held or texts[-1:], total, trained, len(files), tuple(notes))


def measure(tokens: Tokens, texts: Sequence[str]) -> dict[str, Any]:
    """What a vocabulary makes of some texts: bytes and characters a token, in all, by kind of line and of token.

    Returns:
        bytes_per_token, chars_per_token, bytes, round_trip (whether all texts come back from their tokens), lines and
        kinds (each ``[{"name", "bytes", "tokens", "characters"}, …]``), longest, frequent and unused tokens.
    """
    rows = [np.array(tokens.encode_text(text), dtype=np.int64) for text in texts]
    flat = np.concatenate([np.empty(0, np.int64), *rows])
    size, characters = sum(len(text.encode()) for text in texts), sum(map(len, texts))
    counts = np.bincount(flat, minlength=tokens.size)
    text_tokens = [i for i in range(tokens.size) if tokens.byte_length[i]]
    lengths = {i: (len(tokens.decode([i])), int(tokens.byte_length[i])) for i in text_tokens}
    longest = sorted(text_tokens, key=lambda i: (*(-n for n in lengths[i]), i))
    frequent = sorted(text_tokens, key=lambda i: (-counts[i], i))
    return {
        "bytes_per_token": size / max(len(flat), 1),
        "chars_per_token": characters / max(len(flat), 1),
        "bytes": size,
        "round_trip": all(tokens.decode(row) == text for row, text in zip(rows, texts, strict=True)),
        "lines": list(_by_line(tokens, texts)),
        "kinds": list(_by_token(tokens, counts)),
        "longest": [_told(tokens, i, counts) for i in longest[:SHOWN]],
        "frequent": [_told(tokens, i, counts) for i in frequent[:SHOWN] if counts[i]],
        "unused": int(sum(counts[i] == 0 for i in text_tokens)),
    }


def readable(tokens: Tokens, token: int) -> str:
    """A token as a person can read it: a blank as ␣, a line's end as ⏎, a part of a character as its bytes."""
    text = tokens.decode([token])
    if "\ufffd" in text:
        return tokens.token_bytes(token).hex(" ").upper()
    marked = text.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥").replace("\r", "␍")
    return "".join(c if c.isprintable() else f"U+{ord(c):04X}" for c in marked)


def _told(tokens: Tokens, token: int, counts: np.ndarray) -> dict[str, Any]:
    return {"id": token, "text": readable(tokens, token), "count": int(counts[token])}


def _by_line(tokens: Tokens, texts: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Lines by what they look like: Chinese, code, Latin letters, other letters, or none."""
    lines: dict[str, list[str]] = {}
    for line in (line for text in texts for line in text.splitlines(keepends=True) if line.strip()):
        lines.setdefault(_kind_of_line(line.rstrip()), []).append(line)
    for name in ("latin", "chinese", "code", "other", "signs"):
        if found := lines.get(name):
            yield {
                "name": name,
                "bytes": sum(len(line.encode()) for line in found),
                "characters": sum(map(len, found)),
                "tokens": len(tokens.ragged(found).flat),
            }


def _by_token(tokens: Tokens, counts: np.ndarray) -> Iterator[dict[str, Any]]:
    """Tokens by what they are: Chinese characters, Latin letters, digits, signs, blanks, parts of a character."""
    found: dict[str, list[int]] = {}
    for i in np.flatnonzero(counts).tolist():
        found.setdefault(_kind_of_token(tokens.decode([i])), []).append(i)
    for name in ("letters", "han", "letters_other", "digits", "sign", "blank", "part"):
        if name in found:
            ids = np.array(found[name])
            yield {
                "name": name,
                "bytes": int((counts[ids] * tokens.byte_length[ids]).sum()),
                "characters": int((counts[ids] * tokens.characters[ids]).sum()),
                "tokens": int(counts[ids].sum()),
            }


def _kind_of_line(line: str) -> str:
    letters = [c for c in line if c.isalpha()]
    if not letters:
        return "signs"
    if len(_HAN.findall(line)) >= 0.3 * len(letters):
        return "chinese"
    if _CODE.search(line):
        return "code"
    return "latin" if sum(map(_is_latin, letters)) >= 0.5 * len(letters) else "other"


def _kind_of_token(text: str) -> str:
    if "\ufffd" in text:
        return "part"
    if _HAN.search(text):
        return "han"
    letters = [c for c in text if c.isalpha()]
    if letters:
        return "letters" if all(map(_is_latin, letters)) else "letters_other"
    if any(c.isnumeric() for c in text):
        return "digits"
    return "sign" if text.strip() else "blank"


def _is_latin(character: str) -> bool:
    return character.isascii() or unicodedata.name(character, "").startswith("LATIN")
