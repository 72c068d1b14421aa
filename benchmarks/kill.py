"""A thousand kills: runs killed with SIGKILL at random instants, gone on with, and compared with uninterrupted ones.

    python benchmarks/kill.py [--kills 1000] [--seed 0] [--jobs 2] [--only GRU] [--power]

The harness is that of ``tests/faults``: half of the kills come at an instant uniform over the run's time, from the
process's beginning to its end; half at a call of the writer, before it or in the middle of a write, in any save, the
predictor, the evidence, the settings or the summary. Each run is killed up to ten times. It must then end with the
same SHA-256 of its weights and of its test predictions, the same metrics log (but for the seconds) and summary, with
nothing left over, and no process alive. With ``--power`` whatever was not synced may be lost at each kill, as when the
power fails. Prints a table; exits with 1 where anything differs, and names the run's directory, which is kept.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from faults.cases import CASES  # type: ignore[import-not-found]  # noqa: E402
from faults.harness import campaigns  # type: ignore[import-not-found]  # noqa: E402
from faults.launching import alive  # type: ignore[import-not-found]  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000, help="in all, shared among the cases")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs at a time")
    parser.add_argument("--only", default="", help="words of the names of cases")
    parser.add_argument("--power", action="store_true", help="lose what was not synced at each kill")
    asked = parser.parse_args()
    os.environ.setdefault("GRADUS_DATA", str(ROOT.parent / "shared" / "data"))
    os.environ["GRADUS_OFFLINE"] = "1"
    cases = [case for case in CASES if asked.only in case.name]
    for case in [case for case in cases if case.needs and not (Path(os.environ["GRADUS_DATA"]) / case.needs).exists()]:
        print(f"left out: {case.name}: there is no {case.needs} in {os.environ['GRADUS_DATA']} (set GRADUS_DATA)")
        cases.remove(case)
    directory = Path(tempfile.mkdtemp(prefix="gradus-kill-"))
    os.environ["GRADUS_CACHE"] = str(directory / "cache")
    begun = time.monotonic()
    found = campaigns(cases, directory, seed=asked.seed, kills=asked.kills, jobs=asked.jobs, power=asked.power)
    stories = [story for of_case in found.values() for story in of_case]
    left = alive(group for story in stories for group in story.groups)
    show(found, time.monotonic() - begun)
    for story in stories:
        if story.faults:
            print(story)
    for line in left:
        print(f"still alive: {line}")
    if left or any(story.faults for story in stories):
        return 1
    shutil.rmtree(directory)
    return 0


def show(found: dict[str, list[Any]], seconds: float) -> None:
    table = Table(box=None, header_style="bold")
    columns = ("case", "runs", "kills", "by time", "in saves", "elsewhere", "differences", "unreadable", "seconds")
    for column in columns:
        table.add_column(column, justify="left" if column == "case" else "right")
    sums = [0] * 7
    for name, stories in found.items():
        kills = [kill for story in stories for kill in story.kills if kill.killed]
        row = [
            len(stories),
            len(kills),
            sum(kill.kind == "time" for kill in kills),
            sum(kill.kind == "save" for kill in kills),
            sum(kill.kind == "elsewhere" for kill in kills),
            sum(bool(story.faults) and not story.unreadable for story in stories),
            sum(story.unreadable for story in stories),
        ]
        sums = [before + more for before, more in zip(sums, row, strict=True)]
        table.add_row(name, *(f"{n:,}" for n in row), f"{sum(story.seconds for story in stories):.0f}")
    table.add_row("all", *(f"{n:,}" for n in sums), f"{seconds:.0f}")
    Console(width=140).print(table)


if __name__ == "__main__":
    sys.exit(main())
