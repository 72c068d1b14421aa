"""A small language model with fresh weights, as a run of ``gpt`` leaves one: what tuning begins with in tests."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any


@cache
def chat_tokens(size: int = 600) -> Any:
    """A vocabulary of the built-in lessons."""
    import gradus as gd
    from gradus.data.lessons import lessons

    texts = [message["content"] for lesson in lessons(200) for message in lesson.messages]
    return gd.data.Tokens.fit("text", texts, "chat", size=size)


def make_base(path: Path, *, width: int = 16, dropout: float = 0.0, max_length: int = 128, seed: int = 1) -> Path:
    """The directory of a run with a model of two layers; it is one from the moment that it has its config.json."""
    import torch

    import gradus as gd
    from gradus.data import Encoder
    from gradus.data.columns import Target
    from gradus.training import Predictor

    tokens = chat_tokens()
    torch.manual_seed(seed)
    model = gd.models.GPT(tokens.size, width=width, heads=2, layers=2, dropout=dropout, max_length=max_length)
    path.mkdir(exist_ok=True)
    Predictor(model, gd.tasks.NextToken(tokens.size), Encoder((tokens,), Target("text"))).save(path / "predictor")
    partial = path / "config.json.partial"
    partial.write_text(json.dumps({"recipe": "gpt"}))
    partial.replace(path / "config.json")
    return path
