"""Foreign weights, put into a model whole or not at all: every name that doesn't fit is told, none is left out unseen.

The copying is torch's own ``load_state_dict``; what is here finds the dict, the names, and puts the old weights back
where it doesn't come to an end.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gradus.errors import UserError
from gradus.models.weight_files import read_weights

WRAPPERS = ("module.", "_orig_mod.", "model.")  # of DataParallel, torch.compile and Lightning
Tensors = dict[str, Tensor]
Entry = tuple[str, ...]  # the keys that lead to a dict in a nest of dicts
ENTRIES = ("", "state_dict", "model_state_dict", "model", "module", "weights", "params", "net", "network")


@dataclass
class Loaded:
    """What ``load_weights`` came to. ``print`` shows it as a person reads it.

    Names are the model's; ``unexpected`` are names of the file, and ``ignored`` its entries that are no weights.
    ``misshapen`` tells both shapes, ``converted`` both dtypes, ``tied`` the weight that stands for one which the file
    has no copy of, ``nonfinite`` how many numbers of a weight are NaN or infinite, ``notes`` how the names were found.
    """

    source: str
    loaded: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    misshapen: dict[str, str] = field(default_factory=dict)
    tied: dict[str, str] = field(default_factory=dict)
    converted: dict[str, str] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    nonfinite: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def misfits(self) -> list[str]:
        """A phrase about each kind of name that doesn't fit, naming them all; empty where every one does."""
        unlike = [f"{name} is {words}" for name, words in self.misshapen.items()]
        kinds = (("missing", self.missing), ("unexpected", self.unexpected), ("unlike", unlike))
        return [f"{len(names)} {kind}: {', '.join(names)}" for kind, names in kinds if names]

    @property
    def remarks(self) -> list[str]:
        """What a person should know beside that the weights were loaded."""
        lines = [*self.notes, *self.misfits]
        for words in dict.fromkeys(self.converted.values()):
            lines.append(f"{list(self.converted.values()).count(words)} converted from {words}")
        if self.tied:
            lines.append("shared: " + ", ".join(f"{name} is {other}" for name, other in self.tied.items()))
        if self.ignored:
            lines.append(f"no weights, left out: {', '.join(self.ignored)}")
        if self.nonfinite:
            counts = ", ".join(f"{name} ({count:,})" for name, count in self.nonfinite.items())
            lines.append(f"warning: not finite after loading: {counts}")
        return lines

    def __str__(self) -> str:
        return "\n  ".join([f"{self.source}: {len(self.loaded)} tensors loaded", *self.remarks])


def load_weights(model: nn.Module, path: str | Path, *, partial: bool = False) -> Loaded:
    """Put the weights of a file into a model; whatever there is to know beside is printed to standard error.

    The model keeps its device and its dtypes. It is changed as a whole or not at all: its old weights stay in memory
    until the new ones are in.

    Args:
        path: ``.safetensors``, or ``.pth``, ``.pt``, ``.ckpt``, ``.bin`` of ``torch.save``; a Hugging Face folder or
            index of parts; a run, predictor or checkpoint of Gradus.
        partial: load what fits, and tell what doesn't, instead of refusing; something must fit.

    Returns:
        What was loaded and what wasn't, name by name.

    Raises:
        UserError: naming every weight that is missing, unexpected or of another shape; where the file is damaged;
            where it is a pickle that needs more than tensors and plain values.
    """
    mine = _own_tensors(model)
    file, content, notes = read_weights(Path(path))
    told, given = _find(file, content, mine)
    told.notes[:0] = notes
    told.misshapen = _misshapen(given, mine)
    told.misshapen |= _torn({name: tensor for name, tensor in given.items() if name not in told.misshapen}, mine)
    fitting = {name: tensor for name, tensor in given.items() if name not in told.misshapen}
    with _whole_or_not_at_all(model):
        _copy(model, fitting, mine, told)
        if told.misfits and not (partial and told.loaded):
            advice = "partial=True loads what fits" if told.loaded else "no name fits: is it another model's?"
            raise UserError(
                f"{told.source}: doesn't fit the model, which stays as it was: {'; '.join(told.misfits)}; {advice}."
            )
    now = model.state_dict()
    for name in (name for name in told.loaded if name in mine):
        if fitting[name].dtype != now[name].dtype:
            told.converted[name] = f"{_plain(fitting[name].dtype)} to {_plain(now[name].dtype)}"
        if count := _nonfinite(now[name]):
            told.nonfinite[name] = count
    if told.remarks:
        print(told, file=sys.stderr)
    return told


