"""The metrics of one split: all of its outputs at once, in the order of its rows."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from gradus.data import Dataset
from gradus.tasks import Task
from gradus.training.step import autocast

MAX_TRAIN_ROWS = 10_000  # of the training split, which is measured only to be held against the others


def evaluate(
    model: nn.Module, data: Dataset, rows: np.ndarray, task: Task, *, device: torch.device, precision: str = "fp32"
) -> dict[str, float]:
    """Loss (per target) and metrics of some rows of a dataset, (rows,), by a model in evaluation mode."""
    outputs, targets = outputs_of(model, data, rows, device=device, precision=precision)
    return scores(task, outputs, targets)


def scores(task: Task, outputs: Tensor, targets: Tensor) -> dict[str, float]:
    """The loss per target and the metrics of outputs against targets, (rows, …) each."""
    loss = float(task.loss_sum(outputs, targets).double()) / task.num_targets(targets)
    return {"loss": loss, **task.metrics(outputs, targets)}


@torch.inference_mode()
def outputs_of(
    model: nn.Module, data: Dataset, rows: np.ndarray, *, device: torch.device, precision: str = "fp32", size: int = 512
) -> tuple[Tensor, Tensor]:
    """The model's outputs in float32 and the targets of some rows, (rows, …) each, on the device."""
    outputs, targets = [], []
    parts = torch.split(torch.from_numpy(rows).to(data.place), size)
    for batch in data.stream([(indices, None) for indices in parts]):
        with autocast(device, precision):
            outputs.append(model(batch.inputs).float())
        targets.append(batch.targets)
    return torch.cat(outputs), torch.cat(targets)


def some_rows(rows: np.ndarray, most: int = MAX_TRAIN_ROWS) -> np.ndarray:
    """At most so many of the rows, evenly spaced, so that the choice is the same each time."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]
