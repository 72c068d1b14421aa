"""What the terminal says of a script that was watched."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from gradus.doctor.judge import Diagnosis
from gradus.doctor.measured import measured
from gradus.doctor.signals import Signals
from gradus.doctor.words import all_told, label

WIDTH = 11  # of the labels, as everywhere in Gradus
COLOURS = {"fault": "bold red", "likely": "bold yellow", "note": "bold blue"}


def show(
    seen: Signals,
    diagnosis: Diagnosis,
    language: str,
    error: BaseException | None = None,
) -> None:
    """Print the findings, the first one to begin with, and what was measured; to standard error, as tools do."""
    console = Console(stderr=True, highlight=False)
    console.print()
    head = label("headline" if diagnosis.findings else "nothing", language)
    alarms, notes = len(diagnosis.alarms), len(diagnosis.findings) - len(diagnosis.alarms)
    _line(console, "doctor", f"{seen.program}: " + head.format(alarms=alarms, notes=notes), "bold cyan")
    for finding in all_told(diagnosis, language):
        console.print()
        _finding(console, finding, language)
    if diagnosis.findings and error is None:
        console.print()
        _line(console, "", label("silence", language).format(code=diagnosis.findings[0].code), "dim")
    if error is None or not diagnosis.alarms:
        console.print()
        for name, text in measured(seen, language):
            _line(console, name, text, "bold cyan")
    if error is not None and not any(f.rule.area == "error" for f in diagnosis.findings):
        _line(console, label("ended", language), f"{type(error).__name__}: {error}", "bold red")
    for trouble in diagnosis.troubles:
        _line(console, "doctor", f"{label('trouble', language)} {trouble.strip().splitlines()[-1]}", "yellow")


def _finding(console: Console, finding: dict[str, Any], language: str) -> None:
    level = finding["level"]
    more = "" if not finding["others"] else "  " + label("more", language).format(n=finding["others"])
    head = Text.assemble((finding["verdict"], "bold"), (f"  [{finding['code']}]{more}", "dim"))
    _line(console, label(level, language), head, COLOURS[level])
    if finding["where"]:
        shown = Text.assemble(finding["where"], (f"   {finding['source']}", "green"))
        _line(console, label("where", language), shown)
    if finding["subject"]:
        _line(console, label("subject", language), finding["subject"])
    for key, name in (("evidence", "seen"), ("cause", "why"), ("change", "fix")):
        _line(console, label(name, language), finding[key])
    if finding["explains"]:
        _line(console, label("follows", language), ", ".join(finding["explains"]))


def _line(console: Console, name: str, text: str | Text, style: str = "cyan") -> None:
    """A labelled line; a long one goes on below its beginning."""
    from rich.cells import cell_len
    from rich.table import Table

    grid = Table.grid(padding=0)
    grid.add_column(width=max(WIDTH, cell_len(name) + 1), no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Text(name, style=style), text if isinstance(text, Text) else Text(text))
    console.print(grid)
