"""Lessons that need no text: sums, things turned round, things counted. Each answer shows its working first.

A maker draws one question: ``(chance, language, level, new words?) → Draft``. What is asked about is the draft's key:
by it a question belongs to training or to the test, however it is worded.
"""

from __future__ import annotations

from dataclasses import dataclass

from gradus.data.lesson_words import ITEMS, WORDS, Chance, worded


@dataclass(frozen=True)
class Level:
    """How hard lessons are.

    Args:
        numbers: the largest number that is added or subtracted.
        times: the largest number that is multiplied.
        items: the most items of a list, or letters of a word.
        days: the most days or weekdays that a question about dates goes on by.
        facts: the most sentences of a passage.
    """

    numbers: int = 99
    times: int = 9
    items: int = 6
    days: int = 30
    facts: int = 5


@dataclass(frozen=True)
class Draft:
    """A lesson as it is drawn: the key of what it asks about, and what is said, (role, words), the answer last."""

    key: str
    said: tuple[tuple[str, str], ...]


SIGNS: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {"+": ("+", "+", "plus"), "-": ("-", "-", "minus"), "×": ("×", "*", "x", "times")},
    "zh": {"+": ("+", "+", "加"), "-": ("-", "-", "减"), "×": ("×", "*", "乘")},
}
SUMS = {
    "en": (
        "What is {sum}?",
        "{sum}",
        "{sum} =",
        "Please work out {sum}.",
        "How much is {sum}?",
        "Calculate {sum}.",
        "Tell me what {sum} makes.",
        "What's {sum}?",
        "{sum}?",
        "Can you tell me what {sum} is?",
        "Solve {sum}",
        "What do you get for {sum}?",
        "I need the result of {sum}.",
    ),
    "zh": (
        "{sum} 等于多少？",
        "{sum}",
        "{sum} =",
        "请计算 {sum}。",
        "算一下 {sum}。",
        "{sum} 是多少？",
        "{sum} 得几？",
        "{sum}？",
        "{sum} 结果是多少？",
        "你会算 {sum} 吗？",
        "请告诉我 {sum} 的结果。",
    ),
}


def arithmetic(chance: Chance, language: str, level: Level, new: bool) -> Draft:
    """Sums, differences and products: digit by digit as on paper, products by counting up."""
    sign = chance.one("++--×")
    if sign == "×":
        a, b = chance.between(1, level.times), chance.between(1, level.times)
        key = f"× {min(a, b)} {max(a, b)}"
        steps = [f"{i} {b * i}" for i in range(1, a + 1)]
        result = a * b
    else:
        a, b = chance.below(level.numbers + 1), chance.below(level.numbers + 1)
        if sign == "-" and a < b:
            a, b = b, a
        key = f"{sign} {min(a, b)} {max(a, b)}"
        steps = _columns(a, b, sign)
        result = a + b if sign == "+" else a - b
    asked = f"{a} {chance.one(SIGNS[language][sign])} {b}"
    question = worded(chance, SUMS[language], new).format(sum=asked)
    answer = f"{', '.join(steps)}\n{result}" if len(steps) > 1 else f"{result}"
    return Draft(key, (("user", question), ("assistant", answer)))


def _columns(a: int, b: int, sign: str) -> list[str]:
    """The columns of a sum or difference from the last digits on, with what is carried or borrowed."""
    steps: list[str] = []
    carried = 0
    while a or b or not steps:
        x, y = a % 10, b % 10
        a, b = a // 10, b // 10
        more = f" {sign} 1" if carried else ""
        if sign == "+":
            found = x + y + carried
            carried = found // 10
        else:
            short = x < y + carried and (a > 0 or b > 0)
            x += 10 * short
            found, carried = x - y - carried, int(short)
        steps.append(f"{x} {sign} {y}{more} = {found}")
    return steps


