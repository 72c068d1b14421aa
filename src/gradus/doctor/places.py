"""Which line of the person's own program is running."""

from __future__ import annotations

import linecache
import os
import sys
import sysconfig
from types import FrameType

from gradus.doctor.signals import Place

_PATHS = sysconfig.get_paths()
_FOREIGN = tuple(
    {os.path.realpath(_PATHS[key]) + os.sep for key in ("stdlib", "platstdlib", "purelib", "platlib", "scripts")}
)
_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_own: dict[str, bool] = {}
_places: dict[tuple[str, int], Place] = {}


def is_own(file: str) -> bool:
    """Whether a file is the person's: not Python's, not an installed package, not Gradus."""
    known = _own.get(file)
    if known is None:
        path = os.path.realpath(file)
        foreign = path.startswith(_FOREIGN) or path.startswith(_OURS) or "site-packages" in path
        known = _own[file] = not foreign and not file.startswith("<") and os.path.exists(path)
    return known


def place_of(frame: FrameType, line: int | None = None) -> Place:
    """The place of a frame; its source is read once."""
    key = (frame.f_code.co_filename, line or frame.f_lineno)
    place = _places.get(key)
    if place is None:
        source = linecache.getline(*key).strip()
        place = _places[key] = Place(_short(key[0]), key[1], source, frame.f_code.co_name)
    return place


def here(depth: int = 1) -> Place | None:
    """The innermost line of the person's program that is running; None where there is none."""
    frame: FrameType | None = sys._getframe(depth)
    while frame is not None:
        if is_own(frame.f_code.co_filename):
            return place_of(frame)
        frame = frame.f_back
    return None


def at(key: tuple[str, int]) -> Place:
    """The place that ``trail`` found."""
    place = _places.get(key)
    return place if place is not None else place_in(*key)


def trail(depth: int = 1) -> tuple[tuple[str, int], ...]:
    """The two innermost lines of the person's program, as a key."""
    frame: FrameType | None = sys._getframe(depth)
    found: list[tuple[str, int]] = []
    while frame is not None and len(found) < 2:
        if is_own(frame.f_code.co_filename):
            found.append((frame.f_code.co_filename, frame.f_lineno))
        frame = frame.f_back
    return tuple(found)


def _short(file: str) -> str:
    relative = os.path.relpath(file)
    return file if relative.startswith("..") else relative


def place_in(file: str, line: int | str) -> Place:
    """The place of a line of a file."""
    key = (file, int(line))
    if key not in _places:
        _places[key] = Place(_short(file), key[1], linecache.getline(*key).strip())
    return _places[key]
