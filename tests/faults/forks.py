"""The process that ``Launcher`` starts: it has imported all that a training needs, and forks a child a command.

Importing torch takes seconds, a fork milliseconds. No torch operation runs before the fork, so that the child has all
of its threads to itself, as a fresh process has. Each line of standard input is a request in JSON (see ``Request`` in
launching.py); two lines answer it: the child's process id, and, when it has ended, its exit status.
"""

from __future__ import annotations

import errno
import functools
import importlib
import json
import os
import signal
import sys
import time
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

PRELOADED = (
    "gradus.cli.train_", "gradus.cli.resume_", "gradus.cli.options", "gradus.experiment", "gradus.recipes.digits",
    "gradus.recipes.names", "gradus.recipes.titanic", "polars", "scipy.sparse", "sklearn.datasets",
    "sklearn.feature_extraction.text", "sklearn.linear_model", "sklearn.metrics", "sklearn.preprocessing",
    "sklearn.svm", "torch._dynamo",
)  # fmt: skip


def serve() -> None:
    for module in PRELOADED:
        importlib.import_module(module)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        begun = time.monotonic()
        pid = os.fork()
        if pid == 0:
            end_with(child, request)
        print(json.dumps({"pid": pid}), flush=True)
        status = wait(pid, request["kill_after"], begun)
        print(json.dumps({"status": status, "seconds": time.monotonic() - begun}), flush=True)


def end_with(function: Callable[[dict[str, Any]], int], request: dict[str, Any]) -> NoReturn:
    """Call it and end this process with its status, without the second that an interpreter takes to tidy up."""
    status = 1
    try:
        status = function(request)
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def wait(pid: int, kill_after: float | None, begun: float) -> int:
    """The exit status of a child, negative where a signal ended it; it is killed after so many seconds."""
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if kill_after is not None and time.monotonic() - begun >= kill_after:
            os.kill(pid, signal.SIGKILL)
            kill_after = None
        time.sleep(0.001)


def child(request: dict[str, Any]) -> int:
    os.setpgid(0, 0)  # its worker processes are of its group, and so can be looked for when it is gone
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(request["directory"])
    os.environ.update(request["environment"])
    for name, value in request["constants"].items():
        module, _, constant = name.rpartition(".")
        setattr(importlib.import_module(module), constant, value)
    if request["aims"] or request["trace"] or request["slow"]:
        whole = importlib.import_module("gradus.training.whole")
        whole.os = Calls(request["aims"], request["trace"], request["slow"])  # type: ignore[attr-defined]
    if request["notes"]:
        importlib.import_module("faults.power").note_syncs(request["notes"])
    if request["kill_at_fork"]:
        kill_at_fork(request["kill_at_fork"])
    if request["pace"] or request["gates"]:
        slow_down(request["pace"], request["gates"])
    if request["sabotage"]:
        getattr(importlib.import_module("faults.sabotage"), request["sabotage"])()
    program, *arguments = request["command"]
    if program == "gradus":
        status: int = importlib.import_module("gradus.cli").main(arguments)
        return status
    getattr(importlib.import_module("faults.cases"), program)(*arguments)
    return 0


def kill_at_fork(number: int) -> None:
    """Kill this process right after its fork of that number, counted from 1."""
    left = [number]

    def count() -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    os.register_at_fork(after_in_parent=count)


def slow_down(pace: float, gates: list[int]) -> None:
    """Wait so many seconds after each step; and, at a gate, until there is a file of its name.

    A save takes longer than a small model's step, and many are wanted; at a gate a test has time for its mischief.
    """
    saving = importlib.import_module("gradus.training.saving")
    step = saving.Checkpoints.step

    def slowly(self: Any, state: Any) -> None:
        time.sleep(pace)
        if state.step in gates:
            Path(f"at-{state.step}").touch()
            while not Path(f"go-{state.step}").exists():
                time.sleep(0.002)
        step(self, state)

    saving.Checkpoints.step = slowly


class Calls:
    """Stands where the writer looks for ``os``: sees each call of the system, and fails or kills at those aimed at.

    Calls are counted within a *place*: what is being written, "config.json", "predictor" or "00000010" (a checkpoint).
    A place begins where something is created under another name than before, and so includes what is tidied up after.

    Args:
        aims: each with a place, by name or as "checkpoint" (any) or "*" (all as one), how many such places come before
            it in this process ("skip"), the number of the call or "each", and what is to happen: "kill" before the
            call, "half" (half of what was to be written is, then the kill), the name of an error, or "short" (a third
            is written: the writer must go on).
        trace: a file to note each call in.
        slow: seconds to wait before each call.
    """

    def __init__(self, aims: list[dict[str, Any]], trace: str | None, slow: float) -> None:
        self.aims, self.slow = aims, slow
        self.trace = None if trace is None else open(trace, "a", encoding="utf-8")  # noqa: SIM115 - until the end
        self.place = ""
        self.seen = {"": 1}  # how often a place of a name, or any checkpoint, has begun
        self.number = -1  # of the call within the place
        self.total = -1  # of the call

    def __getattr__(self, name: str) -> Any:
        value = getattr(os, name)
        if isinstance(value, types.BuiltinFunctionType | types.FunctionType) and name not in (
            "fspath",
            "getpid",
            "strerror",
        ):
            return functools.partial(self._call, name, value)
        return value

    def _call(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        if name == "mkdir" or (name == "open" and arguments[1] & os.O_CREAT):
            self._at(place_of(Path(arguments[0])))
        self.number += 1
        self.total += 1
        if self.trace is not None:
            self.trace.write(f"{self.place} {name}\n")
            self.trace.flush()
        if self.slow:
            time.sleep(self.slow)
        for aim in self.aims:
            if self._meant(aim):
                return self._strike(aim["what"], name, function, arguments)
        return function(*arguments)

    def _at(self, place: str) -> None:
        if place != self.place:
            self.place, self.number = place, -1
            for name in (place, *(["checkpoint"] if place.isdigit() else [])):
                self.seen[name] = self.seen.get(name, 0) + 1

    def _meant(self, aim: dict[str, Any]) -> bool:
        if aim["place"] == "*":
            return aim["call"] in (self.total, "each")
        named = aim["place"] == self.place or (aim["place"] == "checkpoint" and self.place.isdigit())
        return named and self.seen[aim["place"]] == aim["skip"] + 1 and aim["call"] in (self.number, "each")

    def _strike(self, what: str, name: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        if what == "short":
            if name != "write":
                return function(*arguments)
            handle, data = arguments
            return function(handle, data[: -(-len(data) // 3)])
        if what == "half" and name == "write":
            handle, data = arguments
            function(handle, data[: len(data) // 2])
        if what in ("half", "kill"):
            os.kill(os.getpid(), signal.SIGKILL)
        number = getattr(errno, what)
        raise OSError(number, os.strerror(number))


def place_of(path: Path) -> str:
    """What a path of the writer is a part of: "00000010", "predictor", "config.json", …"""
    name = (path.parent if path.parent.name.startswith(".") else path).name
    return name.removeprefix(".").removesuffix(".partial").removesuffix(".old")


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])
    serve()
