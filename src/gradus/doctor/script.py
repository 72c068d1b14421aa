"""Runs a person's own script, unmodified, under the doctor's eyes."""

from __future__ import annotations

import os
import runpy
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass

from gradus.doctor.errors import error_of
from gradus.doctor.places import is_own
from gradus.doctor.signals import Error, Signals


@dataclass
class Ended:
    """How a script ended, and what was seen of it."""

    seen: Signals
    status: int
    error: BaseException | None


def run(script: str, arguments: Sequence[str]) -> Ended:
    """Run a script as ``python script.py arguments`` would, in this process, and watch it.

    Its ``__name__`` is ``__main__``, its directory the first of ``sys.path``; what it prints is printed. Exceptions
    that end it, and ``sys.exit``, end only it.
    """
    from gradus.doctor.watch import Watch

    argv, path = list(sys.argv), list(sys.path)
    sys.argv = [script, *arguments]
    sys.path[0:0] = [os.path.dirname(os.path.abspath(script))]
    status = 0
    caught: BaseException | None = None
    watch = Watch()
    try:
        with watch:
            try:
                runpy.run_path(script, run_name="__main__")
            except SystemExit as stop:
                status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
            except KeyboardInterrupt as error:
                status, caught = 130, error
            except BaseException as error:
                status, caught = 1, error
    finally:
        sys.argv, sys.path = argv, path
    if caught is not None and status == 1:
        _print(caught)
    seen = watch.finish()
    seen.program = script
    if caught is not None and status == 1:
        try:
            seen.error = error_of(caught)
        except Exception:  # what stood on the line may be of any kind, and fail when it is looked at
            seen.error = Error(type(caught).__name__, str(caught))
            seen.troubles.append(traceback.format_exc(limit=-3, chain=False))
    return Ended(seen, status, caught)


def _print(error: BaseException) -> None:
    """An exception as Python itself shows it, without the frames of those who watch."""
    told = traceback.TracebackException.from_exception(error)
    frames = list(told.stack)
    first = next((number for number, frame in enumerate(frames) if is_own(frame.filename)), 0)
    hidden = (os.path.dirname(__file__), "torch/overrides.py")
    told.stack[:] = [frame for frame in frames[first:] if not any(part in frame.filename for part in hidden)]
    print("".join(told.format()), end="", file=sys.stderr)
