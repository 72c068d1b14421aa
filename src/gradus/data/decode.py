"""From picture files to one array of bytes: decoded once, by several processes, and kept in the user's cache.

The cache is a memory map (pictures, height, width, channels) under a key of the files' names, sizes and stamps and of
how they were framed. What can't be decoded is named and left out.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from gradus.data.cache import cache_directory
from gradus.data.picture_files import PictureFile, PictureSource, read_content
from gradus.data.processes import in_order
from gradus.data.workers import cores
from gradus.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

Framing = Literal["crop", "pad", "stretch"]
Answers = list[tuple[int, str | None]]
"""Of each file of a chunk: the CRC-32 of its content, and why it can't be decoded, where it can't."""

VERSION = 1  # of what decoding gives; a new one makes old caches be left
CHUNK = 64  # pictures that a process decodes at a time
FEW = 200  # pictures that are decoded faster here than it takes to begin other processes


@dataclass(frozen=True)
class Frame:
    """What every picture is brought to: height and width in pixels, 1 or 3 channels, and how its shape is changed.

    ``crop`` keeps the middle of what is too long, ``pad`` fills what is too short with black, ``stretch`` distorts.
    """

    height: int
    width: int
    channels: int
    framing: Framing = "crop"

    def decode(self, content: bytes) -> np.ndarray:
        """A picture file's content as bytes (height, width, channels), upright as its camera noted.

        What is transparent is shown on white; sixteen bits become eight.

        Raises:
            OSError, ValueError, …: Pillow has many ways to refuse a damaged file.
        """
        from PIL import Image, ImageOps

        with Image.open(io.BytesIO(content)) as opened:
            if opened.format == "JPEG":  # decodes at half, a quarter or an eighth of its size where that is enough
                opened.draft(None, (2 * self.width, 2 * self.height))
            picture = in_eight_bits(ImageOps.exif_transpose(opened))
        if picture.mode in ("RGBA", "LA", "PA", "P"):
            picture = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
        picture = picture.convert("L" if self.channels == 1 else "RGB")
        size = (self.width, self.height)
        smaller = picture.width >= self.width and picture.height >= self.height
        method = Image.Resampling.BOX if smaller else Image.Resampling.BICUBIC
        if self.framing == "crop":
            picture = ImageOps.fit(picture, size, method)
        elif self.framing == "pad":
            picture = ImageOps.pad(picture, size, method)
        else:
            picture = picture.resize(size, method)
        return np.asarray(picture, dtype=np.uint8).reshape(self.height, self.width, self.channels)


def in_eight_bits(picture: Image.Image) -> Image.Image:
    """A picture of sixteen or more bits a pixel as one of eight."""
    from PIL import Image

    if not picture.mode.startswith(("I", "F")):
        return picture
    values = np.asarray(picture, dtype=np.float64)
    white = 65535.0 if picture.mode.startswith("I") and values.max() > 255 else 255.0 if values.max() > 1 else 1.0
    return Image.fromarray(np.clip(values * (255.0 / white), 0, 255).astype(np.uint8))


@dataclass(frozen=True)
class Decoded:
    """All pictures of a source as bytes, and which of its files they are.

    ``pixels`` is (pictures, height, width, channels); ``kept`` (pictures,) are the numbers of their files. ``checks``
    is the CRC-32 of each file's content, ``skipped`` tells of each file that can't be decoded why.
    """

    pixels: np.ndarray
    kept: np.ndarray
    checks: tuple[int, ...]
    skipped: tuple[str, ...]


def decoded(source: PictureSource, frame: Frame, *, workers: int | None = None, strict: bool = False) -> Decoded:
    """Every picture of a source in one frame: from the cache, else decoded now.

    Args:
        workers: processes that decode; None takes one a processor, 0 decodes here. The result is the same.
        strict: a picture that can't be decoded is an error.

    Raises:
        UserError: for such a picture where strict, for a full disk, for a process that died.
    """
    about = repr((str(source.root.resolve()), frame))
    told = repr([(f.path, f.size, f.stamp) for f in source.files])
    place = cache_directory() / "pictures" / hashlib.sha256(about.encode()).hexdigest()[:32]
    key = hashlib.sha256(f"{VERSION} {told}".encode()).hexdigest()
    index = _index(place, key)
    if index is None or (strict and index["skipped"]):
        index = _build(place, key, source, frame, cores() if workers is None else workers, strict)
    kept = np.array([i for i in range(len(source.files)) if str(i) not in index["skipped"]], dtype=np.int64)
    shape = (len(kept), frame.height, frame.width, frame.channels)
    pixels: np.ndarray = np.zeros(shape, np.uint8)
    if len(kept):
        pixels = np.memmap(place / "pixels", np.uint8, mode="c", shape=shape)  # "c": torch wants memory it may write
    reasons = tuple(f"{source.files[int(i)].path}: {why}" for i, why in index["skipped"].items())
    return Decoded(pixels, kept, tuple(index["checks"]), reasons)


def _index(place: Path, key: str) -> dict[str, Any] | None:
    """What a cache tells of itself, where it is of these very files."""
    try:
        index: dict[str, Any] = json.loads((place / "index.json").read_text())
    except (OSError, ValueError):
        return None
    whole = index["key"] == key and (place / "pixels").stat().st_size == index["bytes"]
    return index if whole else None


def _build(place: Path, key: str, source: PictureSource, frame: Frame, workers: int, strict: bool) -> dict[str, Any]:
    """Decode all files into a new cache and put it in the place of the old one, whole or not at all."""
    files = source.files
    bytes_a_row = frame.height * frame.width * frame.channels
    partial = place.with_name(f"{place.name}.{os.getpid()}")
    try:
        partial.mkdir(parents=True, exist_ok=True)
        _sweep(place)
        _reserve(partial / "pixels", len(files) * bytes_a_row)
        checks: list[int] = [0] * len(files)
        skipped: dict[int, str] = {}
        job = _Job(source.root, source.zipped, tuple(files), frame, partial / "pixels")
        for first, answers in _decode_all(job, workers):
            for number, (check, why) in enumerate(answers, start=first):
                checks[number] = check
                if why is None:
                    continue
                if strict:
                    raise UserError(
                        f"{source.root}: {files[number].path}: {why}. Mend or remove it, or leave --strict out."
                    )
                skipped[number] = why
        size = _close_up(partial / "pixels", bytes_a_row, [i for i in range(len(files)) if i not in skipped])
        told = {str(number): skipped[number] for number in sorted(skipped)}
        index = {"key": key, "bytes": size, "checks": checks, "skipped": told}
        (partial / "index.json").write_text(json.dumps(index))
        if place.exists():
            place.rename(old := place.with_name(f"{place.name}.{os.getpid()}.old"))
            shutil.rmtree(old, ignore_errors=True)
        with contextlib.suppress(OSError):  # another process was faster with the same
            partial.rename(place)
    except OSError as error:
        raise UserError(
            f"{place.parent}: the decoded pictures can't be kept there: {error.strerror}. "
            "Make room, or name another directory in GRADUS_CACHE."
        ) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return index


def _reserve(path: Path, size: int) -> None:
    """Make a file of this size with its room on the disk, so that it can't run out later."""
    with path.open("wb") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)


