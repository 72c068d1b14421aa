"""``gradus doctor SCRIPT.py | RUN``: why training does or doesn't work."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gradus.errors import UserError

if TYPE_CHECKING:
    from gradus.doctor.tried import Probe


@click.command(name="doctor", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--json", "as_json", is_flag=True, help="print the findings as JSON and nothing else on standard output")
@click.option("--explain", metavar="CODE", help="the page of a code: what it looks like, why, faulty and mended lines")
@click.option("--codes", "list_codes", is_flag=True, help="all that can be found, a line each")
@click.option("--silence", metavar="CODE", multiple=True, help="don't tell of this; may be given again")
@click.option("--probe", is_flag=True, help="of a run: try things with copies of its model, for up to half a minute")
@click.option("--lang", type=click.Choice(["en", "zh"]), default=None, help="language of the findings [the locale's]")
@click.argument("target", required=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(
    as_json: bool,
    explain: str | None,
    list_codes: bool,
    silence: tuple[str, ...],
    probe: bool,
    lang: str | None,
    target: str | None,
    arguments: tuple[str, ...],
) -> None:
    """Why training does or doesn't work: TARGET is a run, or any PyTorch script with its own ARGUMENTS.

    A script is run as it is, and computes the same numbers as without the doctor; what was found is told at its end.
    The options of the doctor come before the script. Ends with 1 where something is proved or likely, or with the
    script's own status. Of a script that torchrun starts (torchrun … -m gradus doctor train.py) the first process
    tells, and the status is the script's own.
    """
    from gradus.reports.words import language

    lang = lang or language()
    if explain or list_codes:
        from gradus.doctor import pages

        click.echo(pages.page(explain, lang) if explain else pages.all_codes(lang), nl=False)
        return
    if target is None:
        raise UserError("doctor: give a script or a run: gradus doctor train.py, gradus doctor runs/digits-… .")
    from gradus.doctor.rule import check_code

    for code in silence:
        check_code(code)
    if Path(target).is_file():
        if probe:
            raise UserError("doctor: --probe is for a run; of a script all that can be tried is tried at its end.")
        status = _script(target, arguments, as_json, silence, lang)
    else:
        status = _run(target, as_json, silence, probe, lang)
    click.get_current_context().exit(status)


def _script(target: str, arguments: tuple[str, ...], as_json: bool, silence: tuple[str, ...], lang: str) -> int:
    import contextlib

    from gradus.doctor import script
    from gradus.doctor.judge import examine
    from gradus.doctor.terminal import show
    from gradus.doctor.words import summary

    if not target.endswith(".py"):
        raise UserError(f"doctor: {target} is neither a run nor a Python script (a file that ends in .py).")
    out = contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext()
    with out:  # standard output is for the findings alone
        ended = script.run(target, arguments)
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1  # torchrun's: its first process tells what was found
    if several and os.environ.get("RANK", "0") != "0" and ended.error is None:
        return ended.status
    diagnosis = examine(ended.seen, silence)
    if as_json:
        click.echo(json.dumps(summary(ended.seen, diagnosis, lang), ensure_ascii=False))
    else:
        sys.stdout.flush()
        show(ended.seen, diagnosis, lang, ended.error)
    return ended.status or (1 if diagnosis.alarms and not several else 0)


def _run(target: str, as_json: bool, silence: tuple[str, ...], probe: bool, lang: str) -> int:
    from gradus.doctor.run import examine_again
    from gradus.doctor.terminal import show
    from gradus.doctor.words import summary
    from gradus.training import RunDirectory

    if not Path(target).exists():
        raise UserError(f"doctor: there is no {target}.")
    tried = _probe(target, as_json) if probe else None
    seen, diagnosis = examine_again(RunDirectory.open(target), silence, tried)
    if as_json:
        click.echo(json.dumps(summary(seen, diagnosis, lang), ensure_ascii=False))
    else:
        show(seen, diagnosis, lang)
    return 1 if diagnosis.alarms else 0


def _probe(target: str, quiet: bool) -> Probe:
    from rich.console import Console

    from gradus import recipes
    from gradus.doctor.trials import of_run
    from gradus.training import Run

    if Run(target).summary["parameters"] == 0:
        raise UserError(f"{target}: has no weights with which anything could be tried; leave --probe out.")
    with Console(stderr=True, quiet=quiet).status("trying things with copies of the model"):
        return of_run(recipes.reopen(target, resume="open", quiet=True))
