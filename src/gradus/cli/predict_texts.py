"""``gradus predict`` of a run that reads texts: labels, translations with their attention, texts that go on."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.cells import cell_len, set_cell_size

from gradus.errors import UserError

if TYPE_CHECKING:
    from gradus.training import Run

PICTURES = 3  # answers whose attention the terminal shows, where there are no more
AT_ONCE = 256  # texts that are answered at once
NAME_CELLS = 60  # of a text that stands before its answer
SHADES = " ░▒▓█"


def predict(
    run: Run, inputs: tuple[str, ...], decoding: Mapping[str, Any], count: int, figure: str | None, as_json: bool
) -> None:
    """Answer each text of the inputs and print the answers."""
    from gradus.training import progress

    progress.use_stderr()  # answers alone go to standard output
    goes_on = run.predictor.task.name == "next token"
    rows = [text for given in inputs or ([""] if goes_on else []) for text in _texts(run, given)]
    if not rows:
        raise UserError("predict: nothing to predict. Give a text in quotes, a file of texts, or - for standard input.")
    if count > 1:
        if not run.predictor.task.writes or run.predictor.task.decoding(**decoding).temperature == 0:
            raise UserError("--count: without a --temperature every answer to a text is the same.")
        rows = [row for row in rows for _ in range(count)]
    size = len(rows) if goes_on else AT_ONCE
    answers = [a for begin in range(0, len(rows), size) for a in run.predict(rows[begin : begin + size], **decoding)]
    if figure is not None:
        _draw(run, Path(figure), rows, answers)
    if as_json:
        from gradus.training.rundir import finite

        click.echo(json.dumps(finite(answers), ensure_ascii=False))
    elif goes_on:
        click.echo("\n\n".join(_gone_on(answer) for answer in answers))
    else:
        _print(rows, answers)


def attention_lines(answer: Mapping[str, Any], width: int) -> list[str]:
    """Where a model looked as it wrote: a shaded matrix where it fits, else each token with the one it looked at most.

    Args:
        answer: "attention" (written tokens, source tokens), "tokens" and "source_tokens".
        width: of the terminal, in cells.
    """
    from gradus.reports.charts import shown

    source, written = ([_safe(shown(token)) for token in answer[key]] for key in ("source_tokens", "tokens"))
    margin = max(map(cell_len, written)) + 2
    cells = [cell_len(token) for token in source]
    if margin + sum(cells) + len(cells) <= width:
        lines = [" " * margin + " ".join(source)]
        for token, weights in zip(written, answer["attention"], strict=True):
            shades = (SHADES[min(4, int(weight * 4 + 0.8))] * size for weight, size in zip(weights, cells, strict=True))
            lines.append((set_cell_size(token, margin) + " ".join(shades)).rstrip())
        return lines
    most = [(max(weights), weights.index(max(weights))) for weights in answer["attention"]]
    told = zip(written, most, strict=True)
    return [f"{set_cell_size(token, margin)}← {source[place]} {weight:.2f}" for token, (weight, place) in told]


def _texts(run: Run, given: str) -> list[str]:
    """The texts that an input stands for: standard input, a file of texts, or the input itself."""
    from gradus.data.known_texts import LINES, TABLES, lines_in, texts_in
    from gradus.training import progress

    if given == "-":
        return lines_in(sys.stdin.buffer.read(), "standard input")
    assert run.predictor.encoder is not None
    if _is_file(given):
        texts, told = texts_in(Path(given), run.predictor.encoder, run.text_columns)
        if told:
            progress.tell("", f"{given}: {told}")
        return texts
    if given.lower().endswith((*LINES, *TABLES)) and " " not in given:
        raise UserError(f"{given}: no such file. If it is a text, give it through a pipe, with - for the input.")
    try:
        given.encode()
    except UnicodeEncodeError:
        raise UserError(f"{given!r}: isn't text in the encoding of your terminal.") from None
    return [given]


def _is_file(given: str) -> bool:
    try:
        return Path(given).is_file()
    except OSError:  # a text that is longer than any file's name
        return False


def _gone_on(answer: Mapping[str, Any]) -> str:
    """A text, its given beginning in bold."""
    begun = answer["begun"]
    return click.style(_safe(begun), bold=True) + _safe(answer["text"].removeprefix(begun))


def _print(rows: Sequence[str], answers: Sequence[Mapping[str, Any]]) -> None:
    """A line for each text: itself, and the answer to it."""
    names = [_cut(text) for text in rows]
    width = max(map(cell_len, names))
    labels = max((cell_len(answer["label"]) for answer in answers if "label" in answer), default=0)
    is_terminal = sys.stdout.isatty()
    for name, answer in zip(names, answers, strict=True):
        click.echo(f"{set_cell_size(name, width)}  {_answer(answer, labels)}")
        if is_terminal and len(answers) <= PICTURES and "attention" in answer:
            lines = attention_lines(answer, shutil.get_terminal_size().columns)
            click.echo("\n" + "\n".join(lines) + "\n")


def _answer(answer: Mapping[str, Any], width: int) -> str:
    if "label" not in answer:
        return _safe(answer["text"])
    ranked = sorted(answer["probabilities"].items(), key=lambda item: -item[1])
    shares = "  ".join(f"{label} {share:.3f}" for label, share in ranked[:3])
    return f"{set_cell_size(answer['label'], width)}  {shares}"


def _draw(run: Run, out: Path, rows: Sequence[str], answers: Sequence[Mapping[str, Any]]) -> None:
    from gradus.reports.attention import MAX_PICTURES, write_attention
    from gradus.reports.words import Words, language
    from gradus.training import progress

    if any("attention" not in answer for answer in answers):
        raise UserError("--figure: is a picture of attention, and this run's model has none.")
    write_attention(out, run.path.resolve().name, rows, answers, Words(language()))
    progress.tell("figure", f"{out}" + (f", of the first {MAX_PICTURES}" if len(rows) > MAX_PICTURES else ""))


def _cut(text: str) -> str:
    """A text as the name of its answer: on one line, of so many cells at most."""
    line = " ".join(_safe(text).split())
    return line if cell_len(line) <= NAME_CELLS else set_cell_size(line, NAME_CELLS - 1).rstrip() + "…"


def _safe(text: str) -> str:
    from gradus.training.progress import printable

    return printable(text)
