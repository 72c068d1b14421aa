"""``config.json`` of transformers and the arguments of a GPT: each way, and what a GPT has no part for is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gradus.data import Tokens
from gradus.errors import UserError, nearest
from gradus.language.families import ARCHITECTURES, family_of
from gradus.models import GPT

_SILU, _BY_TANH = ("silu", "swish"), ("gelu_new", "gelu_pytorch_tanh")
_NO = (False, None)
_ALWAYS: dict[str, tuple[Any, ...]] = {
    "quantization_config": (None,),
    "is_encoder_decoder": _NO,
    "add_cross_attention": _NO,
    "partial_rotary_factor": (1, None),
}
_FIXED: dict[str, dict[str, tuple[Any, ...]]] = {
    "llama": {"hidden_act": _SILU, "attention_bias": _NO, "mlp_bias": _NO},
    "qwen2": {"hidden_act": _SILU, "use_sliding_window": _NO},
    "qwen3": {"hidden_act": _SILU, "use_sliding_window": _NO, "attention_bias": _NO},
    "gpt2": {
        "activation_function": ("gelu", *_BY_TANH),
        "scale_attn_weights": (True,),
        "scale_attn_by_inverse_layer_idx": _NO,
    },
}
"""What must stand at a key, where it stands there: all else would ask for parts that a GPT doesn't have."""

_STRETCHES = {
    "default": (),
    "linear": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
}
"""Ways to stretch the rotary places for longer texts, and what a GPT's ``stretch`` holds of each."""


def config_of(model: GPT, tokens: Tokens, dtype: str) -> dict[str, Any]:
    """The ``config.json`` that transformers makes the same model from.

    Args:
        dtype: of the weights beside it, in torch's word: float32, float16 or bfloat16.
    """
    family = family_of(model)
    config = {
        "architectures": [ARCHITECTURES[family]],
        "model_type": family,
        "vocab_size": model.num_tokens,
        "tie_word_embeddings": model.tie,
        "bos_token_id": tokens.bos_id,
        "eos_token_id": tokens.eos_id,
        "pad_token_id": tokens.pad_id,
        "dtype": dtype,
        "torch_dtype": dtype,  # what it was called before transformers 5
        "use_cache": True,
    }
    if family == "gpt2":
        rates = dict.fromkeys(("attn_pdrop", "embd_pdrop", "resid_pdrop"), model.dropout)
        return config | rates | {
            "n_embd": model.width,
            "n_head": model.heads,
            "n_layer": model.layers,
            "n_inner": model.hidden,
            "n_positions": model.max_length,
            "layer_norm_epsilon": model.epsilon,
            "activation_function": "gelu_new" if model.gelu_by_tanh else "gelu",
        }  # fmt: skip
    rope = _rope_of(model)
    return config | {
        "hidden_size": model.width,
        "intermediate_size": model.hidden,
        "num_hidden_layers": model.layers,
        "num_attention_heads": model.heads,
        "num_key_value_heads": model.kv_heads,
        "head_dim": model.head_width,
        "max_position_embeddings": model.max_length,
        "rms_norm_eps": model.epsilon,
        "rope_parameters": rope | {"rope_theta": model.theta},
        "rope_theta": model.theta,  # where it stood before transformers 5
        **({"rope_scaling": rope} if model.stretch else {}),
        "hidden_act": "silu",
        "attention_dropout": model.dropout,
        **{key: False for key, allowed in _FIXED[family].items() if allowed is _NO},
    }


def arguments_of(config: dict[str, Any], where: Path) -> dict[str, Any]:
    """The arguments of the GPT that a ``config.json`` describes.

    Raises:
        UserError: naming the key and the value that Gradus can't do.
    """
    family = config.get("model_type")
    if family not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise UserError(f"{where}: model_type = {family!r}: Gradus reads the language models {known}.")
    for name in config.get("architectures") or [ARCHITECTURES[family]]:
        if name != ARCHITECTURES[family]:
            raise UserError(f"{where}: architectures = {name!r}: of {family}, Gradus reads {ARCHITECTURES[family]}.")
    for key, allowed in (_ALWAYS | _FIXED[family]).items():
        if key in config and config[key] not in allowed:
            raise _refused(where, key, config[key], " or ".join(map(repr, allowed)))
    for kind in config.get("layer_types") or []:
        if kind != "full_attention":
            raise _refused(where, "layer_types", kind, "'full_attention'")
    read = _Reader(config, where)
    arguments = _gpt2_arguments(read) if family == "gpt2" else _llama_arguments(read, family)
    if arguments["heads"] % (arguments.get("kv_heads") or arguments["heads"]):
        raise _refused(where, "num_key_value_heads", arguments["kv_heads"], "a divisor of num_attention_heads")
    if arguments.get("head_width") is None and arguments["width"] % arguments["heads"]:
        raise UserError(f"{where}: a width of {arguments['width']} can't be shared among {arguments['heads']} heads.")
    return arguments


