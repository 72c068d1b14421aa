"""Directories that are whole or absent: checkpoints and predictors, as safetensors and JSON, nothing ever unpickled.

Files go to a temporary directory, each summed up while it is written and then synced; the manifest with their sizes
and checksums is written last; the directory is renamed into place and its parent synced. Reading verifies every sum.
Every call of the system that writes goes through this module's ``os``, so that tests can fail or kill it at any one.
"""

from __future__ import annotations

import contextlib
import errno
import json
import mmap
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
import xxhash
from safetensors import SafetensorError, safe_open
from torch import Tensor

from gradus.errors import UserError
from gradus.models.weight_files import SUM, sum_of

with contextlib.suppress(ImportError):  # Windows has none of it
    import fcntl

Tensors = dict[str, Tensor]
MANIFEST = "MANIFEST.json"
CHUNK = 1 << 22  # bytes that are written at a time
DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
    torch.uint64: "U64", torch.uint32: "U32", torch.uint16: "U16",
    torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2", torch.complex64: "C64",
}  # fmt: skip
"""The names that the safetensors format has for torch's types."""


def write_directory(path: Path, tensors: dict[str, Tensors], values: dict[str, Any]) -> int:
    """Write a directory of ``NAME.safetensors`` and ``NAME.json`` files, whole or not at all; gives its bytes.

    An older directory of the name is replaced, and is there until the new one is. The directory above must be there.

    Raises:
        OSError: where the disk refuses; what was written so far is removed.
    """
    partial, old = path.with_name(f".{path.name}.partial"), path.with_name(f".{path.name}.old")
    remove(partial)
    os.mkdir(partial)
    try:
        manifest: dict[str, dict[str, Any]] = {}
        for name, content in tensors.items():
            kept, aliases = distinct(content)
            manifest[f"{name}.safetensors"] = _write(partial / f"{name}.safetensors", _safetensors(kept, aliases))
        for name, value in values.items():
            manifest[f"{name}.json"] = _write(partial / f"{name}.json", [json.dumps(value, indent=1).encode()])
        _write(partial / MANIFEST, [json.dumps(manifest, indent=1).encode()])
        sync_directory(partial)
        remove(old)
        if path.exists():
            os.rename(path, old)
        os.rename(partial, path)
        sync_directory(path.parent)
        remove(old)
    except BaseException:
        with contextlib.suppress(OSError):
            if old.exists() and not path.exists():
                os.rename(old, path)
            remove(partial)
        raise
    return sum(int(entry["bytes"]) for entry in manifest.values())


