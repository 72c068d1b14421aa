"""Where what was measured, prepared or downloaded once is kept on this machine, for every run to find again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_directory() -> Path:
    """``$GRADUS_CACHE``, or ``gradus`` in the user's cache directory. It may not exist yet."""
    if os.environ.get("GRADUS_CACHE"):
        return Path(os.environ["GRADUS_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gradus"
