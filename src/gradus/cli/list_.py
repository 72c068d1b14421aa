"""``gradus list``: the ladder."""

from __future__ import annotations

import json

import click

from gradus import recipes
from gradus.cli import show_table


@click.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="print it as JSON")
def command(as_json: bool) -> None:
    """The ladder: every recipe with its data, its model, its target and its time on two cores."""
    rungs = recipes.ladder()
    if as_json:
        keys = ("number", "name", "teaches", "data", "model", "target", "seconds")
        click.echo(json.dumps([{key: getattr(rung, key) for key in keys} for rung in rungs], ensure_ascii=False))
        return
    header = ["rung", "recipe", "what it teaches", "data", "target", "about"]
    cells = [[str(r.number), r.name, r.teaches, r.data, r.target, f"{r.seconds:g} s"] for r in rungs]
    show_table(cells, header, right=("rung", "about"))
    click.echo("\nBegin with: gradus train digits")
