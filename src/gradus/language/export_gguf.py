"""A language model as one GGUF file, for llama.cpp, Ollama and LM Studio: weights, tokenizer and chat template."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gradus.data import Tokens
from gradus.data.chat_template import TEMPLATE
from gradus.errors import UserError
from gradus.language.families import family_of, fused, name_in
from gradus.language.fresh import fresh
from gradus.models import GPT
from gradus.models.attention import rotary

TYPES = ("f32", "f16", "bf16", "q8_0")
BLOCK = 32  # numbers that share a scale in q8_0
_CASES = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_CUTS = {
    "gpt-2": ("bytes, by their own cuts",),
    "smollm": ("digits one by one", "bytes, by their own cuts"),
    "qwen2": (_CASES + r"\p{N}" + _REST, "bytes"),
    "llama-bpe": (_CASES + r"\p{N}{1,3}" + _REST, "bytes"),
}
"""How each pre-tokenizer that llama.cpp has by name cuts a text, in the words of ``_cuts``."""


def save_gguf(model: GPT, tokens: Tokens, file: str | Path, *, kind: str = "f16", name: str = "") -> list[str]:
    """Write a GGUF file, whole or not at all, and give what a person should know of it, a sentence each.

    Args:
        kind: of the matrices' numbers: f32, f16, bf16 or q8_0 (8 bits and a scale for each 32). Vectors stay f32, and
            of q8_0 a matrix whose rows aren't a multiple of 32 becomes f16.
        name: of the model, as other programs show it.

    Raises:
        UserError: where the ``gguf`` package is missing, a file is there already, or llama.cpp has no such model.
    """
    gguf = _gguf()
    if kind not in TYPES:
        raise UserError(f"no type '{kind}' of GGUF: give {', '.join(TYPES)}.")
    family = family_of(model)
    if family == "qwen2" and model.heads * model.head_width != model.width:
        raise UserError(
            f"llama.cpp's qwen2 has heads of width / heads; this model has head_width={model.head_width} at heads="
            f"{model.heads} and width={model.width}. Export with --to hf."
        )
    vocabulary, notes = _vocabulary(tokens)
    with fresh(Path(file)) as place:
        writer = gguf.GGUFWriter(place, family)
        writer.add_name(name or Path(file).stem)
        writer.add_file_type(gguf.LlamaFileType["ALL_F32" if kind == "f32" else f"MOSTLY_{kind.upper()}"])
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        _add_shape(writer, gguf, model)
        _add_tokenizer(writer, gguf, tokens, vocabulary, model.num_tokens)
        if (factors := _slower(family, model)) is not None:
            writer.add_tensor("rope_freqs.weight", factors)
        plainer = 0
        for ours, tensor in fused(model).items():
            wanted = _kind_of(ours, tensor, kind)
            plainer += tensor.ndim > 1 and wanted == "f16" != kind
            stored = gguf.GGMLQuantizationType[wanted.upper()]
            values = gguf.quantize(_numbers(family, ours, tensor, model), stored)
            writer.add_tensor(name_in("gguf", ours, plain=model.plain), values, raw_dtype=stored)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    if plainer:
        notes.append(f"{plainer} matrices are f16: their rows are no multiple of {BLOCK} numbers, as q8_0 asks for")
    if model.plain and not model.gelu_by_tanh:
        notes.append("llama.cpp approximates GELU by tanh, and this model doesn't: its answers may differ a little")
    return notes


def _gguf() -> ModuleType:
    try:
        import gguf
    except ImportError:
        raise UserError(
            "gguf isn't installed, which writes GGUF files. Install it: pip install 'gradus[export]'."
        ) from None
    return gguf


def _kind_of(name: str, tensor: Tensor, kind: str) -> str:
    if tensor.ndim == 1 or name == "places.weight":
        return "f32"
    return "f16" if kind == "q8_0" and tensor.shape[1] % BLOCK else kind


def _numbers(family: str, name: str, tensor: Tensor, model: GPT) -> np.ndarray:
    """A weight as float32, as llama.cpp's own code for its family reads it."""
    tensor = tensor.detach().to("cpu", torch.float32)
    if family == "llama":  # whose places turn neighbours there, not the halves of a head
        heads = {"queries": model.heads, "keys": model.kv_heads}.get(name.split(".")[-2])
        if heads is not None:
            tensor = tensor.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2)
    return np.ascontiguousarray(tensor.numpy())


