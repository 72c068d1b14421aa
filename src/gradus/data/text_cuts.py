"""Where a text may be cut in pieces, each read for itself: at a line's end, else before a blank or a character."""

from __future__ import annotations

import functools
import re
import unicodedata
from typing import BinaryIO

NEAR = 65_536  # bytes from where a long line should be cut to where it is

LINE = re.compile(rb"\n")
_SOLID = rb"(?=[!-~\xc3-\xdf\xe4-\xf4])"  # the first byte of a character that is no blank in any language
BREAK = re.compile(rb"(?<!\r)\r?\n" + _SOLID)
AFTER = re.compile(rb"\n" + _SOLID)
_BLANK = re.compile(rb"[ \t]" + _SOLID)


def near(content: BinaryIO, place: int, size: int, at_line: re.Pattern[bytes], most: int) -> int:
    """The first byte from a place on, less than ``most`` away, that a piece may begin with.

    Args:
        size: of the file.
        at_line: LINE, BREAK or AFTER: where it is sought first.
    """
    content.seek(place - 1)  # the byte before is looked at: a Windows line's end is one
    window = content.read(min(most, size - place) + 1)
    if found := at_line.search(window, 1 if at_line is BREAK else 0):
        return place - 1 + (found.start() if at_line is BREAK else found.end())
    beside = window[1 : min(NEAR, most) + 1]
    if found := _BLANK.search(beside):
        return place + found.start()
    first = here = next((i for i, byte in enumerate(beside) if byte & 0xC0 != 0x80), len(beside))
    for character in beside[first:].decode("utf-8", "ignore"):
        if _begins(character):
            return place + here
        here += len(character.encode())
    return size if place + len(beside) == size else place + first  # nothing but marks upon one letter


def at(content: BinaryIO, place: int) -> int:
    """The first byte from a place on that begins a character."""
    content.seek(place)
    beside = content.read(4)
    return place + next((i for i, byte in enumerate(beside) if byte & 0xC0 != 0x80), 0)


def _begins(character: str) -> bool:
    """Whether a piece may begin with a character: in Unicode's form NFC it doesn't unite with what stands before it."""
    first = unicodedata.normalize("NFD", character)[0]
    return unicodedata.combining(first) == 0 and first not in _joining() and character != "\n"  # one of Windows' pairs


@functools.cache
def _joining() -> frozenset[str]:
    """The characters that unite with one before them."""
    found = {chr(code) for code in (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))}  # of Korean syllables
    for code in range(0x110000):
        parts = unicodedata.decomposition(chr(code)).split()
        if len(parts) == 2 and parts[0][0] != "<":
            found.add(chr(int(parts[1], 16)))
    return frozenset(found)
