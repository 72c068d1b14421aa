"""Answers from documents: the passages that fit the last question go before it, and are told with the answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from gradus.data.chat import Message, encode_chat
from gradus.errors import UserError
from gradus.language.documents import Passage
from gradus.language.grounding import grounded
from gradus.language.model import LanguageModel
from gradus.language.passages import LETTERS
from gradus.serving.protocol_error import ProtocolError, wrong

NOTHING = {"en": "Nothing in the documents fits this question.", "zh": "文档中没有与此问题相符的内容。"}
LEAST_ANSWER = 64  # tokens that are kept free for an answer, and no more than a quarter of all


class Documents(Protocol):
    """What finds passages; ``gradus.language.documents.Index`` does."""

    def search(self, question: str) -> Sequence[Passage]: ...


@dataclass
class Grounded:
    """Messages with passages before the last question.

    Args:
        citations: the passages, as the answer tells them; None where no documents were searched.
        answer: what is answered where nothing fits; the model isn't asked then.
    """

    messages: list[Message]
    citations: list[dict[str, str]] | None = None
    answer: str | None = None
    extra: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.extra = {} if self.citations is None else {"citations": self.citations}


def search(messages: list[Message], documents: Documents) -> Sequence[Passage]:
    """The passages that fit the last question.

    Raises:
        ProtocolError: 503 where the documents can't be searched.
    """
    try:
        return documents.search(messages[_last_question(messages)]["content"])
    except UserError as error:
        raise ProtocolError(503, str(error), code="documents_failed") from None


def ground(messages: list[Message], passages: Sequence[Passage], lm: LanguageModel) -> Grounded:
    """The messages with passages before the last question, as many as the model can read."""
    place = _last_question(messages)
    question = messages[place]["content"]
    if not passages:
        return Grounded(messages, [], NOTHING["zh" if re.search(f"[{LETTERS}]", question) else "en"])

    def with_text(text: str) -> list[Message]:
        return [*messages[:place], {"role": "user", "content": text}, *messages[place + 1 :]]

    def fits(text: str) -> bool:
        length = len(encode_chat(lm.tokens, with_text(text), answer=True)[0])
        return length + min(LEAST_ANSWER, lm.max_length // 4) <= lm.max_length

    text, kept = grounded(question, passages, fits)
    told = [{"file": passage.file, "place": passage.place, "text": passage.text} for passage in kept]
    return Grounded(with_text(text), told)


def _last_question(messages: list[Message]) -> int:
    place = max((i for i, message in enumerate(messages) if message["role"] == "user"), default=None)
    if place is None:
        raise wrong("messages has no question: none of them is the user's.", "messages")
    return place
