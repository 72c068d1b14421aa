"""A question with passages before it, in words that the built-in lessons teach; as much as a model reads."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal

from gradus.language.documents import Passage
from gradus.language.passages import LETTERS
from gradus.language.words import asked, words_of

FORM = {"en": "Answer from the text only.\n{text}\n{question}", "zh": "只根据文章回答。\n{text}\n{question}"}
"""How passages and a question are put to a model: two of the forms in ``gradus.data.lesson_passages``."""

NOTHING = {"en": "Nothing in the documents fits this question.", "zh": "文档中没有与此问题相符的内容。"}
"""What is said where no passage fits; the model isn't asked then."""

_CHINESE = re.compile(f"[{LETTERS}]")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？；])|\n+")


def grounded(
    question: str, passages: Sequence[Passage], fits: Callable[[str], bool] = lambda text: True
) -> tuple[str, list[Passage]]:
    """What a model is asked, and the passages that are in it.

    Args:
        passages: the best one first, at least one.
        fits: whether the model can read so much. The last passages are left out first; of the best one those sentences
            that have least in common with the question.
    """
    for count in range(len(passages), 0, -1):
        text = _put(question, "\n\n".join(passage.text for passage in passages[:count]))
        if fits(text):
            return text, list(passages[:count])
    best = passages[0]
    wanted = {word for thing in asked(question) for word in thing.words}
    sentences = [sentence for sentence in _SENTENCE.split(best.text) if sentence.strip()]
    order = sorted(range(len(sentences)), key=lambda i: -len(wanted.intersection(words_of(sentences[i]))))
    kept: list[int] = []
    for place in order:
        more = sorted([*kept, place])
        if fits(_put(question, " ".join(sentences[i] for i in more))):
            kept = more
    return _put(question, " ".join(sentences[i] for i in kept)), [best]


def language_of(question: str) -> Literal["en", "zh"]:
    """What a question is answered in; one with any Chinese in it, in that."""
    return "zh" if _CHINESE.search(question) else "en"


def _put(question: str, text: str) -> str:
    return FORM[language_of(question)].format(text=text, question=question)
