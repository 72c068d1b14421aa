"""The ladder: one recipe a file, its four steps in order. A recipe is a function with its settings as keywords.

``ladder`` lists the rungs, ``call`` runs one as the command line does, ``reopen`` finds a run's recipe again.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradus.errors import UserError, nearest
from gradus.recipes.rung import Rung, rung

if TYPE_CHECKING:
    from gradus.training import Run

__all__ = ["Rung", "call", "find", "ladder", "reopen", "rung", "rungs"]


def rungs() -> list[str]:
    """The recipes by name, read off the directory without importing any."""
    return sorted(m.name.replace("_", "-") for m in pkgutil.iter_modules(__path__) if m.name != "rung")


def find(name: str) -> Rung:
    """The rung of a name.

    Raises:
        UserError: naming the nearest where there is none.
    """
    if name not in rungs():
        raise UserError(f"no recipe '{name}'.{nearest(name, rungs())}")
    module = importlib.import_module(f"gradus.recipes.{name.replace('-', '_')}")
    found: Rung = next(v for v in vars(module).values() if isinstance(v, Rung))
    return found


def ladder() -> list[Rung]:
    """All rungs from the bottom up."""
    return sorted((find(name) for name in rungs()), key=lambda r: r.number)


def call(name: str, arguments: Mapping[str, Any], typed: frozenset[str] = frozenset()) -> Run:
    """Run a recipe with these arguments, its weights drawn from its seed.

    Args:
        typed: the names of the arguments that a person gave, for the record.
    """
    import torch

    from gradus.experiment import running
    from gradus.training.account import Recipe

    recipe = find(name)
    settings = {**recipe.defaults(), **arguments}
    torch.manual_seed(settings.get("seed") or 0)
    noted = {k: v for k, v in arguments.items() if k not in ("out", "resume", "quiet", "watch")}
    with running(Recipe(name, noted, typed, recipe.defaults())):
        return recipe.function(**arguments)


def reopen(path: str | Path, *, resume: str, **changes: Any) -> Run:
    """Call a run's recipe again with its arguments: to go on with it ("continue"), or to have its data ("open").

    Raises:
        UserError: where the run is no recipe's.
    """
    from gradus.training import RunDirectory

    config = RunDirectory.open(path).config()
    if config["recipe"] is None:
        raise UserError(
            f"{path}: begun by code of your own, which only your code can go on with: "
            "gd.resume(path, model, data, task) in Python."
        )
    arguments = {**config["arguments"], **changes, "out": str(path), "resume": resume}
    return call(config["recipe"], arguments, frozenset(config["typed"]))
