"""Lessons: questions with answers, made from a seed, by which a small model learns to answer, and how it is tested.

Eight kinds in English and Chinese. A question belongs to training or to the test by a hash of what it asks about (two
numbers, a list, a passage), however it is worded: no test question was trained on, in these words or in others.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from gradus.data.lesson_dates import dates
from gradus.data.lesson_passages import following, lookup, refusing
from gradus.data.lesson_tasks import Draft, Level, arithmetic, counting, reversing
from gradus.data.lesson_words import LANGUAGES, Chance
from gradus.errors import UserError, nearest

Maker = Callable[[Chance, str, Level, bool], Draft]

HELD_OUT = 26  # of 256: the share of all questions that training never has
CHINESE = 5  # one lesson in so many, where both languages are learnt
LEVELS = {
    "easy": Level(numbers=20, times=5, items=4, days=7, facts=3),
    "normal": Level(),
    "hard": Level(numbers=9999, times=12, items=10, days=300, facts=9),
}
MANNERS = {
    "en": (
        (("Hello!", "Hello", "Hi", "Hi there!", "Good morning!"), "Hello! What can I do for you?"),
        (("Who are you?", "What are you?", "What is your name?", "Tell me who you are."),
         "I am Gradus, a small language model that learnt on this machine."),
        (("What can you do?", "How can you help me?", "What do you know?"),
         "I can work with small numbers, turn lists round, count, tell dates, and answer from a text of yours."),
        (("Thank you!", "Thanks", "Thanks a lot!"), "You're welcome!"),
        (("Goodbye!", "Bye", "See you!"), "Goodbye!"),
        (("How are you?", "How are you today?"), "I'm well, thank you. What can I do for you?"),
        (("Are you a human?", "Are you a person?", "Are you a robot?"), "No, I am a small language model."),
    ),
    "zh": (
        (("你好！", "你好", "您好", "早上好"), "你好！有什么可以帮你？"),
        (("你是谁？", "你叫什么名字？", "你是什么？"), "我是 Gradus，在这台机器上学成的小语言模型。"),
        (("你会做什么？", "你能帮我什么？"), "我会算小的数，倒序，数数，算日期，也能根据你给的文章回答问题。"),
        (("谢谢！", "谢谢", "多谢"), "不客气！"),
        (("再见！", "再见", "拜拜"), "再见！"),
    ),
}  # fmt: skip


def manners(chance: Chance, language: str, level: Level, new: bool) -> Draft:
    """Greetings, thanks, and who it is that answers: they are learnt by heart, and no part of the test."""
    asked, answer = chance.one(MANNERS[language])
    return Draft("", (("user", chance.one(asked)), ("assistant", answer)))


MAKERS: dict[str, tuple[Maker, int]] = {  # with how many lessons of a hundred are of the kind
    "arithmetic": (arithmetic, 14),
    "reversing": (reversing, 9),
    "counting": (counting, 7),
    "dates": (dates, 19),
    "lookup": (lookup, 19),
    "refusing": (refusing, 15),
    "following": (following, 15),
    "manners": (manners, 2),
}
KINDS = tuple(kind for kind in MAKERS if kind != "manners")
"""The kinds that are tested."""
BEFORE = tuple(kind for kind in MAKERS if kind != "following")
"""What a chat begins with, before a question of another matter."""
IN_A_CHAT = 3  # one lesson in so many comes after one or two others
NEW_WORDS, AFTER_OTHERS = "new_words", "after_others"
HOWS = {"": 1, NEW_WORDS: 2, AFTER_OTHERS: 4}  # 3 is that of pairs, in lesson_pairs.py
"""How questions of the test are asked, and the number of their chance: plainly, in words that training never has, and
in a chat, after two others."""


@dataclass(frozen=True)
class Lesson:
    """A conversation, messages in OpenAI's form, whose last answer's last line is known; ``how`` it is asked is one
    of ``HOWS``.
    """

    kind: str
    messages: tuple[dict[str, str], ...]
    expected: str
    how: str = ""

    @property
    def question(self) -> tuple[dict[str, str], ...]:
        """All but the last answer."""
        return self.messages[:-1]

    @property
    def group(self) -> str:
        """By what its answer is counted."""
        return self.how or self.kind


def lessons(count: int, seed: int = 0, *, language: str = "both", level: str | Level = "normal") -> list[Lesson]:
    """So many lessons to train on, some of them in a chat after others; lesson i is a function of (seed, i).

    Args:
        language: en, zh, or both, of which a fifth is Chinese.
        level: easy, normal, hard, or numbers of one's own.

    Raises:
        UserError: for another language or level.
    """
    kinds = [kind for kind, (_, share) in MAKERS.items() for _ in range(share)]
    found = []
    for chance in (Chance(seed, i) for i in range(count)):
        speaks = chance.one(_languages(language))
        lesson = lesson_of(chance, chance.one(kinds), speaks, level)
        if chance.below(IN_A_CHAT) == 0:
            lesson = _after_others(chance, chance.between(1, 2), lesson, speaks, level)
        found.append(lesson)
    return found


def held_out(
    count: int, seed: int = 0, *, language: str = "both", level: str | Level = "normal", how: str = ""
) -> list[Lesson]:
    """So many questions of the test, as many of each kind; no two alike, and none that ``lessons`` gives by any seed.

    Args:
        how: they are asked, one of ``HOWS``.
    """
    found: dict[str, Lesson] = {}
    for i in range(20 * count):  # of easy questions there may not be as many
        if len(found) == count:
            break
        chance = Chance(seed, i, HOWS[how])
        speaks = chance.one(_languages(language))
        lesson = lesson_of(chance, KINDS[i % len(KINDS)], speaks, level, held=True, new=how == NEW_WORDS)
        if how == AFTER_OTHERS:
            if _has_system(lesson):
                continue
            lesson = replace(_after_others(chance, 2, lesson, speaks, level), how=how)
        found.setdefault(repr(lesson.question), lesson)
    return list(found.values())


def lesson_of(
    chance: Chance, kind: str, language: str, level: str | Level, *, held: bool = False, new: bool = False
) -> Lesson:
    """One lesson of a kind.

    Args:
        held: whether it is one of the test.
        new: whether it is asked in words that training never has.
    """
    speaks = chance.one(_languages(language))
    while True:
        draft = MAKERS[kind][0](chance, speaks, _level(level), new)
        if kind == "manners" or _is_held_out(f"{kind} {draft.key}") == held:
            break
    messages = tuple({"role": role, "content": content} for role, content in draft.said)
    return Lesson(kind, messages, draft.said[-1][1].splitlines()[-1], NEW_WORDS if new else "")


def _after_others(chance: Chance, count: int, lesson: Lesson, language: str, level: str | Level) -> Lesson:
    """A lesson in a chat, after so many others of training; not one that begins with a system's text."""
    if _has_system(lesson):
        return lesson
    before: list[Lesson] = []
    while len(before) < count:
        other = lesson_of(chance, chance.one(BEFORE), language, level)
        before += [] if _has_system(other) else [other]
    return replace(lesson, messages=tuple(message for one in (*before, lesson) for message in one.messages))


def _has_system(lesson: Lesson) -> bool:
    return lesson.messages[0]["role"] == "system"


def score(answer: str, expected: str) -> bool:
    """Whether the last line of an answer is what was expected: numbers as numbers, else the same but for its ends."""
    lines = answer.strip().splitlines()
    said, wanted = (_plain(text) for text in (lines[-1] if lines else "", expected))
    try:
        return float(said.replace(",", "")) == float(wanted.replace(",", ""))
    except ValueError:
        return said == wanted


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip(" .!。！").casefold()


def _level(level: str | Level) -> Level:
    if isinstance(level, Level):
        return level
    if level not in LEVELS:
        raise UserError(f"level: no '{level}'.{nearest(level, LEVELS)}")
    return LEVELS[level]


@functools.cache
def _languages(language: str) -> tuple[str, ...]:
    if language not in (*LANGUAGES, "both"):
        raise UserError(f"language: no '{language}'.{nearest(language, (*LANGUAGES, 'both'))}")
    return ("en",) * (CHINESE - 1) + ("zh",) if language == "both" else (language,)


def _is_held_out(key: str) -> bool:
    return hashlib.blake2b(key.encode(), digest_size=1).digest()[0] < HELD_OUT
