"""What a text is found by: its words, and of writing without blanks every character and every two that are neighbours.

English endings and accents are left to SQLite's own tokenizer, through which the words of both sides go.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from dataclasses import dataclass

from gradus.language.passages import LETTERS

MOST = 48  # things that a question asks for that are looked for

_RUN = re.compile(rf"[{LETTERS}]+|[^\W_{LETTERS}]+")
_LETTER = re.compile(f"[{LETTERS}]")

_QUESTIONS = """
a about above after again all also am an and any are as at be because been before being below between both but by
can could did do does doing done down during each else ever few for from further get give given go had has have
having he her here him his how i if in into is it its itself just know let many may me might more most much must my
no nor not now of off on once one only or other our out over own please say says shall she should so some such tell
than that the their them then there these they this those through to too under until up us use used very was we were
what when where whether which while who whom whose why will with would you your s t d ll m re ve don doesn didn isn
aren wasn won exactly actually called name named happen happens mean means show explain describe find kind sort
thing way
"""
_ENGLISH = frozenset(_QUESTIONS.split())
_CHINESE = re.compile(
    "请问|请|什么时候|什么|怎么样|怎么办|怎么|怎样|如何|为什么|为何|多少|多久|多长|多大|多远|几个|几|哪一个|哪一|哪个|哪些|哪里|哪儿|哪"
    "|是谁|谁|是否|能不能|可不可以|可以|是不是|有没有|应该|应当|需要|必须|告诉我|介绍一下|说说|一下"
    "|[的了吗呢吧啊呀是在和与或及有被把对从到由就都也还个这那它他她们我你您]"
)


def words_of(text: str) -> list[str]:
    """All that a text is found by, in its order: ``Pump 水泵`` gives pump, 水, 泵, 水泵."""
    found: list[str] = []
    for run in _runs(text):
        found += [*run, *_pairs(run)] if _LETTER.match(run) else [run]
    return found


@dataclass(frozen=True)
class Asked:
    """A thing that a question asks for: a word; or a character of Chinese, as the pairs that it makes with neighbours.

    A text has it where it has one of ``words``. ``is_name``: it looks like a name, by its capital or its digits.
    """

    words: tuple[str, ...]
    is_name: bool = False


def asked(question: str) -> list[Asked]:
    """What a question asks for, each once: without the words that only make it a question; nothing may be left."""
    text = _CHINESE.sub(" ", unicodedata.normalize("NFKC", question))
    runs = [(found.start(), found[0]) for found in _RUN.finditer(text)]
    capitals = sum(run[0].isupper() for _, run in runs)
    titled = capitals > 0.6 * len(runs)  # a capital tells nothing where nearly every word has one
    found: list[Asked] = []
    for place, run in runs:
        if _LETTER.match(run):
            pairs = ["", *_pairs(run), ""]
            found += [Asked(tuple(pair for pair in two if pair) or (run,)) for two in itertools.pairwise(pairs)]
        elif run.lower() not in _ENGLISH:
            capital = run[0].isupper() and place > 0 and not titled
            found.append(Asked((run.lower(),), capital or any(letter.isdigit() for letter in run)))
    return list(dict.fromkeys(found))[:MOST]


def _runs(text: str) -> list[str]:
    return _RUN.findall(unicodedata.normalize("NFKC", text).lower())


def _pairs(run: str) -> list[str]:
    return [run[place : place + 2] for place in range(len(run) - 1)]
