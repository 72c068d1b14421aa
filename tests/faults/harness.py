"""Runs a training in a process of its own, kills it with SIGKILL, starts it again until it ends, and compares.

``Truth`` is what an uninterrupted run came to, ``survive`` the whole story of a run that is killed again and again;
``Story.faults`` says what differs, and is empty where the promise is kept.
"""

from __future__ import annotations

import contextlib
import json
import queue
import random
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faults.cases import RESUMABLE, Case
from faults.launching import Launcher, Request, launcher
from faults.power import cut

KILLS_A_RUN = 10  # after which it may end


@dataclass(frozen=True)
class Truth:
    """What an uninterrupted run came to: everything a killed one must equal, and the instants to kill at.

    ``begun``, ``trained`` and ``seconds`` are when training began and ended and when the process did, counted from its
    beginning; ``calls`` the writer's calls, as (place, number within it, name).
    """

    digest: dict[str, Any]
    begun: float
    trained: float
    seconds: float
    calls: tuple[tuple[str, int, str], ...]

    @classmethod
    def of(cls, case: Case, directory: Path, by: Launcher) -> Truth:
        directory.mkdir(parents=True)
        began = time.time()
        ended = by.run(request(case, directory, trace=str(directory / "trace")))
        assert ended.status == 0, tail(directory)
        run = directory / "run"
        begun, trained = ((run / name).stat().st_mtime - began for name in ("config.json", "metrics.jsonl"))
        calls: list[tuple[str, int, str]] = []
        before, number = None, 0
        for line in (directory / "trace").read_text().splitlines():
            place, _, name = line.rpartition(" ")
            number = number + 1 if place == before else 0
            calls.append((place, number, name))
            before = place
        return cls(digest(case, directory, by), begun, trained, ended.seconds, tuple(calls))

    def left(self, run: Path) -> float:
        """About how many seconds a process will take that goes on with a run."""
        share = newest(run) / max(1, int(self.digest["summary"]["steps"]))
        return self.begun + (self.trained - self.begun) * (1 - share) + self.seconds - self.trained


@dataclass
class Kill:
    """One attempt to kill: its kind ("time", "save" or "elsewhere"), its aim, whether there was a process to kill."""

    kind: str
    aim: str
    killed: bool


@dataclass
class Story:
    """A run that was killed again and again: its kills, and what is wrong with it in the end; nothing, it is hoped."""

    case: str
    seed: int
    directory: Path
    kills: list[Kill] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)  # of processes that must all be gone some seconds later
    faults: list[str] = field(default_factory=list)
    unreadable: bool = False
    seconds: float = 0.0

    @property
    def killed(self) -> int:
        return sum(kill.killed for kill in self.kills)

    def __str__(self) -> str:
        kills = "; ".join(f"{kill.aim}{'' if kill.killed else ' (ended before)'}" for kill in self.kills)
        return f"{self.case}, seed {self.seed}, in {self.directory}: {'; '.join(self.faults)}\n  kills: {kills}"


def survive(
    case: Case,
    truth: Truth,
    directory: Path,
    by: Launcher,
    *,
    seed: int,
    kills: int,
    sabotage: str | None = None,
    power: bool = False,
) -> Story:
    """Kill a run up to so many times, each process at an instant of its own, let it end, and compare.

    Half of the kills come at an instant uniform over what is left of the run; half at a call of the writer, whichever
    it is: each place is as likely as another, and each call in it. Some are gone on with by ``gradus resume``.

    Args:
        power: whether the power fails with each kill, so that what was not synced may be lost.
    """
    chance, begun = random.Random(seed), time.monotonic()
    story = Story(case.name, seed, directory)
    directory.mkdir(parents=True)
    for last in [False] * kills + [True]:
        notes = directory / "notes"
        asked = request(case, directory, sabotage=sabotage, notes=str(notes) if power else None)
        if case.template[0] in RESUMABLE and (directory / "run/config.json").exists() and chance.random() < 0.3:
            asked.command = ("gradus", "resume", "run")
        kind, aim = ("", "") if last else _aimed(asked, truth, directory / "run", chance)
        ended = by.run(asked)
        story.groups.append(ended.pid)
        if not last:
            story.kills.append(Kill(kind, aim, ended.status < 0))
        if ended.status not in (0, -9):
            story.unreadable = True
            story.faults.append(f"exit status {ended.status}: {tail(directory)}")
            break
        if power and ended.status < 0 and (directory / "run").exists():
            cut(directory / "run", notes, chance)
        if ended.status == 0:
            story.faults += differences(truth.digest, digest(case, directory, by))
            break
    story.seconds = time.monotonic() - begun
    return story


