"""Experiments with a run's model, data and objective, on copies: what it could learn, where it stands, how fast it was.

Asked of runs that came to little, and of any by ``gradus doctor --probe RUN``.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from gradus.data import Batch, Dataset
from gradus.doctor.curvature import extremes
from gradus.doctor.tried import Probe
from gradus.doctor.watch.probes import Plain, held_out, memorised
from gradus.errors import UserError
from gradus.models import apply
from gradus.tasks import Task
from gradus.training.loop import Batches
from gradus.training.lr_find import find_lr, generators_untouched
from gradus.training.machine import fastest
from gradus.training.result import Run
from gradus.training.settings import Settings
from gradus.training.step import autocast

ROWS = 1024  # that the experiments have, a fourth of them held out
BATCH = 64  # rows, fewer of long ones
PLACES = 4096  # of the rows of a batch together
LARGEST = 20_000_000  # weights: larger models aren't copied, and their curves must tell
SECONDS = 4.0  # that each experiment may take

R = TypeVar("R")
Loss = Callable[[nn.Module], Tensor]  # of one batch, its mean over the targets


def try_out(model: nn.Module, task: Task, data: Dataset, seed: int = 0, seconds: float = SECONDS) -> Probe:
    """What a fresh copy, and a plain network, learn of some of the rows, and what the loss looks like around the model.

    What can't be tried of a model is told in ``failed``, what takes too long is left open. The model and all
    generators are left alone.

    Args:
        seconds: that each of four experiments may take; what one has found by then counts.
    """
    probe = Probe()
    if sum(p.numel() for p in model.parameters()) > LARGEST:
        return probe

    def attempt(name: str, experiment: Callable[[], R]) -> R | None:
        try:
            return experiment()
        except Exception as error:  # any module and data may be here: one may not be copied, another not be called so
            probe.failed.append(f"{name}: {type(error).__name__}: {str(error).partition(chr(10))[0]}")
            return None

    parts = _parts(data, seed)
    with generators_untouched(_device_of(model)):
        torch.manual_seed(seed)
        batches = [data.batch(part) for part in parts]
        losses = [_loss_of(task, batch) for batch in batches]
        taught, held = losses[: -max(1, len(losses) // 4)], losses[-max(1, len(losses) // 4) :]
        fresh = attempt("a fresh copy", lambda: _fresh(model))
        if fresh is not None:
            found = attempt("one batch", lambda: memorised(fresh, losses[0], seconds))
            probe.memorised_from, probe.memorised = found or (None, None)
        if fresh is not None and len(losses) > 3:
            probe.rows = sum(map(len, parts))
            probe.again = attempt("other rows", lambda: held_out(copy.deepcopy(fresh), taught, held, seconds))
            plain = attempt("a plain network", lambda: _plain(model, batches[: len(taught)]))
            if plain is not None:
                probe.plain = attempt("a plain network", lambda: held_out(plain, taught, held, seconds))
        modes = attempt("modes", lambda: _in_both_modes(model, losses[0]))
        probe.in_training, probe.in_evaluation = modes or (None, None)
        around = attempt("curvature", lambda: extremes(model, losses[0], seconds))
        probe.steep, probe.lowest, probe.highest = around or (None, None, None)
    return probe


def of_run(run: Run) -> Probe:
    """What can be tried with a finished run that was opened with its data; its learning rates, and how fast it was."""
    predictor, data = run.predictor, run.as_it_reads()
    model, task = predictor.model, predictor.task
    asked = {key: entry["value"] for key, entry in run.config["settings"].items()}
    probe = try_out(model, task, data, asked["seed"])
    settings = Settings.of({key: asked[key] for key in ("optimizer", "momentum", "weight_decay", "clip", "seed")})
    try:
        rates = find_lr(_fresh(model), task, _in_turn(data, asked["seed"]), settings, _device_of(model), "fp32")
        probe.rate, probe.edge = rates.rate, rates.rates[-1]
    except UserError as error:  # the loss never falls, or the optimiser has no such thing
        probe.failed.append(str(error))
    try:
        probe.speed, probe.possible = speed(model, task, data, run.summary) or (None, None)
    except Exception as error:  # as in try_out
        probe.failed.append(f"speed: {type(error).__name__}: {str(error).partition(chr(10))[0]}")
    return probe


def speed(model: nn.Module, task: Task, data: Dataset, summary: dict[str, Any]) -> tuple[float, float] | None:
    """Floating-point operations a second that a run's training did, and those that large products reach here now.

    Counted are matrix products, convolutions and attention, forward and backward; None where a model has none.

    Args:
        summary: of the run: its samples, seconds and precision.
    """
    device, half = _device_of(model), summary["precision"] == "bf16"
    batch = data.batch(torch.from_numpy(data.splits["train"][:BATCH]).to(data.place))
    trial = copy.deepcopy(model).train()
    with (
        generators_untouched(device),
        FlopCounterMode(display=False) as counter,
        autocast(device, summary["precision"]),
    ):
        task.loss_of(trial, batch).backward()
    counted, spent = counter.get_total_flops() / len(batch.indices), summary["seconds"].get("train", 0.0)
    if not counted or not spent:
        return None
    square = torch.ones(1024, 1024, dtype=torch.bfloat16 if half else torch.float32, device=device)
    return counted * summary["samples"] / spent, 2 * 1024**3 / fastest(lambda: square @ square)[0]


def _parts(data: Dataset, seed: int) -> list[Tensor]:
    """The ids of some training rows, in batches."""
    size = max(2, min(BATCH, PLACES // data.steps))
    rows = np.random.default_rng(seed).permutation(data.splits["train"])[: ROWS * size // BATCH]
    return list(torch.split(torch.from_numpy(rows).to(data.place), size))


def _in_turn(data: Dataset, seed: int) -> Batches:
    parts = _parts(data, seed)
    return lambda k: data.batch(parts[k % len(parts)])


def _in_both_modes(model: nn.Module, loss: Loss) -> tuple[float, float]:
    """The loss of one batch in training and in evaluation mode; of a copy, whose statistics may move."""
    twin = copy.deepcopy(model)
    with torch.no_grad():
        evaluated = float(loss(twin.eval()))
        return float(loss(twin.train())), evaluated


def _device_of(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _loss_of(task: Task, batch: Batch) -> Loss:
    count = batch.count if batch.count is not None else task.num_targets(batch.targets)
    return lambda model: task.loss_of(model, batch) / count


def _fresh(model: nn.Module) -> nn.Module:
    """A copy with weights like its first ones, as far as its modules can draw them."""
    twin = copy.deepcopy(model)
    for module in twin.modules():
        reset = getattr(module, "reset_parameters", None)
        if callable(reset):
            reset()
    return twin


def _plain(model: nn.Module, batches: list[Batch]) -> nn.Module | None:
    """A plain network for the same rows, where each is a row of numbers or a picture, answered once."""
    first = batches[0].inputs
    if isinstance(first, tuple) or not first.is_floating_point() or math.prod(first.shape[1:]) > 20_000:
        return None
    with torch.no_grad():
        answers = apply(copy.deepcopy(model).eval(), first)
    if not isinstance(answers, Tensor) or answers.shape[0] != len(first) or answers[0].numel() > 256:
        return None
    columns = torch.cat([batch.all_inputs[0].flatten(1) for batch in batches])
    return Plain(columns, answers.shape[1:])
