"""``gradus runs``: what lies below a directory of runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from gradus.cli import show_table


@click.command(name="runs")
@click.argument("directory", default="runs")
@click.option("--json", "as_json", is_flag=True, help="print them as JSON")
def command(directory: str, as_json: bool) -> None:
    """The runs below a directory, oldest first, with what each came to."""
    from gradus.errors import UserError
    from gradus.training.rundir import all_runs

    if directory != "runs" and not Path(directory).is_dir():
        raise UserError(f"{directory}: no such directory. Name one that holds runs.")
    rows: list[dict[str, Any]] = []
    for run in all_runs(Path(directory)):
        config, summary = run.config(), run.summary()
        row = {"run": str(run.path), "recipe": config["recipe"] or config["name"], "begun": config["begun"]}
        if summary is None:
            rows.append({**row, "state": "unfinished", "result": f"gradus resume {run.path}"})
            continue
        split = next((s for s in ("test", "valid", "train") if s in summary["metrics"]), None)
        primary = summary["primary"]
        value = float(summary["metrics"][split][primary]) if split else float("nan")
        rows.append({**row, "state": f"{summary['steps']:,} steps", "result": f"{split} {primary} {value:.4f}"})
    if as_json:
        click.echo(json.dumps(rows))
        return
    if not rows:
        click.echo(f"no runs below {directory}. Begin with: gradus train digits")
        return
    cells = [[r["run"], r["recipe"], r["begun"][:16].replace("T", " "), r["state"], r["result"]] for r in rows]
    show_table(cells, ["run", "recipe", "begun", "state", "result"])
