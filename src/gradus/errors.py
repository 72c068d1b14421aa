"""The one exception that a reader can mend, and the hint that goes with a misspelt name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A bad input, told in one line: what, where, why, what to do. The command line exits with status 2."""


class Interrupted(KeyboardInterrupt):
    """Training was asked to stop (Ctrl-C, SIGTERM or SIGUSR1). ``run`` is the directory.

    Args:
        saved: whether the state was saved as it was; else the run goes on from an older checkpoint.
    """

    def __init__(self, run: str, *, saved: bool = True) -> None:
        words = "stopped and saved" if saved else "stopped at once; what was saved last is kept"
        super().__init__(f"{words}; go on with: gradus resume {run}")
        self.run = run


def nearest(word: str, choices: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` where a choice is close to the word, else the list of choices, to end an error with."""
    names = sorted(set(choices))
    close = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    if not close:
        close = [n for n in names if n.lower() == word.lower()]
    if close:
        return f" Did you mean '{close[0]}'?"
    shown = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    return f" Known: {shown}." if names else ""
