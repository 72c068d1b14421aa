"""``gradus serve [RUN]``: a language model over the OpenAI protocol, with a page to chat on."""

from __future__ import annotations

import json
import re

import click

from gradus.errors import UserError


@click.command(name="serve")
@click.argument("run", required=False)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="where to listen; another than this machine's own needs a key",
)
@click.option("--port", default=8000, show_default=True, help="0 takes a free one")
@click.option("--api-key", envvar="GRADUS_API_KEY", default=None, help="what clients must send [GRADUS_API_KEY]")
@click.option("--no-api-key", is_flag=True, help="let everybody who reaches the host ask")
@click.option(
    "--rows", default=16, show_default=True, type=click.IntRange(1), help="answers that are written side by side"
)
@click.option(
    "--queue", default=64, show_default=True, type=click.IntRange(0), help="requests that may wait; more get status 429"
)
@click.option("--name", default=None, help="what the model is called [the run's name]")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, mps")
@click.option(
    "--quantise",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "none", "int8"]),
    help="weights that are written with",
)
@click.option("--docs", default=None, metavar="FOLDER", help="documents that answers are grounded on and cite")
@click.option("--embed", metavar="MODEL", help="find passages by meaning, too: the URL of a server, a run, a directory")
@click.option(
    "--embed-model", metavar="NAME", help="of --embed URL: the server's name of the model [the only one it has]"
)
@click.option("--encoding", help="of documents that aren't UTF-8, such as gb18030")
@click.option(
    "--allow-origin", "origins", multiple=True, metavar="ORIGIN", help="another site whose pages may ask, or *"
)
def command(
    run: str | None,
    host: str,
    port: int,
    api_key: str | None,
    no_api_key: bool,
    rows: int,
    queue: int,
    name: str | None,
    device: str,
    quantise: str,
    docs: str | None,
    embed: str | None,
    embed_model: str | None,
    encoding: str | None,
    origins: tuple[str, ...],
) -> None:
    """Serve a language model over the OpenAI protocol, with a chat page at its address.

    RUN is a finished run of instruct, prefer or gpt, or a Hugging Face directory; left out, it is the newest run.
    """
    from gradus.language import Engine, LanguageModel, newest
    from gradus.language.documents import Index
    from gradus.language.embeddings import embedder_of
    from gradus.serving import app_of, listen, serve
    from gradus.serving.server import address_of, is_loopback
    from gradus.training.progress import tell

    if api_key is not None and not re.fullmatch(r"[!-~]+", api_key):
        raise UserError(
            "--api-key: a key is of letters, digits and signs of ASCII, without blanks. Give another, or none."
        )
    if not is_loopback(host) and api_key is None and not no_api_key:
        raise UserError(f"--host {host} is reached by others. Give --api-key KEY, or --no-api-key to let everybody in.")
    if docs is None and (embed or embed_model or encoding):
        raise UserError("--embed, --embed-model, --encoding are of documents. Name their folder, too: --docs FOLDER.")
    source = run or newest()
    if source is None:
        raise UserError(
            "no language model below runs yet. Make one: gradus train tokenizer && gradus train gpt --minutes 10 && "
            "gradus train instruct --minutes 15."
        )
    listening = listen(host, port)
    embedder = embedder_of(embed, model=embed_model) if embed is not None else None
    index = Index.of(docs, embedder=embedder, encoding=encoding) if docs is not None else None
    lm = LanguageModel.load(source, device=device, quantise=quantise)
    called, address = name or lm.name, address_of(listening)
    parameters = sum(weight.numel() for weight in lm.model.parameters())
    tell("model", f"{source}: {parameters:,} parameters, reads {lm.max_length:,} tokens, is called {called} [--name]")
    for what, choice in lm.chosen.items():
        tell(what, f"{choice.value} ({choice.reason}) [--{what}]")
    tell("rows", f"{rows} answers side by side, {queue} requests may wait [--rows, --queue]")
    if index is not None:
        update = index.update()
        tell("documents", f"{docs}: {update}")
        for line in update.lines():
            tell("left out", line)
        if not update.passages:
            raise UserError(f"{docs}: no document in it has any text that can be read. Give text, Markdown or PDF.")
    tell("page", f"{address}/")
    tell("API", f"{address}/v1{', with the key' if api_key else ''}; what it takes is told at {address}/openapi.json")
    tell("try", example(address, chats=lm.chats, key=api_key is not None))
    with Engine(lm, rows=rows, queue=queue) as engine:
        app = app_of(engine, name=called, api_key=api_key, documents=index, own_names=[host], origins=origins)
        serve(app, engine, listening)
    tell("stopped", "answers that were being written were told so")


def example(address: str, *, chats: bool, key: bool) -> str:
    """A request to type in a terminal."""
    path, body = "completions", json.dumps({"prompt": "The first step is", "max_tokens": 64})
    if chats:
        path, body = "chat/completions", json.dumps({"messages": [{"role": "user", "content": "What is 3 + 4?"}]})
    header = " -H 'Authorization: Bearer KEY'" if key else ""
    return f"curl {address}/v1/{path} -H 'Content-Type: application/json'{header} -d '{body}'"
