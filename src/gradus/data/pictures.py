"""Pictures on disk as a dataset: a folder per class, a CSV of annotations, a zip archive; and one file for predict."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np

from gradus.data import splits as cut
from gradus.data.augment import Augmentation, Mixup
from gradus.data.columns import Picture, Raw, Target
from gradus.data.dataset import MemoryDataset
from gradus.data.decode import Decoded, Frame, Framing, decoded, reason_of
from gradus.data.encoder import Encoder
from gradus.data.picture_files import PictureFile, PictureSource, find_pictures, natural, read_content
from gradus.errors import UserError

STATISTICS = 2_000  # training pictures whose mean and deviation stand for those of all


def pictures(
    path: str | Path,
    *,
    annotations: str | Path | None = None,
    size: int | tuple[int, int] = 64,
    framing: Framing = "crop",
    grey: bool | None = None,
    valid: float = 0.1,
    test: float = 0.2,
    seed: int = 0,
    augment: Sequence[Augmentation | Mixup] = (),
    workers: int | None = None,
    strict: bool = False,
    name: str | None = None,
) -> MemoryDataset:
    """Pictures of classes, decoded once into a memory map of the user's cache and gathered from there.

    Args:
        path: a directory or zip archive with a folder per class, or with ``train``, ``valid`` and ``test`` above them;
            or a directory that holds one archive, and perhaps a CSV of annotations.
        annotations: a CSV of path and label, and perhaps split.
        size: height and width in pixels that every picture is brought to.
        framing: crop (the middle), pad (with black) or stretch, where a picture has another shape.
        grey: one channel instead of three; None decides by looking at some.
        valid, test: fractions of the pictures, for the splits that folders or annotations don't tell.
        workers: processes that decode; None takes one a processor, 0 decodes here.
        strict: a picture that can't be decoded is an error, instead of being named and left out.

    Raises:
        UserError: where there are no pictures of at least two classes.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 1:
        raise UserError(f"size: {size} pixels; give a whole number from 1.")
    source = find_pictures(path, annotations)
    name = name or source.root.stem
    if strict and source.missing:
        raise UserError(f"{source.missing[0]}. Mend the table, or leave --strict out.")
    grey = _are_grey(source) if grey is None else grey
    found = decoded(source, Frame(height, width, 1 if grey else 3, framing), workers=workers, strict=strict)
    files = [source.files[i] for i in found.kept]
    labels = tuple(sorted({file.label for file in files}, key=natural))
    if len(labels) < 2:
        raise UserError(f"{source.root}: of one class only can pictures be read. First: {(*found.skipped, '')[0]}")
    code = {label: number for number, label in enumerate(labels)}
    targets = np.array([code[file.label] for file in files], dtype=np.int64)
    splits = _splits(files, targets, valid, test, seed)
    target = Target("class", labels, reason=source.told_by)

    def fit(raw: Raw, values: np.ndarray, train: np.ndarray) -> Encoder:
        some = train[np.linspace(0, len(train) - 1, min(len(train), STATISTICS)).astype(np.int64)]
        return Encoder((Picture.fit("picture", raw["picture"][some], 255.0, framing),), target)

    return MemoryDataset(
        name, {"picture": found.pixels.transpose(0, 3, 1, 2)}, targets, fit, splits,
        augment=augment, fingerprint=_fingerprint(files, found), notes=_notes(source, found),
    )  # fmt: skip


def read_picture(path: Path, column: Picture, invert: bool | None = None) -> tuple[np.ndarray, bool]:
    """A picture file as (channels, height, width) in the raw numbers of a column, and whether it was inverted.

    It is brought to the column's shape as the training pictures were.

    Args:
        invert: light for dark; None does so where the picture is mostly light and those of training mostly dark.

    Raises:
        UserError: for a file that isn't a picture.
    """
    channels, height, width = column.shape
    if channels not in (1, 3):
        raise UserError(f"{path}: a picture file has 1 or 3 channels, the run's pictures have {channels}.")
    try:
        framing = cast("Framing", column.framing)
        values = Frame(height, width, channels, framing).decode(path.read_bytes()) / 255.0
    except Exception as error:  # Pillow has many ways to refuse a damaged file
        raise UserError(f"{path}: {reason_of(error)}.") from None
    dark_on_light = values.mean() > 0.5 and column.mean < 0.35 and column.framing == "stretch"
    inverted = bool(dark_on_light) if invert is None else invert
    if inverted:
        values = 1.0 - values
    return values.transpose(2, 0, 1) * column.scale, inverted


def _are_grey(source: PictureSource) -> bool:
    """Whether the pictures have no colour, by the modes of some of them."""
    import io
    import zipfile

    from PIL import Image

    some = [source.files[i] for i in np.linspace(0, len(source.files) - 1, 32).astype(int)]
    modes = set()
    archive = zipfile.ZipFile(source.root) if source.zipped else None
    for file in some:
        try:
            with Image.open(io.BytesIO(read_content(source.root, archive, file))) as opened:
                modes.add(opened.mode)
        except Exception:  # it will be named when it is decoded
            continue
    return bool(modes) and all(mode in ("1", "L", "LA", "F") or mode.startswith("I") for mode in modes)


def _splits(files: list[PictureFile], targets: np.ndarray, valid: float, test: float, seed: int) -> cut.Splits:
    """The splits that the source tells; what it doesn't tell is cut from the rest by chance, class by class."""
    told = np.array([file.split for file in files])
    splits = {split: np.flatnonzero(told == split) for split in ("valid", "test")}
    rest = np.flatnonzero((told == "train") | (told == ""))
    inner = cut.by_fraction(
        len(rest),
        valid=0.0 if len(splits["valid"]) else valid,
        test=0.0 if len(splits["test"]) else test,
        seed=seed,
        labels=targets[rest],
    )
    return {split: np.concatenate([rest[rows], splits.get(split, rest[:0])]) for split, rows in inner.items()}


def _fingerprint(files: list[PictureFile], found: Decoded) -> str:
    """Of what the files hold, wherever they lie and whenever they were written."""
    told = [(file.path, file.label, found.checks[row]) for file, row in zip(files, found.kept, strict=True)]
    return hashlib.sha256(repr((told, found.pixels.shape[1:])).encode()).hexdigest()


def _notes(source: PictureSource, found: Decoded) -> list[str]:
    """What was left alone or out, for the person at the terminal: each kind once, with its count and its first ones."""
    notes = list(source.notes)
    for what, which in (
        ("rows of the annotations name no picture", source.missing),
        ("pictures can't be read and were left out [--strict]", found.skipped),
    ):
        if which:
            notes.append(f"{len(which):,} {what}: {'; '.join(which[:3])}{'; …' if len(which) > 3 else ''}")
    return notes