def _copy(model: nn.Module, tensors: Tensors, mine: Tensors, told: Loaded) -> None:
    """Copy tensors into the model by torch's own rules, and note what came of each name."""
    try:
        missing, unexpected = model.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise UserError(f"{told.source}: can't be copied into the model, which stays as it was: {reason}") from None
    told.unexpected = list(unexpected)
    told.loaded = [name for name in tensors if name not in unexpected]
    missing = [name for name in missing if name not in told.misshapen]
    told.tied = _tied(missing, told.loaded, mine)
    told.missing = [name for name in missing if name not in told.tied]


def _own_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The model's tensors by name, in its own memory."""
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if nn.parameter.is_lazy(tensor):
            raise UserError(f"the model's '{name}' has no shape yet: call the model with a batch first.")
        if tensor.is_meta:
            raise UserError(f"the model's '{name}' has no memory yet: model.to_empty(device='cpu') gives it some.")
    return {name: t for name, t in model.state_dict().items() if isinstance(t, Tensor)}


def _find(file: Path, content: Any, mine: Collection[str]) -> tuple[Loaded, Tensors]:
    """The dict of tensors whose names fit best, under the model's names."""
    found = dict(_dicts(content))
    if not found:
        held = f"a {type(content).__name__}"
        if isinstance(content, dict):
            held = f"it holds {', '.join(map(str, content)) or 'nothing'}"
        raise UserError(f"{file}: no dict of tensors by name in it: {held}.")
    renamed = {entry: _renamed(tensors, mine) for entry, tensors in found.items()}
    fits = {entry: len(tensors.keys() & mine) for entry, (tensors, _) in renamed.items()}
    rank = {entry: ENTRIES.index(".".join(entry)) if ".".join(entry) in ENTRIES else len(ENTRIES) for entry in found}
    best = min(found, key=lambda entry: (-fits[entry], rank[entry]))
    told = Loaded(f"{file}, entry '{'.'.join(best)}'" if best else str(file), ignored=_others(content, best))
    rivals = [f"'{'.'.join(entry)}'" for entry in found if entry != best and fits[entry] == fits[best] > 0]
    if rivals:
        told.notes.append(f"{' and '.join(rivals)} of the file would have fitted as well")
    tensors, words = renamed[best]
    told.notes += [words] if words else []
    return told, tensors


def _dicts(content: Any, entry: Entry = ()) -> Iterator[tuple[Entry, Tensors]]:
    """The tensors of every dict in a nest of dicts, by the keys that lead to it."""
    if not isinstance(content, dict) or len(entry) > 3:
        return
    tensors = {k: v.detach() for k, v in content.items() if isinstance(k, str) and isinstance(v, Tensor)}
    if tensors:
        yield entry, tensors
    for key, value in content.items():
        if isinstance(key, str):
            yield from _dicts(value, (*entry, key))


def _others(content: Any, entry: Entry) -> list[str]:
    """What else stands on the way to an entry, and in it beside tensors."""
    if not entry:
        return [str(key) for key, value in content.items() if not isinstance(value, Tensor)]
    return [*(str(key) for key in content if key != entry[0]), *_others(content[entry[0]], entry[1:])]


