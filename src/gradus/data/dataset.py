"""Datasets answer with batches and hold no state of iteration: what they all are, and the one held in memory."""

from __future__ import annotations

import copy
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gradus.data import splits as cut
from gradus.data.augment import Augmentation, Mixup
from gradus.data.columns import Picture, Raw, Target
from gradus.data.encoder import Encoder
from gradus.data.order import mix
from gradus.data.splits import Splits
from gradus.errors import UserError

Inputs = Tensor | tuple[Tensor, ...]
"""What a model reads of a batch: one tensor, or several, each with the batch first."""

KEEP_BYTES = 256_000_000  # pictures that would take more than this many bytes as floats stay bytes


@dataclass(slots=True)
class Batch:
    """Samples together: inputs (batch, …), targets (batch, …) and the samples' ids (batch,).

    ``count`` is how many targets the loss is a sum over, where padding isn't among them: known from the lengths, so
    that no accelerator need be asked. None leaves it to the task.
    """

    inputs: Inputs
    targets: Tensor
    indices: Tensor
    count: int | None = None

    @property
    def all_inputs(self) -> tuple[Tensor, ...]:
        """The inputs as a tuple, however many they are."""
        return self.inputs if isinstance(self.inputs, tuple) else (self.inputs,)

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        return self._each(lambda t: t.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """In page-locked memory, from which a GPU fetches without waiting; called by torch's DataLoader."""
        return self._each(Tensor.pin_memory)

    def parts(self, n: int) -> Iterator[Batch]:
        """The batch in n consecutive parts, as equal as can be; fewer where it has fewer samples than n."""
        if n == 1:
            yield self
            return
        several = isinstance(self.inputs, tuple)
        cuts = (
            torch.tensor_split(t, min(n, len(self.indices))) for t in (self.targets, self.indices, *self.all_inputs)
        )
        for targets, indices, *inputs in zip(*cuts, strict=True):
            yield Batch(tuple(inputs) if several else inputs[0], targets, indices)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        inputs = tuple(map(change, self.inputs)) if isinstance(self.inputs, tuple) else change(self.inputs)
        return Batch(inputs, change(self.targets), change(self.indices), self.count)


@dataclass(frozen=True)
class Draw:
    """What augmentation is keyed by, beside the sample: training batches have one, evaluation has none."""

    seed: int
    epoch: int


class Requests(Protocol):
    """The batches that are wanted, by number: what ``Dataset.batch`` is to be called with."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> tuple[Tensor, Draw | None]: ...


class Dataset(ABC):
    """Random access to samples, answered in batches; knows its target and its splits."""

    name: str
    splits: Splits
    target: Target
    fingerprint: str
    """A hash of what the samples are, so that a resumed run can tell that it is given the same ones."""
    encoder: Encoder | None = None
    """The preprocessing that a run keeps; None where a person's own dataset did it."""
    kept: Mapping[str, Any] = MappingProxyType({})
    """What of it came from elsewhere, another run's vocabulary say, as plain values, which a run keeps."""
    lengths: np.ndarray | None = None
    """How long each sample is, (rows,) or, of several parts, (rows, parts); batches are then made of like lengths."""
    steps: int = 1
    """How many places of a row are answered, where all rows are of one length."""
    notes: tuple[str, ...] = ()
    """What is worth telling of how the data were read."""
    workers: int = 0
    """How many processes read batches ahead."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def batch(self, indices: Tensor, draw: Draw | None = None) -> Batch:
        """The samples of these ids, int64 (batch,) on the dataset's device; augmented where there is a draw."""

    @abstractmethod
    def to(self, device: torch.device, *, channels_last: bool = False) -> Self:
        """This dataset with its batches on a device, pictures in the memory layout asked for."""

    @property
    @abstractmethod
    def place(self) -> torch.device:
        """Where the ids of a batch are wanted."""

    def stream(self, requests: Requests) -> Iterator[Batch]:
        """The batches of these requests, in their order; read ahead by other processes where there are any."""
        for number in range(len(requests)):
            yield self.batch(*requests[number])

    @property
    @abstractmethod
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one sample as the model sees it."""

    @property
    def num_inputs(self) -> int:
        """How many numbers one sample has."""
        return int(np.prod(self.input_shape))

    @property
    def num_outputs(self) -> int:
        """How many outputs a model needs: a logit a class, one for two classes, one for a number."""
        return self.target.num_outputs

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the model's outputs; empty for a number."""
        return self.target.labels

    @property
    def categories(self) -> tuple[int, ...]:
        """How many codes each coded category has: for embeddings, the last columns of a sample. Mostly empty."""
        return ()

    def encoded_by(self, encoder: Encoder) -> Dataset:
        """The same rows as another encoder reads them, that of a run, say; as they are where there is none."""
        return self

    def row_words(self, row: int, draw: Draw | None = None) -> dict[str, Any]:
        """What a person recognises a row by, as training was given it where a draw is told; empty if unknown here."""
        return {}

    def describe(self) -> str:
        counts = ", ".join(f"{name} {len(rows):,}" for name, rows in self.splits.items())
        form = "×".join(map(str, self.input_shape))
        return f"{self.name}: {len(self):,} samples of {form}; {counts}"


class MemoryDataset(Dataset):
    """Raw columns held in memory, encoded with statistics of the training split, gathered by index.

    Columns are encoded once; pictures of bytes that would grow beyond ``KEEP_BYTES`` as floats stay bytes (also in a
    memory map) and are standardised batch by batch, to the same bits.

    Args:
        raw: the input columns, raw.
        raw_targets: int64 classes or float numbers, (rows,).
        fit: fits an encoder on the given training rows; called again where the splits change.
        splits: row numbers by split.
        augment: applied to training batches, in order; a ``Mixup`` may be the last.
    """

    def __init__(
        self,
        name: str,
        raw: Raw,
        raw_targets: np.ndarray,
        fit: Callable[[Raw, np.ndarray, np.ndarray], Encoder],
        splits: Splits,
        *,
        augment: Sequence[Augmentation | Mixup] = (),
        fingerprint: str = "",
        notes: Sequence[str] = (),
    ) -> None:
        if len(splits["train"]) == 0:
            raise UserError(f"{name}: no rows are left to train on; give more data or smaller valid and test splits.")
        self.name = name
        self.raw, self.raw_targets = raw, raw_targets
        self._fit = fit
        self.splits = splits
        self.augment = tuple(augment)
        self.fingerprint = fingerprint or _fingerprint(raw, raw_targets)
        self.notes = tuple(notes)
        self._device = torch.device("cpu")
        self._read(fit(raw, raw_targets, splits["train"]))
        if len(self.augment) and self.inputs.ndim != 4:
            raise UserError(f"{name}: {self.augment[0]} works on pictures, and a sample here is {self.input_shape}.")

    encoder: Encoder

    def _read(self, encoder: Encoder) -> None:
        """Inputs and targets as an encoder gives them."""
        self.encoder, self.target = encoder, encoder.target
        self.targets = encode_targets(self.target, self.raw_targets)
        column = encoder.columns[0]
        values = self.raw[column.name]
        self._channels_last = self._stored_last = False
        if isinstance(column, Picture) and values.dtype == np.uint8 and 4 * values.size > KEEP_BYTES:
            self.inputs = torch.from_numpy(column.checked(values))
            if self.inputs.is_contiguous(memory_format=torch.channels_last):  # as a decoder writes them
                self.inputs, self._stored_last = self.inputs.permute(0, 2, 3, 1), True
        else:
            self.inputs = torch.from_numpy(encoder.encode(self.raw))

    def __len__(self) -> int:
        return len(self.raw_targets)

    @property
    def place(self) -> torch.device:
        return self.inputs.device

    @property
    def input_shape(self) -> tuple[int, ...]:
        shape = tuple(self.inputs.shape[1:])
        return (shape[2], *shape[:2]) if self._stored_last else shape

    @property
    def categories(self) -> tuple[int, ...]:
        return self.encoder.categories

    def batch(self, indices: Tensor, draw: Draw | None = None) -> Batch:
        inputs, targets = self._gather(indices), self.targets.index_select(0, indices.to(self.targets.device))
        if draw is not None and self.augment:
            inputs = self._augmented(inputs, indices, draw)
            if isinstance(mixup := self.augment[-1], Mixup):
                key = mix(draw.seed, draw.epoch, len(self.augment))
                train = torch.from_numpy(self.splits["train"]).to(indices.device)
                partners = mixup.partners(indices, train, key)
                others = self._augmented(self._gather(partners), partners, draw)
                share = mixup.share(indices, key).to(self._device)
                inputs = mixup.blend(inputs, others, share)
                soft, soft_others = (
                    F.one_hot(t, self.num_outputs).float() if t.dtype == torch.int64 else t
                    for t in (targets, self.targets.index_select(0, partners.to(self.targets.device)))
                )
                targets = mixup.blend(soft, soft_others, share)
        return Batch(inputs, targets, indices)

    def _gather(self, indices: Tensor) -> Tensor:
        """The inputs of these rows, standardised, on the device, in the layout that was asked for."""
        inputs = self.inputs.index_select(0, indices)
        if self._device != inputs.device:
            inputs = inputs.to(self._device, non_blocking=True)
        if self._stored_last:  # stored as (row, height, width, channel): a view gives the usual order
            inputs = inputs.permute(0, 3, 1, 2)
            if not self._channels_last:
                inputs = inputs.contiguous()
        if inputs.dtype == torch.uint8:
            column = self.encoder.columns[0]
            assert isinstance(column, Picture)
            inputs = column.standardise(inputs)
        return inputs

    def _augmented(self, inputs: Tensor, indices: Tensor, draw: Draw) -> Tensor:
        column = self.encoder.columns[0]
        black = column.black if isinstance(column, Picture) else 0.0
        samples = indices.to(inputs.device)
        for number, augmentation in enumerate(self.augment):
            if not isinstance(augmentation, Mixup):
                inputs = augmentation(inputs, samples, mix(draw.seed, draw.epoch, number), black)
        return inputs

    def to(self, device: torch.device, *, channels_last: bool = False) -> Self:
        moved = copy.copy(self)
        moved._device = device
        if _fits(self.inputs, device):
            moved.inputs = self.inputs.to(device)
        if channels_last and not self._stored_last:
            assert moved.inputs.ndim == 4
            moved.inputs = moved.inputs.permute(0, 2, 3, 1).contiguous()
            moved._stored_last = True
        moved._channels_last = channels_last
        moved.targets = self.targets.to(device)
        return moved

    def encoded_by(self, encoder: Encoder) -> MemoryDataset:
        """The same rows as another encoder reads them, that of a run, say.

        Raises:
            UserError: where the targets are classes that the encoder doesn't know.
        """
        if self.target.labels != encoder.target.labels:
            raise UserError(
                f"{self.name}: the targets are {self.target.labels or 'numbers'}, "
                f"the run's are {encoder.target.labels or 'numbers'}."
            )
        other = copy.copy(self)
        other._device = torch.device("cpu")
        other._read(encoder)
        return other

    def with_splits(self, splits: Splits) -> MemoryDataset:
        """The same rows cut otherwise, with everything that is fitted on training rows fitted anew."""
        return MemoryDataset(
            self.name,
            self.raw,
            self.raw_targets,
            self._fit,
            splits,
            augment=self.augment,
            fingerprint=self.fingerprint,
            notes=self.notes,
        )

    def fold(self, number: int, folds: int, *, valid: float = 0.0, seed: int = 0) -> MemoryDataset:
        """Fold ``number`` (from 0) of a k-fold cross-validation, stratified by class."""
        labels = self.raw_targets if self.target.labels else None
        return self.with_splits(cut.fold(len(self), number, folds, valid=valid, seed=seed, labels=labels))

    def linear_inputs(self, rows: np.ndarray) -> np.ndarray:
        """These rows as a linear model reads them: (rows, numbers), categories as one column a level."""
        encoded = self.encoder.encode({name: v[rows] for name, v in self.raw.items()}, one_hot=True)
        return encoded.reshape(len(rows), -1)


def encode_targets(target: Target, raw: np.ndarray) -> Tensor:
    """Raw targets as a loss reads them: int64 classes, float32 0/1 for two classes, standardised float32 numbers."""
    if target.labels:
        return torch.from_numpy(raw.astype(np.float32 if len(target.labels) == 2 else np.int64))
    return torch.from_numpy(((raw - target.mean) / target.std).astype(np.float32))


def _fits(values: Tensor, device: torch.device) -> bool:
    """Whether a GPU has room for values beside a model: they may take up to half of what is free."""
    return device.type != "cuda" or values.nbytes < torch.cuda.mem_get_info(device)[0] // 2


def _fingerprint(raw: Raw, targets: np.ndarray) -> str:
    digest = hashlib.sha256()
    for name, values in (*raw.items(), ("", targets)):
        digest.update(f"{name} {values.shape} {values.dtype}".encode())
        digest.update(repr(values.tolist()).encode() if values.dtype == object else np.ascontiguousarray(values).data)
    return digest.hexdigest()
