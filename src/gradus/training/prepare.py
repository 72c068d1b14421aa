"""From the four nouns and the settings to something that can be run: device, layout, precision, order, state, step."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from gradus import models, tasks
from gradus.data import Batch, Dataset, Inputs, MapDataset, Order, as_dataset
from gradus.errors import UserError
from gradus.tasks import Task
from gradus.training import machine
from gradus.training.evaluate import evaluate
from gradus.training.loop import batches_of
from gradus.training.lr_find import STEPS, LrRange, find_lr
from gradus.training.optim import default_lr, make_optimizer
from gradus.training.settings import Settings
from gradus.training.state import Average, TrainState
from gradus.training.step import Step, supervised
from gradus.training.triggers import Every


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

    def measure(self, split: str) -> Callable[[TrainState], dict[str, float]]:
        """A function that measures the weights in use on a split."""
        rows = self.data.splits[split]

        def metrics(state: TrainState) -> dict[str, float]:
            with state.weights_in_use() as model:
                return evaluate(model, self.data, rows, self.task, device=self.device, precision=self.precision)

        return metrics

    def settle(self) -> str:
        """Put the weights that the run is judged by into the model: the best, else the average, else the last."""
        state = self.state
        if state.best is not None:
            state.model.load_state_dict(state.best.weights)
            words = f"the best weights, of step {state.best.step:,}"
        elif state.average is not None:
            state.average.swap()
            words = "the averaged weights"
        else:
            words = "the last weights"
        state.average = None
        state.model.eval()
        return words


def prepare(
    model: nn.Module,
    data: Any,
    task: Task | None,
    settings: Settings,
    chosen: Mapping[str, machine.Choice] | None = None,
) -> Prepared:
    """Choose what is to be chosen, move everything to its device, and make state, order and step.

    ``chosen`` holds what an earlier part of the same run chose.
    """
    dataset = as_dataset(data)
    if task is None:
        task = tasks.for_target(dataset)
    chosen = dict(chosen or {})
    device, reason = machine.choose_device(chosen["device"].value if "device" in chosen else settings.device)
    chosen.setdefault("device", machine.Choice(str(device), reason))
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32 products
    dataset, model = dataset.to(device), model.to(device)
    rows = dataset.splits["train"]
    begun = time.perf_counter()
    first = dataset.batch(torch.from_numpy(rows[: settings.batch_size]).to(dataset.place))
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
    lr = float(chosen["lr"].value) if isinstance(settings.lr, str) else settings.lr
    state = TrainState(
        model=model,
        optimizer=make_optimizer(
            model.parameters(),
            settings.optimizer,
            device,
            lr=lr,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
        ),
        total_steps=0,
        seed=settings.seed,
        average=None if settings.ema is None else Average(model, settings.ema),
        loss_sum=torch.zeros((), device=device, dtype=torch.float32 if device.type == "mps" else torch.float64),
    )
    step = supervised(
        task,
        lr=lr if lr is not None else default_lr(settings.optimizer),
        schedule=settings.schedule,
        warmup=settings.warmup,
        clip=settings.clip,
        accumulate=settings.accumulate,
        precision=chosen["precision"].value,
    )
    prepared = Prepared(state, dataset, task, order, step, device, chosen, lr_range)
    state.total_steps, budget = _budget(settings, prepared, first)
    chosen["budget"] = machine.Choice(str(state.total_steps), budget)
    return prepared


def valid_every(settings: Settings, prepared: Prepared) -> Every:
    """As asked; else each epoch, but at most some fifty times a run."""
    per_epoch = prepared.order.batches_per_epoch
    if settings.valid_every is not None:
        return Every.parse(settings.valid_every).in_steps(per_epoch)
    return Every(steps=max(per_epoch, -(-prepared.state.total_steps // 50)))


def _budget(settings: Settings, prepared: Prepared, batch: Batch) -> tuple[int, str]:
    """How many steps to train for, and why."""
    per_epoch = prepared.order.batches_per_epoch
    limits: list[tuple[int, str]] = []
    if settings.steps is not None:
        limits.append((settings.steps, f"{settings.steps / per_epoch:.3g} epochs [--steps]"))
    if settings.epochs is not None:
        limits.append((settings.epochs * per_epoch, f"{settings.epochs} epochs of {per_epoch:,} [--epochs]"))
    if settings.minutes is not None:
        seconds = machine.fastest(machine.rehearsal(prepared.state.model, prepared.task, batch), rounds=8)[0]
        steps = max(1, int(0.9 * settings.minutes * 60 / (1.15 * seconds)))  # update, validation and saving take theirs
        limits.append(
            (steps, f"in {settings.minutes:g} minutes at {1000 * seconds:.3g} ms forward and backward [--minutes]")
        )
    if not limits:
        limits.append((10 * per_epoch, "10 epochs, nothing was asked for [--epochs, --steps, --minutes]"))
    return min(limits)


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
