"""The state of a run is one object: all that the future of training depends on, and nothing that can be derived.

``TrainState.save_to`` gives it as tensors and JSON values, ``load_from`` takes it back to the bit. The order of the
data, the learning rate and every random number are functions of (seed, step) and so are not in it.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from gradus.errors import UserError
from gradus.training.whole import Tensors

if TYPE_CHECKING:
    from gradus.training.world import World

FORMAT = 2  # of what is saved; another one is refused
SECONDS = ("total", "train", "validate", "data_wait", "save", "compile")  # what a run's time is told apart into


@dataclass
class Best:
    """The best check so far: its loss, its step and the weights it was measured with."""

    value: float
    step: int
    weights: Tensors


class Average:
    """An exponential moving average of a model's weights (Polyak and Juditsky 1992, as an EMA).

    Its decay rises with the step as (1 + step) / (10 + step) up to ``decay``, so that the random first weights are
    forgotten soon. Buffers, such as running means, are taken as they are.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.live: list[Tensor] = list(model.parameters())
        self.weights = [p.detach().clone() for p in self.live]

    @torch.no_grad()
    def update(self, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.weights, self.live, 1.0 - decay)

    def swap(self) -> None:
        """Exchange the model's weights with the average; called twice it changes nothing."""
        for place, parameter in enumerate(self.live):
            parameter.data, self.weights[place] = self.weights[place], parameter.data


