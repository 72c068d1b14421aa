"""What the ladder tells of a recipe: its place, its data, its model, its target and about how long it takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradus.training import Run


@dataclass(frozen=True)
class Rung:
    """A recipe and what ``gradus list`` says of it. Calling it runs the recipe."""

    number: int
    data: str
    model: str
    target: str
    seconds: float
    function: Callable[..., Run]
    loop: bool = True  # whether it trains step by step, and so has all the settings of the loop

    @property
    def name(self) -> str:
        return self.function.__name__.replace("_", "-")

    @property
    def teaches(self) -> str:
        """The first line of the recipe's docstring."""
        return (self.function.__doc__ or "").strip().split("\n", 1)[0].rstrip(".")

    def defaults(self) -> dict[str, Any]:
        """The recipe's own settings with their defaults."""
        parameters = inspect.signature(self.function).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}

    def __call__(self, **settings: Any) -> Run:
        return self.function(**settings)


def rung(
    number: int, *, data: str, model: str, target: str, seconds: float, loop: bool = True
) -> Callable[[Callable[..., Run]], Rung]:
    """Put a recipe on the ladder. ``seconds`` is about how long it takes on two cores."""

    def decorate(function: Callable[..., Run]) -> Rung:
        return Rung(number, data, model, target, seconds, function, loop)

    return decorate


def begun(settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """The config.json of the run that these settings go on with or open; None where a new one begins.

    What a recipe measures or looks for, so as to decide, it takes from there the second time.
    """
    from gradus.training import RunDirectory
    from gradus.training.rundir import is_run

    out = settings.get("out")
    if settings.get("resume", "never") == "never" or out is None or not is_run(out):
        return None
    return RunDirectory.open(str(out)).config()
