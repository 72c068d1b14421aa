"""Rung 33: from a model that answers to one that answers as one likes: tuned on pairs of answers, without a judge."""

from __future__ import annotations

from typing import Any, Literal

import gradus as gd
from gradus.recipes.rung import begun, rung


@rung(
    33,
    data="built-in pairs of answers; --data",
    model="the newest instruct; --base",
    target="the better answer of a pair preferred",
    seconds=300,
)
def prefer(
    *,
    data: str | None = None,
    base: str | None = None,
    pairs: int = 4_000,
    language: Literal["both", "en", "zh"] = "both",
    level: Literal["easy", "normal", "hard"] = "normal",
    questions: int = 420,
    valid: float = 0.05,
    test: float = 0.1,
    length: int | None = None,
    beta: float = 0.1,
    lora: int | None = None,
    epochs: int | None = 1,
    batch_size: int = 16,
    optimizer: str = "adamw",
    lr: float | str | None = None,
    schedule: str = "linear",
    warmup: float = 0.1,
    clip: float | None = 1.0,
    valid_every: str = "5 times",
    seed: int = 0,
    **settings: Any,
) -> gd.Run:
    """Make preferred answers likelier than others: direct preference optimisation on pairs, built in or your own.

    Settings:
        data: pairs of your own, as JSON lines: prompt or messages, chosen, rejected
        base: the model to begin with: a run, or a Hugging Face directory [the newest run of instruct]
        pairs: how many of the built-in ones are learnt from
        language: of the built-in pairs; both: a fifth of them are Chinese
        level: of the built-in pairs, how hard their questions are
        questions: of the built-in test, asked in the end
        valid: share of the pairs that is for validation
        test: share of the pairs that is for the test
        length: the most tokens of both texts of a pair together [as many as the model reads]
        beta: how strongly the model is held to what it was
        lora: tune by maps of this rank beside the weights, instead of the weights
        lr: learning rate [5e-5 for a model of your own, 5e-6 for another's; with LoRA 2e-4]
    """
    from gradus.language.base import base_again, base_of
    from gradus.training.progress import tell

    # 1 data: pairs of answers, each with what the model said of them before it was tuned
    config = begun(settings)
    given = base_of(base, ("instruct",)) if config is None else base_again(settings["out"], config)
    if config is None and not settings.get("quiet"):
        tell("base", f"{given.where}{'' if base else ' (the newest run of instruct)'} [--base]")
    options: dict[str, Any] = dict(length=given.rows(length), valid=valid, test=test, seed=seed)
    options["reference"] = given.kept.get("reference")
    if data is None:
        asked: dict[str, Any] = dict(count=pairs, language=language, level=level, questions=questions)
        answers = gd.data.lesson_chat_pairs(given.tokens, **asked, **options)
    else:
        answers = gd.data.chat_pairs(data, given.tokens, **options)
    if config is None:
        answers.refer(gd.tasks.reference_of(given.model, answers))
    kept = {"encoder": answers.encoder.to_json(), "base": given.to_json(), "reference": answers.reference.tolist()}
    answers.kept = kept

    # 2 model: it begins as its own reference
    network = given.model
    if lora is not None:
        gd.models.add_lora(network, rank=lora, also=[network.embed.weight] if given.grown else [])
    lr = lr or (2e-4 if lora else 5e-6 if given.imported else 5e-5)

    # 3 objective: the preferred answer gains more than the other
    task = gd.tasks.for_target(answers, num_tokens=network.num_tokens, beta=beta)

    # 4 loop
    return gd.train(
        network, answers, task, epochs=epochs, batch_size=batch_size, optimizer=optimizer, lr=lr, schedule=schedule,
        warmup=warmup, clip=clip, valid_every=valid_every, seed=seed, **settings,
    )  # fmt: skip
