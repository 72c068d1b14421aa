"""Rung 31: one's own small language model: a GPT that learns to tell the next token of a text."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import gradus as gd
from gradus.recipes.rung import begun, rung

if TYPE_CHECKING:
    from gradus.training import plan

MINUTES = 10  # where nothing is said of how large or how long


@rung(
    31,
    data="built in: Python's documentation; --data",
    model="GPT (as Llama and Qwen3) or GPT-2",
    target="tinyshakespeare ≤ 1.47 nats a character in 30 min",
    seconds=600,
)
def gpt(
    *,
    data: str | None = None,
    tokenizer: str | None = None,
    tokens: Literal["chat", "characters"] = "chat",
    vocabulary: int | None = None,
    valid: float | None = None,
    test: float | None = None,
    size: Literal["tiny", "mini", "small", "base"] | None = None,
    depth: int | None = None,
    block: Literal["llama", "gpt2"] = "llama",
    length: int | None = None,
    dropout: float | None = None,
    train_tokens: int | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    batch_size: int | None = None,
    optimizer: str = "muon",
    lr: float | None = None,
    schedule: str = "linear",
    warmup: float = 0.02,
    clip: float | None = 1.0,
    weight_decay: float | None = None,
    valid_every: str = "10 times",
    seed: int = 0,
    **settings: Any,
) -> gd.Run:
    """Teach a small language model to go on with text: your own, or the documentation that came with Python.

    Without --size, --depth or a budget it takes the largest model that this machine can teach in ten minutes.

    Settings:
        data: a file or folder of text, code, Markdown, JSONL or Parquet, instead of Python's documentation
        tokenizer: a run of `gradus train tokenizer`, or a folder with a tokenizer.json [the newest run of this text]
        tokens: chat: pieces of words, with the marks of a conversation; characters: one by one
        vocabulary: tokens of a tokenizer that is made on the way [by the size of the text]
        valid: share of the text, before the test's, that is for validation [0.05, 1 MB at most]
        test: share of the text, its end, that is for the test [0.05, 1 MB at most]
        size: the one dial: it sets depth, width, heads, batch, learning rate and budget [what fits into the minutes]
        depth: the same dial as a number: layers of 64 × depth features
        block: llama: as Llama's and Qwen3's; gpt2: the course's plain one
        length: tokens that are read at once [512; beyond depth 8, 1,024; of characters 256]
        dropout: share of what each part answers that is dropped in training [by how often the text is read]
        weight_decay: pull of the matrices towards 0, in AdamW's units [0.1; where the text is read often, 0.5]
        train_tokens: budget: tokens to learn from [10 a weight, the text 8 times at most]
    """
    from gradus.language.tokenizers import kept_tokens, newest_tokenizer, tokens_of
    from gradus.training import plan
    from gradus.training.progress import tell

    # 1 data: one running text, cut into rows without padding; its end is for validation and test
    config = begun(settings)
    source = data if data is not None else gd.data.python_docs()
    if length is None and tokens == "characters":
        length = plan.CHARACTERS
    reading: dict[str, Any] = dict(tokens=tokens, size=vocabulary, valid=valid, test=test)
    given = None
    if config is not None:
        given = kept_tokens(settings["out"])
    elif tokens == "chat" and vocabulary is None:
        found = tokenizer or newest_tokenizer(data)
        given = None if found is None else tokens_of(found)
        if found is not None and not settings.get("quiet"):
            tell("tokenizer", found + ("" if tokenizer else " (the newest of this text) [--tokenizer]"))
    if given is not None:
        reading |= dict(tokens=given, size=None)
    text = gd.data.corpus(source, length=length or plan.LENGTHS[0], **reading)

    # 2 model: of the plan, or of the run that is gone on with
    network: Any
    if config is None:
        budget = plan.Budget(epochs=epochs, steps=steps, minutes=minutes, tokens=train_tokens)
        made = _planned(text, size, depth, length, batch_size, budget, settings)
        if train_tokens or not (epochs or steps or minutes):
            steps = min(steps or made.steps, made.steps)
        batch_size, lr = made.batch_size, lr or made.lr
        weight_decay = made.weight_decay if weight_decay is None else weight_decay
        network = made.model(text.num_tokens, plain=block == "gpt2", dropout=dropout)
    else:
        network = gd.models.build(config["model"])
        kept = config["settings"]
        batch_size, lr, steps, weight_decay = (
            kept[key]["value"] for key in ("batch_size", "lr", "steps", "weight_decay")
        )
    text = gd.data.corpus(source, length=network.max_length, **reading)
    if given is not None:
        text.kept = {"encoder": text.encoder.to_json()}

    # 3 objective: each next token
    task = gd.tasks.for_target(text)

    # 4 loop
    return gd.train(
        network, text, task, epochs=epochs, steps=steps, minutes=minutes, batch_size=batch_size, optimizer=optimizer,
        lr=lr, schedule=schedule, warmup=warmup, clip=clip, weight_decay=weight_decay, valid_every=valid_every,
        seed=seed, **settings,
    )  # fmt: skip


def _planned(
    text: gd.data.TextCorpus,
    size: str | None,
    depth: int | None,
    length: int | None,
    batch_size: int | None,
    budget: plan.Budget,
    settings: dict[str, Any],
) -> plan.Plan:
    """The plan that was asked for, or the largest that fits into the time; it is told."""
    from gradus.training import plan
    from gradus.training.progress import tell

    words, count = text.num_tokens, len(text.splits["train"]) * (length or plan.LENGTHS[0])
    depth = plan.depth_of(size) if size is not None else depth
    if depth is not None:
        plan.plan_for(depth, words, count)  # refuses what can't be before anything is timed
    rate = plan.rate_here(words, settings.get("device", "auto"), settings.get("precision", "auto"))
    if depth is None:
        made = plan.fitting(words, count, budget.minutes or MINUTES, rate, length)
        if budget.says_more_than_minutes:
            made = plan.within(budget, made, words, count, rate)
    else:
        made = plan.within(budget, plan.plan_for(depth, words, count, length=length), words, count, rate)
    made = replace(made, batch_size=batch_size or made.batch_size)
    if not settings.get("quiet"):
        for number, line in enumerate(plan.told(made, words, count, rate)):
            tell("" if number else "plan", line)
    return made
