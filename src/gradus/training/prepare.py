"""From the four nouns and the settings to something that can be run: device, layout, precision, order, state, step."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from gradus import models, tasks
from gradus.data import Batch, Dataset, Inputs, MapDataset, Order, as_dataset
from gradus.errors import UserError
from gradus.tasks import Task
from gradus.training import machine
from gradus.training.engine import Compiled, blocks_of, choose_engine, seconds_a_step
from gradus.training.evaluate import evaluate
from gradus.training.loop import batches_of
from gradus.training.lr_find import STEPS, LrRange, find_lr
from gradus.training.optim import default_lr, make_optimizer
from gradus.training.settings import Settings, times_of
from gradus.training.state import Average, TrainState, split_state
from gradus.training.step import Step, supervised
from gradus.training.triggers import Every
from gradus.training.world import World, normalises


@dataclass
class Prepared:
    """Everything that training needs, put together once: for a run as for a fold of a cross-validation."""

    state: TrainState
    data: Dataset
    task: Task
    order: Order
    step: Step
    device: torch.device
    chosen: dict[str, machine.Choice]
    lr_range: LrRange | None = None  # the test that chose the learning rate, where one was made

    @property
    def layers(self) -> list[models.Layer]:
        """The model part by part, as one training batch goes through it."""
        rows = torch.from_numpy(self.data.splits["train"][:1]).to(self.data.place)
        return models.summary(self.state.model, self.data.batch(rows).inputs)

    @property
    def precision(self) -> str:
        return self.chosen["precision"].value

    @property
    def engine(self) -> str:
        return self.chosen["engine"].value if "engine" in self.chosen else "eager"

    def measure(self, split: str) -> Callable[[TrainState], dict[str, float]]:
        """A function that measures the weights in use on a split."""
        rows = self.data.splits[split]

        def metrics(state: TrainState) -> dict[str, float]:
            with state.weights_in_use() as model:
                return evaluate(model, self.data, rows, self.task, device=self.device, precision=self.precision)

        return metrics

    def settle(self) -> str:
        """Put the weights that the run is judged by into the model: the best, else the average, else the last.

        Maps of LoRA become a part of the weights that they stand beside.
        """
        state = self.state
        if state.best is not None:
            state.model.load_state_dict(split_state(state.model)[1] | state.best.weights)
            words = f"the best weights, of step {state.best.step:,}"
        elif state.average is not None:
            state.average.swap()
            words = "the averaged weights"
        else:
            words = "the last weights"
        state.average = None
        models.merge_lora(state.model)
        state.model.eval()
        return words


def prepare(
    model: nn.Module,
    data: Any,
    task: Task | None,
    settings: Settings,
    chosen: Mapping[str, machine.Choice] | None = None,
    world: World | None = None,
) -> Prepared:
    """Choose what is to be chosen, move everything to its device, and make state, order and step.

    Args:
        chosen: what an earlier part of the same run chose.
        world: the processes that train together: rank 0 chooses for all, but for the device.

    Raises:
        UserError: for whatever a person can mend; of several processes in all of them.
    """
    machine.keep_memory()
    dataset, given = as_dataset(data), dict(chosen or {})
    given.pop("processes", None)
    if world is None:
        return _prepare(model, dataset, task, settings, given)
    made: list[Prepared] = []

    def lead() -> tuple[dict[str, machine.Choice], str]:
        made.append(_prepare(model, dataset, task, settings, given, world.size))
        return made[0].chosen, dataset.fingerprint

    agreed, fingerprint = world.once(lead)
    if world.any(dataset.fingerprint != fingerprint):
        raise UserError(
            f"{dataset.name}: not every process was given the same data. Read the same in each; "
            "where they are drawn at random, draw them from a seed."
        )
    if not made:
        device = agreed.pop("device").value.split(":")[0]  # of the same kind, and its own
        workers = int(agreed["workers"].value) if "workers" in agreed else settings.workers
        own = replace(settings, device=device, workers=workers)
        made.append(_prepare(model, dataset, task, own, agreed, world.size))
    told = f"each computes its share of every batch of {made[0].order.batch_size}"
    if normalises(model):
        told += "; batch normalisation takes the mean and variance of a share, not of the whole batch"
    made[0].chosen["processes"] = machine.Choice(str(world.size), told)
    made[0].state.world = world
    return made[0]


def _prepare(
    model: nn.Module,
    dataset: Dataset,
    task: Task | None,
    settings: Settings,
    chosen: dict[str, machine.Choice],
    processes: int = 1,
) -> Prepared:
    if task is None:
        task = tasks.for_target(dataset)
    device, reason = machine.choose_device(chosen["device"].value if "device" in chosen else settings.device)
    chosen.setdefault("device", machine.Choice(str(device), reason))
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32 products
        torch.cuda.set_device(device)
        if settings.deterministic:
            machine.be_deterministic()
    dataset, model = dataset.to(device), model.to(device)
    rows = dataset.splits["train"]
    share = -(-settings.batch_size // processes)  # what is timed is what one process computes
    begun = time.perf_counter()
    first = dataset.batch(torch.from_numpy(rows[:share]).to(dataset.place))
    if isinstance(dataset, MapDataset):
        chosen["workers"] = machine.choose_workers(settings.workers, time.perf_counter() - begun)
        dataset.workers = int(chosen["workers"].value)
    _check_fit(model, task, first.inputs, first.targets)
    if "layout" not in chosen:
        chosen["layout"] = machine.choose_layout(settings.layout, model, task, first)
    if chosen["layout"].value == "channels_last" and first.all_inputs[0].ndim == 4:
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        dataset = dataset.to(device, channels_last=True)
        first = dataset.batch(first.indices)
    if "precision" not in chosen:
        chosen["precision"] = machine.choose_precision(settings.precision, model, task, first)
    if settings.patience is not None and len(dataset.splits["valid"]) == 0:
        raise UserError(
            "patience: there is no validation split to wait for; give the data one (valid=0.1), or leave it out."
        )
    lengths = None if dataset.lengths is None else dataset.lengths[rows]
    order = Order(rows, settings.batch_size, seed=settings.seed, device=dataset.place, lengths=lengths)
    if lengths is not None and np.ptp(lengths) > 0:
        ours, chance = (100 * order.padding(sorted_by_length=by_length) for by_length in (True, False))
        chosen["batches"] = machine.Choice("like lengths", f"{ours:.2g} % is padding, unsorted {chance:.2g} %")
    lr_range = None
    if settings.lr == "find" and "lr" not in chosen:
        precision = chosen["precision"].value
        lr_range = find_lr(model, task, batches_of(dataset, order, STEPS), settings, device, precision)
        chosen["lr"] = machine.Choice(f"{lr_range.rate:g}", lr_range.reason)
    if settings.optimizer == "muon" and "muon" not in chosen:
        chosen["muon"] = machine.choose_muon(device)
    lr = float(chosen["lr"].value) if isinstance(settings.lr, str) else settings.lr
    state = TrainState(
        model=model,
        optimizer=make_optimizer(
            model,
            settings.optimizer,
            device,
            lr=lr,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
            half="muon" in chosen and chosen["muon"].value == "bf16",
        ),
        total_steps=0,
        seed=settings.seed,
        parts=settings.accumulate,
        average=None if settings.ema is None else Average(model, settings.ema),
        loss_sum=torch.zeros((), device=device, dtype=torch.float32 if device.type == "mps" else torch.float64),
    )
    if "engine" not in chosen and (blocks_of(model) or settings.engine == "compiled"):
        steps = min((number for number, _ in _limits(settings, order)), default=None)
        chosen["engine"] = choose_engine(
            settings.engine, model, task, first, chosen["precision"].value, steps, settings.minutes
        )
    compiled = "engine" in chosen and chosen["engine"].value == "compiled"
    step = supervised(
        task,
        lr=lr if lr is not None else default_lr(settings.optimizer),
        schedule=settings.schedule,
        warmup=settings.warmup,
        clip=settings.clip,
        accumulate=settings.accumulate,
        precision=chosen["precision"].value,
        on_nan=settings.on_nan,
        within=Compiled(model, next(first.parts(settings.accumulate))).on if compiled else None,
    )
    prepared = Prepared(state, dataset, task, order, step, device, chosen, lr_range)
    if "budget" not in chosen:
        chosen["budget"] = _budget(settings, prepared, first)
    state.total_steps = int(chosen["budget"].value)
    return prepared


def valid_every(settings: Settings, prepared: Prepared) -> Every:
    """As asked; else each epoch, but at most some fifty times a run."""
    per_epoch = prepared.order.batches_per_epoch
    times = times_of(settings.valid_every)
    if times is not None:
        return Every(steps=max(1, -(-prepared.state.total_steps // times)))
    if settings.valid_every is not None:
        return Every.parse(settings.valid_every).in_steps(per_epoch)
    return Every(steps=max(per_epoch, -(-prepared.state.total_steps // 50)))


def _budget(settings: Settings, prepared: Prepared, batch: Batch) -> machine.Choice:
    """How many steps to train for, and why."""
    limits = _limits(settings, prepared.order)
    if settings.minutes is not None:
        seconds = seconds_a_step(prepared.state, prepared.task, batch, prepared.precision, prepared.engine)
        # validation, samples and saving take theirs, and what was measured are the best of some steps
        steps = max(1, int(0.8 * settings.minutes * 60 / seconds))
        limits.append((steps, f"in {settings.minutes:g} minutes at {1000 * seconds:.3g} ms a step [--minutes]"))
    if not limits:
        ten = 10 * prepared.order.batches_per_epoch
        limits.append((ten, "10 epochs, nothing was asked for [--epochs, --steps, --minutes]"))
    steps, reason = min(limits)
    return machine.Choice(str(steps), reason)


def _limits(settings: Settings, order: Order) -> list[tuple[int, str]]:
    """The budgets that are told in steps or epochs, as steps, and in words."""
    per_epoch = order.batches_per_epoch
    limits: list[tuple[int, str]] = []
    if settings.steps is not None:
        limits.append((settings.steps, f"{settings.steps / per_epoch:.3g} epochs [--steps]"))
    if settings.epochs is not None:
        limits.append((settings.epochs * per_epoch, f"{settings.epochs} epochs of {per_epoch:,} [--epochs]"))
    return limits


def _check_fit(model: nn.Module, task: Task, inputs: Inputs, targets: torch.Tensor) -> None:
    """One forward pass without a trace, so that a model that doesn't fit the data is told in one line."""
    model.eval()
    try:
        with torch.no_grad():
            outputs = models.apply(model, inputs)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        given = inputs if isinstance(inputs, tuple) else (inputs,)
        shapes = " and ".join(f"{tuple(t.shape)}, {t.dtype}" for t in given)
        raise UserError(
            f"the model can't read a batch of inputs of shape {shapes}: {str(error).splitlines()[0]}"
        ) from error
    if not isinstance(outputs, torch.Tensor):
        raise UserError(f"the model gives a {type(outputs).__name__}; {task.name} needs one tensor of outputs.")
    task.check(outputs, targets)
    if not any(p.requires_grad for p in model.parameters()):
        raise UserError("the model has no parameters to train.")
