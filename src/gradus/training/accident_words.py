"""What a person is told of the first value of a run that isn't finite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

NAMED = 8  # samples that are told by their ids; of the others how many they are


@dataclass(frozen=True, kw_only=True)
class Accident:
    """The first value of a run that isn't finite: in which step, where, of which samples, why, and what to change.

    ``step`` counts from 1, as metrics.jsonl does: its batch is ``batches(step - 1)``. ``what`` is one of inputs,
    targets, output (of a layer), loss, gradient, weights; ``value`` is NaN or inf. ``layer`` is the dotted name of the
    module, "" the model itself, ``kind`` its class; ``call`` is the how many-th of its calls in one pass it was, where
    it has several. ``samples`` are the ids of the samples that the value came up in, out of ``batch`` in the batch;
    none where it isn't a matter of samples. ``words`` are what a person recognises the first of them by.
    """

    step: int
    what: str
    value: str
    where: str
    layer: str | None = None
    kind: str | None = None
    call: int | None = None
    samples: tuple[int, ...] = ()
    batch: int
    words: dict[int, str] = field(default_factory=dict)
    cause: str
    change: str

    def lines(self) -> list[str]:
        """For a terminal or a log: what and where, of which samples, why, what to change."""
        told = [f"step {self.step:,}: the first value that isn't finite is {self.value}, in {self.where}"]
        if self.samples:
            words = "; ".join(f"{sample}: {text}" for sample, text in self.words.items())
            told.append(f"of {self._which}{f': {words}' if words else ''}")
        return [*told, f"why: {self.cause}", f"to change: {self.change}"]

    def line(self) -> str:
        """For an error: all of it but the samples' words in one line."""
        which = f", of {self._which}" if self.samples else ""
        return f"step {self.step:,}: {self.value} in {self.where}{which}: {self.cause}. To change: {self.change}."

    def to_json(self) -> dict[str, Any]:
        """Every field as a plain value, all samples among them."""
        return {**asdict(self), "samples": list(self.samples), "words": {str(k): v for k, v in self.words.items()}}

    @property
    def _which(self) -> str:
        count = len(self.samples)
        if count == self.batch and count > 1:
            return f"all {count} samples of the batch"
        return f"{_listed(self.samples)} ({count} of {self.batch} in the batch)"


def _listed(ids: Sequence[int]) -> str:
    """Ids as words: sample 17, samples 17 and 55, samples 1, 2, 3 and 41 more."""
    if len(ids) == 1:
        return f"sample {ids[0]}"
    shown, more = ids[:NAMED], len(ids) - NAMED
    if more > 0:
        return f"samples {', '.join(map(str, shown))} and {more:,} more"
    return f"samples {', '.join(map(str, shown[:-1]))} and {shown[-1]}"
