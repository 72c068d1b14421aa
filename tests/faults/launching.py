"""Processes to be killed: forked by an interpreter that has imported all that they need, one at a time, and watched."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

ENVIRONMENT = ("GRADUS_CACHE", "GRADUS_DATA", "GRADUS_OFFLINE", "CUBLAS_WORKSPACE_CONFIG")
RETRY = {"gradus.training.saving.RETRY": 0.02}  # seconds; not the ten that a person's disk is given


@dataclass
class Request:
    """A command for a process of its own: ``gradus ARGUMENTS…`` or a function of cases.py with its arguments.

    Args:
        kill_after: seconds after which it is killed, counted from its beginning.
        aims: faults at single calls of the writer, see ``forks.Calls``; so ``trace`` and ``slow``.
        notes: a file to note each sync in, for ``power.cut``.
        kill_at_fork: the process of its own after whose birth it is killed: the first, the second, …
        pace: seconds to wait after each step.
        gates: steps after which it waits, see ``at_gate``.
        constants: what module-level constants are set to.
        sabotage: a function of sabotage.py, which breaks the code on purpose.
    """

    command: Sequence[str]
    directory: str
    log: str
    kill_after: float | None = None
    aims: Sequence[dict[str, Any]] = ()
    trace: str | None = None
    slow: float = 0.0
    notes: str | None = None
    kill_at_fork: int = 0
    pace: float = 0.0
    gates: Sequence[int] = ()
    constants: dict[str, Any] = field(default_factory=lambda: dict(RETRY))
    sabotage: str | None = None
    environment: dict[str, str] = field(
        default_factory=lambda: {key: os.environ[key] for key in ENVIRONMENT if key in os.environ}
    )


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit status, negative where a signal ended it, and after how many seconds."""

    status: int
    seconds: float
    pid: int


class Launcher:
    """An interpreter that forks a child a command, one at a time. It ends with this process."""

    def __init__(self) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONUTF8": "1"}
        command = [sys.executable, str(Path(__file__).with_name("forks.py"))]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.running = False
        self._answer()

    def start(self, request: Request) -> int:
        """Start a command; its process id. One that a failed test left behind, at a gate say, is killed first."""
        assert self.process.stdin is not None
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.wait()
        self.process.stdin.write(json.dumps(asdict(request)) + "\n")
        self.process.stdin.flush()
        self.pid = int(self._answer()["pid"])
        self.running = True
        return self.pid

    def wait(self) -> Ended:
        """Wait until it ends."""
        answer = self._answer()
        self.running = False
        return Ended(answer["status"], answer["seconds"], self.pid)

    def ended(self) -> bool:
        """Whether it has ended, so that ``wait`` would answer at once."""
        assert self.process.stdout is not None
        return bool(select.select([self.process.stdout], [], [], 0)[0])

    def run(self, request: Request) -> Ended:
        self.start(request)
        return self.wait()

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the launcher has ended: its own error stands above"
        answer: dict[str, Any] = json.loads(line)
        return answer


@cache
def launcher(number: int = 0) -> Launcher:
    """The launchers of this process, started when first asked for."""
    return Launcher()


def alive(groups: Iterable[int], seconds: float = 15.0) -> list[str]:
    """Which processes of these groups are still there after so many seconds; none, as soon as there is none.

    A process group is what a process and its workers have in common, also when the process is gone.
    """
    wanted, until = set(groups), time.monotonic() + seconds
    command = ["ps", "-A", "-o", "pgid=,state=,pid=,args="]
    while True:
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        left = [line for line in listed.splitlines() if "forks.py" in line]
        left = [line for line in left if int(line.split()[0]) in wanted and line.split()[1][0] != "Z"]
        if not left or time.monotonic() > until:
            return left
        time.sleep(0.2)
