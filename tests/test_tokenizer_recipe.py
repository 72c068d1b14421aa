"""``gradus train tokenizer``: a vocabulary as a run that is listed, told, reported on, and read by those above it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from test_corpus import story

import gradus as gd
from gradus.data import vocabulary
from gradus.data.tokens import Tokens
from gradus.language.tokenizers import tokens_of

Gradus = Callable[..., tuple[int, str, str]]
CHINESE = "我们用这台机器写程序。床前明月光，疑是地上霜。\n"


@pytest.fixture
def text() -> Path:
    """English, Chinese and code, in a folder."""
    Path("text").mkdir()
    Path("text/a.md").write_text(story(600))
    Path("text/b.txt").write_text(CHINESE * 100)
    Path("text/c.py").write_text("def f(x):\n    return f(x - 1)  # 12345\n\n\n" * 100 + CHINESE * 30 + story(60, 1))
    Path("text/d.png").write_bytes(b"\x89PNG\x00")
    return Path("text")


def test_a_vocabulary_is_made_measured_and_kept(text: Path, gradus: Gradus) -> None:
    status, out, _ = gradus("train", "tokenizer", "--data", text, "--size", 400, "--out", "run")
    assert status == 0
    assert "one file of the folder is no UTF-8 text and was left out: d.png" in out
    assert "400 tokens (asked for) [--size]" in out
    assert "every text comes back from its tokens exactly" in out
    tokens = tokens_of("run")
    assert (tokens.size, tokens.tokenizer, tokens.has_chat) == (400, "chat", True)
    summary = json.loads(Path("run/summary.json").read_text())
    evidence = json.loads(Path("run/evidence/evidence.json").read_text())["vocabulary"]
    held = vocabulary.sampled(text).held
    ids = [i for document in held for i in tokens.encode_text(document)]
    size = len("".join(held).encode())
    test = summary["metrics"]["test"]
    assert test["bytes_per_token"] == pytest.approx(size / len(ids))
    assert test["chars_per_token"] == pytest.approx(len("".join(held)) / len(ids))
    assert test["round_trip"] == 1.0
    assert summary["baseline"]["bytes"]["bytes_per_token"] == 1.0
    assert evidence["bytes"] == size
    assert sum(kind["tokens"] for kind in evidence["kinds"]) == len(ids)
    assert sum(kind["bytes"] for kind in evidence["kinds"]) == size
    assert {row["name"] for row in evidence["lines"]} >= {"latin", "chinese"}
    assert Tokens.load_hf("run/tokenizer") == tokens


def test_it_is_listed_reported_opened_and_compared_as_any_run(text: Path, gradus: Gradus) -> None:
    status, out, err = gradus("train", "tokenizer", "--data", text, "--out", "runs/one", "--json")
    assert (status, err.count("bytes a token") > 1) == (0, True)
    summary = json.loads(out)
    assert (summary["task"], summary["run"]) == ("tokenizer", "runs/one")
    assert gradus("train", "tokenizer", "--data", text, "--size", 300, "--out", "runs/two")[0] == 0
    assert gd.Run("runs/two").config["typed"] == ["data", "out", "size"]
    rows = json.loads(gradus("runs", "--json")[1])
    assert [(row["run"], row["recipe"]) for row in rows] == [("runs/one", "tokenizer"), ("runs/two", "tokenizer")]
    assert rows[0]["result"].startswith("test bytes_per_token")
    for language, title in (("en", "Report of a vocabulary"), ("zh", "词表报告")):
        assert gradus("report", "runs/one", "--lang", language, "--out", "page.html")[0] == 0
        page = Path("page.html").read_text()
        assert title in page
        assert "床前明月光"[:2] in page
        assert "␣" in page
    status, out, _ = gradus("resume", "runs/one")
    assert (status, "was finished already" in out, "bytes a token" in out) == (0, True, True)
    again = gradus("train", "tokenizer", "--data", text, "--out", "runs/one", "--resume", "auto", "--json")
    assert json.loads(again[1]) == summary
    assert gradus("compare", "runs/one", "runs/two")[0] == 0
    status, _, err = gradus("predict", "runs/one", "hello")
    assert (status, "holds a vocabulary, and no model that could answer" in err) == (2, True)
    shown = next(row for row in json.loads(gradus("list", "--json")[1]) if row["name"] == "tokenizer")
    assert shown["number"] == 30


def test_the_same_text_gives_the_same_files(text: Path, gradus: Gradus) -> None:
    for out in ("one", "two"):
        assert gradus("train", "tokenizer", "--data", text, "--out", out)[0] == 0
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        assert (Path("one/tokenizer") / name).read_bytes() == (Path("two/tokenizer") / name).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--data", "nowhere"), "nowhere: no such file or folder"),
        (("--data", "empty"), "empty: no text files in this folder"),
        (("--data", "bad.jsonl"), "bad.jsonl, line 1: not JSON"),
        (("--data", "good.jsonl", "--field", "txt"), "no field 'txt'. Did you mean 'text'?"),
        (("--data", "good.jsonl", "--size", "100"), "a vocabulary of 100: chat needs at least 264"),
        (("--data", "good.jsonl", "--size", "x"), "--size"),
        (("--data", "good.jsonl", "--epochs", "3"), "--epochs"),
        (("--data", "good.jsonl", "--out", "good.jsonl"), "isn't an empty directory"),
    ],
)
def test_what_cant_be_done_is_one_line_and_leaves_nothing(
    arguments: tuple[str, ...], line: str, gradus: Gradus
) -> None:
    Path("empty").mkdir()
    Path("bad.jsonl").write_text("{\n")
    Path("good.jsonl").write_text('{"text": "some text of some words"}\n' * 9)
    before = sorted(Path().rglob("*"))
    status, out, err = gradus("train", "tokenizer", *arguments)
    assert (status, out) == (2, "")
    assert line in err
    assert err.count("\n") == 1
    assert sorted(Path().rglob("*")) == before


def test_a_disk_that_refuses_leaves_no_run(text: Path, gradus: Gradus, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gradus.training.vocabulary_run.write_directory", full)
    status, _, err = gradus("train", "tokenizer", "--data", text, "--out", "run")
    assert (status, "run: can't be written: No space left on device" in err) == (2, True)
    assert not Path("run").exists()


def test_tokens_are_shown_so_that_a_person_can_read_them() -> None:
    tokens = Tokens.fit("text", ["我 们 我 x\t们\n" * 9], "chat", size=400)

    def shown(text: str) -> list[str]:
        return [vocabulary.readable(tokens, i) for i in tokens.encode_text(text)]

    assert "".join(shown("我们 x\n\t\r\x07")) == "我们␣x⏎⇥␍U+0007"
    assert shown("龘") == ["E9", "BE", "98"]


def test_lines_and_tokens_are_told_apart() -> None:
    kinds = {
        "The cat sat.": "latin", "我们用 Python 写程序。": "chinese", ">>> print(1)": "code", "    return x": "code",
        "int main() {": "code", "Мы пишем": "other", "1 + 1": "signs", "été à Noël": "latin",
    }  # fmt: skip
    assert {line: vocabulary._kind_of_line(line) for line in kinds} == kinds
    tokens = {
        " the": "letters",
        "，": "sign",
        "我们": "han",
        "7": "digits",
        "\n\n": "blank",
        "\ufffd": "part",
        "мы": "letters_other",
    }
    assert {token: vocabulary._kind_of_token(token) for token in tokens} == tokens
    counted = vocabulary.measure(Tokens.fit("text", ["ab " * 50], "chat", size=264), ["ab 我"])
    assert {row["name"]: row["tokens"] for row in counted["kinds"]} == {"letters": 2, "blank": 1, "part": 3}
    assert counted["unused"] == 256 - 6


def test_a_language_model_learns_from_it(text: Path, gradus: Gradus) -> None:
    assert gradus("train", "tokenizer", "--data", text, "--size", 300, "--out", "run")[0] == 0
    data = gd.data.corpus(text, tokens=tokens_of("run"), length=32)
    assert data.num_tokens == 300
    model = gd.models.GPT(data.num_tokens, width=16, heads=2, layers=1, max_length=32)
    run = gd.train(model, data, steps=4, batch_size=4, quiet=True, out="model")
    column = gd.Run("model").predictor.encoder.columns[0]
    assert column.template == tokens_of("run").template
    assert np.isfinite(run.metrics["test"]["loss"])
