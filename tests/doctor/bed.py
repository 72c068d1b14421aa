"""The test-bed of the doctor: scripts with one fault, their mended twins, odd but healthy ones; and how they are run.

``python tests/doctor/bed.py tuned [NAME…] [--seeds 0,1,2]`` runs a part and prints what was found. Each script runs in
a process of its own, forked from one that has torch loaded, on one thread.
"""

from __future__ import annotations

import ast
import functools
import importlib
import json
import os
import pickle
import random
import signal
import sys
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
KINDS = ("faulty", "fixed", "healthy")
SECONDS = 60


@dataclass(frozen=True)
class Case:
    """A script: what it is, and which code a perfect doctor names (none, for mended and healthy ones)."""

    path: Path
    part: str
    kind: str  # faulty, fixed, healthy
    code: str  # of the fault, or of the fault that was mended
    model: str
    source: str

    @property
    def name(self) -> str:
        return f"{self.part}/{self.kind}/{self.path.stem}"


@dataclass
class Result:
    """What the doctor said of a script."""

    codes: list[str] = field(default_factory=list)  # of faults and likely ones, in order
    notes: list[str] = field(default_factory=list)
    findings: list[dict[str, Any]] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    ended: str = ""  # "" well, else the exception, or "too slow"
    died: bool = False  # nothing came back: too slow, killed, or a fault of the doctor's own
    seconds: float = 0.0
    printed: str = ""
    seen: Any = None


def cases(part: str | None = None, kind: str | None = None) -> list[Case]:
    """The scripts of a part, by name."""
    found = []
    for path in sorted(HERE.glob("*/*/*.py")):
        if path.parent.name in KINDS:
            keys = _keys(ast.get_docstring(ast.parse(path.read_text())) or "")
            code = keys.get("code") or keys.get("fixed") or ""
            found.append(
                Case(path, path.parents[1].name, path.parent.name, code, keys.get("model", ""), keys.get("source", ""))
            )
    return [case for case in found if part in (None, case.part) and kind in (None, case.kind)]


def _keys(text: str) -> dict[str, str]:
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {
        key.strip(): value.strip() for key, value in pairs if key.strip() in ("code", "fixed", "model", "source", "odd")
    }


@functools.cache
def preload() -> None:
    """Load once, before any fork, what the scripts and the doctor load."""
    for name in ("torch", "sklearn.datasets", "sklearn.metrics", "sklearn.model_selection", "sklearn.preprocessing",
                 "gradus.doctor.script", "gradus.doctor.watch", "gradus.doctor.judge"):  # fmt: skip
        importlib.import_module(name)
    importlib.import_module("gradus.doctor.rule").rules()
    importlib.import_module("torch").set_num_threads(1)


def examine(path: Path, seed: int = 0, *, watched: bool = True, keep: bool = False) -> Result:
    """Run a script in a forked process, and tell what the doctor finds."""
    preload()
    reading, writing = os.pipe()
    begun = time.perf_counter()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            os._exit(_child(path, seed, watched, keep, writing))
        except BaseException:
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(pickle.dumps(Result(died=True, ended=traceback.format_exc()[-2000:])))
        finally:
            os._exit(3)
    os.close(writing)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
    signal.alarm(SECONDS)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    signal.alarm(0)
    result = pickle.loads(told) if told else Result(died=True, ended="too slow or killed")
    result.seconds = time.perf_counter() - begun
    return result  # type: ignore[no-any-return]


def _child(path: Path, seed: int, watched: bool, keep: bool, writing: int) -> int:
    import contextlib
    import io
    import warnings

    import torch

    from gradus.doctor import script
    from gradus.doctor.judge import examine as judge
    from gradus.doctor.words import all_told

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    random.seed()
    os.chdir(path.parent)
    os.environ["GRADUS_DOCTOR_STRICT"] = ""
    result = Result()
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        if watched:
            ended = script.run(str(path), [str(seed)])
            diagnosis = judge(ended.seen)
            result.findings = all_told(diagnosis)
            result.codes = [f.code for f in diagnosis.alarms]
            result.notes = [f.code for f in diagnosis.findings if f.level == "note"]
            result.troubles = list(diagnosis.troubles)
            result.ended = "" if ended.error is None else f"{type(ended.error).__name__}: {ended.error}"[:200]
            result.seen = ended.seen if keep else None
        else:
            import runpy

            sys.argv = [str(path), str(seed)]
            try:
                runpy.run_path(str(path), run_name="__main__")
            except Exception as error:
                result.ended = f"{type(error).__name__}: {error}"[:200]
    result.printed = out.getvalue()[-4000:]
    with os.fdopen(writing, "wb") as pipe:
        pipe.write(pickle.dumps(result))
    return 0


def verdict(case: Case, result: Result) -> str:
    """How well a result fits its case: first, named, missed; silent, alarm; or died, where nothing was told.

    A note counts as naming the fault (some depend on what was meant, and are never more); it is no alarm.
    """
    if result.died:
        return "DIED"
    if case.kind == "faulty":
        told = [*result.codes, *result.notes]
        return "first" if told[:1] == [case.code] else "named" if case.code in told else "MISSED"
    return "ALARM" if result.codes else "silent"


def main(arguments: list[str]) -> None:
    part = arguments.pop(0) if arguments and not arguments[0].startswith("-") else None
    seeds = [0]
    if "--seeds" in arguments:
        at = arguments.index("--seeds")
        seeds = [int(s) for s in arguments[at + 1].split(",")]
        del arguments[at : at + 2]
    show = "--signals" in arguments
    verbose = "-v" in arguments or show
    names = [a for a in arguments if not a.startswith("-")]
    totals: dict[str, int] = {}
    for case in cases(part):
        if names and not any(name in case.name or name == case.code for name in names):
            continue
        for seed in seeds:
            result = examine(case.path, seed, keep=show)
            said = verdict(case, result)
            totals[f"{case.kind} {said}"] = totals.get(f"{case.kind} {said}", 0) + 1
            told = " ".join(result.codes) + (f"  notes: {' '.join(result.notes)}" if result.notes else "")
            print(
                f"{said:7} {case.name}:{seed} [{case.code}] {result.seconds:.1f}s  {told}  {result.ended}", flush=True
            )
            for trouble in result.troubles:
                print("   trouble:", trouble)
            if verbose:
                for finding in result.findings:
                    print(json.dumps(finding, indent=1, ensure_ascii=False))
                print(result.printed[-1500:])
            if show:
                import pprint

                result.seen.events = [(e.kind, e.index, e.update, str(e.place)) for e in result.seen.events[:40]]  # type: ignore[misc]
                for site in (*result.seen.losses, *result.seen.backwards):
                    site.values = site.values[:6] + site.values[-6:]
                for loss in result.seen.losses:
                    loss.recent, loss.first_targets, loss.batch_labels = loss.recent[-2:], loss.first_targets[:20], []
                for rows in result.seen.rows:
                    rows.signatures = len(rows.signatures)
                pprint.pprint(result.seen, width=170, compact=True)
    print(totals)


if __name__ == "__main__":
    main(sys.argv[1:])
