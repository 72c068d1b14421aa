"""What is done to each text once, on its way in: Unicode's form, escapes of HTML; changes are counted and told."""

from __future__ import annotations

import html
import re
import unicodedata
from typing import Literal, get_args

import numpy as np

from gradus.errors import UserError, nearest

Form = Literal["NFC", "NFD", "NFKC", "NFKD", "none"]
"""Unicode's forms (Unicode Standard Annex 15), and none of them."""

_WHOLE = r"&(?:#\d{2,5}|#x[0-9a-f]{2,4}|[a-z]{2,6});"
_BARE = r"(?:#\d{2,5}|quot|amp|nbsp|lt|gt);"
ESCAPES = re.compile(rf"{_WHOLE}|(?<![&\w]){_BARE}|\\[$#]")
"""What HTML's escapes look like, whole (``&amp;``) or as AG News has them, without their ``&``: ``#39;``, ``\\$``."""

_RESOLVED = re.compile(rf"{_WHOLE}| {_BARE}|(?<![&\w]){_BARE}")  # a blank stands where the & was
_TAGS = re.compile(r"</?[a-zA-Z][^<>]{0,500}>")
_BACKSLASHES = re.compile(r"\\(?![$#\"&<])")  # where lines ended


class Cleaning:
    """Columns of str or None, joined by a space, unescaped and brought to one Unicode form; it counts what it changed.

    Args:
        form: NFC, NFD, NFKC, NFKD or "none".
        unescape: put what HTML's escapes stand for in their place, and take its tags out.
    """

    def __init__(self, form: Form, unescape: bool = False) -> None:
        if form not in get_args(Form):
            raise UserError(f"no Unicode form '{form}'.{nearest(form, get_args(Form))}")
        self.form, self.unescape, self.composed, self.repaired = form, unescape, 0, 0

    def __call__(self, *columns: np.ndarray) -> np.ndarray:
        """The rows as an object array of str or None (nothing is left), (rows,)."""
        values = columns[0].tolist()
        if len(columns) > 1:
            rows = zip(*(column.tolist() for column in columns), strict=True)
            values = [" ".join(part for part in row if part) or None for row in rows]
        for row, value in enumerate(values):
            if value is None:
                continue
            if self.unescape and (";" in value or "\\" in value or "<" in value):
                value = unescaped(value)
                self.repaired += value != values[row]
                values[row] = value or None
            if self.form != "none" and not value.isascii() and not unicodedata.is_normalized(self.form, value):
                values[row] = unicodedata.normalize(self.form, value)
                self.composed += 1
        out = np.empty(len(values), dtype=object)
        out[:] = values
        return out

    def notes(self) -> list[str]:
        told = f"{counted(self.repaired, 'text')} with escapes or tags of HTML, now resolved [--unescape]"
        composed = f"{counted(self.composed, 'text')} brought to Unicode's form {self.form} [--normalise]"
        return ([told] if self.repaired else []) + ([composed] if self.composed else [])

    def __repr__(self) -> str:
        return f"Cleaning({self.form}, {self.unescape})"


def unescaped(text: str) -> str:
    """A text without HTML: ``aren #39;t`` is ``aren't``, ``&lt;b&gt;`` goes, ``\\$5`` is ``$5``, ``a\\b`` is ``a b``.

    A character's number from 128 to 159 is read as Windows' (``#151;`` is a dash), as browsers do.
    """
    if "\\" in text:
        text = _BACKSLASHES.sub(" ", text).replace("\\", "")
    text = _RESOLVED.sub(lambda found: html.unescape("&" + found[0].lstrip(" &")), text)
    return " ".join(_TAGS.sub(" ", text).split())


def counted(count: int, noun: str) -> str:
    """A count with its noun: ``1 text``, ``2,000 texts``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
