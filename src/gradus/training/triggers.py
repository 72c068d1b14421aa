"""When an observer acts: every so many steps, epochs or seconds. Steps are pure; the clock can be put in by a test."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from gradus.errors import UserError

_UNITS = {
    **dict.fromkeys(("step", "steps"), "steps"),
    **dict.fromkeys(("epoch", "epochs", "ep"), "epochs"),
    **dict.fromkeys(("s", "sec", "second", "seconds"), "seconds"),
    **dict.fromkeys(("min", "minute", "minutes"), "minutes"),
}


@dataclass(frozen=True)
class Every:
    """An interval: exactly one of steps, epochs and seconds is above zero."""

    steps: int = 0
    epochs: float = 0.0
    seconds: float = 0.0

    @classmethod
    def parse(cls, text: str, what: str = "interval") -> Every:
        """Read "100 steps", "2 epochs", "30 s" or "5 min".

        Raises:
            UserError: for anything else.
        """
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*", str(text).lower())
        unit = _UNITS.get(found[2]) if found else None
        if found is None or unit is None or float(found[1]) <= 0:
            raise UserError(f"{what}: '{text}' is no interval. Write it as '100 steps', '2 epochs', '30 s' or '5 min'.")
        amount = float(found[1])
        if unit == "steps":
            return cls(steps=max(1, int(amount)))
        if unit == "epochs":
            return cls(epochs=amount)
        return cls(seconds=amount * (60 if unit == "minutes" else 1))

    def in_steps(self, batches_per_epoch: int) -> Every:
        """The same interval with epochs turned into steps."""
        return Every(steps=max(1, round(self.epochs * batches_per_epoch))) if self.epochs else self


class Trigger:
    """Says when an interval has passed. Call ``due(step)`` after every step."""

    def __init__(self, every: Every, clock: Callable[[], float] = time.monotonic) -> None:
        assert not every.epochs, "turn epochs into steps first"
        self.steps, self.seconds, self.clock = every.steps, every.seconds, clock
        self._last = clock()

    def due(self, step: int) -> bool:
        """Whether to act after this step. In steps it is a function of the step alone."""
        if self.steps:
            return step % self.steps == 0
        return self.clock() - self._last >= self.seconds

    def restart(self, at_least: float = 0.0) -> None:
        """Count the seconds anew from now; wait this much longer where it exceeds the interval."""
        self._last = self.clock() + max(0.0, at_least - self.seconds)
