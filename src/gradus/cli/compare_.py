"""``gradus compare RUN RUN…``: what differs between runs, and what it came to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from gradus.cli import show_table
from gradus.errors import UserError


@click.command(name="compare")
@click.argument("runs", nargs=-1, metavar="RUN RUN...")
@click.option(
    "--out", default=None, metavar="FILE.html", help="where to write the page [compare.html beside the first run]"
)
@click.option("--lang", type=click.Choice(["en", "zh"]), default=None, help="language of the page [the locale's]")
@click.option("--json", "as_json", is_flag=True, help="print it as JSON, and nothing else")
def command(runs: tuple[str, ...], out: str | None, lang: str | None, as_json: bool) -> None:
    """What differs between runs in settings and metrics, the best marked with a star; and a page with the curves."""
    from gradus.reports.compare import compared, read_runs, write_comparison
    from gradus.reports.words import language
    from gradus.training.rundir import finite

    if len(set(runs)) < 2:
        raise UserError("compare: give at least two runs. gradus runs lists the runs below a directory.")
    records = read_runs(list(dict.fromkeys(runs)))
    found = compared(records)
    if out or not as_json:
        page = Path(out) if out else Path(runs[0]).resolve().parent / "compare.html"
        write_comparison(records, page, lang or language())
    if as_json:
        click.echo(json.dumps(finite(found), ensure_ascii=False))
        return
    _show(found)
    click.echo(f"\nWith the curves: {page}")


def _show(found: dict[str, Any]) -> None:
    """The metrics and the differences as two tables."""
    from gradus.reports.html import figure

    names = list(found["runs"])
    rows = [
        [f"{split} {metric}", *(_cell(values, name, found["best"][split][metric]) for name in names)]
        for split, metrics in found["metrics"].items()
        if split != "train"
        for metric, values in metrics.items()
    ]
    rows.append(["steps", *(f"{found['runs'][name]['steps']:,}" for name in names)])
    seconds = [found["runs"][name]["seconds"] for name in names]
    rows.append(["seconds", *("unfinished" if s is None else figure(float(s)) for s in seconds)])
    show_table(rows, ["", *names], right=tuple(names))
    if not found["same_data"]:
        click.echo("\nNot all of these runs have the same data, so their metrics don't compare.")
    differing = [[key, *(str(values[name]) for name in names)] for key, values in found["differences"].items()]
    click.echo("")
    if differing:
        show_table(differing, ["what differs", *names])
    else:
        click.echo("No setting differs.")


def _cell(values: dict[str, Any], name: str, best: list[str]) -> str:
    from gradus.reports.html import figure

    return f"{figure(values[name])}{' *' if name in best else '  '}" if name in values else "–  "
