"""What a report needs from data and model, written once when a run is finished, so that a report needs neither.

The directory ``evidence/`` holds ``evidence.json`` (labels, mistakes, samples, layers) and ``arrays.safetensors``
(confusion counts, pairs of true and predicted numbers, pictures as bytes).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gradus.data import Batch, Dataset, Draw, Encoder, MemoryDataset
from gradus.data.columns import Number, Picture
from gradus.data.sequences import TextClasses, TextDataset
from gradus.data.splits import some_rows
from gradus.tasks import Binary, MultiClass, Regression, Task
from gradus.training.chat_evidence import chat_evidence, describe_chats
from gradus.training.prepare import Prepared
from gradus.training.rundir import finite
from gradus.training.text_evidence import confusions, describe, text_evidence
from gradus.training.whole import Tensors, write_directory

MISTAKES, SAMPLES, PAIRS = 24, 16, 2_000
PICTURE_SIDE = 128  # pixels; a larger picture is averaged down
MAX_NUMBERS = 12  # of a row of an array that are written out


@dataclass
class Measured:
    """The rows of a split with the model's outputs and the targets, (rows, …) each, on any device."""

    split: str
    rows: np.ndarray
    outputs: Tensor
    targets: Tensor


def write_evidence(path: Path, prepared: Prepared, measured: Measured) -> None:
    """Write the evidence of a finished run, whole or not at all.

    Args:
        measured: the split to show the mistakes of: the test rows where there are any.

    Raises:
        OSError: where the disk is full.
    """
    data, task = prepared.data, prepared.task
    outputs, targets = measured.outputs.cpu(), measured.targets.cpu()
    tensors: Tensors = {}
    value: dict[str, Any] = {"split": measured.split, "rows": len(measured.rows), "target": data.target.name}
    if isinstance(task, Binary | MultiClass):
        found, worst = _classes(task, outputs, targets)
        tensors["confusion"] = found.pop("confusion")
        value |= {"kind": "classes", "labels": list(task.labels), **found}
        if isinstance(data, TextClasses):
            value["confusions"] = confusions(task.labels, *_said(task, outputs), targets.long(), measured.rows)
            for entry in value["confusions"]:
                describe(data, entry)
    elif isinstance(task, Regression):
        found, worst = _numbers(task, outputs, targets)
        tensors |= {"true": found.pop("true"), "predicted": found.pop("predicted")}
        value |= {"kind": "numbers", **found}
    else:
        worst = torch.empty(0, dtype=torch.int64)
    for mistake, place in zip(value.get("mistakes", []), worst.tolist(), strict=True):
        mistake["row"] = int(measured.rows[place])
    ids = torch.from_numpy(measured.rows)[worst].to(data.place)
    _describe_rows(data, data.batch(ids) if len(ids) else None, value.get("mistakes", []), tensors, "mistakes")
    value |= text_evidence(prepared, measured.rows, outputs, targets) | chat_evidence(prepared)
    ids = prepared.order.indices(0)[:SAMPLES]
    batch = data.batch(ids, Draw(prepared.order.seed, 0))
    value["samples"] = [{"row": int(i), "true": _told(task, t)} for i, t in zip(ids, batch.targets, strict=True)]
    _describe_rows(data, batch, value["samples"], tensors, "samples")
    value["layers"] = [
        {"name": row.name, "kind": row.kind, "shape": list(row.shape), "parameters": row.parameters}
        for row in prepared.layers
    ]
    write_directory(path, {"arrays": tensors}, {"evidence": finite(value)})


def _classes(task: Binary | MultiClass, outputs: Tensor, targets: Tensor) -> tuple[dict[str, Any], Tensor]:
    """Confusion counts (true, predicted), int64, and the rows of the highest loss."""
    probabilities, predicted = _said(task, outputs)
    classes, size = targets.long(), len(task.labels)
    known = torch.isfinite(probabilities).all(dim=1)
    confusion = torch.bincount((classes * size + predicted)[known], minlength=size * size).view(size, size)
    right = probabilities.gather(1, classes[:, None])[:, 0].nan_to_num(-1.0)
    worst = right.topk(min(MISTAKES, len(right)), largest=False).indices
    mistakes = []
    for place, answer in zip(worst.tolist(), task.decode(outputs[worst]), strict=True):
        ranked = sorted(answer["probabilities"].items(), key=lambda item: -item[1])
        mistakes.append(
            {
                "true": task.labels[int(classes[place])],
                "predicted": task.labels[int(predicted[place])] if known[place] else "nan",
                "wrong": bool(predicted[place] != classes[place]) or not bool(known[place]),
                "probability": float(probabilities[place, classes[place]]),
                "probabilities": dict(ranked[:5]),
            }
        )
    return {"confusion": confusion, "undefined": int((~known).sum()), "mistakes": mistakes}, worst


def _said(task: Binary | MultiClass, outputs: Tensor) -> tuple[Tensor, Tensor]:
    """The probability of each class, float64 (rows, classes), and the class that is said, int64 (rows,)."""
    if isinstance(task, MultiClass) and task.num_outputs > 1:
        probabilities = torch.softmax(outputs.double(), dim=1)
        return probabilities, probabilities.argmax(dim=1)
    second = torch.sigmoid(outputs.double().reshape(-1))
    said = second >= task.threshold if isinstance(task, Binary) else second.round()
    return torch.stack([1 - second, second], dim=1), said.long()


