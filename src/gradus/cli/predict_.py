"""``gradus predict RUN INPUT…``: raw input in, meaning out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gradus.errors import UserError

if TYPE_CHECKING:
    from gradus.training import Run

TABLES = (".csv", ".tsv", ".txt", ".gz", ".parquet", ".pq")
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")


@click.command(name="predict")
@click.argument("run")
@click.argument("inputs", nargs=-1, metavar="INPUT...")
@click.option("--invert/--no-invert", default=None, help="dark on light pictures for light on dark ones [by looking]")
@click.option("--json", "as_json", is_flag=True, help="print a list of predictions as JSON, and nothing else")
def command(run: str, inputs: tuple[str, ...], invert: bool | None, as_json: bool) -> None:
    """What a run says of each INPUT: a CSV, TSV or Parquet file, a JSON or JSONL file, a JSON object, a picture,
    a .npy array, or the columns of one row as NAME=VALUE NAME=VALUE …"""
    from gradus.training import Run, progress

    if as_json:
        progress.use_stderr()
    opened = Run(run)
    if not inputs:
        raise UserError(f"predict: nothing to predict. {_wanted(opened)}")
    named, rows = _rows(opened, inputs, invert)
    predictions = opened.predict(rows)
    if as_json:
        click.echo(json.dumps(predictions, ensure_ascii=False))
        return
    width = min(60, max(len(name) for name in named))
    for name, prediction in zip(named, predictions, strict=True):
        click.echo(f"{name[:60]:<{width}}  {_words(prediction)}")


def _rows(run: Run, inputs: tuple[str, ...], invert: bool | None) -> tuple[list[str], list[Any]]:
    """The rows of all inputs, and what each is called in the answer."""
    if all("=" in text and not text.lstrip().startswith(("{", "[")) for text in inputs):
        row = dict(text.split("=", 1) for text in inputs)
        return [" ".join(inputs)], [row]
    named: list[str] = []
    rows: list[Any] = []
    for text in inputs:
        found = _read(run, text, invert)
        named += [text] if len(found) == 1 else [f"{text} row {i}" for i in range(1, len(found) + 1)]
        rows += found
    return named, rows


def _read(run: Run, text: str, invert: bool | None) -> list[Any]:
    path, suffix = Path(text), Path(text).suffix.lower()
    if text.lstrip().startswith(("{", "[")):
        return _json(text, "the JSON given")
    if not path.exists():
        raise UserError(f"{text}: no such file. {_wanted(run)}")
    if suffix in PICTURES:
        return [_picture(run, path, invert)]
    if suffix in (".json", ".jsonl"):
        lines = path.read_text(encoding="utf-8").splitlines() if suffix == ".jsonl" else [path.read_text("utf-8")]
        return [row for n, line in enumerate(lines, 1) if line.strip() for row in _json(line, f"{path}, line {n}")]
    if suffix == ".npy":
        import numpy as np

        try:
            array = np.load(path, allow_pickle=False)
        except ValueError as error:
            raise UserError(f"{path}: not an array of numbers: {error}.") from None
        shape = getattr(run.predictor.encoder.columns[0], "shape", None) if run.predictor.encoder else None
        return [array] if shape is not None and array.shape == tuple(shape) else list(array)
    if suffix in TABLES:
        return run.table_rows(path)
    raise UserError(f"{text}: a kind of file that predict can't read. {_wanted(run)}")


def _json(text: str, where: str) -> list[Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UserError(f"{where}: not JSON: {error}.") from None
    if isinstance(value, Mapping):
        return [value]
    return value if isinstance(value, list) and value and isinstance(value[0], Mapping | list) else [value]


def _picture(run: Run, path: Path, invert: bool | None) -> Any:
    from gradus.data.columns import Picture
    from gradus.data.pictures import read_picture
    from gradus.training import progress

    encoder = run.predictor.encoder
    column = encoder.columns[0] if encoder else None
    if not isinstance(column, Picture):
        raise UserError(f"{path}: a picture, but this run doesn't read pictures. {_wanted(run)}")
    values, inverted = read_picture(path, column, invert)
    if inverted and invert is None:
        progress.tell("", f"{path}: dark on light, inverted to be like the training pictures [--no-invert]")
    return values


def _wanted(run: Run) -> str:
    """How to give this run an input."""
    encoder = run.predictor.encoder
    if encoder is None:
        return "Give .npy arrays of the shape that your dataset gave."
    if run.reads_tables:
        names = [c.name for c in encoder.columns]
        shown = " ".join(f"'{name}=…'" if " " in name else f"{name}=…" for name in names[:3])
        return f"Give a CSV, TSV or Parquet file, JSON, or {shown}."
    return f"Give a picture or a .npy array: {encoder.columns[0].describe()}."


def _words(prediction: Mapping[str, Any]) -> str:
    if "value" in prediction:
        return f"{prediction['value']:.6g}"
    ranked = sorted(prediction["probabilities"].items(), key=lambda item: -item[1])
    return f"{prediction['label']:<12}  {'  '.join(f'{label} {p:.3f}' for label, p in ranked[:3])}"
