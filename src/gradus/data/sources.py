"""Where samples come from besides tables and pictures: arrays, and any torch dataset."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from gradus.data import splits as cut
from gradus.data.augment import Augmentation
from gradus.data.columns import Column, Numbers, Picture, Raw, Target
from gradus.data.columns import Sequence as SequenceColumn
from gradus.data.dataset import Dataset, MemoryDataset
from gradus.data.encoder import Encoder
from gradus.data.map_dataset import MapDataset
from gradus.errors import UserError


def arrays(
    inputs: Any,
    targets: Any,
    *,
    valid: float | tuple[Any, Any] = 0.1,
    test: float | tuple[Any, Any] = 0.2,
    seed: int = 0,
    normalise: bool = False,
    labels: Sequence[str] | None = None,
    scale: float | None = None,
    augment: Sequence[Augmentation] = (),
    name: str = "arrays",
) -> MemoryDataset:
    """Arrays or tensors as a dataset.

    Args:
        inputs: (rows, features), pictures (rows, channels, height, width), pictures of bytes (rows, height, width)
            or sequences (rows, time, features).
        targets: whole numbers or text for classes, floats for numbers, (rows,) or (rows, 1).
        valid, test: a fraction of the rows, or a pair (inputs, targets) of its own.
        normalise: standardise each feature, and a target that is a number, by the training rows. Pictures always are.
        labels: the names of classes 0, 1, …
        scale: the raw value of full white in pictures; None takes 255 for bytes and 1 for floats.
        augment: applied to training batches, in order.

    Raises:
        UserError: where lengths or shapes don't fit, or a number isn't finite.
    """
    x, y = _array(inputs, f"{name}: inputs"), _array(targets, f"{name}: targets")
    parts = [np.zeros(len(x), dtype=np.int64)]
    for number, given in ((1, valid), (2, test)):
        if isinstance(given, tuple):
            more_x, more_y = _array(given[0], f"{name}: inputs"), _array(given[1], f"{name}: targets")
            if more_x.shape[1:] != x.shape[1:]:
                raise UserError(f"{name}: samples of shape {more_x.shape[1:]} beside samples of {x.shape[1:]}.")
            x, y = np.concatenate([x, more_x]), np.concatenate([y, more_y])
            parts.append(np.full(len(more_x), number))
    part = np.concatenate(parts)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if len(x) != len(part) or len(x) != len(y):
        raise UserError(f"{name}: {len(x):,} inputs but {len(y):,} targets; give one target an input.")
    if y.ndim != 1:
        raise UserError(f"{name}: targets of shape {y.shape}; give one class or one number a row.")
    raw_targets, target = _array_target(y, labels, name)
    x, column_of = _array_column(x, normalise, scale)

    def fit(raw: Raw, values: np.ndarray, train: np.ndarray) -> Encoder:
        goal = target
        if normalise and not target.labels:
            goal = Target(
                target.name, (), float(values[train].mean()), float(values[train].std()) or 1.0, target.reason
            )
        return Encoder((column_of(raw["x"][train]),), goal)

    free = np.flatnonzero(part == 0)
    inner = cut.by_fraction(
        len(free),
        valid=0.0 if isinstance(valid, tuple) else valid,
        test=0.0 if isinstance(test, tuple) else test,
        seed=seed,
        labels=raw_targets[free] if target.labels else None,
    )
    splits = {k: free[rows] for k, rows in inner.items()}
    splits["valid"] = np.concatenate([splits["valid"], np.flatnonzero(part == 1)])
    splits["test"] = np.concatenate([splits["test"], np.flatnonzero(part == 2)])
    return MemoryDataset(name, {"x": x}, raw_targets, fit, splits, augment=augment)


def wrap(
    dataset: Any,
    *,
    valid: Any = 0.1,
    test: Any = 0.2,
    seed: int = 0,
    labels: Sequence[str] | int | None = None,
    name: str | None = None,
) -> Dataset:
    """Any ``torch.utils.data.Dataset`` of (input, target) pairs as a dataset of batches.

    A ``TensorDataset`` is taken apart and gathered by index; any other is read sample by sample.

    Args:
        dataset: answers ``len()`` and ``[i]``.
        valid, test: a fraction of the samples, or a torch dataset of its own.
        labels: names of the classes or their number; None looks at the targets.
    """
    name = name or type(dataset).__name__
    whole, sizes = dataset, [len(dataset)]
    for given in (valid, test):
        own = not isinstance(given, float | int)
        sizes.append(len(given) if own else 0)
        whole = torch.utils.data.ConcatDataset([whole, given]) if own else whole
    if len(dataset) == 0:
        raise UserError(f"{name}: the dataset has no samples.")
    inner = cut.by_fraction(
        sizes[0], seed=seed, valid=0.0 if sizes[1] else float(valid), test=0.0 if sizes[2] else float(test)
    )
    first_test = sizes[0] + sizes[1]
    splits = {
        "train": inner["train"],
        "valid": np.arange(sizes[0], first_test) if sizes[1] else inner["valid"],
        "test": np.arange(first_test, first_test + sizes[2]) if sizes[2] else inner["test"],
    }
    if isinstance(dataset, torch.utils.data.TensorDataset) and len(dataset.tensors) == 2 and whole is dataset:
        x, y = (t.numpy(force=True) for t in dataset.tensors)
        names = [str(i) for i in range(labels)] if isinstance(labels, int) else labels
        return arrays(x, y, valid=valid, test=test, seed=seed, labels=names, name=name)
    target = _wrapped_target(dataset, labels, name)
    wrapped = MapDataset(whole, splits, target, name, "")
    seen = wrapped.batch(torch.tensor([0, len(whole) - 1]))  # of all others nothing is known without reading them
    content = [str(sizes).encode(), seen.all_inputs[0].numpy().tobytes(), seen.targets.numpy().tobytes()]
    wrapped.fingerprint = hashlib.sha256(b"".join(content)).hexdigest()
    return wrapped


def as_dataset(data: Any) -> Dataset:
    """Whatever a person has, as a dataset: one of ours, a pair of arrays, a torch dataset, a data frame."""
    if isinstance(data, Dataset):
        return data
    if isinstance(data, tuple) and len(data) == 2:
        return arrays(*data)
    if hasattr(data, "columns") or hasattr(data, "to_polars"):
        raise UserError("a data frame needs the column to predict named: gd.data.table(frame, target='…').")
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        return wrap(data)
    raise UserError(
        f"data of type {type(data).__name__}: give a gradus dataset, a pair (inputs, targets) of arrays, "
        "or a torch.utils.data.Dataset."
    )


def _array(values: Any, what: str) -> np.ndarray:
    array = values.numpy(force=True) if isinstance(values, torch.Tensor) else np.asarray(values)
    if array.ndim == 0 or len(array) == 0:
        raise UserError(f"{what} are empty; give at least one row.")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1))[0])
        raise UserError(f"{what}, row {row}: a value is not finite (NaN or infinity). Mend it or leave the row out.")
    return array


def _array_target(y: np.ndarray, labels: Sequence[str] | None, name: str) -> tuple[np.ndarray, Target]:
    if y.dtype.kind in "fc" and labels is None:
        return y.astype(np.float64), Target("y", reason=f"targets of type {y.dtype}")
    if y.dtype.kind not in "iub":
        found, codes = np.unique(y.astype(str), return_inverse=True)
        return codes.astype(np.int64), Target("y", tuple(found.tolist()), reason=f"{len(found)} different values")
    codes = y.astype(np.int64)
    if codes.min() < 0:
        raise UserError(f"{name}: a class of {codes.min()}; number the classes from 0.")
    size = int(codes.max()) + 1
    if labels is not None and size > len(labels):
        raise UserError(f"{name}: a class of {size - 1} but only {len(labels)} labels; number the classes from 0.")
    names = tuple(labels) if labels is not None else tuple(str(c) for c in range(max(size, 2)))
    return codes, Target("y", names, reason=f"whole numbers from 0 to {len(names) - 1}")


def _array_column(x: np.ndarray, normalise: bool, scale: float | None) -> tuple[np.ndarray, Any]:
    """The array in the layout of its kind, and the function that fits its column on training rows."""
    if x.ndim == 3 and x.dtype == np.uint8:
        x = x[:, None]
    if x.ndim == 4:
        white = scale or (255.0 if x.dtype == np.uint8 else 1.0)
        return x, lambda train: Picture.fit("x", train, white)
    kind: type[Numbers] = SequenceColumn if x.ndim == 3 else Numbers
    if x.dtype.kind not in "fiub":
        raise UserError(f"inputs of type {x.dtype}: give numbers, or a table by gd.data.table(...).")

    def fit(train: np.ndarray) -> Column:
        return kind.fit("x", train, normalise)

    return x, fit


def _wrapped_target(dataset: Any, labels: Sequence[str] | int | None, name: str) -> Target:
    if isinstance(labels, int):
        return Target("y", tuple(str(i) for i in range(labels)), reason="asked for")
    if labels is not None:
        return Target("y", tuple(labels), reason="asked for")
    known = getattr(dataset, "targets", getattr(dataset, "labels", None))  # torchvision's habit
    if known is None:
        known = [dataset[i][1] for i in range(len(dataset))]
    values = np.asarray(torch.as_tensor(known) if not isinstance(known, list) else [np.asarray(v) for v in known])
    if values.dtype.kind in "iub" and values.ndim == 1:
        classes = [str(c) for c in range(max(int(values.max()) + 1, 2))]
        return Target("y", tuple(classes), reason=f"whole numbers from 0 to {len(classes) - 1}")
    return Target("y", reason=f"targets of type {values.dtype}")
