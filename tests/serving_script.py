"""A server for the tests, as a process of its own: ``python serving_script.py '{"writes": "gpt"}'``.

It prints its address, serves a model of random weights on a free port, and ends at Ctrl-C as ``gradus serve`` does.
What writes is that model, or a script: a decoder that gives known answers, a token each so many milliseconds.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from gradus.data import Tokens
from gradus.language import Engine, LanguageModel
from gradus.models import GPT
from gradus.serving import app_of, listen
from gradus.serving.server import Server, address_of

TEXTS = [
    "the cat sat on the mat and the dog ran after it",
    "你好，世界。春眠不觉晓，处处闻啼鸟。",
    "def f(x): return x + 1",
]
MARKDOWN = """## A heading

Some *light* and **heavy** words, `code` and a [link](https://example.com/a).

1. first
2. second

- a point <img src=x onerror=alert(1)>

> said by another

```python
def double(x):
    return 2 * x  # <b>not bold</b>
```

春眠不觉晓，处处闻啼鸟。
"""


def tiny_model(
    writes: str = "gpt", *, max_length: int = 256, milliseconds: float = 0.0, chats: bool = True
) -> LanguageModel:
    """A model of random weights, the same each time; it writes itself, or by a script."""
    torch.manual_seed(0)
    tokens = Tokens.fit("text", TEXTS * 4, "chat", size=320)
    model = GPT(tokens.size, width=32, heads=4, layers=2, max_length=max_length, kv_heads=2)
    with torch.no_grad():
        model.embed.weight.normal_(std=0.4)  # so that some tokens are likelier than others
    decoder = Slow(model, milliseconds) if writes == "gpt" else Script(tokens, max_length, milliseconds)
    lm = LanguageModel(model, tokens, "tiny", chats=chats)
    lm.writer = decoder
    return lm


def scripted(question: str) -> str:
    """What the script answers."""
    word, _, number = question.partition(" ")
    if word == "count":
        return " ".join(map(str, range(int(number))))
    if word == "long":
        return "again and again " * 1000
    return {"markdown": MARKDOWN, "hello": "Hello! How are you?"}.get(word, f"You said: {question}")


class Slow:
    """The model itself, a step taking so much longer."""

    def __init__(self, model: GPT, milliseconds: float) -> None:
        self.model, self.seconds, self.max_length = model, milliseconds / 1000, model.max_length
        self.fresh_cache, self.head = model.fresh_cache, model.head

    def read_at(self, ids: Tensor, starts: Tensor, cache: Tensor, room: int) -> Tensor:
        time.sleep(self.seconds)
        return self.model.read_at(ids, starts, cache, room)


class Script:
    """Answers by ``scripted``: its cache holds the ids so far, and its features are the next id."""

    def __init__(
        self, tokens: Tokens, max_length: int, milliseconds: float, answer: Callable[[str], str] = scripted
    ) -> None:
        self.tokens, self.max_length, self.seconds, self.answer = tokens, max_length, milliseconds / 1000, answer
        self.marks = tokens.specials

    def fresh_cache(self, batch_size: int, room: int) -> Tensor:
        return torch.zeros(batch_size, 1, 2, 1, room, 1)

    def read_at(self, ids: Tensor, starts: Tensor, cache: Tensor, room: int) -> Tensor:
        time.sleep(self.seconds)
        out = torch.zeros(*ids.shape, 1)
        for row, start in enumerate(starts.tolist()):
            cache[row, 0, 0, 0, start : start + ids.shape[1], 0] = ids[row].float()
            whole = cache[row, 0, 0, 0, : start + ids.shape[1], 0].long().tolist()
            for place in range(ids.shape[1]):
                out[row, place] = self._next(whole[: start + place + 1])
        return out

    def head(self, features: Tensor) -> Tensor:
        return 50 * F.one_hot(features.squeeze(-1).long(), self.tokens.size).float()

    def _next(self, ids: list[int]) -> int:
        if self.marks["<|assistant|>"] not in ids:
            return self.tokens.eos_id
        begin = len(ids) - ids[::-1].index(self.marks["<|assistant|>"])
        asked = ids[:begin]
        if self.marks["<|user|>"] not in asked:
            return self.tokens.eos_id
        question = asked[len(asked) - asked[::-1].index(self.marks["<|user|>"]) :]
        answer = [*self.tokens.encode_text(self.answer(self.tokens.decode(question))), self.marks["<|end|>"]]
        done = len(ids) - begin
        return answer[done] if done < len(answer) else self.marks["<|end|>"]


@contextmanager
def started(**options: Any) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A server of its own: its address, and its process, which is ended where it hasn't ended itself."""
    command = [sys.executable, __file__, json.dumps(options)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address.startswith("http://"), address + process.stdout.read()
        yield address, process
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def running(**options: Any) -> Iterator[tuple[str, Server]]:
    """A server in a thread of this process: its address, and what is to be told to end."""
    engine, listening, server = prepared(options)
    with engine:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield address_of(listening), server
        finally:
            server.should_exit = True
            thread.join()


def prepared(options: dict[str, Any]) -> tuple[Engine, socket.socket, Server]:
    of_model = ("writes", "max_length", "milliseconds", "chats")
    lm = tiny_model(**{name: options[name] for name in of_model if name in options})
    engine = Engine(lm, rows=options.get("rows", 16), queue=options.get("queue", 64))
    app = app_of(engine, **{name: options[name] for name in ("api_key", "origins", "documents") if name in options})
    return engine, listen("127.0.0.1", options.get("port", 0)), Server(app, engine)


def main(options: dict[str, Any]) -> None:
    engine, listening, server = prepared(options)
    print(address_of(listening), flush=True)
    with engine, suppress(KeyboardInterrupt):
        server.run(sockets=[listening])
    print("ended", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(json.loads(sys.argv[1]))
