"""What a model writes while it learns: a short text at each check, in the log, in samples.jsonl and in the terminal.

Writing leaves no trace in training: every random generator is put back, and the model goes on in training mode.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gradus.data.chat_pairs import PairRows
from gradus.data.chats import ChatRows
from gradus.data.sequences import TextLines, TextPairs
from gradus.tasks import Answers, Decoding, NextToken, SequenceToSequence, Task
from gradus.tasks.answers import answered
from gradus.training.chat_evidence import asked, first_of_each_kind
from gradus.training.loop import Observer
from gradus.training.prepare import Prepared
from gradus.training.rundir import RunDirectory
from gradus.training.state import TrainState

TEMPERATURES = (0.5, 0.8, 1.0)
MAX_TOKENS = 60  # of a sample
SOURCES = 3  # texts that are answered at each check
Sample = dict[str, Any]
Writer = Callable[[nn.Module, int], list[Sample]]


class Samples(Observer):
    """Writes samples after each check.

    Args:
        write: gives the samples of a model in evaluation mode at a step, each with its "text".
        show: is told the one in the middle, as one line.
    """

    def __init__(self, write: Writer, directory: RunDirectory, show: Callable[[str], None] | None) -> None:
        self.write, self.directory, self.show = write, directory, show
        self.file = directory.lines(directory.samples)

    def checked(self, state: TrainState, metrics: dict[str, float]) -> None:
        begun = time.perf_counter()
        with generators_kept(), state.weights_in_use() as model, torch.inference_mode():
            samples = self.write(model, state.step)
        self.file.add({"step": state.step, "samples": samples})
        told = " ".join(str(samples[len(samples) // 2]["text"]).split())
        self.directory.log(f"step {state.step}, written: {told}")
        if self.show is not None:
            self.show(told)
        state.seconds["validate"] += time.perf_counter() - begun


def samples_of(prepared: Prepared, directory: RunDirectory, show: Callable[[str], None] | None) -> list[Observer]:
    """The observer of what a model writes, where it can write: texts from nothing, or answers to validation rows."""
    write = _writer(prepared) if hasattr(prepared.state.model, "advance") else None
    return [Samples(write, directory, show)] if write is not None else []


@contextlib.contextmanager
def generators_kept() -> Iterator[None]:
    """Within it Python, NumPy and torch may draw at random: afterwards their generators stand where they stood."""
    saved = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []):
        try:
            yield
        finally:
            random.setstate(saved[0])
            np.random.set_state(saved[1])


def _writer(prepared: Prepared) -> Writer | None:
    data, task, seed = prepared.data, prepared.task, prepared.order.seed
    if isinstance(data, TextLines) and isinstance(task, NextToken):
        nothing = torch.from_numpy(data.encoder.encode({data.tokens.name: np.array([""], dtype=object)}))
        return _from_nothing(data, task, nothing.to(prepared.device), seed)
    if isinstance(data, TextPairs) and isinstance(task, SequenceToSequence) and len(data.splits["valid"]):
        rows = data.splits["valid"]
        rows = rows[np.argsort(data.source.lengths[rows], kind="stable")]  # neither the shortest nor the longest
        rows = rows[np.linspace(0, len(rows) - 1, SOURCES + 2).astype(int)[1:-1]]
        return _answers(data, task, rows, data.source.padded(rows).to(prepared.device))
    if isinstance(data, ChatRows | PairRows) and isinstance(task, Answers) and data.questions:
        return _lessons(data, task)
    return None


def _lessons(data: ChatRows | PairRows, task: Answers) -> Writer:
    """A question of each kind, of the test."""
    some = [lesson for lesson in first_of_each_kind(data.questions, 1) if not lesson.how]

    def write(model: nn.Module, step: int) -> list[Sample]:
        found = answered(model, data.tokens, [lesson.question for lesson in some], task.usual)
        told = zip(some, found, strict=True)
        return [{"source": asked(lesson), "true": lesson.expected, "text": said} for lesson, (said, _) in told]

    return write


def _from_nothing(data: TextLines, task: Task, nothing: Tensor, seed: int) -> Writer:
    def write(model: nn.Module, step: int) -> list[Sample]:
        out = []
        for temperature in TEMPERATURES:
            decoding = task.decoding(temperature=temperature, max_tokens=MAX_TOKENS, seed=seed + step)
            text = task.write(model, nothing, data.encoder, decoding)[0]["text"]
            out.append({"temperature": temperature, "text": text})
        return out

    return write


def _answers(data: TextPairs, task: Task, rows: np.ndarray, inputs: Tensor) -> Writer:
    greedy: Decoding = task.decoding(beam=1, max_tokens=MAX_TOKENS)
    sources, true = (data.raw[name][rows].tolist() for name in (data.tokens.name, data.reply.name))

    def write(model: nn.Module, step: int) -> list[Sample]:
        found = task.write(model, inputs, data.encoder, greedy)
        told = zip(sources, true, found, strict=True)
        return [{"source": source, "true": answer, "text": said["text"]} for source, answer, said in told]

    return write
