"""Rungs 32 and 33 from end to end with small models: what is kept, what is measured, resumed where the base is gone."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small_base import chat_tokens, make_base

import gradus as gd
from gradus import recipes
from gradus.data.lessons import KINDS, Lesson
from gradus.errors import UserError
from gradus.language.hf import save_hf
from gradus.tasks.answers import answered, right_by_kind
from gradus.tasks.decoding import Decoding
from gradus.training import Predictor
from gradus.training.samples import Samples

QUICK = {"lessons": 200, "questions": 14, "steps": 6, "batch_size": 4, "valid_every": "2 times", "quiet": True}
Gradus = Callable[..., tuple[int, str, str]]


def instruct(**changes: Any) -> gd.Run:
    return recipes.call("instruct", {"base": str(Path("base").resolve()), **QUICK, **changes})


def stopped_at_the_first_check(patch: pytest.MonkeyPatch, train: Callable[[], gd.Run]) -> None:
    """Train until the first samples are written, as if the machine were shut down then."""
    with patch.context() as patched:
        checked = Samples.checked

        def stop(self: Samples, state: Any, metrics: dict[str, float]) -> None:
            checked(self, state, metrics)
            signal.raise_signal(signal.SIGTERM)

        patched.setattr(Samples, "checked", stop)
        with pytest.raises(gd.Interrupted):
            train()


def weights(run: Path) -> bytes:
    return (run / "predictor/model.safetensors").read_bytes()


def test_lessons_are_learnt_and_each_kind_is_told() -> None:
    make_base(Path("base"))
    run = instruct(out="run")
    metrics = run.metrics["test"]
    assert {*KINDS, "answers_right", "new_words", "after_others", "perplexity"} <= set(metrics)
    assert metrics["answers_right"] == pytest.approx(sum(metrics[kind] for kind in KINDS) / len(KINDS))
    assert run.summary["primary"] == "answers_right"
    assert run.config["recipe"] == "instruct"
    assert run.predict(["What is 3 + 4?"])[0].keys() == {"text", "score"}
    kept = run.directory.kept()
    assert kept["base"]["where"] == str(Path("base").resolve())
    lines = [json.loads(line) for line in Path("run/samples.jsonl").read_text().splitlines()]
    assert [len(line["samples"]) for line in lines] == [len(KINDS)] * 2
    assert lines[0]["samples"][0].keys() == {"source", "true", "text"}
    evidence = json.loads(Path("run/evidence/evidence.json").read_text())
    assert {question["kind"] for question in evidence["questions"]} == {*KINDS, "new_words", "after_others"}


def test_its_report_tells_the_questions(gradus: Gradus) -> None:
    make_base(Path("base"))
    instruct(out="run")
    for lang, words in (("en", "Questions of the test"), ("zh", "测试题")):
        status, _, _ = gradus("report", "run", "--lang", lang, "--out", f"{lang}.html")
        assert status == 0
        assert words in Path(f"{lang}.html").read_text()


@pytest.mark.parametrize(
    "tuning", [{}, {"lora": 2}, {"lora": 2, "ema": 0.9, "keep_best": True}, {"lora": 2, "hugging_face": True}]
)
def test_a_run_goes_on_to_the_same_bits_where_its_base_is_gone(
    tuning: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_base(Path("base"), dropout=0.1)
    tuning = dict(tuning)
    if tuning.pop("hugging_face", False):
        predictor = Predictor.load(Path("base/predictor"))
        shutil.rmtree("base")
        save_hf(predictor.model, chat_tokens(), "base")  # type: ignore[arg-type]
    whole = instruct(out="whole", **tuning)
    stopped_at_the_first_check(monkeypatch, lambda: instruct(out="cut", **tuning))
    shutil.rmtree("base")
    again = recipes.reopen("cut", resume="continue", quiet=True)
    assert again.config["resumed"] == [3]
    assert weights(Path("cut")) == weights(Path("whole"))
    assert again.metrics == whole.metrics
    names = Predictor.load(Path("cut/predictor")).model.state_dict()
    assert names.keys() == gd.models.build(whole.config["model"]).state_dict().keys()
    opened = recipes.reopen("cut", resume="open", quiet=True)
    assert opened.test()["loss"] == pytest.approx(whole.metrics["test"]["loss"], rel=1e-5)


def test_a_persons_own_conversations_are_learnt_by_heart_and_judged_by_perplexity(gradus: Gradus) -> None:
    make_base(Path("base"), width=64)
    colours = ("red", "blue", "green", "grey", "pink", "black", "gold", "tan")
    facts = {f"What is {name}?": value for name, value in zip("abcdefgh", colours, strict=True)}
    lines = [
        json.dumps({"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]})
        for q, a in facts.items()
    ]
    Path("own.jsonl").write_text("\n".join(lines * 20))
    options: dict[str, Any] = dict(data="own.jsonl", valid=0.1, test=0.1, length=64, steps=80, lr=1e-2, out="run")
    run = instruct(**{**options, "lessons": 1, "questions": 1})
    assert run.summary["primary"] == "perplexity"
    assert run.metrics["train"]["perplexity"] < 1.5
    learnt = [{"role": "user", "content": q} for q in facts]
    train = run.config["data"]["description"]
    assert "160 conversations" in train
    said = [answer["text"] for answer in run.predict([message["content"] for message in learnt])]
    assert sum(a == b for a, b in zip(said, facts.values(), strict=True)) >= 5  # those of valid and test it never saw
    status, out, _ = gradus("test", "run", "--data", "own.jsonl")
    assert status == 0
    assert "perplexity" in out


def test_without_a_base_the_newest_run_is_taken_or_what_to_do_is_told() -> None:
    with pytest.raises(UserError, match=r"no finished run of gpt under runs: begin with gradus train gpt, or name"):
        recipes.call("instruct", QUICK)
    with pytest.raises(UserError, match="no finished run of instruct"):
        recipes.call("prefer", {"quiet": True})
    Path("runs").mkdir()
    make_base(Path("runs/gpt-1"))
    Path("runs/gpt-1/summary.json").write_text("{}")
    run = recipes.call("instruct", {**QUICK, "out": "run"})
    assert run.directory.kept()["base"]["where"] == str(Path("runs/gpt-1").resolve())


def test_preferences_are_learnt_and_go_on_to_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    make_base(Path("base"))
    options = {"base": "base", "pairs": 80, "questions": 7, "batch_size": 8, "epochs": 2, "lr": 3e-3, "quiet": True}
    options["valid_every"] = "2 times"
    whole = recipes.call("prefer", {**options, "out": "whole"})
    assert {"accuracy", "margin", "reward_chosen", "reward_rejected", "answers_right"} <= set(whole.metrics["test"])
    assert whole.metrics["train"]["accuracy"] > 0.6
    stopped_at_the_first_check(monkeypatch, lambda: recipes.call("prefer", {**options, "out": "cut"}))
    shutil.rmtree("base")
    recipes.reopen("cut", resume="continue", quiet=True)
    assert weights(Path("cut")) == weights(Path("whole"))
    with pytest.raises(UserError, match="can't be measured on a file"):
        whole.test_texts("cut/config.json")


def test_a_vocabulary_without_the_marks_of_a_conversation_gets_them() -> None:
    tokens = gd.data.Tokens.fit("text", ["what is said and what is answered " * 30], "bpe", size=300)
    torch.manual_seed(0)
    model = gd.models.GPT(tokens.size, width=16, heads=2, layers=1, max_length=128)
    encoder = gd.data.Encoder((tokens,), gd.data.columns.Target("text"))
    Predictor(model, gd.tasks.NextToken(tokens.size), encoder).save(make_base(Path("base")) / "predictor")
    run = instruct(out="run", language="en", length=128)
    assert run.model.num_tokens == tokens.size + 4
    assert run.predictor.encoder is not None
    assert run.predictor.encoder.columns[0].has_chat  # type: ignore[union-attr]


def test_the_settings_are_checked() -> None:
    make_base(Path("base"))
    for changes, message in (
        ({"lora": 0}, "lora"),
        ({"lessons": 0}, "lessons"),
        ({"length": 500}, "length: rows of 500 tokens, but the model reads from 2 to 128"),
        ({"base": "none"}, "none: no language model"),
        ({"data": "none.jsonl"}, "no such file"),
    ):
        with pytest.raises(UserError, match=message):
            instruct(**changes)


def test_answers_do_not_depend_on_what_is_asked_beside_and_end_where_they_should() -> None:
    tokens = chat_tokens()
    torch.manual_seed(0)
    model = gd.models.GPT(tokens.size, width=32, heads=2, layers=2, max_length=96).eval()
    asked = [[{"role": "user", "content": text}] for text in ("Hi", "Hello there", "Count a-b-c", "Hi", "x " * 200)]
    together = answered(model, tokens, asked, Decoding(max_tokens=12))
    alone = [answered(model, tokens, [one], Decoding(max_tokens=12))[0] for one in asked]
    assert [said for said, _ in together] == [said for said, _ in alone]
    assert together[0][0] == together[3][0]
    specials = set(tokens.specials.values())
    assert not any(specials & set(one.tokens) for _, one in together)
    with torch.no_grad():
        model.head.weight[:] = 0.0
        model.norm.weight[:] = 0.0
    for stop in tokens.stop_ids:  # any token that ends an answer does
        model.head = torch.nn.Linear(32, tokens.size)
        torch.nn.init.zeros_(model.head.weight)
        torch.nn.init.zeros_(model.head.bias)
        with torch.no_grad():
            model.head.bias[stop] = 9.0
        assert answered(model, tokens, asked[:1], Decoding(max_tokens=12))[0][1].ended


def test_right_by_kind() -> None:
    def lesson(kind: str, expected: str, how: str = "") -> Lesson:
        return Lesson(
            kind, ({"role": "user", "content": "?"}, {"role": "assistant", "content": expected}), expected, how
        )

    some = [lesson("a", "1"), lesson("a", "2"), lesson("b", "3"), lesson("a", "1", how="new_words")]
    assert right_by_kind(some, ["1", "x", "so: \n3", "1"]) == {
        "answers_right": 0.75,
        "a": 0.5,
        "b": 1.0,
        "new_words": 1.0,
    }
