"""``gradus predict RUN INPUT…``: raw input in, meaning out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.cells import cell_len, set_cell_size

from gradus.errors import UserError

if TYPE_CHECKING:
    from gradus.training import Run

TABLES = (".csv", ".tsv", ".txt", ".gz", ".parquet", ".pq")
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")


@click.command(name="predict")
@click.argument("run")
@click.argument("inputs", nargs=-1, metavar="INPUT...")
@click.option("--invert/--no-invert", default=None, help="dark on light pictures for light on dark ones [by looking]")
@click.option("--temperature", type=float, help="draw each token at random; below 1 likely ones become likelier")
@click.option("--top-k", type=int, help="draw only among the so many likeliest tokens")
@click.option("--top-p", type=float, help="draw only among the likeliest tokens that together have this probability")
@click.option("--beam", type=int, help="how many beginnings of a text are followed side by side")
@click.option("--length-penalty", type=float, help="above 0: a beam favours longer texts")
@click.option("--max-tokens", type=int, help="the longest text that is written")
@click.option("--seed", type=int, help="of what is drawn")
@click.option("--count", type=click.IntRange(1), default=1, help="texts that are written to each input")
@click.option("--figure", help="an HTML file for a picture of where a translation looked as it was written")
@click.option("--json", "as_json", is_flag=True, help="print a list of predictions as JSON, and nothing else")
def command(
    run: str,
    inputs: tuple[str, ...],
    invert: bool | None,
    count: int,
    figure: str | None,
    as_json: bool,
    **decoding: float | None,
) -> None:
    """What a run says of each INPUT: a CSV, TSV or Parquet file, a JSON or JSONL file, a JSON object, a picture,
    a .npy array, or the columns of one row as NAME=VALUE NAME=VALUE …

    Of a run that reads texts: a text in quotes, a file with one text a line, a table with a column of texts, or - for
    standard input. The options of writing are for runs that write: translations, and texts that go on."""
    from gradus.training import Run, progress

    if as_json:
        progress.use_stderr()
    opened = Run(run)
    asked = {name: value for name, value in decoding.items() if value is not None}
    if opened.reads_texts:
        from gradus.cli.predict_texts import predict

        predict(opened, inputs, asked, count, figure, as_json)
        return
    if asked or count > 1 or figure:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in (*asked, *_given(count, figure)))
        raise UserError(f"{flags}: for a run that writes texts, and this one is for {opened.predictor.task.name}.")
    if not inputs:
        raise UserError(f"predict: nothing to predict. {_wanted(opened)}")
    named, rows = _rows(opened, inputs, invert)
    predictions = opened.predict(rows)
    if as_json:
        click.echo(json.dumps(predictions, ensure_ascii=False))
        return
    width = min(60, max(map(cell_len, named)))
    for name, prediction in zip(named, predictions, strict=True):
        click.echo(f"{set_cell_size(name, width)}  {_words(prediction)}")


def _given(count: int, figure: str | None) -> list[str]:
    return ["count"] * (count > 1) + ["figure"] * (figure is not None)


def _rows(run: Run, inputs: tuple[str, ...], invert: bool | None) -> tuple[list[str], list[Any]]:
    """The rows of all inputs, and what each is called in the answer."""
    if all("=" in text and not text.lstrip().startswith(("{", "[")) for text in inputs):
        row = dict(text.split("=", 1) for text in inputs)
        return [" ".join(inputs)], [row]
    named: list[str] = []
    rows: list[Any] = []
    for text in inputs:
        found = _read(run, text, invert)
        if found and _reads_history(run) and isinstance(found[0], Mapping):  # the rows of one table
            found = [found]
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


def _reads_history(run: Run) -> bool:
    from gradus.data.history import History

    encoder = run.predictor.encoder
    return encoder is not None and isinstance(encoder.columns[0], History)


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
    if _reads_history(run):
        return f"Give a CSV, TSV or Parquet file, or JSON rows, with {encoder.columns[0].describe()}."
    if run.reads_tables:
        names = [c.name for c in encoder.columns]
        shown = " ".join(f"'{name}=…'" if " " in name else f"{name}=…" for name in names[:3])
        return f"Give a CSV, TSV or Parquet file, JSON, or {shown}."
    return f"Give a picture or a .npy array: {encoder.columns[0].describe()}."


def _words(prediction: Mapping[str, Any]) -> str:
    if "forecast" in prediction:
        keys = ("forecast", "low", "high")
        times = prediction.get("times") or [f"step {n}" for n in range(1, len(prediction["forecast"]) + 1)]
        rows = zip(times, *(prediction[key] for key in keys), strict=True)
        return "".join(f"\n  {time}  {a:>10.6g}  ({low:.6g} to {high:.6g})" for time, a, low, high in rows)
    if "value" in prediction:
        return f"{prediction['value']:.6g}"
    ranked = sorted(prediction["probabilities"].items(), key=lambda item: -item[1])
    label = set_cell_size(prediction["label"], max(12, cell_len(prediction["label"])))
    shares = "  ".join(f"{name} {p:.3f}" for name, p in ranked[:3])
    return f"{label}  {shares}"
