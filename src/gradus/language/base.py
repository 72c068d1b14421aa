"""The model that tuning begins with: a run's or a Hugging Face directory's; and its shape once more, to go on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradus import models
from gradus.data import Encoder, Tokens
from gradus.errors import UserError
from gradus.language.model import LanguageModel, newest
from gradus.models import GPT
from gradus.training import RunDirectory

NOTED = ("where", "weights", "imported", "grown")  # of a base, by the run that tunes it


@dataclass
class Base:
    """A model to be tuned, on the CPU, with its vocabulary.

    Args:
        where: the directory that it came from.
        weights: a hash of its weights.
        kept: what the run that is gone on with kept of its data; empty where a new one begins.
        imported: whether it is another program's.
        grown: whether tokens were added, which have all to learn.
    """

    model: GPT
    tokens: Tokens
    where: str
    weights: str
    kept: dict[str, Any]
    imported: bool = False
    grown: bool = False

    def rows(self, length: int | None, usual: int | None = None) -> int:
        """Tokens of a row: so many, else the usual number, but at most as many as the model reads.

        Raises:
            UserError: where the model doesn't read as many.
        """
        most = self.model.max_length
        if length is not None and not 2 <= length <= most:
            raise UserError(
                f"length: rows of {length} tokens, but the model reads from 2 to {most}; give one of these."
            )
        return length or min(usual or most, most)

    def to_json(self) -> dict[str, Any]:
        """What a run notes of it."""
        return {key: getattr(self, key) for key in NOTED}


def base_of(source: str | None, kinds: tuple[str, ...], *, dropout: float | None = None) -> Base:
    """The model at a path, or of the newest finished run of some recipes.

    Where its vocabulary knows no conversations, the marks of one are added to both.

    Args:
        kinds: the recipes.
        dropout: of the tuning; None: as the model was trained with.

    Raises:
        UserError: where there is none.
    """
    found = newest(kinds) if source is None else Path(source)
    if found is None:
        raise UserError(
            f"no finished run of {' or '.join(kinds)} under runs: begin with gradus train {kinds[0]}, or name the "
            "model with --base: a run, or a Hugging Face directory."
        )
    lm = LanguageModel.load(found, device="cpu", quantise="none")
    model, tokens = lm.model, lm.tokens
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().data)
    imported, size = not (found / "predictor").is_dir(), model.num_tokens
    if not tokens.has_chat:
        tokens = tokens.with_chat()
        model = models.with_tokens(model, tokens.size)
    if dropout is not None:
        model = models.with_dropout(model, dropout)
    grown = model.num_tokens > size
    return Base(model, tokens, str(found.resolve()), digest.hexdigest()[:16], {}, imported, grown)


def base_again(path: str | Path, config: dict[str, Any]) -> Base:
    """The model of a tuning run that was begun, with fresh weights: those of its checkpoint or predictor come later.

    Raises:
        UserError: where the run lacks what it kept of its base.
    """
    kept = RunDirectory.open(path).kept()
    if "encoder" not in kept or "base" not in kept:
        raise UserError(f"{path}: kept.json is missing or damaged, and with it the vocabulary. Begin a new run.")
    model, column = models.build(config["model"]), Encoder.from_json(kept["encoder"]).columns[0]
    assert isinstance(model, GPT)
    assert isinstance(column, Tokens)
    return Base(model, column, kept=kept, **{key: kept["base"][key] for key in NOTED})
