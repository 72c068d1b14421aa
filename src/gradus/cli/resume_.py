"""``gradus resume RUN``: go on with a run from its newest whole checkpoint."""

from __future__ import annotations

import json

import click

from gradus import recipes
from gradus.cli import rank


@click.command(name="resume")
@click.argument("run")
@click.option("--data", default=None, help="where the data are now, if they have moved")
@click.option("--device", default=None, help="go on with it on another device")
@click.option("--on-nan", type=click.Choice(("stop", "skip", "ignore")), help="a loss or gradient that isn't finite")
@click.option("--watch", is_flag=True, help="show the run live in a browser, on this machine only")
@click.option("--json", "as_json", is_flag=True, help="print the summary as JSON, and nothing else")
def command(run: str, data: str | None, device: str | None, on_nan: str | None, watch: bool, as_json: bool) -> None:
    """Go on with a run that was interrupted; it ends in the same bits as one that wasn't."""
    from gradus.reports.terminal import conclude
    from gradus.training import Run, progress

    if as_json:
        progress.use_stderr()
    finished = Run(run).directory.summary() is not None
    asked = {"data": data, "device": device, "on_nan": on_nan, "watch": watch or None}
    changes = {key: value for key, value in asked.items() if value is not None}
    done = recipes.reopen(run, resume="continue", **changes)
    if finished:
        progress.tell("resume", f"{run} was finished already")
        conclude(done)
    if as_json and not rank():
        click.echo(json.dumps(done.summary, ensure_ascii=False))