def _rope_of(model: GPT) -> dict[str, Any]:
    """How the rotary places are stretched, in transformers' words."""
    stretch = model.stretch or ()
    kind, keys = next((kind, keys) for kind, keys in _STRETCHES.items() if len(keys) == len(stretch))
    values = {key: int(v) if key.startswith("original") else v for key, v in zip(keys, stretch, strict=True)}
    return {"rope_type": kind, **values}


def _llama_arguments(read: _Reader, family: str) -> dict[str, Any]:
    return {
        "num_tokens": read.count("vocab_size"),
        "width": read.count("hidden_size"),
        "heads": read.count("num_attention_heads"),
        "layers": read.count("num_hidden_layers"),
        "max_length": read.count("max_position_embeddings"),
        "hidden": read.count("intermediate_size"),
        "kv_heads": read.count("num_key_value_heads", None),
        "head_width": read.count("head_dim", 128 if family == "qwen3" else None),
        "tie": bool(read.config.get("tie_word_embeddings", False)),
        "qk_norm": family == "qwen3",
        "qkv_bias": family == "qwen2",
        **read.rope(),
        "epsilon": read.number("rms_norm_eps", 1e-6),
    }


def _gpt2_arguments(read: _Reader) -> dict[str, Any]:
    return {
        "num_tokens": read.count("vocab_size"),
        "width": read.count("n_embd"),
        "heads": read.count("n_head"),
        "layers": read.count("n_layer"),
        "max_length": read.count("n_positions", 1024),
        "hidden": read.count("n_inner", None),
        "tie": bool(read.config.get("tie_word_embeddings", True)),
        "plain": True,
        "gelu_by_tanh": read.config.get("activation_function", "gelu_new") in _BY_TANH,
        "epsilon": read.number("layer_norm_epsilon", 1e-5),
    }


class _Reader:
    """Values of a ``config.json``, each checked; where one is missing, what transformers takes in its place."""

    def __init__(self, config: dict[str, Any], where: Path) -> None:
        self.config, self.where = config, where

    def count(self, key: str, *default: int | None) -> Any:
        value = self.config.get(key)
        if value is None and default:
            return default[0]
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            hint = "" if key in self.config else nearest(key, self.config)
            raise UserError(f"{self.where}: {key} = {value!r}, which must be a whole number of at least 1.{hint}")
        return value

    def number(self, key: str, default: float) -> float:
        return self._positive(key, self.config.get(key, default))

    def rope(self) -> dict[str, Any]:
        """The base of the rotary places and how they are stretched, which stand where the version put them."""
        parameters = self.config.get("rope_parameters") or {}
        rope = parameters | (self.config.get("rope_scaling") or {})
        kind = rope.get("rope_type", rope.get("type", "default"))
        if kind not in _STRETCHES:
            raise _refused(self.where, "rope_type", kind, " or ".join(map(repr, _STRETCHES)))
        if rope.get("partial_rotary_factor") not in (1, None):
            raise _refused(self.where, "partial_rotary_factor", rope["partial_rotary_factor"], "1")
        stretch = tuple(self._positive(key, rope.get(key)) for key in _STRETCHES[kind])
        theta = self._positive("rope_theta", rope.get("rope_theta", self.config.get("rope_theta", 10_000.0)))
        return {"theta": theta, "stretch": stretch or None}

    def _positive(self, key: str, value: Any) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
            raise UserError(f"{self.where}: {key} = {value!r}, which must be a number above 0.")
        return float(value)


def _refused(where: Path, key: str, value: Any, allowed: str) -> UserError:
    shown = repr(value) if len(repr(value)) < 100 else f"{repr(value)[:90]}…"
    return UserError(f"{where}: {key} = {shown}: Gradus's GPT has no part for it; what it reads is {allowed}.")
