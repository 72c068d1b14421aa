"""The data sets that are known by name: where each is looked for, and how its files are read."""

from __future__ import annotations

import math
import os
import struct
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from gradus.data.augment import Augmentation
from gradus.data.cache import cache_directory
from gradus.data.catalogue import CATALOGUE
from gradus.data.dataset import Dataset, MemoryDataset
from gradus.data.download import fetch
from gradus.data.read import read_bytes, unzipped
from gradus.data.sources import arrays
from gradus.errors import UserError

CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR_ARCHIVE, CIFAR_FOLDER = "cifar-10-binary.tar.gz", "cifar-10-batches-bin"
CIFAR_TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
CIFAR_TEST = "test_batch.bin"
CIFAR_RECORD = 1 + 3 * 32 * 32  # bytes: the class, then red, green and blue, each row by row
LARGEST_BATCH = 10_000 * CIFAR_RECORD  # bytes; an archive that claims more isn't CIFAR-10
LARGEST_ARCHIVE = 400_000_000  # bytes unpacked; CIFAR-10 has 184 million


def digits(*, valid: float = 0.1, test: float = 0.2, seed: int = 0, augment: Sequence[Augmentation] = ()) -> Dataset:
    """scikit-learn's 1,797 scans of handwritten digits, 8×8, 0 to 16: real data that needs no download."""
    from sklearn.datasets import load_digits

    scans = load_digits()
    return arrays(
        scans.images[:, None].astype(np.uint8),
        scans.target,
        valid=valid,
        test=test,
        seed=seed,
        scale=16.0,
        augment=augment,
        name="digits",
        labels=[str(d) for d in range(10)],
    )


def mnist(
    path: str | Path | None = None, *, valid: float = 0.1, seed: int = 0, augment: Sequence[Augmentation] = ()
) -> MemoryDataset:
    """MNIST from its four IDX files: 60,000 digits to train and validate on, 10,000 to test, 28×28.

    Args:
        path: the directory that holds them; None looks where ``find`` does, and downloads them at last.
        valid: the fraction of the 60,000 that is kept for validation.
    """
    return _idx_set("mnist", path, [str(d) for d in range(10)], valid, seed, augment)


def fashion(
    path: str | Path | None = None, *, valid: float = 0.1, seed: int = 0, augment: Sequence[Augmentation] = ()
) -> MemoryDataset:
    """Fashion-MNIST from its four IDX files: pictures of clothes in the layout of MNIST, which is harder to learn.

    Args:
        path: the directory that holds them; None looks where ``find`` does, and downloads them at last.
        valid: the fraction of the 60,000 that is kept for validation.
    """
    return _idx_set("fashion", path, CLOTHES, valid, seed, augment)


def cifar10(
    path: str | Path | None = None, *, valid: float = 0.1, seed: int = 0, augment: Sequence[Augmentation] = ()
) -> MemoryDataset:
    """CIFAR-10's binary version: 50,000 pictures to train and validate on, 10,000 to test, 3×32×32, ten classes.

    Args:
        path: ``cifar-10-binary.tar.gz``, which is read in place, or a directory that holds it or its six files;
            None looks where ``find`` does, and downloads it at last.
        valid: the fraction of the 50,000 that is kept for validation.

    Raises:
        UserError: where a file is missing, cut short or something else.
    """
    place = (
        Path(path) if path is not None else find("cifar10", None, f"{CIFAR_ARCHIVE}|{CIFAR_FOLDER}|{CIFAR_TRAIN[0]}")
    )
    batches = _cifar_batches(place)
    parts = [_cifar_pictures(batches[name], f"{place}: {name}") for name in CIFAR_TRAIN]
    train = np.concatenate([pictures for pictures, _ in parts]), np.concatenate([classes for _, classes in parts])
    test = _cifar_pictures(batches[CIFAR_TEST], f"{place}: {CIFAR_TEST}")
    return arrays(*train, valid=valid, test=test, seed=seed, augment=augment, name="cifar10", labels=CIFAR10)


def find(name: str, path: str | Path | None, *needed: str) -> Path:
    """The directory of a known data set: the path given; else ``$GRADUS_DATA/name``, ``data/name`` or the cache's.

    A set that is in none of them but in the catalogue is downloaded into the cache; with a path given, never.

    Args:
        needed: how the names of the files begin that must be there; ``a|b`` where one of two will do.

    Raises:
        UserError: naming every place that was looked at, and what to put where.
    """
    wanted = ", ".join(f"{beginning.replace('|', ' or ')}…" for beginning in needed)
    if path is not None:
        if _holds(Path(path), needed):
            return Path(path)
        if not Path(path).exists():
            raise UserError(f"{path}: no such directory. Give the directory that holds {wanted} with --data.")
        raise UserError(f"{name}: {wanted} not found in {path}. Name the directory that holds the files with --data.")
    roots = [Path(os.environ["GRADUS_DATA"])] if os.environ.get("GRADUS_DATA") else []
    kept = cache_directory() / "data" / name
    places = [*(root / name for root in (*roots, Path("data"))), kept]
    for place in places:
        if _holds(place, needed):
            return place
    looked = ", ".join(str(place) for place in places)
    if name not in CATALOGUE:
        raise UserError(
            f"{name}: {wanted} not found in {looked}. Put the data set's files in a directory and name it "
            f"with --data, or set GRADUS_DATA to the directory above '{name}'."
        )
    known = CATALOGUE[name]
    try:
        fetch(known.files, kept, terms=f"{known.licence}; see {known.home}")
    except UserError as fault:
        raise UserError(f"{name}: not found in {looked}. {fault}") from None
    return kept