def _add_shape(writer: Any, gguf: ModuleType, model: GPT) -> None:
    writer.add_context_length(model.max_length)
    writer.add_embedding_length(model.width)
    writer.add_block_count(model.layers)
    writer.add_feed_forward_length(model.hidden)
    writer.add_head_count(model.heads)
    writer.add_vocab_size(model.num_tokens)
    if model.plain:
        writer.add_layer_norm_eps(model.epsilon)
        return
    writer.add_head_count_kv(model.kv_heads)
    writer.add_key_length(model.head_width)
    writer.add_value_length(model.head_width)
    writer.add_layer_norm_rms_eps(model.epsilon)
    writer.add_rope_freq_base(model.theta)
    writer.add_rope_dimension_count(model.head_width)
    if model.stretch is not None and len(model.stretch) == 1:
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(model.stretch[0])


def _slower(family: str, model: GPT) -> np.ndarray | None:
    """How many times slower each pair of features turns for Llama 3's stretch, (d / 2,); None where there is none."""
    if model.stretch is None or len(model.stretch) == 1:
        return None
    if family != "llama":
        raise UserError(
            f"llama.cpp stretches the places of llama as Llama 3 does, not those of {family}. Export with --to hf."
        )
    exact = torch.empty(0, dtype=torch.float64)
    plain, stretched = (rotary(1, 1, model.head_width, exact, model.theta, s) for s in (None, model.stretch))
    angles = [torch.atan2(sin, cos) for cos, sin in (plain[:, 0], stretched[:, 0])]  # by which place 1 is turned
    return np.asarray((angles[0] / angles[1]).float().numpy())


def _vocabulary(tokens: Tokens) -> tuple[dict[str, Any], list[str]]:
    """A byte-level BPE as the ``tokenizers`` library's JSON has it, and where llama.cpp will differ from it."""
    spec: dict[str, Any] = json.loads(tokens.bpe or "{}")
    if not spec or spec["model"]["type"] != "BPE" or not _cuts(spec["pre_tokenizer"])[-1].startswith("bytes"):
        raise UserError(
            f"{tokens.describe()}: a GGUF file holds byte-level BPE, as the tokenizers bpe and chat are. "
            "Export with --to hf, or train with another tokenizer."
        )
    notes = []
    if pre_tokenizer(spec) is None:
        notes.append(
            "llama.cpp has no cut of texts like this tokenizer's; qwen2's is named, and some tokens will differ"
        )
    if spec["normalizer"] is not None or tokens.tokenizer == "bpe":
        notes.append("llama.cpp reads texts as they are, and this tokenizer composes letters and accents first (NFC)")
    if tokens.lower:
        notes.append("llama.cpp reads texts as they are, and this tokenizer lower-cases them first")
    return spec, notes


def pre_tokenizer(spec: dict[str, Any]) -> str | None:
    """The name under which llama.cpp cuts texts as a ``tokenizer.json`` does; None where it has none."""
    cuts = _cuts(spec["pre_tokenizer"])
    return next((name for name, known in _CUTS.items() if known == cuts), None)


def _cuts(spec: dict[str, Any] | None) -> tuple[str, ...]:
    """A pre-tokenizer as what it cuts by, step by step."""
    if spec is None:
        return ("nothing",)
    if spec["type"] == "Sequence":
        return tuple(cut for part in spec["pretokenizers"] for cut in _cuts(part))
    if spec["type"] == "ByteLevel" and not spec["add_prefix_space"]:
        return ("bytes, by their own cuts" if spec.get("use_regex", True) else "bytes",)
    if spec["type"] == "Digits" and spec["individual_digits"]:
        return ("digits one by one",)
    if spec["type"] == "Split" and spec["behavior"] == "Isolated" and not spec["invert"] and "Regex" in spec["pattern"]:
        return (spec["pattern"]["Regex"],)
    return (json.dumps(spec),)


def _add_tokenizer(writer: Any, gguf: ModuleType, tokens: Tokens, spec: dict[str, Any], size: int) -> None:
    """Tokens, merges, special tokens and chat template; ids that no token has are filled up to the model's."""
    kinds = gguf.TokenType
    words = [f"<unused {i}>" for i in range(size)]
    types = [kinds.UNUSED] * size
    for word, i in spec["model"]["vocab"].items():
        words[i], types[i] = word, kinds.NORMAL
    for added in spec["added_tokens"]:
        words[added["id"]] = added["content"]
        types[added["id"]] = kinds.CONTROL if added["special"] else kinds.USER_DEFINED
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre_tokenizer(spec) or "qwen2")
    writer.add_token_list(words)
    writer.add_token_types(types)
    merges = spec["model"]["merges"]
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    first = () if tokens.template == TEMPLATE else tokens.begin_ids  # a conversation of ours begins with its first mark
    begin = first[0] if first else tokens.bos_id
    if begin is not None:
        writer.add_bos_token_id(begin)
    writer.add_add_bos_token(bool(first))
    writer.add_eos_token_id(tokens.eos_id)
    writer.add_pad_token_id(tokens.pad_id)
    if tokens.has_chat:
        writer.add_chat_template(tokens.template)
        writer.add_eot_token_id(tokens.stop_ids[0])
