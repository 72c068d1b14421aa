"""The task that a dataset's target asks for, and a task made again from its JSON."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import torch

from gradus.data.chat_pairs import PairRows
from gradus.data.chats import ChatRows
from gradus.data.dataset import Dataset
from gradus.data.sequences import TextLines, TextPairs, TextTags
from gradus.data.windows import SeriesDataset
from gradus.errors import UserError
from gradus.tasks.answers import Answers, Lessons
from gradus.tasks.forecast import Forecast
from gradus.tasks.preference import Preference
from gradus.tasks.task import Binary, MultiClass, Regression, Task
from gradus.tasks.tokens import NextToken, SequenceToSequence, Tagging

TASKS: dict[str, type[Any]] = {
    task.name: task
    for task in (
        Regression,
        Binary,
        MultiClass,
        Tagging,
        NextToken,
        SequenceToSequence,
        Forecast,
        Answers,
        Lessons,
        Preference,
    )
}


def for_target(data: Dataset, *, balance: bool = False, **options: Any) -> Task:
    """The task that a dataset's target asks for: a number, two classes, or more.

    Args:
        balance: weigh the classes so that each counts the same in the loss, however rare it is.
        options: of the task, as ``unsure=(0.4, 0.6)``.
    """
    target = data.target
    if isinstance(data, SeriesDataset):
        return Forecast.of(data, **options)
    if isinstance(data, PairRows):
        return Preference.of(data.tokens, **options)
    if isinstance(data, ChatRows):
        return (Lessons if data.questions else Answers).of(data.tokens, **options)
    for kind, objective in ((TextLines, NextToken), (TextTags, Tagging), (TextPairs, SequenceToSequence)):
        if isinstance(data, kind):
            made: Task = objective.of(data.reply, **options)
            return made
    if not target.labels:
        if balance:
            raise UserError(f"'{target.name}' is a number; only classes can be balanced.")
        return Regression(mean=target.mean, std=target.std, **options)
    if balance:
        options["weights"] = balanced_weights(data)
    if len(target.labels) == 2:
        return Binary(labels=target.labels, **options)
    return MultiClass(labels=target.labels, **options)


def balanced_weights(data: Dataset) -> tuple[float, ...]:
    """A weight for each class, the inverse of its share of the training rows, so that the rows' mean weight is 1."""
    device = getattr(data, "targets", torch.empty(0)).device
    rows = torch.from_numpy(data.splits["train"]).to(device)
    classes = data.batch(rows).targets.long().cpu().numpy()
    counts = np.bincount(classes, minlength=len(data.labels))
    present = counts > 0
    return tuple((np.where(present, len(classes) / np.maximum(counts, 1), 0.0) / present.sum()).tolist())


def from_json(spec: dict[str, Any]) -> Task:
    kind = TASKS[spec["name"]]
    known = {f.name for f in fields(kind)}
    task: Task = kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in spec.items() if k in known})
    return task
