"""Files of weights, read so that nothing in them can run: safetensors, torch.save's files, folders of either.

The kind is told by a file's first bytes, not by its name. A checksum is verified wherever the format has one, and
whatever can't be read is one line: which file, why, what to do.
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
import xxhash
from safetensors import safe_open
from torch import Tensor

from gradus.errors import UserError

SUM = "xxh3_128"  # the checksum in a manifest: it is against accidents, and costs a thirtieth of SHA-256
SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin")
_WHOLE = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
_AGAIN = 'Save the weights alone where they were made: safetensors.torch.save_model(model, "model.safetensors").'


def read_weights(path: Path) -> tuple[Path, Any, list[str]]:
    """What a file or folder of weights holds, on the CPU and, where the format allows it, not yet read from the disk.

    Args:
        path: a file, the index of a file in parts, a Hugging Face folder, or a run, predictor or checkpoint of Gradus.

    Returns:
        The file that was read, its content (a dict of tensors, or any nest with some in it), and what a person should
        know of the choice of the file.

    Raises:
        UserError: where there is nothing to read, it is damaged, or it would have to run code.
    """
    try:
        if not path.exists():
            raise UserError(f"{path}: no such file or folder.")
        if path.is_dir():
            file, notes = _file_in(path)
        else:
            file, notes = path, []
        return file, _read_parts(file) if file.name.endswith(".index.json") else _read_file(file), notes
    except OSError as error:
        raise UserError(f"{error.filename or path}: can't be read: {error.strerror or error}.") from None


def _file_in(folder: Path) -> tuple[Path, list[str]]:
    """The file of weights in a folder: its own, else a finished run's, else that of the newest whole checkpoint."""
    for place in (folder, folder / "predictor"):
        for name in _WHOLE:
            if (place / name).is_file():
                if fault := _fault(place / name):
                    raise UserError(fault)
                return place / name, []
    checkpoints = folder / "checkpoints" if (folder / "checkpoints").is_dir() else folder
    notes: list[str] = []
    for step in sorted((p for p in checkpoints.iterdir() if p.name.isdigit()), key=lambda p: -int(p.name)):
        if fault := _fault(step / _WHOLE[0]):
            notes.append(f"checkpoint {int(step.name)} passed over: {fault}")
            continue
        return step / _WHOLE[0], [*notes, f"the newest checkpoint's weights, after step {int(step.name):,}"]
    if notes:
        raise UserError(f"{folder}: no checkpoint that is whole: {notes[0]}")
    there = sorted(p.name for p in folder.iterdir() if p.suffix in SUFFIXES)
    hint = f"name one of its files: {', '.join(there)}" if there else f"a file of weights ends in {', '.join(SUFFIXES)}"
    raise UserError(f"{folder}: neither a run nor a folder with a {_WHOLE[0]}; {hint}.")


def _fault(file: Path) -> str:
    """What is wrong with a file of a directory that Gradus wrote; empty where nothing is, or another wrote it."""
    manifest = file.parent / "MANIFEST.json"
    if not file.is_file() or (file.parent.name.isdigit() and not manifest.is_file()):
        return f"{file.parent}: not whole: its {_WHOLE[0]} or {manifest.name} is missing."
    if manifest.is_file():
        found = sum_of(file)
        try:
            if json.loads(manifest.read_text(encoding="utf-8"))[file.name][SUM] == found:
                return ""
        except (ValueError, KeyError, TypeError):
            return f"{manifest}: damaged."
        return f"{file}: damaged: it is not the file that was saved."
    return ""


def sum_of(file: Path) -> str:
    """The checksum of a file."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, xxhash.xxh3_128).hexdigest()


def _read_parts(index: Path) -> dict[str, Any]:
    """The tensors that an index tells the files of, all in the index's folder."""
    try:
        places: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        files = sorted(set(places.values()))
        outside = [file for file in files if Path(file).name != file]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UserError(f"{index}: damaged: it doesn't tell which file each weight is in.") from None
    if outside:
        raise UserError(f"{index}: names a file outside its folder: {outside[0]}.")
    gone = [file for file in files if not (index.parent / file).is_file()]
    if gone:
        raise UserError(f"{index}: {len(gone)} of its {len(files)} parts aren't there: {', '.join(gone)}.")
    parts = {file: _read_file(index.parent / file) for file in files}
    for name, file in places.items():
        if not isinstance(parts[file], dict) or name not in parts[file]:
            raise UserError(f"{index.parent / file}: has no '{name}', which {index.name} says is in it.")
    return {name: parts[file][name] for name, file in places.items()}


def _read_file(file: Path) -> Any:
    with file.open("rb") as opened:
        begin = opened.read(48)
    if not begin:
        raise UserError(f"{file}: empty (0 bytes).")
    if begin.startswith(b"version https://git-lfs"):
        raise UserError(f"{file}: only a pointer to the weights, which git lfs pull fetches.")
    try:
        if begin[8:9] == b"{" or file.suffix == ".safetensors":
            return _safetensors(file)
        return _zipped(file) if begin.startswith(b"PK") else _pickled(file, mmap=False)
    except (UserError, OSError):
        raise
    except Exception as error:  # a damaged file can make its reader fail in any way
        reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        raise UserError(f"{file}: damaged, or not a file of weights: {reason.rstrip('.')}.") from None


def _safetensors(file: Path) -> dict[str, Tensor]:
    with safe_open(file, framework="pt") as opened:
        aliases = json.loads((opened.metadata() or {}).get("aliases", "{}"))  # other names of a tensor, by Gradus
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
    return {**tensors, **{alias: tensors[name] for alias, name in aliases.items()}}


def _zipped(file: Path) -> Any:
    """A file of torch.save since version 1.6, whose checksums torch itself doesn't look at."""
    with zipfile.ZipFile(file) as opened:
        entries = opened.infolist()
        if any(entry.filename.endswith("/constants.pkl") for entry in entries):
            raise UserError(f"{file}: a program of TorchScript, not weights. {_AGAIN}")
        if not any(entry.filename.endswith("data.pkl") for entry in entries):
            raise UserError(f"{file}: a zip archive, but not one that torch.save wrote.")
        for entry in entries:
            if entry.compress_type != zipfile.ZIP_STORED:
                raise UserError(f"{file}: compressed, which torch.save never does. Unpack it and name what is inside.")
            if entry.CRC:  # 0 where torch was told to leave the sums out
                with opened.open(entry) as content:
                    while content.read(1 << 20):
                        pass
    return _pickled(file, mmap=True)


def _pickled(file: Path, mmap: bool) -> Any:
    """What torch.save wrote, as far as tensors and plain values go; a pickle that needs more is refused."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of types of torch's own that it means to drop
            return torch.load(str(file), map_location="cpu", weights_only=True, mmap=mmap)
    except Exception as error:
        asked = torch.serialization.get_unsafe_globals_in_checkpoint(str(file)) if mmap else []
        asked = sorted(asked) or re.findall(r"GLOBAL ([\w.]+)", str(error))[:1]
        if asked:
            raise UserError(
                f"{file}: refused: it is a pickle that asks for {', '.join(asked)}, and whoever may ask for more than "
                f"tensors could run any code on this machine. {_AGAIN}"
            ) from None
        if isinstance(error, OSError):
            raise
        reason = str(error).partition("WeightsUnpickler error:")[2].strip() or str(error).strip() or "it ends too early"
        raise UserError(f"{file}: damaged, or not a file of weights: {reason.splitlines()[0].rstrip('.')}.") from None