TURNED = {
    "en": (
        "Reverse: {x}",
        "Write this backwards: {x}",
        "Put these in reverse order: {x}",
        "Say this the other way round: {x}",
        "Turn this around: {x}",
        "Reverse the order of {x}.",
        "Reverse this list: {x}",
        "Write {x} backwards.",
        "{x} backwards",
        "Can you reverse {x}?",
        "What is {x} in reverse?",
        "What is this from the end to the beginning: {x}",
        "Go through this from back to front: {x}",
    ),
    "zh": (
        "倒序：{x}",
        "请倒过来写：{x}",
        "把它反过来：{x}",
        "从后往前说：{x}",
        "颠倒顺序：{x}",
        "把 {x} 倒过来。",
        "倒着写 {x}",
        "{x} 反过来是什么？",
        "请反着排列：{x}",
        "从最后一个开始说：{x}",
    ),
}


def reversing(chance: Chance, language: str, level: Level, new: bool) -> Draft:
    """The letters of a word, or the items of a list, from the last to the first."""
    items, mark = _items(chance, language, level)
    asked = mark.join(items)
    question = worded(chance, TURNED[language], new).format(x=asked)
    return Draft(asked, (("user", question), ("assistant", mark.join(items[::-1]))))


LETTERS = {
    "en": (
        "How many letters are in {x}?",
        "Count the letters: {x}",
        "How many letters does {x} have?",
        "{x}: how many letters?",
        "Please count the letters of {x}.",
        "How many letters: {x}",
        "What is the number of letters in {x}?",
        "How long is {x}, in letters?",
    ),
    "zh": (
        "{x} 有几个字母？",
        "数一数字母：{x}",
        "{x} 里有多少个字母？",
        "请数 {x} 的字母。",
        "{x}：几个字母？",
        "{x} 一共几个字母？",
    ),
}
LETTER = {
    "en": (
        "How many times does {y} occur in {x}?",
        "Count the {y} in {x}.",
        "How often is {y} in {x}?",
        "How many {y} are in {x}?",
        "What is the number of {y} in {x}?",
        "How many times is {y} in {x}?",
        "{x}: how many times {y}?",
        "Look for {y} in {x}: how many are there?",
    ),
    "zh": (
        "{x} 里有几个 {y}？",
        "数一数 {x} 里的 {y}。",
        "{y} 在 {x} 里出现几次？",
        "{x} 中有多少个 {y}？",
        "请数 {x} 中的 {y}。",
        "在 {x} 里找 {y}，有几个？",
    ),
}
LIST = {
    "en": (
        "How many things are in this list: {x}?",
        "Count these: {x}",
        "How many are these: {x}?",
        "How long is this list: {x}",
        "How many words are in this list: {x}?",
        "How many items are in {x}?",
        "Count the items: {x}",
        "How many things are these: {x}",
        "{x}: how many are there?",
        "Tell me how many things I name: {x}",
    ),
    "zh": (
        "这里有几样东西：{x}？",
        "数一数：{x}",
        "这个列表有几项：{x}",
        "一共几个：{x}",
        "{x}，一共几样？",
        "数数有几个：{x}",
        "{x}：有几样？",
        "告诉我我说了几样：{x}",
    ),
}


def counting(chance: Chance, language: str, level: Level, new: bool) -> Draft:
    """The letters of a word, how often one of them comes, or the items of a list: each is said with its number."""
    items, mark = _items(chance, language, level)
    asked, sought = mark.join(items), ""
    if mark != "-":
        wordings = LIST[language]
    elif chance.below(2):
        wordings = LETTERS[language]
    else:
        wordings, sought = LETTER[language], chance.one(items)
    question = worded(chance, wordings, new).format(x=asked, y=sought)
    steps, count = [], 0
    for item in items:
        count += sought in ("", item)
        steps.append(f"{item} {count}")
    return Draft(asked, (("user", question), ("assistant", f"{', '.join(steps)}\n{count}")))


def _items(chance: Chance, language: str, level: Level) -> tuple[list[str], str]:
    """Letters or things, and what stands between two of them: a word is spelt, for a model reads whole pieces of it."""
    count = chance.between(min(3, level.items), level.items)
    kind = chance.below(3)
    if kind == 0:
        return list(chance.one([word for word in WORDS if len(word) <= level.items] or [WORDS[0]])), "-"
    if kind == 1:
        return [chance.one("abcdefghijklmnopqrstuvwxyz") for _ in range(count)], "-"
    return chance.some(ITEMS[language], count), ", " if language == "en" else "、"
