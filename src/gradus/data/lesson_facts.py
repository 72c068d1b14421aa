"""What can be told of invented people, towns and things: how it is said, how it is asked, and what it may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gradus.data.lesson_words import MONTHS, Chance, person, town, words

Value = Callable[[Chance, str], str]
"""Draws a value in a language."""


@dataclass(frozen=True)
class Trait:
    """Something that can be told of a subject, ``{name}``.

    Args:
        said: sentences that tell it.
        asked: questions for it.
        value: what it may be.
    """

    said: tuple[str, ...]
    asked: tuple[str, ...]
    value: Value


def _among(text: str) -> Value:
    values = words(text)
    return lambda chance, language: chance.one(values)


def _number(low: int, high: int, step: int = 1) -> Value:
    return lambda chance, language: str(step * chance.between(low, high))


def _month(chance: Chance, language: str) -> str:
    return chance.one(MONTHS[language])


def _trait(value: Value, *sentences: str) -> Trait:
    """A trait of its sentences: those that end in a question mark ask, the others tell."""
    asked = tuple(one for one in sentences if one.endswith(("?", "？")))
    return Trait(tuple(one for one in sentences if one not in asked), asked, value)


COLOURS = _among("red blue green yellow black white brown grey pink purple orange")
COLOURS_ZH = _among("红色 蓝色 绿色 黄色 黑色 白色 棕色 灰色 粉色 紫色")
JOBS = _among("baker teacher doctor driver farmer painter cook nurse tailor lawyer sailor gardener")
FOODS = _among("soup bread rice fish cheese apples noodles eggs cake beans")
INSTRUMENTS = _among("piano violin flute guitar drum harp trumpet cello")
SIGHTS = _among("bridge cheese market castle bread wine gardens tower library harbour")

PEOPLE: dict[str, tuple[Trait, ...]] = {
    "en": (
        _trait(town, "{name} lives in {value}.", "{name}'s home is in {value}.", "Where does {name} live?"),
        _trait(JOBS, "{name} works as a {value}.", "{name} is a {value}.", "What is {name}'s job?"),
        _trait(_number(18, 89), "{name} is {value} years old.", "How old is {name}?"),
        _trait(person, "{name} has a cat called {value}.", "{name}'s cat is {value}.", "What is {name}'s cat called?"),
        _trait(COLOURS, "{name} drives a {value} car.", "{name}'s car is {value}.", "What colour is {name}'s car?"),
        _trait(FOODS, "{name} likes to eat {value}.", "What does {name} like to eat?"),
        _trait(INSTRUMENTS, "{name} plays the {value}.", "Which instrument does {name} play?"),
        _trait(_month, "{name} was born in {value}.", "In which month was {name} born?"),
    ),
    "zh": (
        _trait(town, "{name}住在{value}。", "{name}的家在{value}。", "{name}住在哪里？"),
        _trait(_among("老师 医生 司机 农民 画家 厨师 护士 裁缝 律师 工人"), "{name}是{value}。", "{name}做什么工作？"),
        _trait(_number(18, 89), "{name}今年{value}岁。", "{name}多大？", "{name}几岁？"),
        _trait(COLOURS_ZH, "{name}开一辆{value}的车。", "{name}的车是{value}的。", "{name}的车是什么颜色？"),
        _trait(_among("米饭 面条 鱼 苹果 鸡蛋 蛋糕 豆腐 饺子"), "{name}喜欢吃{value}。", "{name}喜欢吃什么？"),
        _trait(_month, "{name}生在{value}。", "{name}生在几月？"),
    ),
}
TOWNS: dict[str, tuple[Trait, ...]] = {
    "en": (
        _trait(_number(2, 99, 100), "{name} has {value} inhabitants.", "How many inhabitants does {name} have?"),
        _trait(SIGHTS, "{name} is known for its {value}.", "What is {name} known for?"),
        _trait(
            person, "The mayor of {name} is {value}.", "{value} is the mayor of {name}.", "Who is the mayor of {name}?"
        ),
        _trait(_number(1100, 1950), "{name} was founded in {value}.", "When was {name} founded?"),
        _trait(person, "The river of {name} is the {value}.", "What is the river of {name} called?"),
    ),
    "zh": (
        _trait(_number(2, 99, 100), "{name}有{value}人。", "{name}有多少人？"),
        _trait(_among("桥 市场 面包 茶 花园 塔 图书馆 河"), "{name}的{value}很有名。", "{name}什么很有名？"),
        _trait(person, "{name}的镇长是{value}。", "{value}是{name}的镇长。", "{name}的镇长是谁？"),
        _trait(_number(1100, 1950), "{name}建于{value}年。", "{name}建于哪一年？"),
    ),
}
THINGS: dict[str, tuple[Trait, ...]] = {
    "en": (
        _trait(COLOURS, "{name} is {value}.", "What colour is {name}?"),
        _trait(_number(2, 99), "{name} costs {value} coins.", "How much does {name} cost?"),
        _trait(person, "{name} belongs to {value}.", "Who owns {name}?", "To whom does {name} belong?"),
        _trait(town, "{name} was made in {value}.", "{name} comes from {value}.", "Where was {name} made?"),
    ),
    "zh": (
        _trait(COLOURS_ZH, "{name}是{value}的。", "{name}是什么颜色？"),
        _trait(_number(2, 99), "{name}卖{value}元。", "{name}的价钱是{value}元。", "{name}多少钱？"),
        _trait(person, "{name}是{value}家的。", "{name}是谁家的？"),
        _trait(town, "{name}是{value}做的。", "{name}是在哪里做的？"),
    ),
}
_THING = {
    "en": _among("lamp table chair clock boat vase drum carpet box coat mirror bell bicycle kettle"),
    "zh": _among("灯 桌子 椅子 钟 花瓶 地毯 箱子 大衣 镜子 铃 茶壶"),
}


def thing(chance: Chance, language: str) -> str:
    """A thing, as a sentence names it."""
    return ("the " if language == "en" else "屋里的") + _THING[language](chance, language)
