"""Rung 32: from a model that goes on with text to one that answers, tuned on conversations; only answers are learnt."""

from __future__ import annotations

from typing import Any, Literal

import gradus as gd
from gradus.recipes.rung import begun, rung

MINUTES, EPOCHS = 15.0, 3  # of the built-in lessons, and of a person's own conversations, where no budget is given
ROW, LESSON_ROW = 1024, 256  # tokens; no lesson has more than some 150, and attention is paid for whole rows
TOKENS = 8192  # of a step


@rung(
    32,
    data="built-in lessons; --data",
    model="the newest gpt; --base",
    target="≥ 0.85 of the test's questions answered rightly",
    seconds=900,
)
def instruct(
    *,
    data: str | None = None,
    base: str | None = None,
    lessons: int = 100_000,
    language: Literal["both", "en", "zh"] = "both",
    level: Literal["easy", "normal", "hard"] = "normal",
    questions: int = 420,
    valid: float | None = None,
    test: float = 0.05,
    length: int | None = None,
    lora: int | None = None,
    dropout: float | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    batch_size: int | None = None,
    optimizer: str = "muon",
    lr: float | str | None = None,
    schedule: str = "linear",
    warmup: float = 0.02,
    clip: float | None = 1.0,
    valid_every: str = "10 times",
    seed: int = 0,
    **settings: Any,
) -> gd.Run:
    """Teach a language model to answer: on built-in lessons with a test of questions it never saw, or your own chats.

    Settings:
        data: conversations of your own, as JSON lines: OpenAI's messages, ShareGPT's or Alpaca's form
        base: the model to begin with: a run, or a Hugging Face directory [the newest run of gpt]
        lessons: how many of the built-in ones are learnt from
        language: of the built-in lessons; both: a fifth of them are Chinese
        level: of the built-in lessons, how hard they are
        questions: of the built-in test, asked in the end
        valid: share of the conversations that is for validation [0.05; of the lessons 0.01]
        test: share of your own conversations that is for the test
        length: tokens of a row, into which conversations are packed [1,024; of the lessons 256]
        batch_size: rows of a step [those of 8,192 tokens]
        dropout: share of what each part answers that is dropped in training [0; of your own conversations the base's]
        lora: tune by maps of this rank beside the weights, instead of the weights
        lr: learning rate [3e-3 for a model of your own, 1e-4 for another's; with LoRA 3e-3]
    """
    from gradus.language.base import base_again, base_of
    from gradus.training.progress import tell

    # 1 data: conversations in rows of one length, none of which sees another
    config = begun(settings)
    dropout = 0.0 if dropout is None and data is None else dropout  # no lesson is learnt often
    given = base_of(base, ("gpt",), dropout=dropout) if config is None else base_again(settings["out"], config)
    if config is None and not settings.get("quiet"):
        why = "" if base else " (the newest run of gpt)"
        tell("base", f"{given.where}{why} [--base]")
    rows = given.rows(length, LESSON_ROW if data is None else ROW)
    options: dict[str, Any] = dict(length=rows, seed=seed)
    if data is None:
        options |= dict(count=lessons, language=language, level=level, questions=questions)
        chats = gd.data.lesson_chats(given.tokens, valid=0.01 if valid is None else valid, **options)
    else:
        chats = gd.data.chats(data, given.tokens, valid=0.05 if valid is None else valid, test=test, **options)
    chats.kept = {"encoder": chats.encoder.to_json(), "base": given.to_json()}

    # 2 model: the base, and with LoRA small maps beside its own
    network = given.model
    if lora is not None:
        gd.models.add_lora(network, rank=lora, also=[network.embed.weight] if given.grown else [])
    batch_size = batch_size or max(1, TOKENS // rows)
    lr = lr or (1e-4 if given.imported and lora is None else 3e-3)

    # 3 objective: each next token of the answers; in the end the questions of the test
    task = gd.tasks.for_target(chats, num_tokens=network.num_tokens)

    # 4 loop
    if not (epochs or steps or minutes):
        minutes, epochs = (MINUTES, None) if data is None else (None, EPOCHS)
    return gd.train(
        network, chats, task, epochs=epochs, steps=steps, minutes=minutes, batch_size=batch_size, optimizer=optimizer,
        lr=lr, schedule=schedule, warmup=warmup, clip=clip, valid_every=valid_every, seed=seed, **settings,
    )  # fmt: skip
