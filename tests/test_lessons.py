"""The built-in lessons: right by other means than their own, the same each time, and none of the test in training."""

from __future__ import annotations

import datetime
import itertools
import re

import pytest

from gradus.data.lesson_dates import BETWEEN, DATE_ON, DAY_ON, MONTH_BACK
from gradus.data.lesson_pairs import lesson_pairs
from gradus.data.lesson_passages import ASKED, UNSAID
from gradus.data.lesson_tasks import LETTER, LETTERS, LIST, SUMS, TURNED, Level
from gradus.data.lesson_words import MONTHS, WEEKDAYS, Chance
from gradus.data.lessons import HOWS, KINDS, LEVELS, MAKERS, Lesson, held_out, lessons, score
from gradus.errors import UserError

MANY = lessons(4_000, seed=7)
TEST = held_out(350, seed=7)
SIGNS = {"plus": "+", "minus": "-", "times": "*", "×": "*", "x": "*", "加": "+", "减": "-", "乘": "*"}


def of_kind(kind: str, language: str = "") -> list[Lesson]:
    found = [lesson for lesson in [*MANY, *TEST] if lesson.kind == kind]
    return [lesson for lesson in found if not language or chinese(lesson) == (language == "zh")]


def chinese(lesson: Lesson) -> bool:
    return any(re.search("[\u4e00-\u9fff]", message["content"]) for message in lesson.messages)


def test_each_is_a_function_of_seed_and_number() -> None:
    assert lessons(50, seed=7) == MANY[:50]
    assert lessons(50, seed=8) != MANY[:50]
    assert held_out(70, seed=7) == TEST[:70]


@pytest.mark.parametrize("level", LEVELS)
def test_no_question_of_the_test_is_in_training_whatever_the_seeds(level: str) -> None:
    learnt = {lesson.question for seed in (0, 1) for lesson in map(hashable, lessons(2_000, seed, level=level))}
    for how in HOWS:
        asked = [hashable(lesson).question for lesson in held_out(140, 2, level=level, how=how)]
        assert len(set(asked)) == len(asked)
        assert not learnt & set(asked)


def hashable(lesson: Lesson) -> Lesson:
    messages = tuple(tuple(message.items()) for message in lesson.messages)
    return Lesson(lesson.kind, messages, lesson.expected, lesson.how)  # type: ignore[arg-type]


def test_no_pair_of_numbers_of_the_test_is_in_training_however_it_is_asked() -> None:
    def operands(some: list[Lesson]) -> set[tuple[str, int, int]]:
        found = (parsed(lesson) for lesson in some if lesson.kind == "arithmetic")
        return {(sign, min(a, b), max(a, b)) for a, sign, b in found}

    learnt, asked = operands(lessons(20_000, 3)), operands(held_out(2_000, 4))
    assert len(asked) > 100
    assert not learnt & asked


@pytest.mark.parametrize("how", HOWS)
def test_no_question_of_the_test_is_asked_anywhere_in_a_chat_of_training(how: str) -> None:
    """Of the kinds whose question holds all that it asks about."""
    learnt = {m["content"] for lesson in lessons(6_000, 3) for m in lesson.messages if m["role"] == "user"}
    kinds = ("arithmetic", "reversing", "counting", "dates")
    asked = [one.question[-1]["content"] for one in held_out(350, 4, how=how) if one.kind in kinds]
    assert len(asked) > 150
    assert not learnt & set(asked)


def parsed(lesson: Lesson) -> tuple[int, str, int]:
    a, sign, b = re.findall(r"(\d+) (\S+) (\d+)", lesson.question[-1]["content"])[0]
    return int(a), SIGNS.get(sign, sign), int(b)


def test_sums_are_right_and_so_is_their_working() -> None:
    for lesson in of_kind("arithmetic"):
        a, sign, b = parsed(lesson)
        assert int(lesson.expected) == {"+": a + b, "-": a - b, "*": a * b}[sign]
        for left, right in re.findall(r"([\d +-]+) = (\d+)", lesson.messages[-1]["content"]):
            total = int(left.split()[0])
            for operator, number in re.findall(r"([+-]) (\d+)", left):
                total += int(number) if operator == "+" else -int(number)
            assert total == int(right), lesson


