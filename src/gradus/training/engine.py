"""How a step is executed: eagerly, or with the blocks of a language model compiled into kernels of their own.

Only steps of training are compiled. Validation, samples and the search for an accident's cause go through the module as
it is written, and a compiled block is the same module with the same weights.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import math
import types
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from gradus.data import Batch
from gradus.errors import UserError
from gradus.models import GPT
from gradus.tasks import Task
from gradus.training.machine import Choice, fastest, remembered
from gradus.training.state import TrainState
from gradus.training.step import autocast

SHORT = 240.0  # seconds of training below which compiling, which takes ten to sixty, isn't worth its time
LEAST_GAIN = 1.08


class Compiled:
    """A model's blocks, compiled once for all of them, for batches of one shape.

    Args:
        usual: a batch as nearly all will be; others, an epoch's last say, are computed eagerly.
    """

    def __init__(self, model: nn.Module, usual: Batch) -> None:
        self.blocks = blocks_of(model)
        self.shape = usual.targets.shape

    @functools.cached_property
    def forward(self) -> Callable[..., Tensor]:
        """That of a block, compiled when it is first called."""
        found: Callable[..., Tensor] = torch.compile(type(self.blocks[0]).forward, dynamic=False)
        return found

    @contextlib.contextmanager
    def on(self, batch: Batch) -> Iterator[None]:
        """While this lasts the blocks' forward is the compiled one, if the batch has the usual shape."""
        if batch.targets.shape != self.shape:
            yield
            return
        for block in self.blocks:
            block.forward = types.MethodType(self.forward, block)
        try:
            yield
        finally:
            for block in self.blocks:
                del block.forward


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """The equal blocks that a model repeats; none where it is of another kind."""
    return list(model.blocks) if isinstance(model, GPT) else []


def choose_engine(
    asked: str, model: nn.Module, task: Task, batch: Batch, precision: str, steps: int | None, minutes: float | None
) -> Choice:
    """eager, or compiled where that makes a long enough training of this model clearly faster here.

    Args:
        steps, minutes: that the training may take; what isn't known is None.

    Raises:
        UserError: for a model of another kind.
    """
    if not blocks_of(model):
        raise UserError(
            f"engine: of a {type(model).__name__} nothing is compiled, only the blocks of a language model are; "
            "leave it out."
        )
    if asked != "auto":
        return Choice(asked, "asked for")
    eagerly, compiled = _rehearsals(model, task, batch, precision)
    seconds = math.inf if steps is None else steps * fastest(eagerly, rounds=1)[0]
    if min(seconds, math.inf if minutes is None else 60 * minutes) < SHORT:
        return Choice("eager", "in a short training compiling takes longer than it saves")

    def measure() -> float:
        try:
            one, other = fastest(eagerly, compiled, rounds=3)
        except Exception as error:  # no compiler, or one that fails: there are many ways, each with an error of its own
            if "out of memory" in str(error):
                raise
            return 0.0
        return one / other

    ratio = remembered(f"engine {precision}", model, batch, measure)
    if not ratio:
        return Choice("eager", "its blocks can't be compiled here")
    return Choice("compiled" if ratio >= LEAST_GAIN else "eager", f"compiled it is {ratio:.2f} × as fast here")


def seconds_a_step(state: TrainState, task: Task, batch: Batch, precision: str, engine: str, rounds: int = 4) -> float:
    """How long a whole step takes: forward, backward and update, on a copy."""
    model, optimizer = copy.deepcopy((state.model.train(), state.optimizer))
    kernels = Compiled(model, batch) if engine == "compiled" else None

    def once() -> None:
        with autocast(batch.targets.device, precision), kernels.on(batch) if kernels else contextlib.nullcontext():
            loss = task.loss_of(model, batch)
        loss.backward()
        if not isinstance(optimizer, torch.optim.LBFGS):  # it computes gradients of its own, as many as it likes
            optimizer.step()
        optimizer.zero_grad()

    return fastest(once, rounds=rounds)[0]


def _rehearsals(
    model: nn.Module, task: Task, batch: Batch, precision: str
) -> tuple[Callable[[], None], Callable[[], None]]:
    """Forward and backward on a copy of a model, eagerly and compiled."""
    twin = copy.deepcopy(model).train()
    kernels = Compiled(twin, batch)

    def eagerly() -> None:
        with autocast(batch.targets.device, precision):
            loss = task.loss_of(twin, batch)
        loss.backward()

    def compiled() -> None:
        with kernels.on(batch):
            eagerly()

    return eagerly, compiled