def campaign(case: Case, directory: Path, by: Launcher, *, seed: int, kills: int, power: bool = False) -> list[Story]:
    """As many stories as it takes to have killed so often; the directories of those without a fault are removed."""
    truth = Truth.of(case, directory / "truth", by)
    stories: list[Story] = []
    while sum(story.killed for story in stories) < kills:
        here = directory / str(seed + len(stories))
        most = min(KILLS_A_RUN, kills - sum(story.killed for story in stories))
        stories.append(survive(case, truth, here, by, seed=seed + len(stories), kills=most, power=power))
        if not stories[-1].faults:
            shutil.rmtree(here)
    return stories


def campaigns(
    cases: Sequence[Case], directory: Path, *, seed: int, kills: int, jobs: int, power: bool = False
) -> dict[str, list[Story]]:
    """A campaign for each case with its share of the kills, several at a time."""
    free: queue.Queue[Launcher] = queue.Queue()
    for number in range(jobs):
        free.put(launcher(number))

    def one(number: int) -> list[Story]:
        share = kills // len(cases) + (number < kills % len(cases))
        by = free.get()
        try:
            here = directory / str(number)
            return campaign(cases[number], here, by, seed=seed + 1000 * number, kills=share, power=power)
        finally:
            free.put(by)

    with ThreadPoolExecutor(jobs) as pool:
        return dict(zip([case.name for case in cases], pool.map(one, range(len(cases))), strict=True))


def _aimed(asked: Request, truth: Truth, run: Path, chance: random.Random) -> tuple[str, str]:
    """Aim a request's kill; its kind, and where it is to come, in words."""
    if chance.random() < 0.5:
        asked.kill_after = chance.uniform(0, truth.left(run))
        asked.slow = chance.choice((0.0, 0.0, 0.002))  # a slow disk: training goes on for long beside a save
        return "time", f"after {asked.kill_after:.3f} s" + (" with a slow disk" if asked.slow else "")
    known = (run / "config.json").exists()
    places = sorted({place for place, _, _ in truth.calls if not (known and place in ("", "00000000"))})
    place = chance.choice(places)
    _, call, name = chance.choice([c for c in truth.calls if c[0] == place])
    aim = {"place": place, "skip": 0, "call": call, "what": "kill"}
    if place.isdigit() and place != "00000000":  # saves come by the clock of the disk: one of those that are left
        saves = [p for p in places if p.isdigit() and int(p) > newest(run)]
        aim |= {"place": "checkpoint", "skip": chance.randrange(max(1, len(saves))) + (not known)}
    if name == "write" and chance.random() < 0.5:
        aim["what"] = "half"
    asked.aims = [aim]
    where = f"save {aim['skip']} of the process" if aim["place"] == "checkpoint" else place or "the first calls"
    kind = "save" if place.isdigit() else "elsewhere"
    return kind, f"{'in' if aim['what'] == 'half' else 'before'} call {call} ({name}) of {where}"


@contextlib.contextmanager
def at_gate(directory: Path, step: int) -> Iterator[None]:
    """Within it, the process that runs in a directory waits at a gate; a minute at most is waited for it to come."""
    until = time.monotonic() + 60
    while not (directory / f"at-{step}").exists():
        assert time.monotonic() < until, f"never came to step {step}: {tail(directory)}"
        time.sleep(0.002)
    try:
        yield
    finally:
        (directory / f"go-{step}").touch()


def request(case: Case, directory: Path, out: str = "run", **more: Any) -> Request:
    """The command of a case, its run being ``run`` in a directory: begun, gone on with, or found finished."""
    command = case.command
    if command[0] == "gradus":
        command = (*command, "--out", out, "--resume", "auto")
    return Request(command, str(directory), str(directory / "output.txt"), pace=case.pace, **more)


def digest(case: Case, directory: Path, by: Launcher, out: str = "run") -> dict[str, Any]:
    """What a finished run came to, see ``cases.digest``; the fault as its only entry where it can't be opened."""
    answer = directory / "digest.json"
    answer.unlink(missing_ok=True)
    ended = by.run(Request(("digest", case.name, out, answer.name), str(directory), str(directory / "output.txt")))
    if ended.status != 0:
        return {"opened": tail(directory)}
    value: dict[str, Any] = json.loads(answer.read_text())
    return value


def differences(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """A line for each entry that differs."""
    return [
        f"{key}: {_short(found.get(key))} instead of {_short(expected.get(key))}"
        for key in sorted(expected.keys() | found.keys())
        if expected.get(key) != found.get(key)
    ]


def newest(run: Path) -> int:
    """The step of the newest checkpoint of a run; 0 where there is none."""
    return max((int(p.name) for p in run.glob("checkpoints/[0-9]*")), default=0)


def _short(value: Any) -> str:
    words = json.dumps(value)
    return words if len(words) < 200 else f"{words[:80]} … {words[-80:]}"


def tail(directory: Path, lines: int = 12) -> str:
    """The end of what the processes of a directory printed."""
    file = directory / "output.txt"
    return "\n".join(file.read_text(errors="replace").splitlines()[-lines:]) if file.exists() else "(no output)"