def test_a_hard_sum_carries_over_many_columns() -> None:
    shown = {lesson.messages[-1]["content"] for lesson in lessons(3_000, 5, level=Level(numbers=9999))}
    assert any(text.count("+ 1 =") >= 3 for text in shown)


def test_what_is_reversed_reads_backwards() -> None:
    for lesson in of_kind("reversing"):
        items = re.split(r"-|, |、", lesson.expected)
        assert re.split(r"-|, |、", asked_items(lesson)) == items[::-1]


def asked_items(lesson: Lesson) -> str:
    found = re.findall(r"(?:\w+(?:-|, |、))+\w+", lesson.question[-1]["content"])
    return max(found, key=len)


def test_what_is_counted_is_counted_rightly() -> None:
    for lesson in of_kind("counting", "en"):
        question = lesson.question[-1]["content"]
        sought = re.search(
            r"times does (\w) |Count the (\w) |often is (\w) in|many (\w) are|times (\w)\?|for (\w) in"
            r"|number of (\w) in|times is (\w) in",
            question,
        )
        items = re.split(r"-|, ", asked_items(lesson))
        letter = next((g for g in sought.groups() if g), None) if sought else None
        assert int(lesson.expected) == (items.count(letter) if letter else len(items)), lesson


def test_dates_are_those_of_the_calendar() -> None:
    seen = 0
    for lesson in of_kind("dates", "en"):
        question = lesson.question[-1]["content"]
        dates = [
            datetime.date(2027, MONTHS["en"].index(m) + 1, int(d))
            for d, m in re.findall(r"(\d+) ([A-Z]\w+)", question)
            if m in MONTHS["en"]
        ]
        number = re.search(r"(\d+) (?:days?|months?)", question)
        if len(dates) == 2:
            assert int(lesson.expected) == (dates[1] - dates[0]).days
        elif len(dates) == 1:
            assert number is not None
            then = dates[0] + datetime.timedelta(days=int(number[1]))
            assert lesson.expected == f"{then.day} {MONTHS['en'][then.month - 1]}"
        else:
            names = WEEKDAYS["en"] if any(day in question for day in WEEKDAYS["en"]) else MONTHS["en"]
            assert number is not None
            begin = next(i for i, name in enumerate(names) if re.search(rf"\b{name}\b", question))
            step = int(number[1]) if names is WEEKDAYS["en"] else -int(number[1])
            assert lesson.expected == names[(begin + step) % len(names)]
        seen += 1
    assert seen > 300


def test_what_is_looked_up_stands_in_the_passage_and_what_is_refused_is_not_told_of_its_subject() -> None:
    for lesson in of_kind("lookup"):
        told = "".join(message["content"] for message in lesson.question)
        assert told.count(lesson.expected) >= 1
    for lesson in of_kind("refusing"):
        assert lesson.expected in UNSAID.values()
    said = {lesson.messages[-1]["content"] for lesson in of_kind("following")}
    assert said & set(UNSAID.values())
    assert said - set(UNSAID.values())
    plainly = [lesson for lesson in TEST if lesson.kind == "following"]
    assert {sum(m["role"] == "assistant" for m in lesson.messages) for lesson in plainly} == {2, 3}


def test_a_chat_goes_from_one_matter_to_another() -> None:
    """A third of what is learnt; of the test each question comes after two others."""
    turns = [sum(m["role"] == "user" for m in lesson.messages) for lesson in MANY if lesson.kind != "following"]
    assert sum(count == 1 for count in turns) / len(turns) == pytest.approx(2 / 3, abs=0.04)
    assert set(turns) == {1, 2, 3}
    asked = held_out(140, 7, how="after_others")
    assert len(asked) == 140
    for lesson in asked:
        users = [m["content"] for m in lesson.messages if m["role"] == "user"]
        assert len(users) >= 3
        assert all(m["role"] != "system" for m in lesson.messages)
        assert lesson.group == "after_others"
        assert score(lesson.messages[-1]["content"], lesson.expected)
    assert {lesson.kind for lesson in asked} == set(KINDS)


def test_the_same_question_is_never_asked_twice_of_one_passage() -> None:
    for lesson in of_kind("following"):
        asked = [message["content"] for message in lesson.messages if message["role"] == "user"]
        assert len(set(asked)) == len(asked)


