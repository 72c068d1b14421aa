"""The conversation in a terminal: lines that can be edited and come back, answers as they are written, commands."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from gradus.cli.chat_session import OPTIONS, Session, Turn
from gradus.data.cache import cache_directory
from gradus.errors import UserError, nearest
from gradus.training.progress import printable

REMEMBERED = 1000  # lines that were typed, kept from one chat to the next
COMMANDS = {
    "/help": "what can be typed here",
    "/new": "begin a new conversation",
    "/system TEXT": "what the model is told first; /system alone shows it",
    "/set NAME VALUE": "how answers are drawn, as temperature 0.5; /set alone shows all",
    "/retry": "answer the last question again",
    "/undo": "take back the last question and its answer",
    "/docs QUESTION": "the passages for a question, without asking the model",
    "/save FILE": "keep the conversation, as gradus train instruct reads it",
    "/load FILE": "go on with one that was kept",
    "/quit": "leave; so does Ctrl-D",
}
NAMES = [usage.split()[0] for usage in COMMANDS]


def talk(session: Session) -> None:
    """Ask for lines and answer them until the person leaves. Ctrl-C stops the answer that is being written."""
    click.secho('/help tells what can be done. """ begins a text of several lines; Ctrl-C stops an answer.', dim=True)
    with _remembered():
        while True:
            try:
                text = _typed()
            except KeyboardInterrupt:
                click.secho("\nCtrl-D or /quit leaves.", dim=True)
                continue
            except EOFError:
                click.echo()
                return
            if text.split()[:1] == ["/quit"]:
                return
            if text.strip():
                _answer_or_tell(session, text)


def _answer_or_tell(session: Session, text: str) -> None:
    """Do what a line says; what is wrong with it is told, and the conversation goes on."""
    try:
        if text.startswith("/"):
            _command(session, text.strip())
        else:
            _show(session.ask(text))
    except UserError as error:
        click.secho(printable(" ".join(str(error).split())), fg="red", err=True)
    except KeyboardInterrupt:
        click.secho("\nstopped", dim=True)


def _show(turn: Turn) -> None:
    """Print an answer as it is written, then where it is from."""
    if turn.left_out:
        click.secho(f"the oldest {turn.left_out} messages no longer fit, and were left out", dim=True)
    pieces = iter(turn)
    try:
        for piece in pieces:
            sys.stdout.write(printable(piece))
            sys.stdout.flush()
    finally:
        pieces.close()  # type: ignore[attr-defined]  # a generator: what was written so far is entered
    click.echo()
    if turn.finish == "length":
        click.secho("cut off: as long as answers may be [/set max_tokens]", dim=True)
    for line in turn.cited():
        click.secho(printable(line), fg="cyan")


def _command(session: Session, text: str) -> None:
    name, _, rest = text.partition(" ")
    rest = rest.strip()
    if name not in _DONE:
        raise UserError(f"{name}: not known.{nearest(name, NAMES)}")
    _DONE[name](session, rest)


def _help(session: Session, rest: str) -> None:
    width = max(map(len, COMMANDS)) + 2
    for usage, words in COMMANDS.items():
        click.echo(click.style(f"{usage:<{width}}", fg="cyan") + words)
    click.echo('A line that ends in \\ goes on in the next; """ begins and ends a text of several lines.')


def _new(session: Session, rest: str) -> None:
    session.messages.clear()
    click.secho("a new conversation", dim=True)


def _system(session: Session, rest: str) -> None:
    if rest:
        session.system = rest
    click.secho(printable(f"system: {session.system or 'nothing'}"), dim=True)


def _set(session: Session, rest: str) -> None:
    name, _, value = rest.replace("=", " ").partition(" ")
    if name and not value.strip():
        raise UserError(f"/set {name}: to what? Give a number, or default.")
    if name:
        session.set(name, value.strip())
    shown = (f"{name} {session.options.get(name, 'default')}" for name in OPTIONS)
    click.secho(", ".join(shown), dim=True)


def _retry(session: Session, rest: str) -> None:
    _show(session.retry())


def _undo(session: Session, rest: str) -> None:
    click.secho(printable(f"taken back: {session.undo()}"), dim=True)


def _docs(session: Session, rest: str) -> None:
    if session.index is None:
        raise UserError("/docs: no documents. Begin the chat with --docs FOLDER.")
    if not rest:
        raise UserError("/docs: what for? Give a question.")
    passages = session.index.search(rest)
    for number, passage in enumerate(passages, start=1):
        click.secho(printable(f"[{number}] {passage.source} ({passage.score:.2f})"), fg="cyan")
        click.echo(printable(passage.text) + "\n")
    if not passages:
        click.echo(f"Nothing in {session.index.folder} fits that question.")


def _save(session: Session, rest: str) -> None:
    session.save(_path(rest, "/save"))
    click.secho(f"kept in {rest}", dim=True)


def _load(session: Session, rest: str) -> None:
    session.load(_path(rest, "/load"))
    click.secho(f"{len(session.messages)} messages", dim=True)


def _path(name: str, command: str) -> Path:
    if not name:
        raise UserError(f"{command}: which file? Give a name.")
    return Path(name).expanduser()


_DONE: dict[str, Callable[[Session, str], None]] = {
    "/help": _help, "/new": _new, "/system": _system, "/set": _set, "/retry": _retry, "/undo": _undo, "/docs": _docs,
    "/save": _save, "/load": _load,
}  # fmt: skip


def _typed() -> str:
    """What a person typed: a line, lines joined by a backslash at their ends, or all between two times three quotes."""
    text = input(_prompt("> "))
    if text.lstrip().startswith('"""'):
        text = text.lstrip()[3:]
        while not text.rstrip().endswith('"""'):
            text += "\n" + input(_prompt("… "))
        return text.rstrip()[:-3].strip("\n")
    while text.endswith("\\"):
        text = text[:-1] + "\n" + input(_prompt("… "))
    return text


def _prompt(sign: str) -> str:
    """A coloured sign; readline is told which of its characters take no place."""
    if os.environ.get("NO_COLOR") or not sys.stdout.isatty():
        return sign
    return f"\001\033[1;36m\002{sign}\001\033[0m\002" if "readline" in sys.modules else f"\033[1;36m{sign}\033[0m"


@contextlib.contextmanager
def _remembered() -> Iterator[None]:
    """Lines can be edited, and those of earlier chats come back with the arrow up, where this Python has readline."""
    try:
        import readline
    except ImportError:
        yield
        return
    path = cache_directory() / "chat_history"
    with contextlib.suppress(OSError):
        readline.read_history_file(path)
    readline.set_history_length(REMEMBERED)
    readline.set_completer(lambda text, state: ([*_completed(text), None])[state])
    readline.set_completer_delims(" ")
    readline.parse_and_bind("bind ^I rl_complete" if "libedit" in (readline.__doc__ or "") else "tab: complete")
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)  # what one asks is one's own
            readline.write_history_file(path)


def _completed(text: str) -> list[str]:
    return [name for name in NAMES if text and name.startswith(text)]
