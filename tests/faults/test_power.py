"""The power fails: what was not synced is lost, and still a run that is started again ends in the same bits."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.cases import CASES, KEPT, TINY, Case
from faults.harness import Truth, campaign, survive
from faults.launching import launcher
from faults.power import cut


def fails(case: Case, directory: Path, times: int) -> None:
    stories = campaign(case, directory, launcher(), seed=0, kills=times, power=True)
    faulty = [str(story) for story in stories if story.faults]
    assert not faulty, "\n".join(faulty)


@pytest.mark.parametrize("case", [TINY, KEPT], ids=lambda case: case.name)
def test_the_power_fails_a_few_times(case: Case, tmp_path: Path) -> None:
    fails(case, tmp_path, 12)


@pytest.mark.slow
@pytest.mark.parametrize("case", [TINY, KEPT, CASES[1]], ids=lambda case: case.name)
def test_the_power_fails_often(case: Case, tmp_path: Path, real: Callable[[str], Path]) -> None:
    if case.needs:
        real(case.needs)
    fails(case, tmp_path, 60)


def test_a_program_that_syncs_nothing_is_found(tmp_path: Path) -> None:
    by = launcher()
    truth = Truth.of(TINY, tmp_path / "truth", by)
    faults: list[str] = []
    for seed in range(20):
        here = tmp_path / str(seed)
        faults += survive(TINY, truth, here, by, seed=seed, kills=6, sabotage="nothing_is_synced", power=True).faults
        if faults:
            break
    assert faults


def test_the_simulation_loses_what_was_not_synced_and_nothing_else(tmp_path: Path) -> None:
    """Against files of which it is known: one synced, one not, one synced with its directory unsynced."""
    from faults import power

    here, notes, sync = tmp_path / "here", tmp_path / "notes", os.fsync
    lost = {"grown": 0, "unsynced": 0, "nameless": 0}
    for seed in range(40):
        here.mkdir()
        notes.unlink(missing_ok=True)
        try:
            power.note_syncs(str(notes))
            handles = {name: os.open(here / name, os.O_WRONLY | os.O_CREAT) for name in ("kept", "grown", "unsynced")}
            for handle in handles.values():
                os.write(handle, b"x" * 100)
            for name in ("kept", "grown"):
                os.fsync(handles[name])
            place = os.open(here, os.O_RDONLY)
            os.fsync(place)
            os.write(handles["grown"], b"y" * 100)
            handles["nameless"] = os.open(here / "nameless", os.O_WRONLY | os.O_CREAT)
            os.fsync(handles["nameless"])
        finally:
            os.fsync = sync
        for handle in (*handles.values(), place):
            os.close(handle)
        cut(here, notes, random.Random(seed))
        assert (here / "kept").read_bytes() == b"x" * 100
        assert (here / "grown").read_bytes()[:100] == b"x" * 100
        lost["grown"] += (here / "grown").read_bytes() != b"x" * 100 + b"y" * 100
        lost["unsynced"] += (here / "unsynced").read_bytes() != b"x" * 100
        lost["nameless"] += not (here / "nameless").exists()
        for file in here.iterdir():
            file.unlink()
        here.rmdir()
    assert min(lost.values()) > 5, lost
