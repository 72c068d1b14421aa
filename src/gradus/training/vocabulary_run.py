"""A vocabulary as a run: its files, what it was made of, and how well it cuts text that it never saw."""

from __future__ import annotations

import hashlib
import sys
import time
from pathlib import Path
from typing import Any

from gradus.data.tokens import Tokens
from gradus.errors import UserError
from gradus.training import machine
from gradus.training.account import Recipe
from gradus.training.result import Run
from gradus.training.rundir import RunDirectory
from gradus.training.whole import write_directory

TASK = "tokenizer"  # where other runs have the task that their model learnt


def write_run(
    tokens: Tokens,
    measured: dict[str, Any],
    data: dict[str, Any],
    size: dict[str, Any],
    seconds: dict[str, float],
    out: str | None,
    recipe: Recipe | None,
) -> Run:
    """Write a run whose ``tokenizer`` folder holds a vocabulary in Hugging Face's files.

    Args:
        measured: what ``gradus.data.vocabulary.measure`` gave.
        data: description and notes of the text, and the bytes that were trained on.
        size: how many tokens there are, and the reason.
        out: its directory; None makes one under runs.

    Raises:
        UserError: where it can't be written.
    """
    name = recipe.name if recipe else "tokenizer"
    directory = RunDirectory.create(name, out)
    fingerprint = hashlib.sha256(tokens.bpe.encode()).hexdigest()
    own = {**recipe.defaults, **recipe.arguments} if recipe else {}
    config = {
        "name": name,
        "recipe": recipe.name if recipe else None,
        "arguments": dict(recipe.arguments) if recipe else {},
        "typed": sorted(recipe.typed) if recipe else [],
        "settings": {},
        "recipe_settings": {
            key: {"value": value, "from": "command line" if recipe and key in recipe.typed else "recipe"}
            for key, value in own.items()
            if key not in ("out", "resume", "quiet")
        },
        "chosen": {"size": size},
        "data": {**data, "fingerprint": fingerprint},
        "model": {"name": "byte-level BPE"},
        "task": None,
        "versions": machine.versions(),
        "begun": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "program": Path(sys.argv[0]).name,
    }
    figures = {key: measured[key] for key in ("bytes_per_token", "chars_per_token")}
    summary = {
        "recipe": config["recipe"],
        "task": TASK,
        "run": str(directory.path),
        "device": "cpu",
        "parameters": 0,
        "steps": tokens.size - 256 - len(tokens.specials),  # each joins two tokens to one more
        "samples": data["trained"],
        "rows": {"test": measured["bytes"]},
        "stopped": "the vocabulary is full",
        "seconds": {key: round(value, 4) for key, value in seconds.items()},
        "samples_per_second": round(data["trained"] / max(seconds["train"], 1e-9), 1),
        "metrics": {"test": {**figures, "round_trip": float(measured["round_trip"])}},
        "primary": "bytes_per_token",
        "baseline": {
            "bytes": {"bytes_per_token": 1.0},
            "characters": {"bytes_per_token": figures["bytes_per_token"] / max(figures["chars_per_token"], 1e-9)},
        },
        "findings": [],
        "versions": machine.versions(),
        "resumed": [],
        "size": tokens.size,
    }
    try:
        tokens.save_hf(directory.path / "tokenizer")
        write_directory(directory.evidence, {"arrays": {}}, {"evidence": {"vocabulary": measured}})
        directory.write_config(config)
        directory.write_summary(summary)
    except OSError as error:
        directory.remove_if_new()
        raise UserError(
            f"{directory.path}: can't be written: {error.strerror}. Make room, or name an --out on another disk."
        ) from None
    except BaseException:
        directory.remove_if_new()
        raise
    directory.log("finished")
    directory.unlock()
    return Run(directory.path)