def _numbers(task: Regression, outputs: Tensor, targets: Tensor) -> tuple[dict[str, Any], Tensor]:
    """True and predicted numbers in the target's units, float64, and the rows of the largest differences."""
    true, predicted = (values.double().reshape(-1) * task.std + task.mean for values in (targets, outputs))
    some = torch.from_numpy(some_rows(np.arange(len(true)), PAIRS))
    size = (predicted - true).abs().nan_to_num(float("inf"))
    worst = size.topk(min(MISTAKES, len(size))).indices
    mistakes = [{"true": float(true[i]), "predicted": float(predicted[i])} for i in worst]
    undefined = int((~torch.isfinite(predicted)).sum())
    return {"true": true[some], "predicted": predicted[some], "undefined": undefined, "mistakes": mistakes}, worst


def _told(task: Task, target: Tensor) -> str:
    """A training target in words; one that is a mixture of classes with its shares."""
    if isinstance(task, Regression):
        return f"{float(target) * task.std + task.mean:.6g}"
    labels: tuple[str, ...] = getattr(task, "labels", ())
    if target.numel() > 1 and len(labels) == target.numel():
        shares, places = target.flatten().topk(2)
        told = [f"{labels[p]} {s:.2f}" for s, p in zip(shares.tolist(), places.tolist(), strict=True) if s > 0]
        return " + ".join(told) if len(told) > 1 else labels[int(places[0])]
    if target.numel() > 1 or not labels:
        return f"{tuple(target.shape)}"
    share = float(target)
    return labels[int(share)] if share.is_integer() else f"{labels[0]} {1 - share:.2f} + {labels[1]} {share:.2f}"


def _describe_rows(
    data: Dataset, batch: Batch | None, entries: list[dict[str, Any]], tensors: Tensors, name: str
) -> None:
    """Add what a person recognises the rows of a batch by: pictures to the tensors, or values to the entries."""
    if batch is None or describe_chats(data, entries):
        return
    if isinstance(data, TextDataset):
        for entry in entries:
            describe(data, entry, tokens=name == "samples")
            if not data.labels:  # what is to be said is among the texts
                del entry["true"]
        return
    assert isinstance(batch.inputs, Tensor)
    encoder = data.encoder
    column = encoder.columns[0] if encoder is not None else None
    if isinstance(column, Picture):
        tensors[name] = torch.from_numpy(column.raw(_small(batch.inputs).numpy()))
    elif encoder is None and batch.inputs.ndim == 4 and batch.inputs.shape[1] in (1, 3):
        tensors[name] = _guessed(_small(batch.inputs))
    elif encoder is not None and encoder.is_table and isinstance(data, MemoryDataset):
        for entry in entries:
            row = {header: values[entry["row"]] for header, values in data.raw.items()}
            entry["values"] = {header: _plain(row[header]) for header in _order(encoder, row)}
    else:
        rows = batch.inputs.cpu().flatten(1)
        if isinstance(data, MemoryDataset) and column is not None:  # in the units that the person gave
            rows = torch.from_numpy(np.stack([data.raw[column.name][e["row"]] for e in entries])).flatten(1)
        more = " …" if rows.shape[1] > MAX_NUMBERS else ""
        for entry, row in zip(entries, rows[:, :MAX_NUMBERS].tolist(), strict=True):
            entry["values"] = {"x": " ".join(f"{number:.4g}" for number in row) + more}


def _small(pictures: Tensor) -> Tensor:
    """Pictures (batch, channels, height, width) of one or three channels on the CPU, averaged down where large."""
    pictures = pictures.detach().float().cpu()
    if pictures.shape[1] not in (1, 3):
        pictures = pictures[:, :1]
    height, width = pictures.shape[2:]
    if max(height, width) <= PICTURE_SIDE:
        return pictures.contiguous()
    shrink = PICTURE_SIDE / max(height, width)
    return F.adaptive_avg_pool2d(pictures, (max(1, round(height * shrink)), max(1, round(width * shrink))))


def _guessed(pictures: Tensor) -> Tensor:
    """Pictures of unknown units as bytes: 0 to 1 or 0 to 255 as they are, all else stretched from least to most."""
    least, most = float(pictures.min()), float(pictures.max())
    if least < 0 or most > 255:
        pictures = (pictures - least) / max(most - least, 1e-12) * 255
    elif most <= 1:
        pictures = pictures * 255
    return pictures.nan_to_num(0.0).round().clamp(0, 255).to(torch.uint8)


def _order(encoder: Encoder, row: dict[str, Any]) -> list[str]:
    """The columns as they come; of many, those first whose number lies farthest from the training rows' mean."""
    if len(row) <= MAX_NUMBERS:
        return list(row)
    far = {c.name: abs(float(row[c.name]) - c.mean) / c.std for c in encoder.columns if isinstance(c, Number)}
    return sorted(row, key=lambda name: -far[name] if far.get(name, 0.0) > 0.0 else 0.0)


def _plain(value: Any) -> str | float | None:
    """A raw value of a table as JSON has it; None where it is missing."""
    if value is None or isinstance(value, str):
        return value
    number = float(value)
    return None if number != number else number
