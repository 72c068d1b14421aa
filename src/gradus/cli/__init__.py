"""What a person types. Each command is one file; nothing heavy is imported until a command runs."""

from __future__ import annotations

import importlib
import os
import sys

import click

from gradus.errors import Interrupted, UserError, nearest

COMMANDS = {
    "list": "the ladder: every recipe with its data, its target and its time",
    "train": "train a recipe: gradus train RECIPE [--data PATH] [--epochs N] …",
    "resume": "go on with a run that was interrupted",
    "test": "measure a run on rows that its training never saw, or on other data",
    "predict": "what a run says of rows, files, pictures or texts",
    "runs": "the runs below a directory",
    "report": "a run as one page that opens offline: result, curves, mistakes, settings",
    "compare": "what differs between runs, in settings, curves and metrics",
    "doctor": "why training does or doesn't work: of a run, or of any PyTorch script",
    "chat": "talk with a language model: your own, or one on any OpenAI-style server; also about your documents",
    "serve": "a language model over the OpenAI protocol, with a page to chat on",
    "export": "a trained model in the form of other programs: transformers, llama.cpp, ONNX",
}


class Lazy(click.Group):
    """A group whose commands are known by name and imported when called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"gradus.cli.{name}_").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise UserError(f"no command '{args[0]}'.{nearest(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="gradus", prog_name="gradus")
def cli() -> None:
    """From the first fitted line to a small language model of your own, one command a rung.

    Begin with: gradus train digits
    """


def main(arguments: list[str] | None = None) -> int:
    """Run a command line and give the exit status: 0, 2 for a bad input, 130 where interrupted.

    1 is for our own bugs, and for what the doctor found.
    """
    try:
        status = cli.main(args=arguments, prog_name="gradus", standalone_mode=False)
    except UserError as error:
        return _fail(str(error))
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.ClickException as error:
        return _fail(error.format_message())
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, click.Abort) as stop:  # click makes an Abort of every KeyboardInterrupt
        saved = stop.__cause__ if isinstance(stop.__cause__, Interrupted) else None
        if not rank():
            click.echo(f"gradus: {saved or 'interrupted before there was anything to save'}", err=True)
        return 130
    except BrokenPipeError:  # the reader of a pipe has gone, as `| head` does
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - the interpreter flushes it at its end
        return 0
    return status if isinstance(status, int) else 0


def show_table(rows: list[list[str]], header: list[str], right: tuple[str, ...] = ()) -> None:
    """Print a table as wide as the terminal; names fold rather than lose their ends. In a pipe, as wide as it needs."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold cyan")
    for name in header:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console = Console(markup=False)  # a name in brackets is a name
    if not console.is_terminal:
        console = Console(width=400, markup=False)
    console.print(table, crop=False, no_wrap=not console.is_terminal)


def rank() -> int | None:
    """Which of several processes that train together (torchrun) this one is; None where it is alone."""
    return int(os.environ.get("RANK", 0)) if int(os.environ.get("WORLD_SIZE", 1)) > 1 else None


def _fail(message: str) -> int:
    who = "gradus" if rank() is None else f"gradus, process {rank()}"
    click.echo(f"{who}: {' '.join(message.split())}", err=True)
    return 2


def entry() -> None:
    """The installed command."""
    sys.exit(main())
