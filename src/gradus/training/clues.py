"""What is known of a step that went wrong: what went in, what was seen on the way, what came of the weights."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gradus.data import Batch, Dataset, Draw
from gradus.tasks import Task
from gradus.training.accident_words import Accident
from gradus.training.rows import largest
from gradus.training.trace import Call, Sight, Trace

DESCRIBED = 3  # samples whose words are told
Key = tuple[str, str, int, str]  # of a sight: the same in every step


@dataclass
class Evidence:
    """What is known of a step: its batch, what was seen in it, the largest value of each parameter before and after.

    ``usual`` is what wasn't finite in steps that went well, a mask of -inf, say.
    """

    step: int
    batch: Batch
    draw: Draw
    trace: Trace
    task: Task
    dataset: Dataset
    rate: float
    before: Mapping[str, float]
    after: Mapping[str, float]
    usual: set[Key]

    def bad(self) -> list[Sight]:
        """The sights that aren't finite, but for the usual ones, in order."""
        return [sight for sight in self.trace.bad() if sight.key not in self.usual]

    def alike(self, sight: Sight) -> list[Sight]:
        """The same sight in all parts of the batch, where it isn't finite."""
        return [s for s in self.trace.bad() if s.key == sight.key and s.within.sweep == sight.within.sweep]

    def accident(self, places: Sequence[int], maker: Call | str | None = None, **told: Any) -> Accident:
        """An accident of the samples at some places of the batch, in the call of a module, or in a module by name."""
        ids = self.batch.indices.tolist()
        samples = tuple(sorted(ids[place] for place in places if place < len(ids)))
        words: dict[int, str] = {}
        for sample in samples[:DESCRIBED]:
            row = "; ".join(f"{name} {text}" for name, text in self.dataset.row_words(sample, self.draw).items())
            if row:
                words[sample] = textwrap.shorten(row, 80, placeholder=" …")
        if isinstance(maker, Call):
            told |= {"layer": maker.name, "kind": maker.kind, "call": maker.number if self.often(maker) else None}
        elif maker is not None:
            told |= {"layer": maker, "kind": type(self.trace.model.get_submodule(maker)).__name__}
        return Accident(step=self.step, samples=samples, batch=len(ids), words=words, **told)

    def often(self, call: Call) -> bool:
        """Whether its module is called more than once in a pass."""
        return any(other.name == call.name and other.number > 1 for other in self.trace.calls)

    def named(self, maker: Call | str) -> str:
        """A module as a person finds it: its dotted name, its class, and which of its calls it was."""
        name = maker if isinstance(maker, str) else maker.name
        kind = type(self.trace.model.get_submodule(name)).__name__
        number = f", call {maker.number}" if isinstance(maker, Call) and self.often(maker) else ""
        return f"{name} ({kind}{number})" if name else f"the model itself ({kind}{number})"


def usual_in(evidence: Evidence) -> set[Key]:
    """What wasn't finite in a step that went well."""
    data = {"inputs": evidence.batch.all_inputs, "targets": (evidence.batch.targets,)}
    keys = {(what, "", 0, "") for what, tensors in data.items() if any(bad_rows(t) for t in tensors)}
    return keys | {sight.key for sight in evidence.trace.bad()}


def all_of(sight: Sight) -> list[int]:
    """The places in the batch of all samples that went through the model together with what a sight shows."""
    return list(range(sight.within.first, sight.within.first + sight.within.rows))


def bad_rows(tensor: Tensor) -> list[int]:
    """The rows of inputs or targets that hold what isn't finite."""
    sizes = largest(tensor, 0)
    return [] if sizes is None else torch.nonzero(~torch.isfinite(sizes)).flatten().tolist()


def size_of(tensor: Tensor) -> float:
    """The largest absolute value; 0 where there is none."""
    size = largest(tensor)
    return 0.0 if size is None else float(size)


def value_of(tensor: Tensor) -> str:
    """NaN where a tensor holds one, else inf."""
    return "NaN" if bool(tensor.isnan().any()) else "inf"


def owner_of(parameter: str) -> str:
    """The name of the module that a parameter belongs to."""
    return parameter.rpartition(".")[0]