def find_file(name: str, file: str, path: str | Path | None) -> Path:
    """A known data set's one file: the path given, where it is a file, else the file in a directory found by ``find``.

    Args:
        file: its name; the same file gzipped, or not gzipped, will do as well.

    Raises:
        UserError: naming every place that was looked at.
    """
    if path is not None and not Path(path).is_dir():
        return Path(path)  # reading it tells what is wrong with it
    plain = file.removesuffix(".gz")
    folder = find(name, path, plain)
    return next((folder / near for near in (file, plain, f"{plain}.gz") if (folder / near).exists()), folder / file)


def read_idx(path: str | Path) -> np.ndarray:
    """An IDX file (also gzipped) as an array, the format of MNIST's home page (LeCun, Cortes and Burges).

    Raises:
        UserError: for a file that isn't one or is cut short.
    """
    path = Path(path)
    content = unzipped(path, read_bytes(path))
    types = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
    if len(content) < 4 or content[:2] != b"\x00\x00" or content[2] not in types:
        raise UserError(f"{path}: not an IDX file (it starts with {content[:4].hex()}, not 0000 and a type).")
    rank = content[3]
    if len(content) < 4 + 4 * rank:
        raise UserError(f"{path}: an IDX file cut short within its header. Fetch or copy it again.")
    shape = struct.unpack(f">{rank}I", content[4 : 4 + 4 * rank])
    dtype = np.dtype(types[content[2]])
    expected = 4 + 4 * rank + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise UserError(f"{path}: {len(content):,} bytes where its header tells {expected:,}. Fetch or copy it again.")
    values = np.frombuffer(content, dtype, offset=4 + 4 * rank).reshape(shape)
    return values.astype(dtype.newbyteorder("="))


def _holds(directory: Path, needed: Sequence[str]) -> bool:
    """Whether it has, for each of these beginnings of names, a file or directory that is no unfinished download."""
    return directory.is_dir() and all(
        any(near.suffix != ".part" for one in beginning.split("|") for near in directory.glob(f"{one}*"))
        for beginning in needed
    )


def _idx_set(
    name: str,
    path: str | Path | None,
    labels: Sequence[str],
    valid: float,
    seed: int,
    augment: Sequence[Augmentation],
) -> MemoryDataset:
    needed = ("train-images", "train-labels", "t10k-images", "t10k-labels")
    folder = find(name, path, *needed[: None if path is None else 1])  # of a directory given, the reader tells more
    train, test = (
        (_idx_of(folder, f"{part}-images-idx3-ubyte"), _idx_of(folder, f"{part}-labels-idx1-ubyte"))
        for part in ("train", "t10k")
    )
    return arrays(*train, valid=valid, test=test, seed=seed, augment=augment, name=name, labels=labels)


def _idx_of(folder: Path, stem: str) -> np.ndarray:
    for name in (f"{stem}.gz", stem, stem.replace("-idx", ".idx")):
        if (folder / name).exists():
            return read_idx(folder / name)
    raise UserError(f"{folder / stem}.gz: no such file. The set's four IDX files belong into one directory.")


def _cifar_batches(place: Path) -> dict[str, bytes]:
    """The six files of CIFAR-10 by name, from the archive or from the directory that it unpacks to."""
    for folder in (place, place / CIFAR_FOLDER):
        if (folder / CIFAR_TRAIN[0]).exists():
            return {name: read_bytes(folder / name) for name in (*CIFAR_TRAIN, CIFAR_TEST)}
    archive = place / CIFAR_ARCHIVE if place.is_dir() else place
    if place.is_dir() and not archive.exists():
        raise UserError(
            f"{place}: holds neither {CIFAR_ARCHIVE} nor {CIFAR_TRAIN[0]}. Give the binary version of CIFAR-10; "
            "the Python version is pickled, which could run any code, and isn't read."
        )
    return _members(archive, (*CIFAR_TRAIN, CIFAR_TEST), LARGEST_BATCH)


def _members(archive: Path, names: Sequence[str], largest: int) -> dict[str, bytes]:
    """Files of a tar archive by their last names, read where they lie; nothing is unpacked to the disk.

    Raises:
        UserError: where it is damaged, lacks one, has one beyond ``largest`` bytes or a name that leads out of it.
    """
    if not archive.is_file():
        read_bytes(archive)  # which tells what is wrong
    found: dict[str, bytes] = {}
    total = 0
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                where = PurePosixPath(member.name)
                if where.is_absolute() or ".." in where.parts:
                    raise UserError(
                        f"{archive}: '{member.name}' leads out of the archive. Fetch it again from its home."
                    )
                total += member.size
                wanted = member.isreg() and where.name in names
                if total > LARGEST_ARCHIVE or (wanted and member.size > largest):
                    raise UserError(f"{archive}: '{member.name}' makes it far larger than it should be; not read.")
                if wanted:
                    content = tar.extractfile(member)
                    found[where.name] = content.read() if content is not None else b""
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{archive}: the archive is cut short or damaged ({reason}). Fetch or copy it again.") from None
    for name in names:
        if name not in found:
            raise UserError(f"{archive}: has no {name}. Give the whole archive of the binary version.")
    return found


def _cifar_pictures(content: bytes, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Bytes (records, channels, height, width) and classes (records,) of one ``.bin`` file."""
    if not content or len(content) % CIFAR_RECORD:
        raise UserError(
            f"{what}: {len(content):,} bytes, which isn't a whole number of records of {CIFAR_RECORD:,}. "
            "Fetch or copy it again."
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, CIFAR_RECORD)
    classes = records[:, 0].astype(np.int64)
    if classes.max() >= len(CIFAR10):
        number = int(np.argmax(classes >= len(CIFAR10)))
        raise UserError(f"{what}, record {number + 1}: a class of {classes[number]}, where CIFAR-10 has 0 to 9.")
    return records[:, 1:].reshape(-1, 3, 32, 32), classes
