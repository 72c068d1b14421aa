"""``gradus chat [RUN | URL]``: talk with a model of one's own, or with one on any OpenAI-style server."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from gradus.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from gradus.cli.chat_session import Session
    from gradus.language.documents import Index
    from gradus.language.partner import Partner

    Tell = Callable[[str, str], None]
    """Tells a person something, under a label."""


@click.command(name="chat")
@click.argument("words", nargs=-1, metavar="[RUN | URL] [PROMPT...]")
@click.option("--model", help="of a URL: the server's name of the model [the only one it has]")
@click.option("--api-key", envvar="GRADUS_API_KEY", help="of a URL: what the server wants [GRADUS_API_KEY]")
@click.option("--docs", metavar="FOLDER", help="answer from these documents, and tell file and place")
@click.option("--embed", metavar="MODEL", help="find passages by meaning, too: the URL of a server, a run, a directory")
@click.option(
    "--embed-model", metavar="NAME", help="of --embed URL: the server's name of the model [the only one it has]"
)
@click.option("--encoding", help="of documents that aren't UTF-8, such as gb18030")
@click.option("--system", help="what the model is told before the conversation")
@click.option("--temperature", type=float, help="0 takes the likeliest words; below 1 likely ones become likelier")
@click.option("--top-p", type=float, help="draw only among the likeliest tokens that together have this probability")
@click.option("--top-k", type=int, help="draw only among the so many likeliest tokens")
@click.option("--min-p", type=float, help="draw only among tokens at least this many times as likely as the likeliest")
@click.option("--repetition-penalty", type=float, help="above 1: what was said becomes less likely")
@click.option("--seed", type=int, help="of what is drawn")
@click.option("--max-tokens", type=int, help="the longest answer")
@click.option(
    "--quantise", type=click.Choice(["auto", "none", "int8"]), help="of a RUN: weights that are written with [auto]"
)
@click.option("--device", help="of a RUN: cpu, cuda, mps [auto]")
@click.option("--json", "as_json", is_flag=True, help="answer PROMPT as JSON: text, usage, sources")
def command(
    words: tuple[str, ...],
    model: str | None,
    api_key: str | None,
    docs: str | None,
    embed: str | None,
    embed_model: str | None,
    encoding: str | None,
    system: str | None,
    quantise: str | None,
    device: str | None,
    as_json: bool,
    **sampling: float | None,
) -> None:
    """Talk with a language model. /help there tells what can be done.

    RUN is a finished run of instruct, prefer or gpt, or a Hugging Face directory; left out, it is the newest run. URL
    is the address of any OpenAI-style server, as http://localhost:11434/v1.

    With a PROMPT the answer is printed, and nothing else; - stands for what comes from standard input.
    """
    from gradus.cli.chat_loop import talk
    from gradus.cli.chat_session import Session
    from gradus.language.documents import Index
    from gradus.language.embeddings import embedder_of
    from gradus.training import progress

    source, prompt = _source_and_prompt(words)
    options = {name: value for name, value in sampling.items() if value is not None}
    if embed is not None and docs is None:
        raise UserError("--embed finds passages of documents. Name their folder, too: --docs FOLDER.")
    if as_json and prompt is None:
        raise UserError("--json is for one answer. Give a PROMPT, or - for one from standard input.")
    tell = progress.tell if prompt is None else _say_nothing
    if is_url(source):
        partner = _served(str(source), model, api_key, quantise or device)
        tell("model", partner.name)
    else:
        partner = _at_hand(source, model, quantise, device, tell)
    try:
        index = None
        if docs is not None:
            embedder = None
            if embed is not None:
                embedder = embedder_of(embed, model=embed_model, api_key=_key_for(embed, source, api_key))
            index = Index.of(docs, embedder=embedder, encoding=encoding)
            _update(index, tell)
        session = Session(partner, options, system=system, index=index)
        if prompt is None:
            talk(session)
        else:
            _answer_once(session, prompt, as_json)
    finally:
        partner.close()


def is_url(source: str | None) -> bool:
    return source is not None and source.startswith(("http://", "https://"))


def _source_and_prompt(words: tuple[str, ...]) -> tuple[str | None, str | None]:
    """The first word is a run where it is a path or an address; the others are the prompt, None for a conversation."""
    source: str | None = None
    rest = list(words)
    if rest and (is_url(rest[0]) or Path(rest[0]).exists()):
        source = rest.pop(0)
    elif rest and rest[0] != "-" and rest[0].isascii() and len(rest[0].split()) == 1:
        raise UserError(
            f"{rest[0]}: no such run or directory, and no address. Look with gradus runs; a PROMPT of one word comes "
            "after the run."
        )
    if rest[-1:] == ["-"] or (not rest and not sys.stdin.isatty()):
        text = sys.stdin.buffer.read().decode("utf-8", "replace").strip()
        if not text:
            raise UserError("standard input is empty. Give a PROMPT, or talk in a terminal.")
        return source, "\n\n".join([*rest[:-1], text])
    return source, " ".join(rest) if rest else None


def _key_for(embed: str, source: str | None, api_key: str | None) -> str | None:
    """The key, unless it is that of another server than the one of the embeddings."""
    return None if is_url(source) and urlsplit(embed).netloc != urlsplit(str(source)).netloc else api_key


def _served(url: str, model: str | None, api_key: str | None, of_runs: str | None) -> Partner:
    from gradus.language.partner import Served
    from gradus.language.remote import Remote

    if of_runs is not None:
        raise UserError("--quantise and --device are for a RUN; a server decides that for itself.")
    return Served(Remote(url, model=model, api_key=api_key))


def _at_hand(source: str | None, model: str | None, quantise: str | None, device: str | None, tell: Tell) -> Partner:
    from gradus.language import LanguageModel, newest
    from gradus.language.partner import AtHand

    if model is not None:
        raise UserError(
            "--model is the name of a server's model. Give its address first: gradus chat URL --model NAME."
        )
    found = source or newest()
    if found is None:
        raise UserError(
            "no language model below runs yet. Make one: gradus train tokenizer && gradus train gpt --minutes 10 && "
            "gradus train instruct --minutes 15. Or talk with a server: gradus chat http://…/v1 --model NAME."
        )
    lm = LanguageModel.load(found, device=device or "auto", quantise=quantise or "auto")
    parameters = sum(weight.numel() for weight in lm.model.parameters())
    chosen = ", ".join(f"{choice.value} [--{name}]" for name, choice in lm.chosen.items())
    tell("model", f"{found}: {parameters:,} parameters, reads {lm.max_length:,} tokens, {chosen}")
    if not lm.chats:
        tell("told", "it wasn't taught to answer, and goes on with your text; gradus train instruct teaches it")
    partner = AtHand(lm)
    if partner.small:
        tell("answers", "of the likeliest words, as a small model's others are seldom right [--temperature 0.7 draws]")
    return partner


def _update(index: Index, tell: Tell) -> None:
    """Bring the index up to date and tell what came of it; what can't be read is told in any case."""
    from rich.console import Console

    from gradus.training import progress

    with Console(stderr=True).status("reading documents") as status:
        update = index.update(lambda done, total: status.update(f"reading documents: {done:,} of {total:,}"))
    if update.rebuilt:
        tell("index", f"begun anew: {update.rebuilt}")
    tell("documents", f"{index.folder}: {update}")
    for line in update.lines():
        tell("left out", line)
    if tell is _say_nothing:
        for line in update.faults:
            click.echo(f"gradus: left out: {progress.printable(line)}", err=True)
    if not update.passages:
        raise UserError(f"{index.folder}: no document in it has any text that can be read. Give text, Markdown or PDF.")


def _say_nothing(label: str, text: str) -> None:
    """In a script the answer alone is wanted."""


def _answer_once(session: Session, prompt: str, as_json: bool) -> None:
    """One answer to standard output; its sources below it."""
    from gradus.training import progress

    turn = session.ask(prompt)
    if as_json:
        text = "".join(turn)
        told = {"text": text, "finish": turn.finish, "usage": turn.usage, "model": session.partner.name}
        sources = [{"file": p.file, "place": p.place, "score": round(p.score, 4), "text": p.text} for p in turn.sources]
        click.echo(json.dumps({**told, "sources": sources}, ensure_ascii=False))
        return
    for piece in turn:
        click.echo(progress.printable(piece), nl=False)
    click.echo("".join(f"\n{line}" for line in turn.cited()))
