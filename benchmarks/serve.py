"""A server under load: one stream's tokens a second, many streams' together, and whether any text came out otherwise.

    python benchmarks/serve.py [--model RUN] [--streams 16] [--seconds 60] [--tokens 200] [--quantise int8] [--json F]

The server is a process of its own (``gradus serve``) on a real port; this process is its clients, each a plain HTTP
connection that reads server-sent events. Without ``--model`` it serves a network of random weights of about 60 M
parameters. First every request is made alone, one after the other: that is one stream's speed, and the texts that must
come out. Then all streams ask at once, again and again, for so many seconds: each text is compared with the one that
the same request gave alone. Each request has a seed of its own, and its answer is drawn at temperature 1. At the end
a client's connection is cut off in the middle of a stream, and it is told how long its row stayed in use.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from gradus.data import Tokens
from gradus.language.hf import save_hf
from gradus.models import GPT

PROMPT = "Tell a story about the number"
QUANTILES = (50, 95, 99)


@dataclass
class Answer:
    """What came of a request."""

    text: str
    tokens: int
    first_seconds: float  # to the first text
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a run or a Hugging Face directory")
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--tokens", type=int, default=200, help="of each answer")
    parser.add_argument("--quantise", default="auto")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = given.model or random_model(Path(folder) / "model")
        with serving(model, given.streams, given.quantise) as (netloc, told):
            found = {"model": told, **measured(netloc, given.streams, given.seconds, given.tokens)}
    show(found, given.streams)
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    if found["errors"] or found["mixed"]:
        sys.exit(1)


def measured(netloc: str, streams: int, seconds: float, tokens: int) -> dict[str, Any]:
    """One stream alone and all at once: tokens a second, seconds to the first text, errors and texts that differ."""
    bodies = [request(i, tokens) for i in range(streams)]
    ask(netloc, bodies[0])  # warms up
    before = time.perf_counter()
    alone = [ask(netloc, body) for body in bodies]
    single = sum(answer.tokens for answer in alone) / (time.perf_counter() - before)

    answers: list[Answer] = []
    faults: list[str] = []
    mixed = 0
    before = time.perf_counter()

    def go_on(i: int) -> None:
        nonlocal mixed
        while time.perf_counter() - before < seconds:
            try:
                answer = ask(netloc, bodies[i])
            except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
                faults.append(f"{type(error).__name__}: {error}")
                continue
            answers.append(answer)
            mixed += answer.text != alone[i].text

    with ThreadPoolExecutor(streams) as pool:
        list(pool.map(go_on, range(streams)))
    together = sum(answer.tokens for answer in answers) / (time.perf_counter() - before)
    firsts = sorted(answer.first_seconds for answer in answers)
    return {
        "one_stream_tokens_per_second": single,
        "all_streams_tokens_per_second": together,
        "ratio": together / single,
        "requests": len(answers),
        "errors": faults[:10],
        "mixed": mixed,
        "first_seconds_alone": sorted(answer.first_seconds for answer in alone)[len(alone) // 2],
        "first_seconds": {f"p{q}": firsts[min(len(firsts) - 1, len(firsts) * q // 100)] for q in QUANTILES},
        "row_freed_seconds": freed(netloc, bodies[0]),
    }


def request(number: int, tokens: int) -> bytes:
    body = {
        "prompt": f"{PROMPT} {number}",
        "max_tokens": tokens,
        "temperature": 1.0,
        "seed": number,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    return json.dumps(body).encode()


def ask(netloc: str, body: bytes) -> Answer:
    """Make a request and read its stream to the end.

    Raises:
        ValueError: where it ends in an error, or without its end.
    """
    begun, first, text, tokens, done = time.perf_counter(), 0.0, [], 0, False
    for line in lines(netloc, body):
        if line == b"data: [DONE]":
            done = True
            continue
        event = json.loads(line[6:])
        if "error" in event:
            raise ValueError(event["error"]["message"])
        if event["choices"] and event["choices"][0]["text"]:
            first = first or time.perf_counter() - begun
            text.append(event["choices"][0]["text"])
        if event.get("usage"):
            tokens = event["usage"]["completion_tokens"]
    if not done:
        raise ValueError("the stream broke off")
    return Answer("".join(text), tokens, first, time.perf_counter() - begun)


def lines(netloc: str, body: bytes) -> Iterator[bytes]:
    """The lines of a stream as they come."""
    link = http.client.HTTPConnection(netloc, timeout=300)
    try:
        link.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
        answer = link.getresponse()
        if answer.status != 200:
            raise ValueError(f"status {answer.status}: {answer.read()[:200]!r}")
        while line := answer.readline():
            if line.strip():
                yield line.strip()
    finally:
        link.close()


def freed(netloc: str, body: bytes) -> float:
    """Seconds from the end of a connection in the middle of a stream until no row is in use."""
    stream = lines(netloc, body)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    begun = time.perf_counter()
    while running(netloc):
        time.sleep(0.002)
    return time.perf_counter() - begun


def running(netloc: str) -> int:
    link = http.client.HTTPConnection(netloc, timeout=30)
    link.request("GET", "/health")
    count = int(json.loads(link.getresponse().read())["running"])
    link.close()
    return count


@contextmanager
def serving(model: Path, streams: int, quantise: str) -> Iterator[tuple[str, str]]:
    """``gradus serve`` on a free port: where it is, and what it says of its model."""
    command = [sys.executable, "-m", "gradus", "serve", str(model), "--port", "0", "--rows", str(streams)]
    process = subprocess.Popen(
        [*command, "--quantise", quantise],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    told = ""
    while "\ntry" not in told:
        line = process.stdout.readline()
        if not line:
            sys.exit(told)
        told += line
    found = re.search(r"^page +http://(\S+)/$", told, re.MULTILINE)
    assert found is not None, told
    try:
        yield found[1], told
    finally:
        process.terminate()
        process.wait(30)


def random_model(path: Path) -> Path:
    """About 60 M parameters; what they say has no meaning."""
    torch.manual_seed(0)
    texts = [f"{PROMPT} {number}. {'abcdefghijklmnopqrstuvwxyz'[number % 26 :]}" for number in range(200)]
    tokens = Tokens.fit("text", texts, "chat", size=1000)
    model = GPT(8_192, width=640, heads=10, layers=11, max_length=1024, kv_heads=5)
    save_hf(model, tokens, path)
    return path


def show(found: dict[str, Any], streams: int) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print(found["model"].split("\nrows")[0])
    one, all_of_them = found["one_stream_tokens_per_second"], found["all_streams_tokens_per_second"]
    console.print(
        f"one stream       {one:10.1f} tokens/s, first text after {found['first_seconds_alone'] * 1e3:.0f} ms"
    )
    firsts = ", ".join(f"{name} {value * 1e3:.0f} ms" for name, value in found["first_seconds"].items())
    console.print(f"{streams} streams       {all_of_them:10.1f} tokens/s, first text after {firsts}")
    console.print(f"ratio            {found['ratio']:10.2f} (wanted: 3)")
    console.print(
        f"requests         {found['requests']:10,}, errors {len(found['errors'])}, mixed texts {found['mixed']}"
    )
    console.print(f"a row was free   {found['row_freed_seconds'] * 1e3:10.0f} ms after its client had gone")
    for fault in found["errors"]:
        console.print(fault)


if __name__ == "__main__":
    main()
