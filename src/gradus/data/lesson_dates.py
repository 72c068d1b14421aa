"""Lessons about dates: weekdays and months counted one by one, dates reckoned within a year; the working first."""

from __future__ import annotations

from gradus.data.lesson_tasks import Draft, Level
from gradus.data.lesson_words import MONTH_DAYS, MONTHS, WEEKDAYS, Chance, worded

DAY_ON = {
    "en": (
        "What weekday is {n} days after {day}?",
        "Today is {day}. What day is it in {n} days?",
        "It is {day}. Which weekday comes {n} days later?",
        "{n} days after {day}: which weekday?",
        "What day is {n} days after {day}?",
        "What day comes {n} days after {day}?",
        "What day of the week is it {n} days after {day}?",
        "It is {day} today. What day will it be in {n} days?",
        "If today is {day}, what is it {n} days from now?",
        "Start on {day} and go on for {n} days. Which day is it?",
    ),
    "zh": (
        "{day}之后 {n} 天是星期几？",
        "今天是{day}，{n} 天后是星期几？",
        "如果今天{day}，再过 {n} 天是星期几？",
        "{day}再过 {n} 天是星期几？",
        "从{day}起 {n} 天后是星期几？",
        "{day}，过了 {n} 天，是星期几？",
    ),
}
MONTH_BACK = {
    "en": (
        "Which month is {n} months before {month}?",
        "What month was it {n} months before {month}?",
        "It is {month}. Which month was {n} months ago?",
        "{n} months before {month}: which month?",
        "What month is {n} months before {month}?",
        "What month comes {n} months before {month}?",
        "Go back {n} months from {month}.",
        "If it is {month} now, what was it {n} months earlier?",
    ),
    "zh": (
        "{month}之前 {n} 个月是几月？",
        "现在是{month}，{n} 个月前是几月？",
        "{month}往前 {n} 个月是几月？",
        "从{month}往回数 {n} 个月是几月？",
        "{n} 个月前是几月？现在{month}。",
        "如果现在是{month}，往前推 {n} 个月是几月？",
    ),
}
DATE_ON = {
    "en": (
        "What date is {n} days after {date}?",
        "Today is {date}. What is the date in {n} days?",
        "{n} days after {date}: which date?",
        "What is the date {n} days after {date}?",
        "Which date is {n} days after {date}?",
        "Which day comes {n} days later than {date}?",
        "It is {date}. Tell me the date {n} days from now.",
        "Count {n} days on from {date}. What date is it then?",
    ),
    "zh": (
        "{date}之后 {n} 天是几月几日？",
        "今天是{date}，{n} 天后是几月几日？",
        "{date}再过 {n} 天是哪天？",
        "从{date}起 {n} 天后是几号？",
        "{date}加 {n} 天是哪一天？",
        "现在是{date}，过 {n} 天是什么日期？",
    ),
}
BETWEEN = {
    "en": (
        "How many days are there from {date} to {other}?",
        "How many days is it from {date} to {other}?",
        "Count the days from {date} to {other}.",
        "From {date} to {other}: how many days?",
        "How many days are between {date} and {other}?",
        "How many days from {date} to {other}?",
        "How long is it from {date} to {other}, in days?",
        "It is {date}. In how many days is it {other}?",
    ),
    "zh": (
        "从{date}到{other}有几天？",
        "{date}到{other}是多少天？",
        "{date}离{other}有几天？",
        "{date}至{other}：几天？",
        "数一数从{date}到{other}的天数。",
        "今天是{date}，离{other}还有几天？",
    ),
}


def dates(chance: Chance, language: str, level: Level, new: bool) -> Draft:
    """Weekdays and months counted one by one; dates some days later, and days between two, within a year."""
    kind = chance.below(4)
    if kind < 2:
        return _counted(chance, language, level, new, back=bool(kind))
    month, most = chance.below(12), max(1, level.days)
    day, days = chance.between(1, MONTH_DAYS[month]), chance.between(1, most)
    steps, there, then = _days_on(month, day, days)
    if there > 11:  # beyond the year
        month = 0
        steps, there, then = _days_on(month, day, days)
    said = _date(language, month, day), _date(language, there, then)
    key = f"{month} {day} {days}"
    if kind == 2:
        question = _one_day(worded(chance, DATE_ON[language], new).format(n=days, date=said[0]), days)
        return Draft(key, (("user", question), ("assistant", f"{', '.join(steps)}\n{said[1]}")))
    steps = _days_between(month, day, there, then)
    question = worded(chance, BETWEEN[language], new).format(date=said[0], other=said[1])
    return Draft(key, (("user", question), ("assistant", f"{', '.join(steps)}\n{days}")))


def _counted(chance: Chance, language: str, level: Level, new: bool, *, back: bool) -> Draft:
    names = MONTHS[language] if back else WEEKDAYS[language]
    begin, count = chance.below(len(names)), chance.between(1, min(level.days, 11))
    path = [names[(begin + (-i if back else i)) % len(names)] for i in range(1, count + 1)]
    steps = ", ".join(f"{i} {name}" for i, name in enumerate(path, 1))
    wordings = (MONTH_BACK if back else DAY_ON)[language]
    question = _one_day(worded(chance, wordings, new).format(n=count, day=names[begin], month=names[begin]), count)
    return Draft(f"{int(back)} {begin} {count}", (("user", question), ("assistant", f"{steps}\n{path[-1]}")))


def _one_day(question: str, count: int) -> str:
    """A question in English about one day or month, without the plural."""
    return question.replace("1 days", "1 day").replace("1 months", "1 month") if count == 1 else question


def _days_on(month: int, day: int, days: int) -> tuple[list[str], int, int]:
    """The working of a date so many days later, and that date."""
    steps, total = [f"{day} + {days} = {day + days}"], day + days
    while month < 12 and total > MONTH_DAYS[month]:
        steps.append(f"{total} - {MONTH_DAYS[month]} = {total - MONTH_DAYS[month]}")
        total -= MONTH_DAYS[month]
        month += 1
    return steps, month, total


def _days_between(month: int, day: int, there: int, then: int) -> list[str]:
    """The working of the days between two dates."""
    if month == there:
        return [f"{then} - {day} = {then - day}"]
    left = MONTH_DAYS[month] - day
    steps = [f"{MONTH_DAYS[month]} - {day} = {left}"]
    for length in (*MONTH_DAYS[month + 1 : there], then):
        steps.append(f"{left} + {length} = {left + length}")
        left += length
    return steps


def _date(language: str, month: int, day: int) -> str:
    return f"{day} {MONTHS['en'][month]}" if language == "en" else f"{month + 1}月{day}日"
