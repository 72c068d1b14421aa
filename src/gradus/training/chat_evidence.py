"""What a report tells of a model that answers: some questions of the test with what it said, kind by kind."""

from __future__ import annotations

from typing import Any

import torch

from gradus.data.chat_pairs import PairRows
from gradus.data.chats import ChatRows
from gradus.data.dataset import Dataset
from gradus.data.lessons import Lesson, score
from gradus.tasks import Answers
from gradus.tasks.answers import answered
from gradus.training.prepare import Prepared
from gradus.training.step import autocast
from gradus.training.text_evidence import shortened

A_KIND = 3  # questions of each kind that are shown
MARKS = {"system": "‹system› ", "user": "", "assistant": "→ "}


def chat_evidence(prepared: Prepared) -> dict[str, Any]:
    """Questions of the test and what the model answers to them; nothing of other data."""
    data, task = prepared.data, prepared.task
    if not isinstance(data, ChatRows | PairRows) or not isinstance(task, Answers) or not data.questions:
        return {}
    some = first_of_each_kind(data.questions, A_KIND)
    with torch.inference_mode(), autocast(prepared.device, prepared.precision):
        found = answered(prepared.state.model, data.tokens, [lesson.question for lesson in some], task.usual)
    return {
        "questions": [
            {
                "kind": lesson.group,
                "asked": shortened(asked(lesson)),
                "said": shortened(said),
                "expected": lesson.expected,
                "right": score(said, lesson.expected),
            }
            for lesson, (said, _) in zip(some, found, strict=True)
        ]
    }


def first_of_each_kind(questions: tuple[Lesson, ...], most: int) -> list[Lesson]:
    """At most so many questions of each kind, in the order of the kinds."""
    kinds: dict[str, list[Lesson]] = {}
    for lesson in questions:
        kinds.setdefault(lesson.group, []).append(lesson)
    return [lesson for found in kinds.values() for lesson in found[:most]]


def asked(lesson: Lesson) -> str:
    """A question with all that was said before it, a line a message."""
    return "\n".join(MARKS[message["role"]] + message["content"] for message in lesson.question)


def describe_chats(data: Dataset, entries: list[dict[str, Any]]) -> bool:
    """Add to entries that have a "row" what is said in it; tells whether the data are of conversations."""
    if not isinstance(data, ChatRows | PairRows):
        return False
    for entry in entries:
        entry["texts"] = {name: shortened(text) for name, text in data.row_words(entry["row"]).items()}
        entry.pop("true", None)
    return True
