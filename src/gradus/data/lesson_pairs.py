"""Pairs made of lessons, for preference tuning: to one question the right answer, and one that is wrong or rambles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gradus.data.lesson_tasks import Level
from gradus.data.lesson_words import Chance
from gradus.data.lessons import KINDS, Lesson, lesson_of, score

RAMBLING = 3  # one pair in so many: the right answer, and on and on


def lesson_pairs(
    count: int, seed: int = 0, *, language: str = "both", level: str | Level = "normal"
) -> Iterator[dict[str, Any]]:
    """So many pairs, in the form that ``read_pairs`` of ``chat_pairs.py`` gives; pair i is a function of (seed, i).

    The questions are of training: none is of the test.
    """
    for i in range(count):
        chance = Chance(seed, i, 3)
        kind = chance.one(KINDS)
        lesson = lesson_of(chance, kind, language, level)
        right = lesson.messages[-1]["content"]
        other = _other(chance, lesson, language, level)
        wrong = f"{right}\n{other}" if chance.below(RAMBLING) == 0 else other
        yield {"messages": list(lesson.question), "chosen": right, "rejected": wrong}


def _other(chance: Chance, lesson: Lesson, language: str, level: str | Level) -> str:
    """The answer to another question of the kind: of the right form, and wrong."""
    kind = "lookup" if lesson.kind == "refusing" else lesson.kind
    while True:
        answer = lesson_of(chance, kind, language, level).messages[-1]["content"]
        if not score(answer, lesson.expected):
            return answer
