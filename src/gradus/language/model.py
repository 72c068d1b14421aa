"""A language model as it is used: the network, its tokens, and the arithmetic that is fastest here for writing."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gradus.data.tokens import Tokens
from gradus.errors import UserError
from gradus.language.quantised import choose_arithmetic, writer_of
from gradus.language.rows import Decoder
from gradus.models import GPT
from gradus.training.machine import Choice, choose_device
from gradus.training.predictor import Predictor
from gradus.training.rundir import all_runs

KINDS = ("prefer", "instruct", "gpt")  # recipes whose runs are language models


@dataclass
class LanguageModel:
    """A network that tells the next token, with its tokens.

    Args:
        model: the network, with exact weights; it is put into evaluation mode.
        name: what a server calls it.
        chats: whether it was taught to answer; else it goes on with texts.
        arithmetic: what it writes with: ``exact``, ``int8`` or ``bf16``.
        chosen: what was inferred when it was loaded, with the reasons, by the flag that overrides it.
    """

    model: GPT
    tokens: Tokens
    name: str = "gradus"
    chats: bool = True
    arithmetic: str = "exact"
    chosen: dict[str, Choice] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.model.eval()

    @property
    def max_length(self) -> int:
        """The most tokens that prompt and answer may have together."""
        return self.model.max_length

    @property
    def device(self) -> torch.device:
        return self.model.embed.weight.device

    @cached_property
    def writer(self) -> Decoder:
        """What writes: the model's weights in its arithmetic."""
        return writer_of(self.model, self.arithmetic)

    @cached_property
    def barred(self) -> Tensor:
        """−∞ for tokens that no answer is written with and 0 for the others, (num_tokens,).

        Those are padding, unknown, the begin of a text, marks of roles, and numbers that no token has; what ends an
        answer may be written.
        """
        out = torch.zeros(self.model.num_tokens)
        out[self.tokens.size :] = -torch.inf
        never = [*self.tokens.specials.values(), self.tokens.pad_id, self.tokens.bos_id]
        out[[i for i in never if i is not None and i < len(out)]] = -torch.inf
        out[list(self.tokens.stop_ids)] = 0.0
        return out.to(self.device)

    @classmethod
    def load(cls, source: str | Path, *, device: str = "auto", quantise: str = "auto") -> LanguageModel:
        """A run of ``gpt``, ``instruct`` or ``prefer``, or a Hugging Face directory of a Llama, Qwen or GPT-2.

        Args:
            quantise: ``none`` writes with the exact weights, ``int8`` with rounded ones, ``auto`` with the faster
                ones here.

        Raises:
            UserError: where there is no language model, or it is damaged.
        """
        path = Path(source)
        where, why = choose_device(device)
        config = _config(path)
        if (path / "predictor").is_dir():
            model, tokens = _of_run(path)
            chats = tokens.has_chat and config.get("recipe") != "gpt"
        else:
            if "recipe" in config and config.get("task", config) is None:
                raise UserError(
                    f"{path}: a vocabulary, and no model that writes. Train one: gradus train gpt --tokenizer {path}"
                )
            if "recipe" in config:
                raise UserError(f"{path}: not finished. Go on with gradus resume {path}, or name a finished run.")
            from gradus.language.hf import load_hf

            model, tokens = load_hf(path)
            chats = tokens.has_chat
        model = model.to(where)
        arithmetic = choose_arithmetic(model, quantise)
        chosen = {"device": Choice(str(where), why), "quantise": arithmetic}
        return cls(model, tokens, path.resolve().name, chats, arithmetic.value, chosen)


def newest(kinds: tuple[str, ...] = KINDS, under: str | Path = "runs") -> Path | None:
    """The newest finished run of one of these recipes; None where there is none."""
    found = [
        run.path
        for run in all_runs(Path(under))
        if run.config()["recipe"] in kinds and run.predictor.is_dir() and run.summary() is not None
    ]
    return found[-1] if found else None


def _config(path: Path) -> dict[str, Any]:
    """The config.json of a run or of a Hugging Face directory."""
    if not (path / "config.json").is_file():
        raise UserError(
            f"{path}: no language model: give a finished run of {', '.join(KINDS)}, or a Hugging Face directory."
        )
    try:
        value = json.loads((path / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path / 'config.json'}: damaged: {error}.") from None
    if not isinstance(value, dict):
        raise UserError(f"{path / 'config.json'}: damaged: not an object of names and values.")
    return value


def _of_run(path: Path) -> tuple[GPT, Tokens]:
    predictor = Predictor.load(path / "predictor")
    columns = () if predictor.encoder is None else predictor.encoder.columns
    if not isinstance(predictor.model, GPT) or len(columns) != 1 or not isinstance(columns[0], Tokens):
        raise UserError(f"{path}: a run of another kind of model; one of {', '.join(KINDS)} writes texts.")
    return predictor.model, columns[0]