def _renamed(tensors: Tensors, mine: Collection[str]) -> tuple[Tensors, str]:
    """The tensors under the model's names, and a phrase where a wrapper's prefix had to go or to come for that."""
    best, words, most = tensors, "", len(tensors.keys() & mine)
    for gone in _prefixes(tensors):
        for new in _prefixes(mine):
            names = {name: new + name.removeprefix(gone) if name.startswith(gone) else name for name in tensors}
            count = len(set(names.values()) & set(mine))
            if count > most and len(set(names.values())) == len(names):
                best, most = {names[name]: tensor for name, tensor in tensors.items()}, count
                taken = f"'{gone}' taken away from the names" if gone else ""
                words = " and ".join(filter(None, (taken, f"'{new}' put before the names" if new else "")))
    return best, words


def _prefixes(names: Collection[str]) -> list[str]:
    """What may stand before names: nothing, wrappers in any order, and what all the names begin with."""
    found = [""]
    for prefix in found:  # which grows meanwhile
        found += [prefix + w for w in WRAPPERS if any(name.startswith(prefix + w) for name in names)]
    first, last = min(names, default=""), max(names, default="")  # what these two share, all share
    for place, letter in enumerate(first):
        if last[place : place + 1] != letter:
            break
        if letter == ".":
            found.append(first[: place + 1])
    return list(dict.fromkeys(found))


def _misshapen(tensors: Tensors, mine: Tensors) -> dict[str, str]:
    """What keeps tensors from being copied to those of their names: their shape, or a kind that doesn't convert."""
    words: dict[str, str] = {}
    for name in (name for name in mine if name in tensors):
        given, own = tensors[name], mine[name]
        if given.shape != own.shape:
            words[name] = f"{_shape(given)} in the file and {_shape(own)} in the model"
        elif given.is_meta:
            words[name] = "a shape without numbers in the file"
        elif (given.is_complex() and not own.is_complex()) or given.is_quantized or given.layout != own.layout:
            kind = f"{_plain(given.dtype)}, {_plain(given.layout)}"
            words[name] = f"{kind} in the file and {_plain(own.dtype)}, {_plain(own.layout)} in the model"
    return words


def _tied(names: list[str], loaded: list[str], mine: Tensors) -> dict[str, str]:
    """Those of some names that share the memory of a weight that was loaded, with its name."""
    places = {_place(mine[name]): name for name in loaded if name in mine and mine[name].numel()}
    return {name: places[_place(mine[name])] for name in names if name in mine and _place(mine[name]) in places}


def _torn(tensors: Tensors, mine: Tensors) -> dict[str, str]:
    """Weights that are one in the model, and differ in the file, so that only one of them can be had."""
    first: dict[tuple[Any, ...], str] = {}
    torn: dict[str, str] = {}
    for name in (name for name in mine if name in tensors and mine[name].numel()):
        other = first.setdefault(_place(mine[name]), name)
        if other != name and not torch.equal(tensors[name].to(mine[name].dtype), tensors[other].to(mine[name].dtype)):
            torn[name] = f"the same weight as {other} in the model, and another in the file"
    return torn


def _place(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.device, tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype


@contextlib.contextmanager
def _whole_or_not_at_all(model: nn.Module) -> Iterator[None]:
    """Within it the model may be changed; where it isn't left in peace, every tensor gets its old numbers back."""
    before = [(tensor, tensor.detach().clone()) for tensor in (*model.parameters(), *model.buffers())]
    try:
        yield
    except BaseException:
        with torch.no_grad():
            for tensor, old in before:
                with contextlib.suppress(RuntimeError):  # one that can't be written to wasn't
                    tensor.copy_(old)
        raise


def _nonfinite(tensor: Tensor) -> int:
    """How many numbers of a tensor are NaN or infinite."""
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return 0
    if tensor.is_floating_point() and tensor.element_size() == 1:  # the 8-bit kinds can't be asked
        tensor = tensor.float()
    return tensor.numel() - int(torch.isfinite(tensor).sum())


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "one number"


def _plain(word: torch.dtype | torch.layout) -> str:
    return str(word).removeprefix("torch.")
