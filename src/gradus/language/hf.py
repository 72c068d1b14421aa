"""Models of Hugging Face's form, out and in: a directory that transformers loads, and one that it saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from gradus.data import Tokens
from gradus.errors import UserError
from gradus.language.families import fused, name_in, parted
from gradus.language.fresh import fresh
from gradus.language.hf_config import arguments_of, config_of
from gradus.models import GPT
from gradus.models.weight_files import read_weights

_TRANSPOSED = ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")
_NO_WEIGHTS = (".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq")  # masks and tables that old files hold


def save_hf(
    model: GPT, tokens: Tokens, directory: str | Path, *, dtype: torch.dtype = torch.float32, card: str = ""
) -> None:
    """Write a directory that ``transformers.AutoModelForCausalLM`` and ``AutoTokenizer`` load with no code of ours.

    Args:
        directory: must be absent or empty; it is there when all is written, or not at all.
        dtype: of the weights in the file.
        card: the text of README.md; none is written where it is empty.

    Raises:
        UserError: for a model or a tokenizer that transformers has no form for, or a directory that is taken.
    """
    config = config_of(model, tokens, str(dtype).removeprefix("torch."))
    weights = {name: tensor.to(dtype).contiguous() for name, tensor in _theirs(model).items()}
    with fresh(Path(directory), directory=True) as place:
        tokens.save_hf(place)
        _write(place / "config.json", config)
        _write(place / "generation_config.json", _generation(model, tokens))
        save_file(weights, place / "model.safetensors", {"format": "pt"})
        if card:
            (place / "README.md").write_text(card, encoding="utf-8")


def load_hf(directory: str | Path, *, dtype: torch.dtype = torch.float32) -> tuple[GPT, Tokens]:
    """A GPT and its tokenizer from a directory of Llama, Qwen2, Qwen3 or GPT-2, as transformers saves them.

    Args:
        dtype: of the weights in memory; the file's may be any other.

    Raises:
        UserError: naming what is missing, what doesn't fit, or the key of ``config.json`` that Gradus can't do.
    """
    directory = Path(directory)
    where = directory / "config.json"
    arguments = arguments_of(_read(where), where)
    tokens = Tokens.load_hf(directory)
    if tokens.size > arguments["num_tokens"]:
        raise UserError(
            f"{where}: vocab_size = {arguments['num_tokens']}, but the tokenizer beside it has {tokens.size} ids; they "
            "are of different models."
        )
    with torch.device("meta"):  # shapes alone: the numbers come from the file
        model = GPT(**arguments)
    file, found, _ = read_weights(directory)
    weights = _checked(found, _theirs(model), file)
    state = {ours: weights[theirs].to(dtype, copy=True) for ours, theirs in _pairs(model).items()}
    model.load_state_dict(parted(state, model), assign=True)
    if model.tie:
        model.head.weight = model.embed.weight
    model.turns = GPT(**{**arguments, "num_tokens": 1, "layers": 0}).turns  # computed, so in no file
    return model.eval(), tokens


def _pairs(model: GPT) -> dict[str, str]:
    """Each weight's name as ``fused`` has it, and transformers' name."""
    return {name: name_in("hf", name, plain=model.plain) for name in fused(model)}


def _theirs(model: GPT) -> dict[str, Tensor]:
    """The weights under transformers' names and in its shapes: those of GPT-2's maps stand as (inputs, outputs)."""
    ours = fused(model)
    return {theirs: _turned(theirs, ours[name]) for name, theirs in _pairs(model).items()}


def _turned(name: str, weight: Tensor) -> Tensor:
    return weight.T if name.endswith(_TRANSPOSED) else weight


def _checked(found: Any, expected: dict[str, Tensor], file: Path) -> dict[str, Tensor]:
    """The weights of a file in our shapes, where they are just those that the model has."""
    if not isinstance(found, dict) or not all(isinstance(tensor, Tensor) for tensor in found.values()):
        raise UserError(f"{file}: not weights by name, as transformers saves them.")
    start = next(iter(expected)).partition(".")[0] + "."  # "model." or "transformer.", which some files leave out
    bare = not any(name.startswith(start) for name in found)
    given = {start + name if bare and not name.startswith("lm_head") else name: t for name, t in found.items()}
    given = {name: tensor for name, tensor in given.items() if not name.endswith(_NO_WEIGHTS)}
    if "lm_head.weight" not in expected:
        given.pop("lm_head.weight", None)  # tied: a copy of the embedding
    for words, names in (
        ("has no", sorted(expected.keys() - given.keys())),
        ("has what the model of config.json has no place for:", sorted(given.keys() - expected.keys())),
    ):
        if names:
            others = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise UserError(f"{file}: {words} '{names[0]}'{others}; config.json and weights are of different models.")
    for name, tensor in expected.items():
        if given[name].shape != tensor.shape:
            shapes = f"{tuple(given[name].shape)}, but by config.json it is {tuple(tensor.shape)}"
            raise UserError(f"{file}: '{name}' is {shapes}.")
        if not given[name].is_floating_point() or given[name].element_size() == 1:
            raise UserError(f"{file}: '{name}' is of {given[name].dtype}: Gradus reads weights that aren't quantised.")
    return {name: _turned(name, given[name]) for name in expected}


def _generation(model: GPT, tokens: Tokens) -> dict[str, Any]:
    """How transformers is to write: to the same ends as Gradus, and never with the tokens that Gradus never writes."""
    unused = range(tokens.size, model.num_tokens)
    never = sorted({*tokens.specials.values(), *unused} - set(tokens.stop_ids))
    return {
        "bos_token_id": tokens.bos_id,
        "eos_token_id": list(tokens.stop_ids),
        "pad_token_id": tokens.pad_id,
        **({"suppress_tokens": never} if never else {}),
    }


def _read(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{file}: not there; a directory that transformers saved has one.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: can't be read: {error}.") from None
    if not isinstance(value, dict):
        raise UserError(f"{file}: not an object of keys and values.")
    return value


def _write(file: Path, value: dict[str, Any]) -> None:
    file.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
