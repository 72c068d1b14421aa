"""``gradus report RUN``: the run as one page that opens offline."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="report")
@click.argument("run")
@click.option("--out", default=None, metavar="FILE.html", help="where to write the page [RUN/report.html]")
@click.option("--open", "show", is_flag=True, help="open it in the browser")
@click.option("--lang", type=click.Choice(["en", "zh"]), default=None, help="language of the page [the locale's]")
def command(run: str, out: str | None, show: bool, lang: str | None) -> None:
    """Write a run as one HTML page that opens offline: the result, curves, mistakes, settings. A run that isn't
    finished gets a page of what is there so far."""
    from gradus.reports.page import write_report
    from gradus.reports.words import language
    from gradus.training import RunDirectory

    directory = RunDirectory.open(run)
    file = Path(out) if out else directory.report
    write_report(directory, file, lang or language())
    click.echo(str(file))
    if show:
        import webbrowser

        webbrowser.open(file.resolve().as_uri())
