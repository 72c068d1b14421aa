"""What a rule is, and what it finds. A new rule is a new file in ``rules/`` that ends in ``rule = Rule(…)``."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from gradus.doctor.signals import Place, Signals
from gradus.errors import UserError, nearest

Level = Literal["fault", "likely", "note"]
LEVELS: tuple[Level, ...] = ("fault", "likely", "note")
Kind = Literal["exact", "statistic", "trend", "probe"]
AREAS = ("error", "data", "loss", "model", "optimizer", "rate", "mode", "result", "speed")
"""Where causes lie, the nearest to the beginning first: what is wrong with the data is told before what came of it."""


@dataclass(frozen=True)
class Text:
    """The words of a rule in one language; ``{names}`` stand for what a finding measured."""

    title: str  # the verdict, one short line
    seen: str  # what was measured
    why: str  # why it hurts
    fix: str  # the one thing to change, a line of code where there is one
    looks: str  # for its page: what a person sees who has this fault


@dataclass(frozen=True)
class Found:
    """One thing that a rule found.

    Args:
        place: the line to look at.
        subject: the parameter, module, loader or loss function that it is about.
        level: where it isn't the rule's own.
        numbers: what was measured, by the names that the words use; a pair of texts is one in each language.
    """

    place: Place | None = None
    subject: str = ""
    level: Level | None = None
    numbers: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Rule:
    """A fault that can be told.

    Args:
        code: its name for good, as its file's, with hyphens.
        level: fault: proved; likely: two independent signals; note: it depends on what was meant.
        kind: exact: the program's state proves it; statistic; trend; probe: an experiment on a copy.
        area: where the cause lies; it orders findings of one level.
        judge: reads the signals, and gives what it finds; it raises nothing, and changes nothing.
        hides: codes of what follows from this fault: such findings are folded under it.
        wrong, right: a few lines of a faulty program and their mended twin, for its page.
    """

    code: str
    level: Level
    kind: Kind
    area: str
    judge: Callable[[Signals], Iterable[Found]]
    en: Text
    zh: Text
    wrong: str
    right: str
    hides: tuple[str, ...] = ()


@cache
def rules() -> dict[str, Rule]:
    """All rules by code, in the order of their areas."""
    from gradus.doctor import rules as room

    found = [importlib.import_module(f"{room.__name__}.{m.name}").rule for m in pkgutil.iter_modules(room.__path__)]
    return {rule.code: rule for rule in sorted(found, key=lambda r: (AREAS.index(r.area), r.code))}


def check_code(code: str) -> None:
    """
    Raises:
        UserError: for a code that no rule has.
    """
    if code not in rules():
        raise UserError(f"doctor: no code '{code}'.{nearest(code, rules())} gradus doctor --codes shows them.")