def read_directory(path: Path) -> tuple[dict[str, Tensors], dict[str, Any]]:
    """The tensors and values of a directory that ``write_directory`` wrote, verified.

    Raises:
        UserError: naming the file that is missing or damaged.
    """
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        expected = {str(name): (int(entry["bytes"]), str(entry[SUM])) for name, entry in manifest.items()}
        found = {file.name for file in path.iterdir()} - {MANIFEST}
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        raise UserError(f"{path}: not a whole directory of gradus: its {MANIFEST} is missing or damaged.") from None
    if found != expected.keys():
        odd = sorted(found ^ expected.keys())[0]
        raise UserError(f"{path / odd}: missing, or not of this directory: its {MANIFEST} tells of other files.")
    tensors: dict[str, Tensors] = {}
    values: dict[str, Any] = {}
    for name, (size, digest) in expected.items():
        file = path / name
        try:
            if file.stat().st_size != size or sum_of(file) != digest:
                raise UserError(f"{file}: missing or damaged: it is not the file that was saved.")
            if file.suffix == ".safetensors":
                tensors[file.stem] = _load(file)
            else:
                values[file.stem] = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, SafetensorError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(f"{file}: can't be read: {error}.") from None
    return tensors, values


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file in one step; there is always a whole one."""
    partial = path.with_name(f".{path.name}.partial")
    _write(partial, [(json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode("utf-8", errors="replace")])
    os.rename(partial, path)
    sync_directory(path.parent)


def remove(directory: Path) -> None:
    """Remove a directory that holds only files, or a file that lies in its place; nothing where there is neither."""
    with contextlib.suppress(FileNotFoundError):
        try:
            names = os.listdir(directory)
        except NotADirectoryError:  # as a file system that lost its power may leave it
            os.unlink(directory)
            return
        for name in names:
            os.unlink(directory / name)
        os.rmdir(directory)


def discard(directory: Path) -> None:
    """Remove a directory that was whole: it is out of sight at once, not half there while its files go."""
    old = directory.with_name(f".{directory.name}.old")
    remove(old)
    os.rename(directory, old)
    remove(old)


def sweep(parent: Path) -> None:
    """Remove what a process that was killed while it wrote or discarded a directory left in the one above."""
    for left in (*parent.glob(".*.partial"), *parent.glob(".*.old")):
        remove(left)


def distinct(tensors: Tensors) -> tuple[Tensors, dict[str, str]]:
    """Each memory once, and the other names of those left out: tied weights stay tied."""
    first: dict[tuple[Any, ...], str] = {}
    kept: Tensors = {}
    aliases: dict[str, str] = {}
    for name, tensor in tensors.items():
        key = (tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype)
        if tensor.numel() and key in first:
            aliases[name] = first[key]
            continue
        first[key] = name
        kept[name] = tensor
    return kept, aliases


def _safetensors(tensors: Tensors, aliases: dict[str, str]) -> Iterator[bytes | memoryview]:
    """A file of the safetensors format, piece by piece: size of the header, header, the tensors' bytes.

    The wider types come first, so that each tensor lies at a multiple of its own width.
    """
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, Any] = {"__metadata__": {"aliases": json.dumps(aliases)}} if aliases else {}
    end = 0
    for name in names:
        tensor = tensors[name]
        begin, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    told = json.dumps(header).encode()
    told += b" " * (-len(told) % 8)
    yield len(told).to_bytes(8, "little") + told
    for name in names:
        if tensors[name].numel():
            plain = tensors[name].detach().cpu().contiguous().reshape(-1)
            yield plain.view(torch.uint8).numpy().data


def _write(path: Path, pieces: Iterable[bytes | memoryview]) -> dict[str, Any]:
    """Write a file and sync it; its size and sum, taken on the way."""
    digest, size = xxhash.xxh3_128(), 0
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666)
    try:
        for chunk in _chunks(pieces):
            digest.update(chunk)
            size += len(chunk)
            _past_the_cache(handle, len(chunk) == CHUNK)
            while len(chunk):
                try:
                    chunk = chunk[os.write(handle, chunk) :]
                except OSError as error:  # the rest of a chunk, or a file system that won't
                    if error.errno != errno.EINVAL or not _past_the_cache(handle, False):
                        raise
        os.fsync(handle)
    finally:
        os.close(handle)
    return {"bytes": size, SUM: digest.hexdigest()}


def _past_the_cache(handle: int, wanted: bool) -> bool:
    """Write to the disk directly, or not: of a large file it spares the processor a copy, and the cache what is in it.

    Gives whether anything was changed.
    """
    if not hasattr(os, "O_DIRECT"):
        return False
    flags = fcntl.fcntl(handle, fcntl.F_GETFL)
    if bool(flags & os.O_DIRECT) == wanted:
        return False
    with contextlib.suppress(OSError):  # a file system that has no such thing
        fcntl.fcntl(handle, fcntl.F_SETFL, flags ^ os.O_DIRECT)
        return True
    return False


def _chunks(pieces: Iterable[bytes | memoryview]) -> Iterator[memoryview]:
    """The same bytes in chunks, all but the last one full, each at the start of a memory page, as the disk wants it."""
    chunk = memoryview(mmap.mmap(-1, CHUNK))
    filled = 0
    for piece in pieces:
        rest = memoryview(piece)
        while len(rest):
            taken = min(len(rest), CHUNK - filled)
            chunk[filled : filled + taken] = rest[:taken]
            rest, filled = rest[taken:], filled + taken
            if filled == CHUNK:
                yield chunk
                filled = 0
    yield chunk[:filled]


def _load(file: Path) -> Tensors:
    with safe_open(file, framework="pt") as opened:
        # cloned into memory as torch aligns it: a dot product of a vector that lies otherwise can end in other bits
        loaded = {name: opened.get_tensor(name).clone() for name in opened.keys()}  # noqa: SIM118 - not a dict
        aliases = json.loads((opened.metadata() or {}).get("aliases", "{}"))
    return {**loaded, **{alias: loaded[name] for alias, name in aliases.items()}}


def sync_directory(path: Path) -> None:
    """Have the disk know which files are in a directory."""
    if os.name == "nt":  # Windows has no way to sync a directory
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
