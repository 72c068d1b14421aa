"""Lessons about a passage of a few facts: what stands in it is found, and what doesn't isn't made up."""

from __future__ import annotations

from dataclasses import dataclass

from gradus.data.lesson_facts import PEOPLE, THINGS, TOWNS, Trait, Value, thing
from gradus.data.lesson_tasks import Draft, Level
from gradus.data.lesson_words import Chance, person, town, worded

UNSAID = {"en": "The text doesn't say.", "zh": "文中没有说。"}
GROUNDED = {"en": "Answer from the text only.\n{text}\n{question}", "zh": "只根据文章回答。\n{text}\n{question}"}
"""How ``gradus chat --docs`` puts passages and a question."""
ASKED = {
    "en": (
        GROUNDED["en"],
        "{text}\n\n{question}",
        "Text: {text}\nQuestion: {question}",
        "Read this: {text}\n{question}",
        "{question}\nText: {text}",
        "Here is a text. {text}\n{question}",
        "{text} {question}",
        "{text}\n{question}",
        "Please read: {text}\nThen answer: {question}",
        "Look at this text.\n{text}\nNow tell me: {question}",
    ),
    "zh": (
        GROUNDED["zh"],
        "{text}\n\n{question}",
        "文章：{text}\n问题：{question}",
        "请读：{text}\n{question}",
        "{question}\n文章：{text}",
        "下面是一段文字。{text}\n{question}",
        "{text}{question}",
        "{text}\n{question}",
        "看这段话。\n{text}\n告诉我：{question}",
    ),
}
SYSTEM = {"en": "Answer from this text only. {text}", "zh": "只根据这段文字回答。{text}"}
AGAIN = {
    "en": ("{question}", "And: {question}", "Another question: {question}"),
    "zh": ("{question}", "还有，{question}", "另外：{question}"),
}
KINDS: tuple[tuple[Value, dict[str, tuple[Trait, ...]]], ...] = (
    (person, PEOPLE),
    (person, PEOPLE),
    (town, TOWNS),
    (thing, THINGS),
)
"""What is told of: half of the subjects are people."""


@dataclass(frozen=True)
class Fact:
    """A trait of a subject with its value, and the sentence that tells it."""

    subject: str
    trait: Trait
    value: str
    sentence: str


@dataclass(frozen=True)
class Passage:
    """A passage, its facts, and its subjects, each with all that could be told of its kind."""

    text: str
    facts: tuple[Fact, ...]
    subjects: dict[str, tuple[Trait, ...]]


def lookup(chance: Chance, language: str, level: Level, new: bool) -> Draft:
    """A question whose answer stands in the passage: first the sentence is said, then the answer."""
    found = passage(chance, language, level)
    question, answer = _stated(chance, found)
    return Draft(found.text, (*_put(chance, language, found.text, question, new), ("assistant", answer)))


def refusing(chance: Chance, language: str, level: Level, new: bool) -> Draft:
    """A question whose answer doesn't: what isn't told of a subject, though perhaps of another one."""
    found = passage(chance, language, level)
    question = _unstated(chance, found)
    return Draft(found.text, (*_put(chance, language, found.text, question, new), ("assistant", UNSAID[language])))


def following(chance: Chance, language: str, level: Level, new: bool) -> Draft:
    """Two or three questions about one passage, one after the other; the last one is judged."""
    found = passage(chance, language, level)
    turns: dict[str, str] = {}
    wanted = chance.between(2, 3)
    while len(turns) < wanted:
        question, answer = _stated(chance, found)
        if chance.below(4) == 0:
            question, answer = _unstated(chance, found), UNSAID[language]
        turns[question] = answer
    said: list[tuple[str, str]] = []
    for question, answer in turns.items():
        if said:
            said.append(("user", worded(chance, AGAIN[language], new).format(question=question)))
        else:
            said += _put(chance, language, found.text, question, new)
        said.append(("assistant", answer))
    return Draft(found.text, tuple(said))


def passage(chance: Chance, language: str, level: Level) -> Passage:
    """Some sentences about two or three people, towns or things, now and then in two paragraphs."""
    subjects: dict[str, tuple[Trait, ...]] = {}
    while len(subjects) < 2 + (level.facts > 3 and chance.below(2)):
        draw, traits = chance.one(KINDS)
        subjects[draw(chance, language)] = traits[language]
    count = chance.between(2, max(2, level.facts))
    told = [(name, chance.one(subjects[name])) for name in subjects][:count]  # of each subject a sentence
    left = [(name, trait) for name, traits in subjects.items() for trait in traits if (name, trait) not in told]
    told += chance.some(left, min(count - len(told), len(left) - 1))  # something is always left untold
    facts = tuple(_fact(chance, language, name, trait) for name, trait in chance.some(told, len(told)))
    gaps = [" " if language == "en" else ""] * (len(facts) - 1)
    if chance.below(6) == 0:
        gaps[chance.below(len(gaps))] = "\n\n"
    text = "".join(fact.sentence + gap for fact, gap in zip(facts, [*gaps, ""], strict=True))
    return Passage(text, facts, subjects)


def _fact(chance: Chance, language: str, name: str, trait: Trait) -> Fact:
    value = trait.value(chance, language)
    sentence = chance.one(trait.said).format(name=name, value=value)
    return Fact(name, trait, value, sentence[0].upper() + sentence[1:])


def _stated(chance: Chance, found: Passage) -> tuple[str, str]:
    """A question that the passage answers; the sentence that does, and the answer."""
    fact = chance.one(found.facts)
    return chance.one(fact.trait.asked).format(name=fact.subject), f"{fact.sentence}\n{fact.value}"


def _unstated(chance: Chance, found: Passage) -> str:
    """A question that it doesn't."""
    told = {(fact.subject, fact.trait) for fact in found.facts}
    left = [(name, t) for name, traits in found.subjects.items() for t in traits if (name, t) not in told]
    name, trait = chance.one(left)
    return chance.one(trait.asked).format(name=name)


def _put(chance: Chance, language: str, text: str, question: str, new: bool) -> list[tuple[str, str]]:
    """Passage and question as one message; now and then the passage as the system's."""
    if not new and chance.below(8) == 0:
        return [("system", SYSTEM[language].format(text=text)), ("user", question)]
    return [("user", worded(chance, ASKED[language], new).format(text=text, question=question))]
