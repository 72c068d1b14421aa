"""Directories that are whole or absent: checkpoints and predictors, as safetensors and JSON, nothing ever unpickled.

Files go to a temporary directory and are synced; the manifest with their sizes and SHA-256 sums is written last; the
directory is renamed into place and its parent synced. Reading verifies every sum.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from gradus.errors import UserError
from gradus.training.state import Tensors, TrainState

MANIFEST = "MANIFEST.json"


def write_directory(path: Path, tensors: dict[str, Tensors], values: dict[str, Any]) -> int:
    """Write a directory of ``NAME.safetensors`` and ``NAME.json`` files, whole or not at all; gives its bytes.

    An older directory of the name is replaced, and is there until the new one is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        for name, content in tensors.items():
            kept, aliases = _distinct(content)
            _save(kept, partial / f"{name}.safetensors", {"aliases": json.dumps(aliases)} if aliases else None)
        for name, value in values.items():
            (partial / f"{name}.json").write_text(json.dumps(value, indent=1), encoding="utf-8")
        manifest: dict[str, dict[str, Any]] = {}
        for file in sorted(partial.iterdir()):
            _sync(file)
            manifest[file.name] = {"bytes": file.stat().st_size, "sha256": _sha256(file)}
        (partial / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        _sync(partial / MANIFEST)
        _sync(partial)
        if path.exists():
            old = path.with_name(f".{path.name}.old")
            shutil.rmtree(old, ignore_errors=True)
            path.rename(old)
            partial.rename(path)
            shutil.rmtree(old, ignore_errors=True)
        else:
            partial.rename(path)
        _sync(path.parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return sum(int(entry["bytes"]) for entry in manifest.values())


def read_directory(path: Path) -> tuple[dict[str, Tensors], dict[str, Any]]:
    """The tensors and values of a directory that ``write_directory`` wrote, verified.

    Raises:
        UserError: naming the file that is missing or damaged.
    """
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UserError(f"{path}: not a whole directory of gradus: its {MANIFEST} is missing or damaged.") from None
    tensors: dict[str, Tensors] = {}
    values: dict[str, Any] = {}
    for name, entry in manifest.items():
        file = path / name
        if not file.is_file() or file.stat().st_size != entry["bytes"] or _sha256(file) != entry["sha256"]:
            raise UserError(f"{file}: missing or damaged: it is not the file that was saved.")
        if file.suffix == ".safetensors":
            tensors[file.stem] = _load(file)
        else:
            values[file.stem] = json.loads(file.read_text(encoding="utf-8"))
    return tensors, values


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file in one step; there is always a whole one."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    _sync(partial)
    partial.replace(path)
    _sync(path.parent)


def save(directory: Path, state: TrainState, *, keep: int = 2) -> int:
    """Write the state as ``directory/STEP`` and remove all but the newest ``keep``; gives its bytes."""
    tensors, value = state.save_to()
    size = write_directory(directory / f"{state.step:08d}", tensors, {"state": value})
    for old in steps(directory)[:-keep]:
        shutil.rmtree(directory / f"{old:08d}", ignore_errors=True)
    for left in directory.glob(".*.partial"):  # by a process that was killed while it saved
        shutil.rmtree(left, ignore_errors=True)
    return size


def load_newest(directory: Path, state: TrainState) -> list[str]:
    """Restore the newest checkpoint that verifies; gives a line about each newer one that didn't.

    Raises:
        UserError: where none verifies.
    """
    passed_over: list[str] = []
    for step in reversed(steps(directory)):
        try:
            tensors, values = read_directory(directory / f"{step:08d}")
        except UserError as error:
            passed_over.append(f"checkpoint {step} passed over: {error}")
            continue
        state.load_from(tensors, values["state"])
        return passed_over
    raise UserError(f"{directory}: no checkpoint that is whole{': ' + passed_over[0] if passed_over else ''}.")


def steps(directory: Path) -> list[int]:
    """The steps of which there are checkpoints, rising."""
    if not directory.is_dir():
        return []
    return sorted(int(p.name) for p in directory.iterdir() if p.name.isdigit())


def size_of(state: TrainState) -> int:
    """About how many bytes a checkpoint takes: weights, two moments of each, an average, the best."""
    weights: int = sum(t.numel() * t.element_size() for t in state.model.state_dict().values())
    return weights * (3 + (state.average is not None) + 1)


def _save(tensors: Tensors, file: Path, metadata: dict[str, str] | None) -> None:
    try:
        save_file(tensors, file, metadata)
    except SafetensorError as error:  # it hides the system's error in its words
        number = re.search(r"os error (\d+)", str(error))
        raise OSError(int(number[1]), os.strerror(int(number[1]))) if number else error from None


def _load(file: Path) -> Tensors:
    from safetensors import safe_open

    # cloned into memory as torch aligns it: a dot product of a vector that lies otherwise can end in other bits
    loaded = {name: tensor.clone() for name, tensor in load_file(file).items()}
    with safe_open(file, framework="pt") as opened:
        aliases = json.loads((opened.metadata() or {}).get("aliases", "{}"))
    return {**loaded, **{alias: loaded[name] for alias, name in aliases.items()}}


def _distinct(tensors: Tensors) -> tuple[Tensors, dict[str, str]]:
    """Tensors as safetensors takes them, contiguous and each memory once, and the other names of those left out."""
    first: dict[tuple[Any, ...], str] = {}
    kept: Tensors = {}
    aliases: dict[str, str] = {}
    for name, tensor in tensors.items():
        key = (tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype)
        if tensor.numel() and key in first:
            aliases[name] = first[key]
            continue
        first[key] = name
        kept[name] = tensor.detach().contiguous()
    return {name: _own(t) for name, t in kept.items()}, aliases


def _own(tensor: Tensor) -> Tensor:
    """The tensor in memory of its own: safetensors refuses a part of a larger storage."""
    whole = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
    return tensor if whole else tensor.clone(memory_format=torch.contiguous_format)


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _sync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():  # Windows has no way to sync a directory
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)  # Windows syncs only what may be written
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
