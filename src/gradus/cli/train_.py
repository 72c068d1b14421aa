"""``gradus train RECIPE``: a command for each recipe, its flags made from the recipe's own signature."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from gradus import recipes
from gradus.cli import rank
from gradus.errors import UserError, nearest

BUDGET = ("epochs", "steps", "minutes")


class Recipes(click.Group):
    """The recipes as commands, imported when one is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [rung.name for rung in recipes.ladder()]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in recipes.rungs():
            return None
        from gradus.cli.options import recipe_options

        recipe = recipes.find(name)
        about = (recipe.function.__doc__ or "").split("Settings:")[0].strip()
        return click.Command(
            name,
            params=[
                *recipe_options(recipe),
                click.Option(["--json", "as_json"], is_flag=True, help="print the summary as JSON, and nothing else"),
            ],
            callback=lambda **given: _train(name, given),
            help=f"{about}\n\nData: {recipe.data}. Model: {recipe.model}. Target: {recipe.target}.",
            short_help=recipe.teaches,
        )

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in recipes.rungs() and not args[0].startswith("-"):
            raise UserError(f"no recipe '{args[0]}'.{nearest(args[0], recipes.rungs())} gradus list shows them.")
        if (
            args
            and args[0] in recipes.rungs()
            and sys.stdout.isatty()
            and not rank()
            and not {"--help", "-h", "--json"} & set(args)
        ):
            # the first thing to be seen, before torch takes its seconds to load
            click.secho(f"{'recipe':<11}", fg="cyan", bold=True, nl=False)
            click.echo(f"{args[0]}: {recipes.find(args[0]).teaches}")
        return super().resolve_command(ctx, args)


@click.command(cls=Recipes, name="train")
def command() -> None:
    """Train a recipe of the ladder. ``gradus train RECIPE --help`` shows its settings."""


def _train(name: str, given: dict[str, Any]) -> None:
    from gradus.training import progress

    as_json = given.pop("as_json")
    context = click.get_current_context()
    typed = frozenset(k for k in given if context.get_parameter_source(k) is click.core.ParameterSource.COMMANDLINE)
    arguments = {k: v for k, v in given.items() if k in typed}
    if typed & set(BUDGET):  # a budget that was typed replaces the recipe's own
        own = recipes.find(name).defaults()
        arguments |= {k: None for k in BUDGET if k in own and k not in typed}
    for key in ("data", "test", "tokenizer", "base"):  # so that the run finds them again from anywhere
        if isinstance(arguments.get(key), str) and Path(arguments[key]).exists():
            arguments[key] = str(Path(arguments[key]).resolve())
    if as_json:
        progress.use_stderr()
    run = recipes.call(name, arguments, typed)
    if as_json and not rank():
        click.echo(json.dumps(run.summary, ensure_ascii=False))
