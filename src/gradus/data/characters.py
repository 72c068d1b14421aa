"""Unicode characters as numbers, and what no file can hold of them: halves of characters."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice

import numpy as np

_HALF = re.compile("[\ud800-\udfff]")


def whole_characters(text: str) -> str:
    """A text with U+FFFD for halves of characters, which JSON can write and no file can hold."""
    return text if text.isascii() else _HALF.sub("\ufffd", text)


def characters_in(texts: Iterator[str]) -> Counter[str]:
    """How often each character comes in all the texts."""
    counts = np.zeros(0x110000, dtype=np.int64)
    while some := list(islice(texts, 10_000)):
        counts += np.bincount(codes("".join(some)), minlength=len(counts))
    return Counter({chr(code): int(counts[code]) for code in np.flatnonzero(counts)})


def codes(text: str) -> np.ndarray:
    """The number of each character, (characters,), in as few bytes as will do."""
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), dtype=np.uint8)
    codes = np.frombuffer(text.encode("utf-16-le", "surrogatepass"), dtype=np.uint16)
    if len(codes) == len(text):
        return codes
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
