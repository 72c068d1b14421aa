"""Where the vocabulary of a language model comes from: a run of ``tokenizer``, a folder, or the run gone on with."""

from __future__ import annotations

from pathlib import Path

from gradus.data import Encoder, Tokens
from gradus.training import RunDirectory
from gradus.training.rundir import all_runs


def tokens_of(source: str | Path) -> Tokens:
    """The vocabulary of a run of ``gradus train tokenizer``, or of a folder with a tokenizer.json.

    Raises:
        UserError: where there is none.
    """
    path = Path(source)
    return Tokens.load_hf(path / "tokenizer" if (path / "tokenizer").is_dir() else path)


def newest_tokenizer(data: str | None, under: str | Path = "runs") -> str | None:
    """The newest finished run of ``gradus train tokenizer`` that was made of this text; None where there is none."""
    found = None
    for run in all_runs(Path(under)):
        config = run.config()
        made_of_it = config["recipe"] == "tokenizer" and config["arguments"].get("data") == data
        if made_of_it and run.summary() is not None and (run.path / "tokenizer").is_dir():
            found = str(run.path)
    return found


def kept_tokens(path: str | Path) -> Tokens | None:
    """The vocabulary that a run was given and kept, to go on with; None where it made its own."""
    kept = RunDirectory.open(path).kept()
    if "encoder" not in kept:
        return None
    column = Encoder.from_json(kept["encoder"]).columns[0]
    assert isinstance(column, Tokens)
    return column
