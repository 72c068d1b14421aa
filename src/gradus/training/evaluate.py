"""The metrics of one split: all of its outputs at once, in the order of its rows."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from gradus.data import Dataset
from gradus.data.splits import some_rows
from gradus.models import apply
from gradus.tasks import Task
from gradus.training.step import autocast

ROWS = 512  # that the model reads at once
MAX_STEPS = 1 << 13  # of long rows together: beyond, a CPU spends more time on fetching memory than on computing
MAX_OUTPUTS = 1 << 26  # numbers that it may answer with at once
MAX_TRAIN_ROWS = 10_000  # of the training split, which is measured only to be held against the others
MAX_TRAIN_STEPS = 200_000  # of those rows together, where a row has many


def evaluate(
    model: nn.Module, data: Dataset, rows: np.ndarray, task: Task, *, device: torch.device, precision: str = "fp32"
) -> dict[str, float]:
    """Loss (per target) and metrics of some rows of a dataset, (rows,), by a model in evaluation mode."""
    return task.scores(*outputs_of(model, data, rows, task, device=device, precision=precision))


def some_to_measure(data: Dataset) -> np.ndarray:
    """Rows of the training split that are enough to measure it by."""
    return some_rows(data.splits["train"], max(1, min(MAX_TRAIN_ROWS, MAX_TRAIN_STEPS // data.steps)))


@torch.inference_mode()
def outputs_of(
    model: nn.Module, data: Dataset, rows: np.ndarray, task: Task, *, device: torch.device, precision: str = "fp32"
) -> tuple[Tensor, Tensor]:
    """What the task keeps of the model's outputs in float32 and of the targets of some rows, (rows, …) each."""
    outputs, targets = [], []
    by_length, steps = np.arange(len(rows)), data.steps
    if data.lengths is not None:  # batches of like length
        lengths = data.lengths[rows].reshape(len(rows), -1)
        by_length = np.lexsort(lengths.T[::-1])
        steps = int(lengths.max(initial=1))
    # of long rows fewer at once, for their outputs are many
    size = max(1, min(ROWS, MAX_STEPS // max(1, steps), MAX_OUTPUTS // (max(1, steps) * task.num_outputs)))
    parts = torch.split(torch.from_numpy(rows[by_length]).to(data.place), size)
    for batch in data.stream([(indices, None) for indices in parts]):
        with autocast(device, precision):
            given = apply(model, batch.inputs)
        kept = task.keep(given.float(), batch.targets)
        outputs.append(kept[0])
        targets.append(kept[1])
    back = torch.from_numpy(np.argsort(by_length, kind="stable")).to(targets[0].device)
    return torch.cat(outputs)[back], torch.cat(targets)[back]