def _close_up(path: Path, bytes_a_row: int, kept: list[int]) -> int:
    """Move the rows that hold a picture together, and give the bytes that they take."""
    size = len(kept) * bytes_a_row
    with path.open("r+b") as file:
        for to, row in enumerate(kept):
            if to != row:
                file.seek(row * bytes_a_row)
                content = file.read(bytes_a_row)
                file.seek(to * bytes_a_row)
                file.write(content)
        file.truncate(size)
        file.flush()
        os.fsync(file.fileno())
    return size


def _sweep(place: Path) -> None:
    """Remove what processes that were killed have left of this cache."""
    for left in place.parent.glob(f"{place.name}.*"):
        owner = left.name.split(".")[1]
        if owner.isdecimal() and not _alive(int(owner)):
            shutil.rmtree(left, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


@dataclass
class _Job:
    """What a process needs to decode any part of a source."""

    root: Path
    zipped: bool
    files: Sequence[PictureFile]
    frame: Frame
    pixels: Path
    opened_by: int | None = None
    opened: zipfile.ZipFile | None = None

    def archive(self) -> zipfile.ZipFile | None:
        """The archive, opened: once a process, for processes that share an open file share its position."""
        if self.zipped and self.opened_by != os.getpid():
            self.opened, self.opened_by = zipfile.ZipFile(self.root), os.getpid()
        return self.opened

    def __call__(self, first: int) -> Answers:
        """Decode one chunk into its place; for each file the CRC of its content, and why it was left out."""
        archive = self.archive()
        files = self.files[first : first + CHUNK]
        rows = np.zeros((len(files), self.frame.height, self.frame.width, self.frame.channels), np.uint8)
        answers: Answers = []
        for row, file in zip(rows, files, strict=True):
            check, why = 0, None
            try:
                content = read_content(self.root, archive, file)
                check = zlib.crc32(content)
                row[:] = _decode(self.frame, content)
            except Exception as error:  # a damaged file can fail in any way; only this one is to blame
                why = reason_of(error)
            answers.append((check, why))
        with self.pixels.open("r+b") as out:
            out.seek(first * rows[0].size)
            out.write(rows.data)
        return answers


def _decode(frame: Frame, content: bytes) -> np.ndarray:
    from PIL import Image

    if not content:
        raise OSError("an empty file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return frame.decode(content)


def reason_of(error: Exception) -> str:
    """Why a picture can't be decoded, in a few words."""
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "not a picture that can be read"
    if isinstance(error, Image.DecompressionBombWarning | Image.DecompressionBombError):
        return "more pixels than any photograph has"
    text = str(getattr(error, "strerror", None) or error).splitlines()
    return f"damaged, or not to be read ({text[0] if text else type(error).__name__})"


def _decode_all(job: _Job, workers: int) -> Iterator[tuple[int, Answers]]:
    """The answers of all chunks as they come, with a bar where a person looks on."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    starts = range(0, len(job.files), CHUNK)
    columns = (
        TextColumn("[bold cyan]decoding  [/]"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=len(job.files))
        few = len(job.files) <= FEW
        with contextlib.closing(in_order(job, starts, 0 if few else workers, name=str(job.root))) as answers:
            for first, answer in zip(starts, answers, strict=True):
                bar.advance(task, min(CHUNK, len(job.files) - first))
                yield first, answer
