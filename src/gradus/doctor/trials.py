"""Experiments with a run's model, data and objective, on copies: what it could learn, where it stands, how fast it was.

Asked of runs that came to little, and of any by ``gradus doctor --probe RUN``.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from gradus.data import Batch, Dataset
from gradus.doctor.curvature import extremes
from gradus.doctor.signals import Probe
from gradus.doctor.watch.probes import Plain, held_out, memorised
from gradus.models import apply
from gradus.tasks import Task
from gradus.training.lr_find import generators_untouched
from gradus.training.machine import fastest
from gradus.training.result import Run
from gradus.training.step import autocast

ROWS = 1024  # that the experiments have, a fourth of them held out
BATCH = 64  # rows, fewer of long ones
PLACES = 4096  # of the rows of a batch together
LARGEST = 20_000_000  # weights of a model that is copied
SECONDS = 4.0  # that each experiment may take

Loss = Callable[[nn.Module], Tensor]  # of one batch, its mean over the targets


def try_out(model: nn.Module, task: Task, data: Dataset, seed: int = 0) -> Probe:
    """What a fresh copy, and a plain network, learn of some of the rows, and what the loss looks like around the model.

    What can't be tried of a model, or takes too long, is left open. The model and all generators are left alone.
    """
    probe, begun = Probe(), time.perf_counter()
    if sum(p.numel() for p in model.parameters()) > LARGEST:
        return probe
    size = max(2, min(BATCH, PLACES // data.steps))
    rows = np.random.default_rng(seed).permutation(data.splits["train"])[: ROWS * size // BATCH]
    parts = torch.split(torch.from_numpy(rows).to(data.place), size)
    with generators_untouched(_device_of(model)):
        torch.manual_seed(seed)
        batches = [data.batch(part) for part in parts]
        losses = [_loss_of(task, batch) for batch in batches]
        fresh = _fresh(model)
        probe.memorised_from, probe.memorised = memorised(fresh, losses[0], SECONDS) or (None, None)
        held = max(1, len(losses) // 4)
        if len(losses) > 3:
            probe.rows = len(rows)
            probe.again = held_out(copy.deepcopy(fresh), losses[:-held], losses[-held:], SECONDS)
            plain = _plain(model, batches[:-held])
            if plain is not None:
                probe.plain = held_out(plain, losses[:-held], losses[-held:], SECONDS)
        probe.steep, probe.lowest, probe.highest = extremes(model, losses[0], SECONDS) or (None, None, None)
    probe.classes = data.num_outputs
    probe.seconds = time.perf_counter() - begun
    return probe


def of_run(run: Run) -> Probe:
    """What can be tried with a finished run that was opened with its data, and how fast its training was."""
    predictor, data = run.predictor, run.as_it_reads()
    seed = run.config["settings"]["seed"]["value"]
    probe = try_out(predictor.model, predictor.task, data, seed)
    probe.speed, probe.possible = speed(predictor.model, predictor.task, data, run.summary) or (None, None)
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