@pytest.mark.parametrize(
    "wordings",
    [SUMS, TURNED, LETTERS, LETTER, LIST, DAY_ON, MONTH_BACK, DATE_ON, BETWEEN, ASKED],
    ids=lambda w: w["en"][0],
)
def test_each_kind_has_five_wordings_to_learn_and_one_that_is_only_asked(wordings: dict[str, tuple[str, ...]]) -> None:
    for spoken in wordings.values():
        assert len(set(spoken)) == len(spoken) >= 6


def test_new_words_are_never_learnt() -> None:
    last = [spoken["en"][-1] for spoken in (SUMS, TURNED, LETTERS, LETTER, LIST, DAY_ON, DATE_ON, BETWEEN, ASKED)]
    forms = [re.compile(re.sub(r"\\{\w+\\}", ".+", re.escape(words)), re.DOTALL) for words in last]
    learnt = [message["content"] for lesson in MANY for message in lesson.messages]
    assert not [text for text in learnt for form in forms if form.fullmatch(text)]
    asked = [lesson.question[-1]["content"] for lesson in held_out(140, 1, how="new_words")]
    assert all(any(form.fullmatch(text) for text in asked) for form in forms)


def test_languages_and_kinds_come_in_their_shares() -> None:
    share = sum(map(chinese, MANY)) / len(MANY)
    assert 0.17 < share < 0.23
    assert not any(map(chinese, lessons(200, language="en")))
    assert sum(map(chinese, lessons(200, language="zh"))) > 150  # of sums that are only numbers nothing is Chinese
    for kind, (_, wanted) in MAKERS.items():
        assert sum(lesson.kind == kind for lesson in MANY) / len(MANY) == pytest.approx(wanted / 100, abs=0.03)
    counts = [sum(lesson.kind == kind for lesson in TEST) for kind in KINDS]
    assert max(counts) - min(counts) <= 5


def test_levels() -> None:
    easy, hard = (lessons(800, language="en", level=level) for level in ("easy", "hard"))
    longest = [
        max(len(asked_items(one).split(", ")) for one in some if one.kind == "reversing") for some in (easy, hard)
    ]
    assert longest == [4, 10]
    with pytest.raises(UserError, match=r"level: no 'hrad'. Did you mean 'hard'"):
        lessons(1, level="hrad")
    with pytest.raises(UserError, match="language: no 'fr'"):
        lessons(1, language="fr")


@pytest.mark.parametrize(
    ("answer", "expected", "right"),
    [
        ("7 + 8 = 15, 4 + 3 + 1 = 8\n85", "85", True),
        ("85", "86", False),
        (" 85. \n", "85", True),
        ("1,200", "1200", True),
        ("85.0", "85", True),
        ("85\n7 + 8", "85", False),
        ("The text doesn't say.", "The text doesn't say.", True),
        ("the text doesn't say", "The text doesn't say.", True),
        ("文中没有说", "文中没有说。", True),
        ("Friday", "Monday", False),
        ("", "85", False),
        ("s-t-o-p", "p-o-t-s", False),
    ],
)
def test_score(answer: str, expected: str, right: bool) -> None:
    assert score(answer, expected) is right


def test_pairs_prefer_the_right_answer() -> None:
    some = list(lesson_pairs(300, seed=2))
    assert some[:20] == list(lesson_pairs(20, seed=2))
    rambling = 0
    for pair in some:
        right = pair["chosen"].splitlines()[-1]
        assert not score(pair["rejected"], right)
        rambling += pair["rejected"].startswith(pair["chosen"])
    assert 50 < rambling < 150


def test_chance_is_uniform_and_the_same_everywhere() -> None:
    drawn = [Chance(1, 2).below(1000), *(Chance(i).below(6) for i in range(6000))]
    assert drawn[0] == Chance(1, 2).below(1000)
    counts = [drawn[1:].count(face) for face in range(6)]
    assert min(counts) > 850
    stream = Chance(5)
    assert sorted(stream.some("abcdef", 6)) == list("abcdef")
    assert [Chance(9).below(10**9) for _ in range(2)] == [Chance(9).below(10**9)] * 2
    assert len(set(itertools.islice((stream.below(10**9) for _ in itertools.count()), 100))) == 100
