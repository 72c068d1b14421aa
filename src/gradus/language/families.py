"""Which known architecture a GPT is, and what its weights are called there: in transformers' files and in GGUF's.

One table holds both names beside ours, so that a weight's way out and its way in are the same line.
"""

from __future__ import annotations

import re
from typing import Literal

import torch
from torch import Tensor

from gradus.errors import UserError
from gradus.models import GPT

Kind = Literal["hf", "gguf"]
Names = dict[str, tuple[str, str]]

ARCHITECTURES = {
    "qwen3": "Qwen3ForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "llama": "LlamaForCausalLM",
    "gpt2": "GPT2LMHeadModel",
}
"""The families by the name that ``config.json`` and GGUF give them, and the class of transformers."""

MAPS = ("queries", "keys", "values")  # one weight in GPT-2's files
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")
_LLAMA: Names = {
    "embed": ("model.embed_tokens", "token_embd"),
    "blocks.N.attention_norm": ("model.layers.N.input_layernorm", "blk.N.attn_norm"),
    "blocks.N.attention.queries": ("model.layers.N.self_attn.q_proj", "blk.N.attn_q"),
    "blocks.N.attention.keys": ("model.layers.N.self_attn.k_proj", "blk.N.attn_k"),
    "blocks.N.attention.values": ("model.layers.N.self_attn.v_proj", "blk.N.attn_v"),
    "blocks.N.attention.queries_norm": ("model.layers.N.self_attn.q_norm", "blk.N.attn_q_norm"),
    "blocks.N.attention.keys_norm": ("model.layers.N.self_attn.k_norm", "blk.N.attn_k_norm"),
    "blocks.N.attention.out": ("model.layers.N.self_attn.o_proj", "blk.N.attn_output"),
    "blocks.N.hidden_norm": ("model.layers.N.post_attention_layernorm", "blk.N.ffn_norm"),
    "blocks.N.hidden.gate": ("model.layers.N.mlp.gate_proj", "blk.N.ffn_gate"),
    "blocks.N.hidden.up": ("model.layers.N.mlp.up_proj", "blk.N.ffn_up"),
    "blocks.N.hidden.down": ("model.layers.N.mlp.down_proj", "blk.N.ffn_down"),
    "norm": ("model.norm", "output_norm"),
    "head": ("lm_head", "output"),
}
_GPT2: Names = {
    "embed": ("transformer.wte", "token_embd"),
    "places": ("transformer.wpe", "position_embd"),
    "blocks.N.attention_norm": ("transformer.h.N.ln_1", "blk.N.attn_norm"),
    "blocks.N.attention.joint": ("transformer.h.N.attn.c_attn", "blk.N.attn_qkv"),
    "blocks.N.attention.out": ("transformer.h.N.attn.c_proj", "blk.N.attn_output"),
    "blocks.N.hidden_norm": ("transformer.h.N.ln_2", "blk.N.ffn_norm"),
    "blocks.N.hidden.up": ("transformer.h.N.mlp.c_fc", "blk.N.ffn_up"),
    "blocks.N.hidden.down": ("transformer.h.N.mlp.c_proj", "blk.N.ffn_down"),
    "norm": ("transformer.ln_f", "output_norm"),
    "head": ("lm_head", "output"),
}


def family_of(model: GPT) -> str:
    """The family that a GPT belongs to by its parts: qwen3, qwen2, llama or gpt2.

    Raises:
        UserError: where no family has all of its parts.
    """
    if model.plain:
        if model.kv_heads != model.heads or model.heads * model.head_width != model.width:
            raise UserError(
                f"GPT-2 has as many heads of keys as of queries, and heads of width / heads; this model has kv_heads="
                f"{model.kv_heads} and head_width={model.head_width} at heads={model.heads} and width={model.width}."
            )
        return "gpt2"
    if model.qk_norm and model.qkv_bias:
        raise UserError("a model with both qk_norm and qkv_bias: no architecture that others read has both.")
    return "qwen3" if model.qk_norm else "qwen2" if model.qkv_bias else "llama"


def name_in(kind: Kind, name: str, *, plain: bool) -> str:
    """What a weight of ``fused`` is called in transformers' files ("hf") or in GGUF's ("gguf")."""
    part, _, end = name.rpartition(".")
    number = _NUMBER.search(part)
    theirs = (_GPT2 if plain else _LLAMA)[_NUMBER.sub("N", part, count=1)][kind == "gguf"]
    return f"{theirs.replace('N', number[0]) if number else theirs}.{end}"


def fused(model: GPT) -> dict[str, Tensor]:
    """A model's weights under its own names, divided as in its family's files.

    A tied output layer is left out. Of GPT-2's block the maps of queries, keys and values are one, one upon the other.
    """
    state = dict(model.state_dict())
    if model.tie:
        del state["head.weight"]
    if model.plain:
        state["places.weight"] = state.pop("places")
        for start, end in _joints(model):
            state[f"{start}.joint.{end}"] = torch.cat([state.pop(f"{start}.{part}.{end}") for part in MAPS])
    return state


def parted(state: dict[str, Tensor], model: GPT) -> dict[str, Tensor]:
    """What ``fused`` gave, as the model's own ``state_dict`` has it."""
    state = dict(state)
    if model.tie:
        state["head.weight"] = state["embed.weight"]
    if model.plain:
        state["places"] = state.pop("places.weight")
        for start, end in _joints(model):
            thirds = state.pop(f"{start}.joint.{end}").chunk(3)
            state |= {f"{start}.{part}.{end}": third for part, third in zip(MAPS, thirds, strict=True)}
    return state


def _joints(model: GPT) -> list[tuple[str, str]]:
    return [(f"blocks.{n}.attention", end) for n in range(model.layers) for end in ("weight", "bias")]
