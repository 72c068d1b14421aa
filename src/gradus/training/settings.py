"""Every setting of the training loop, with its default, its meaning and its bounds, in one place.

The command line makes its flags from these fields, ``gd.train`` its keyword arguments, ``config.json`` its content.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from gradus.errors import UserError, nearest
from gradus.training.optim import OPTIMIZERS, SCHEDULES
from gradus.training.triggers import Every


def _setting(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


def times_of(interval: str | None) -> int | None:
    """How many times a run, where an interval is told so: 20 for "20 times"."""
    found = re.fullmatch(r"\s*([1-9]\d*)\s*times?\s*", interval or "")
    return int(found[1]) if found else None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to train. A budget in epochs, steps or minutes; where several are given, the first one spent ends the run."""

    epochs: int | None = _setting(None, "budget: passes over the training rows")
    steps: int | None = _setting(None, "budget: optimiser steps")
    minutes: float | None = _setting(None, "budget: minutes of training; turned into steps by timing a few")
    batch_size: int = _setting(64, "samples a step")
    optimizer: str = _setting("adamw", "any optimiser of torch.optim by name")
    lr: float | str | None = _setting(None, "learning rate; find: by a range test [torch's default of the optimiser]")
    momentum: float | None = _setting(None, "momentum, for optimisers that take one")
    weight_decay: float | None = _setting(None, "weight decay [torch's default of the optimiser]")
    schedule: str = _setting("constant", "learning rate over the run: constant, linear, cosine or one-cycle")
    warmup: float = _setting(0.0, "share of the steps over which the learning rate rises from zero")
    clip: float | None = _setting(None, "largest norm of the whole gradient")
    accumulate: int = _setting(1, "parts that each batch is computed in, to save memory; same gradient")
    ema: float | None = _setting(None, "decay of an average of the weights that is used in place of the last ones")
    patience: int | None = _setting(None, "stop after so many checks without gain, and take the best weights")
    valid_every: str | None = _setting(
        None, "how often to validate: '2 epochs', '500 steps', '20 times' [each epoch, ≤ 50 times]"
    )
    log_every: int | None = _setting(None, "steps between two lines of metrics.jsonl")
    save_every: str = _setting("30 s", "how often to save a checkpoint: '30 s', '500 steps', '1 epoch'")
    keep: int = _setting(2, "how many of the newest checkpoints are kept")
    keep_best: bool = _setting(False, "take the weights of the least validation loss; each checkpoint holds them too")
    on_nan: str = _setting(
        "stop", "a loss or gradient that isn't finite: stop (and say where), skip (the update), ignore"
    )
    seed: int = _setting(0, "of the split, the order of samples, augmentation, dropout and the recipe's weights")
    device: str = _setting("auto", "cpu, cuda, mps, … or auto")
    deterministic: bool = _setting(False, "on a GPU, only kernels that give the same bits each time; slower")
    precision: str = _setting("auto", "fp32, bf16, or auto: the faster one, by timing")
    engine: str = _setting("auto", "eager, compiled (language models only), or auto: the faster one, by timing")
    layout: str = _setting("auto", "memory layout of pictures: contiguous, channels_last, or auto: by timing")
    workers: int | None = _setting(None, "processes that read or decode samples; 0: none [decided by timing]")
    out: str | None = _setting(None, "directory of the run [runs/RECIPE-DATE-TIME]")
    resume: str = _setting("never", "auto goes on with the run in --out where there is one; never begins a new one")
    name: str | None = _setting(None, "name of the run [the recipe's or the model's]")
    quiet: bool = _setting(False, "print nothing")
    watch: bool = _setting(False, "show the run live in a browser, on this machine only")

    def __post_init__(self) -> None:
        for key, least in (("epochs", 0), ("steps", 0), ("batch_size", 1), ("accumulate", 1), ("log_every", 1)):
            self._whole(key, least)
        self._whole("patience", 1)
        self._whole("keep", 1)
        self._whole("seed", 0)
        self._whole("workers", 0)
        if isinstance(self.lr, str) and self.lr != "find":
            raise UserError(f"lr: '{self.lr}' is neither a number above 0 nor find, which has a range test choose it.")
        for key in ("minutes", "clip", *(() if self.lr == "find" else ("lr",))):
            self._number(key, lambda v: v > 0 and math.isfinite(v), "a number above 0")
        self._number("weight_decay", lambda v: v >= 0, "a number from 0")
        self._number("momentum", lambda v: 0 <= v < 1, "a number from 0 up to 1")
        self._number("warmup", lambda v: 0 <= v <= 1, "a share from 0 to 1")
        self._number("ema", lambda v: 0 < v < 1, "a number between 0 and 1")
        for key, choices in (
            ("optimizer", tuple(OPTIMIZERS)),
            ("schedule", SCHEDULES),
            ("precision", ("auto", "fp32", "bf16")),
            ("engine", ("auto", "eager", "compiled")),
            ("layout", ("auto", "contiguous", "channels_last")),
            ("on_nan", ("stop", "skip", "ignore")),
            ("resume", ("never", "auto", "continue", "open")),
        ):
            if getattr(self, key) not in choices:
                raise UserError(f"{key}: no '{getattr(self, key)}'.{nearest(str(getattr(self, key)), choices)}")
        Every.parse(self.save_every, "save_every")
        checked = None if times_of(self.valid_every) is not None else self.valid_every
        if checked is not None and Every.parse(checked, "valid_every").seconds:
            raise UserError("valid_every: give steps or epochs; validation by the clock could not be repeated.")
        if self.on_nan == "skip" and self.optimizer == "lbfgs":
            raise UserError("on_nan: lbfgs takes several gradients a step and can't skip one; take another optimiser.")
        if self.accumulate > self.batch_size:
            raise UserError(f"accumulate: {self.accumulate} parts of a batch of {self.batch_size}; lower one of them.")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Settings:
        """Settings from keywords; an unknown one is an error that names the nearest."""
        known = {f.name for f in fields(cls)}
        for key in values:
            if key not in known:
                raise UserError(f"no setting '{key}'.{nearest(key, known)}")
        return cls(**values)

    def _whole(self, key: str, least: int) -> None:
        value = getattr(self, key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise UserError(f"{key}: {value!r} is not a whole number from {least}.")

    def _number(self, key: str, fits: Any, wanted: str) -> None:
        value = getattr(self, key)
        if value is None:
            return
        if isinstance(value, bool) or not isinstance(value, int | float) or not fits(value):
            raise UserError(f"{key}: {value!r} is not {wanted}.")
