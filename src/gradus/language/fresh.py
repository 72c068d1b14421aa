"""Files and directories for other programs: whole or absent, and never in the place of something that is there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gradus.errors import UserError


@contextmanager
def fresh(path: Path, *, directory: bool = False) -> Iterator[Path]:
    """A place to write to, which gets its name when all is written; where that fails, nothing is left.

    Args:
        path: what is to be there in the end; parents that are missing are made.
        directory: whether it is a directory; one that is there already must be empty.

    Raises:
        UserError: where something is there already, or the disk refuses.
    """
    path = Path(os.path.abspath(path))
    check_free(path, directory=directory)
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove(partial)
        if directory:
            partial.mkdir()
        yield partial
        os.rename(partial, path)
    except OSError as error:
        raise UserError(f"{path}: can't be written: {error.strerror or error}. Name another --out.") from None
    finally:
        _remove(partial)


def check_free(path: Path, *, directory: bool = False) -> None:
    """Say so where something is at a path already, before any work is done for it."""
    if os.path.lexists(path) and not (directory and path.is_dir() and not any(path.iterdir())):
        kind = "is there already and isn't an empty directory" if directory else "is there already"
        raise UserError(f"{path}: {kind}. Name another --out, or remove it.")


def _remove(partial: Path) -> None:
    if partial.is_dir() and not partial.is_symlink():
        shutil.rmtree(partial, ignore_errors=True)
    else:
        partial.unlink(missing_ok=True)