@dataclass
class TrainState:
    """Weights, buffers, optimiser, average, best, counters: what a checkpoint holds.

    ``loss_sum`` (on the device) and ``loss_count`` collect the loss since the last logged line, so that a step needs
    no word from the device. ``parts`` is in how many parts a batch is computed, ``skipped`` how many updates were left
    out because the loss or a gradient was not finite.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    total_steps: int
    seed: int = 0
    average: Average | None = None
    step: int = 0
    samples: int = 0
    parts: int = 1
    skipped: int = 0
    loss_sum: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    loss_count: int = 0
    checks_without_gain: int = 0
    best: Best | None = None
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SECONDS, 0.0))
    # what follows belongs to this process and is not saved
    stop: str | None = None  # why the loop should end before its budget
    asked: str | None = None  # the same, where several processes have to agree first
    norm_wanted: bool = False  # whether the next step is one that is logged
    grad_norm: Tensor | None = None  # of that step, on the device, before any clipping
    notices: list[str] = field(default_factory=list)  # what a step has to tell the person
    world: World | None = None  # the processes that train together, where there are several

    def ask(self, reason: str) -> None:
        """Ask the run to stop: after this step, or, of several processes, after the one on which they agree."""
        if self.world is None:
            self.stop = reason
        else:
            self.asked = reason

    @contextlib.contextmanager
    def weights_in_use(self) -> Iterator[nn.Module]:
        """The model as it would be used now: in evaluation mode, with the averaged weights where there are any."""
        if self.average is not None:
            self.average.swap()
        self.model.eval()
        try:
            yield self.model
        finally:
            self.model.train()
            if self.average is not None:
                self.average.swap()

    def save_to(self) -> tuple[dict[str, Tensors], dict[str, Any]]:
        """The state as files of tensors and one JSON value."""
        optimizer_json, optimizer = pack(self.optimizer.state_dict()["state"])
        model, extra = split_state(self.model)
        extra_json, extra_tensors = pack(extra)
        files = {"model": model, "optimizer": optimizer}
        if extra_tensors:
            files["extra"] = extra_tensors
        if self.average is not None:
            files["average"] = {str(i): w for i, w in enumerate(self.average.weights)}
        if self.best is not None:
            files["best"] = self.best.weights
        version, numbers, gauss = random.getstate()
        kind, keys, position, has_gauss, cached = np.random.get_state()
        value = {
            "format": FORMAT,
            "step": self.step,
            "samples": self.samples,
            "parts": self.parts,
            "skipped": self.skipped,
            "total_steps": self.total_steps,
            "loss_sum": float(self.loss_sum),
            "loss_count": self.loss_count,
            "checks_without_gain": self.checks_without_gain,
            "best": None if self.best is None else {"value": self.best.value, "step": self.best.step},
            "seconds": dict(self.seconds),
            "optimizer": optimizer_json,
            "extra": extra_json,
            "python_random": [version, list(numbers), gauss],
            "numpy_random": [kind, np.asarray(keys).tolist(), position, has_gauss, cached],
        }
        return files, value

    def load_from(self, files: dict[str, Tensors], value: dict[str, Any]) -> None:
        """Take back what ``save_to`` gave.

        Raises:
            UserError: where the model is not the one that was saved.
        """
        (mine, _), saved = split_state(self.model), files["model"]
        for name in mine.keys() | saved.keys():
            if name not in mine or name not in saved or mine[name].shape != saved[name].shape:
                raise UserError(
                    f"the checkpoint is of another model: '{name}' is {_shape(saved, name)} there "
                    f"and {_shape(mine, name)} here. Resume with the settings and code that began the run."
                )
        self.model.load_state_dict(saved | unpack(value["extra"], files.get("extra", {})))
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        state = unpack(value["optimizer"], files["optimizer"])
        for index, entry in state.items():  # like its weight: a kernel may read both as one run of memory
            for key, item in entry.items():
                if isinstance(item, Tensor) and item.shape == parameters[index].shape and item.ndim > 0:
                    entry[key] = torch.empty_like(parameters[index], dtype=item.dtype).copy_(item)
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        with torch.no_grad():
            if self.average is not None:
                for place, weight in enumerate(self.average.weights):
                    weight.copy_(files["average"][str(place)])
        device = self.loss_sum.device
        self.step, self.samples, self.total_steps = value["step"], value["samples"], value["total_steps"]
        self.parts, self.skipped = value["parts"], value["skipped"]
        self.loss_sum.fill_(value["loss_sum"])
        self.loss_count, self.checks_without_gain = value["loss_count"], value["checks_without_gain"]
        if value["best"] is not None:
            weights = {name: w.to(device) for name, w in files["best"].items()}
            self.best = Best(value["best"]["value"], value["best"]["step"], weights)
        self.seconds = {**self.seconds, **value["seconds"]}
        version, numbers, gauss = value["python_random"]
        random.setstate((version, tuple(numbers), gauss))
        kind, keys, *rest = value["numpy_random"]
        np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))


def split_state(model: nn.Module) -> tuple[Tensors, dict[str, Any]]:
    """A module's tensors by name, and what it keeps beside them by torch's ``get_extra_state``."""
    whole = model.state_dict()
    extra = {name: item for name, item in whole.items() if not isinstance(item, Tensor)}
    return {name: item for name, item in whole.items() if name not in extra}, extra


def pack(value: Any) -> tuple[Any, Tensors]:
    """Any nest of dicts, lists, tensors and plain values as a JSON value and the tensors it names.

    Raises:
        UserError: for a value of another kind.
    """
    tensors: Tensors = {}

    def walk(item: Any) -> Any:
        if isinstance(item, Tensor):
            tensors[str(len(tensors))] = item
            return {"tensor": str(len(tensors) - 1)}
        if isinstance(item, dict):
            return {"dict": [[key, walk(child)] for key, child in item.items()]}
        if isinstance(item, list | tuple):
            return {"list": [walk(child) for child in item]}
        if item is None or isinstance(item, bool | int | float | str):
            return item
        raise UserError(
            f"a {type(item).__name__} is a part of the state and can't be saved: only tensors, numbers, words, lists "
            "and dictionaries of these can. Keep it as one of them in the optimiser or in get_extra_state."
        )

    return walk(value), tensors


def unpack(packed: Any, tensors: Tensors) -> Any:
    """What ``pack`` was given."""
    if not isinstance(packed, dict):
        return packed
    if "tensor" in packed:
        return tensors[packed["tensor"]]
    if "dict" in packed:
        return {key: unpack(child, tensors) for key, child in packed["dict"]}
    return [unpack(child, tensors) for child in packed["list"]]


def _shape(tensors: Tensors, name: str) -> str:
    return "×".join(map(str, tensors[name].shape)) or "one number" if name in tensors else "absent"
