"""From a recipe's signature to the flags of its command: name, type, default and help, each from the code itself."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin

import click

from gradus.recipes.rung import Rung
from gradus.training.settings import Settings

HIDDEN = ("quiet", "name")  # the command line has other ways to say these


def recipe_options(recipe: Rung) -> list[click.Option]:
    """The recipe's own settings first, then the loop's that it leaves alone."""
    hints = typing.get_type_hints(recipe.function, {**vars(inspect.getmodule(recipe.function))})
    texts = documented(recipe.function)
    common = {f.name: f for f in fields(Settings)}
    common_hints = typing.get_type_hints(Settings)
    out = []
    for name, default in recipe.defaults().items():
        text = texts.get(name) or (common[name].metadata["help"] if name in common else "")
        out.append(option(name, hints[name], default, text))
    for name, field in common.items():
        if recipe.loop and name not in recipe.defaults() and name not in HIDDEN:
            out.append(option(name, common_hints[name], field.default, field.metadata["help"]))
    return out


def option(name: str, hint: Any, default: Any, text: str) -> click.Option:
    """One flag of a type hint: int, float, str, bool, Literal, each also with None, and tuple[str, ...]."""
    flag = "--" + name.replace("_", "-")
    if get_origin(hint) in (types.UnionType, typing.Union):
        hint = next(h for h in get_args(hint) if h is not type(None))
    if hint is bool:
        return click.Option([f"{flag}/--no-{flag[2:]}"], default=default, show_default=default is not None, help=text)
    if get_origin(hint) is tuple:
        return click.Option([flag], multiple=True, default=default, help=text, metavar="TEXT")
    if name == "resume":
        return click.Option([flag], type=click.Choice(("never", "auto")), default=default, show_default=True, help=text)
    kind: Any = click.Choice(get_args(hint)) if get_origin(hint) is Literal else {int: int, float: float}.get(hint, str)
    if name == "lr":
        kind = Rate()
    return click.Option([flag], type=kind, default=default, show_default=default is not None, help=text)


class Rate(click.types.FloatParamType):
    """A learning rate: a number, or the word find, which has a range test choose it."""

    name = "float|find"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "find":
            return "find"
        try:
            return float(value)
        except ValueError:
            self.fail(f"'{value}' is neither a number nor find, which has a range test choose it.", param, ctx)


def documented(function: Callable[..., Any]) -> dict[str, str]:
    """The lines ``name: text`` of a docstring's part "Settings:"."""
    part = inspect.cleandoc(function.__doc__ or "").partition("Settings:\n")[2]
    return {m[1]: m[2].strip() for m in re.finditer(r"^ +(\w+): (.*(?:\n {8,}.*)*)", part, re.MULTILINE)}
