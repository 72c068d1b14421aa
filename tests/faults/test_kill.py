"""Killed at any instant, a run that is started again ends in the same bits as one that was left alone."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.cases import CASES, PRETRAINED, TINY, WORKERS, Case
from faults.harness import Story, Truth, campaign, campaigns, differences, digest, request, survive, tail
from faults.launching import alive, launcher


def judge(stories: list[Story], kills: int) -> None:
    faulty = [str(story) for story in stories if story.faults]
    assert not faulty, "\n".join(faulty)
    assert sum(story.killed for story in stories) >= kills
    assert alive(group for story in stories for group in story.groups) == []


@pytest.mark.parametrize("case", [CASES[0], CASES[3]], ids=lambda case: case.name)
def test_a_dozen_kills(case: Case, tmp_path: Path, real: Callable[[str], Path]) -> None:
    if case.needs:
        real(case.needs)
    judge(campaign(case, tmp_path, launcher(), seed=1, kills=6), 6)


@pytest.mark.long
def test_kills_while_a_language_model_is_pretrained(tmp_path: Path, real: Callable[[str], Path]) -> None:
    real(PRETRAINED.needs)
    judge(campaign(PRETRAINED, tmp_path, launcher(), seed=1, kills=20), 20)


@pytest.mark.slow
def test_two_hundred_kills(tmp_path: Path, real: Callable[[str], Path]) -> None:
    for case in CASES:
        if case.needs:
            real(case.needs)
    found = campaigns(CASES, tmp_path, seed=10_000, kills=200, jobs=2)
    judge([story for stories in found.values() for story in stories], 200)


def moments(truth: Truth) -> list[tuple[str, dict[str, object]]]:
    """Every call of the writer in the first save, the next one, the last one, and all that is written beside saves.

    Each as words and as an aim; a write twice: before it, and when half of it is written.
    """
    saves = [place for place in dict.fromkeys(place for place, _, _ in truth.calls) if place.isdigit()]
    skip = {saves[1]: ("checkpoint", 1)}  # which step the next save is at depends on the speed of the disk
    out: list[tuple[str, dict[str, object]]] = []
    for place, call, name in truth.calls:
        if place in saves[2:-1]:
            continue
        named, before = skip.get(place, (place, 0))
        for what in ("kill", "half") if name == "write" else ("kill",):
            words = f"{what} at call {call}, {name}, of {place}"
            out.append((words, {"place": named, "skip": before, "call": call, "what": what}))
    return out


def killed_at(every: int, directory: Path) -> int:
    """Kill a run of the least case at each ``every``-th moment of its writer; how often that was."""
    by = launcher()
    truth = Truth.of(TINY, directory / "truth", by)
    aims = moments(truth)[::every]
    for number, (words, aim) in enumerate(aims):
        here = directory / str(number)
        here.mkdir()
        assert by.run(request(TINY, here, aims=[aim])).status == -signal.SIGKILL, f"not killed: {words}"
        assert by.run(request(TINY, here)).status == 0, f"{words}: {tail(here)}"
        assert differences(truth.digest, digest(TINY, here, by)) == [], words
    return len(aims)


def test_killed_between_calls_of_the_writer(tmp_path: Path) -> None:
    assert killed_at(every=17, directory=tmp_path) > 5


@pytest.mark.slow
def test_killed_between_each_two_calls_of_the_writer(tmp_path: Path) -> None:
    assert killed_at(every=1, directory=tmp_path) > 120


def test_killed_while_a_snapshot_is_written_and_training_goes_on(tmp_path: Path) -> None:
    by = launcher()
    truth = Truth.of(TINY, tmp_path / "truth", by)
    here = tmp_path / "here"
    here.mkdir()
    aim = {"place": "checkpoint", "skip": 1, "call": 12, "what": "half"}
    assert by.run(request(TINY, here, aims=[aim], slow=0.02)).status == -signal.SIGKILL
    saving = next((here / "run/checkpoints").glob(".*.partial"))
    lines = [json.loads(line) for line in (here / "run/metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] > int(saving.name.strip(".").split(".")[0])
    assert by.run(request(TINY, here)).status == 0, tail(here)
    assert differences(truth.digest, digest(TINY, here, by)) == []


@pytest.mark.parametrize(
    "there",
    [
        (),
        (".lock",),
        (".lock", "log.txt"),
        (".lock", "figures/lr_find.json"),
        (".lock", "checkpoints/"),
        (".lock", "checkpoints/.00000000.partial/model.safetensors"),
        (".lock", "checkpoints/00000000/model.safetensors"),
        (".lock", "checkpoints/00000000/MANIFEST.json", ".config.json.partial"),
        ("checkpoints/00000000/MANIFEST.json",),
    ],
    ids=", ".join,
)
def test_what_a_killed_process_was_about_to_begin_is_begun_anew(there: tuple[str, ...], tmp_path: Path) -> None:
    here = tmp_path / "run"
    here.mkdir()
    for name in there:
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            (here / name).mkdir()
        else:
            (here / name).write_text("{")
    assert launcher().run(request(TINY, tmp_path)).status == 0, tail(tmp_path)
    assert (here / "summary.json").exists()


def test_another_persons_directory_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    (tmp_path / "run/thesis.txt").write_text("mine")
    ended = launcher().run(request(CASES[3], tmp_path))
    assert ended.status == 2, tail(tmp_path)
    assert "isn't an empty directory" in tail(tmp_path, 1)
    assert (tmp_path / "run/thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("kill_at_fork", [1, 2])
def test_no_worker_outlives_a_run_that_is_killed_when_it_has_just_forked(kill_at_fork: int, tmp_path: Path) -> None:
    ended = launcher().run(request(WORKERS, tmp_path, kill_at_fork=kill_at_fork))
    assert ended.status == -signal.SIGKILL, tail(tmp_path)
    assert alive([ended.pid]) == []


@pytest.mark.parametrize(
    "sabotage",
    [
        "forget_the_optimiser",
        "chance_of_the_process",
        "average_begins_anew",
        "log_that_is_not_cut",
        "settings_written_in_place",
    ],
)
def test_the_harness_finds_a_program_that_is_broken(sabotage: str, tmp_path: Path) -> None:
    by = launcher()
    truth = Truth.of(TINY, tmp_path / "truth", by)
    faults: list[str] = []
    for seed in range(20):
        faults += survive(TINY, truth, tmp_path / str(seed), by, seed=seed, kills=8, sabotage=sabotage).faults
        if faults:
            break
    assert faults, f"{sabotage} was not found"


@pytest.mark.slow
def test_processes_of_their_own_killed_and_started_again(tmp_path: Path) -> None:
    """The same with ``python -m gradus``, nothing forked: what the launcher saves is only the time of the imports."""
    case, chance = CASES[3], random.Random(5)
    truth = Truth.of(case, tmp_path / "truth", launcher())
    (tmp_path / "here").mkdir()
    command = [sys.executable, "-m", *request(case, tmp_path).command]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    begun = time.monotonic()
    for kills in range(5):
        process = subprocess.Popen(command, cwd=tmp_path / "here", env=environment, stdout=subprocess.DEVNULL)
        if kills == 4:
            assert process.wait() == 0
            break
        metrics = tmp_path / "here/run/metrics.jsonl"
        size = metrics.stat().st_size if metrics.exists() else 0
        while not (metrics.exists() and metrics.stat().st_size > size + 500) and process.poll() is None:
            assert time.monotonic() - begun < 120
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.1))
        process.kill()
        process.wait()
    assert differences(truth.digest, digest(case, tmp_path / "here", launcher())) == []
