"""``gradus test RUN``: the metrics on rows that training never saw."""

from __future__ import annotations

import json
from pathlib import Path

import click

from gradus import recipes


@click.command(name="test")
@click.argument("run")
@click.option("--data", default=None, help="other data, with targets, instead of the run's own test split")
@click.option("--json", "as_json", is_flag=True, help="print the metrics as JSON, and nothing else")
def command(run: str, data: str | None, as_json: bool) -> None:
    """Measure a run on the test split of its data, or on all of a table or a file of texts."""
    from gradus.training import Run, progress
    from gradus.training.rundir import finite

    opened = Run(run)
    summary = opened.summary
    if data is not None and opened.reads_tables:
        metrics = opened.test_table(data)
        what = data
    elif data is not None and opened.reads_texts and Path(data).is_file():
        metrics = opened.test_texts(data)
        what = data
    else:
        again = recipes.reopen(run, resume="open", quiet=True, **({"data": data} if data else {}))
        metrics = again.test()
        what = f"the test split of {data or 'its data'}"
    if as_json:
        click.echo(json.dumps(finite(metrics)))
        return
    progress.tell("test", f"{run} on {what}")
    primary = summary["primary"]
    for name in sorted(metrics, key=lambda name: name != primary):  # which other data may have no answers for
        progress.tell("", f"{name:<18} {metrics[name]:.4f}")
