"""Rungs 13 to 19: the quick ones at their defaults, every model for a few steps, the long ones by their marks."""

from __future__ import annotations

import csv
import gzip
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from gradus import recipes
from gradus.errors import UserError

Real = Callable[[str], Path]


@pytest.mark.parametrize("model", ["cell", "rnn", "embedding", "lstm", "gru"])
def test_hello(model: str) -> None:
    run = recipes.call("hello", {"model": model, "quiet": True})
    assert run.summary["said"] == "ohlol"
    assert run.summary["exact"]
    assert run.predict(["hello"])[0]["text"] == "ohlol"


def test_hello_in_letters_of_ones_own() -> None:
    run = recipes.call("hello", {"text": "你好世界", "answer": "世界你好", "model": "gru", "quiet": True})
    assert run.predict(["你好世界"])[0]["labels"] == list("世界你好")


def test_news(real: Real) -> None:
    run = recipes.call("news", {"data": str(real("ag_news")), "quiet": True})
    assert run.metrics["test"]["accuracy"] >= 0.882
    assert run.summary["rows"]["test"] == 7600
    beside = run.summary["baseline"]["tf-idf and a linear SVM"]
    assert 0.86 < beside["accuracy"] < 0.91
    said = run.predict(["The striker scored twice as United won the cup final"])[0]
    assert said["label"] == "Sports"
    assert sum(said["probabilities"].values()) == pytest.approx(1)


@pytest.fixture(scope="module")
def few_news(real: Real, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AG News with the first thousand rows of its test."""
    source, here = real("ag_news"), tmp_path_factory.mktemp("few")
    for name in ("classes.txt", "train.csv.gz"):
        (here / name).write_bytes((source / name).read_bytes())
    with gzip.open(source / "test.csv.gz", "rb") as whole:
        (here / "test.csv").write_bytes(b"".join(itertools.islice(whole, 1000)))
    return here


@pytest.mark.parametrize("model", ["rnn", "cnn", "transformer"])
def test_the_other_models_of_news_learn_something_in_a_few_steps(model: str, few_news: Path) -> None:
    run = recipes.call("news", {"data": str(few_news), "model": model, "steps": 150, "quiet": True})
    assert run.metrics["test"]["accuracy"] > 0.4  # by chance 0.25


def test_names_learns_something_in_a_few_steps_and_tells_what_is_wrong_with_the_set(real: Real) -> None:
    options = {"data": str(real("names")), "hidden": 64, "epochs": 1, "quiet": True}
    run = recipes.call("names", options)
    assert run.metrics["test"]["accuracy"] > 0.55
    told = " ".join(run.config["data"]["notes"])
    assert "'To The First Page' stands there 24 times (16 in train, 8 in test)" in told
    assert "1,048 of 6,700 test rows" in told
    clean = recipes.call("names", {**options, "leave_out": ("To The First Page",), "steps": 1, "epochs": None})
    assert clean.summary["rows"]["test"] == 6700 - 8


@pytest.mark.slow
def test_names(real: Real) -> None:
    run = recipes.call("names", {"data": str(real("names")), "quiet": True})
    assert run.metrics["test"]["accuracy"] >= 0.83


def test_sentiment_of_a_persons_own_table(real: Real) -> None:
    """AG News as a table of one's own: named columns, tabs, the classes as numbers in the second column."""
    with gzip.open(real("ag_news/train.csv.gz"), "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[:4000]
    with Path("reviews.tsv").open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, delimiter="\t")
        writer.writerows([["review", "grade"], *([text, label] for label, text in rows)])
    run = recipes.call("sentiment", {"data": "reviews.tsv", "quiet": True})
    assert run.config["task"]["labels"] == ["1", "2", "3", "4"]
    assert run.metrics["test"]["accuracy"] > 0.8


def test_sentiment_needs_texts() -> None:
    with pytest.raises(UserError, match="--data"):
        recipes.call("sentiment", {})


def some_poems(real: Real) -> str:
    """The first 4,000 poems: the rung's own target is measured on all of them (test_poems)."""
    with gzip.open(real("poems/wujue.txt.gz"), "rt", encoding="utf-8") as file:
        lines = [line.split(":", 1)[1] for line, _ in zip(file, range(4000), strict=False)]
    Path("some.txt").write_text("".join(lines), encoding="utf-8")
    return "some.txt"


def test_poems_in_characters_and_in_bpe(real: Real) -> None:
    for tokens, vocabulary in (("characters", None), ("bpe", 3000)):
        options = {"tokens": tokens, "vocabulary": vocabulary, "steps": 60, "width": 64, "hidden": 64, "quiet": True}
        run = recipes.call("poems", {"data": some_poems(real), **options})
        measured, beside = run.metrics["test"], run.summary["baseline"]
        assert measured["bits_per_char"] < 10
        assert beside["5-gram model"]["bits_per_char"] < beside["unigram model"]["bits_per_char"]
        told = run.predict(["白日依山盡，"], temperature=0.8, max_tokens=20, seed=1)[0]
        assert told["text"].startswith("白日依山盡，")
        assert run.predict(["白日依山盡，"], temperature=0.8, max_tokens=20, seed=1)[0] == told


def test_prose_as_one_long_text(real: Real) -> None:
    options = {"data": str(real("tinyshakespeare/input.txt")), "blocks": True, "max_length": 64, "width": 64}
    run = recipes.call("poems", {**options, "hidden": 128, "steps": 150, "quiet": True})
    assert run.metrics["test"]["bits_per_char"] < 4.2  # 4.8 by the frequencies of the letters
    assert run.predict(["ROMEO:"], max_tokens=20)[0]["text"].startswith("ROMEO:")
    with pytest.raises(UserError, match="--data FILE"):
        recipes.call("poems", {"blocks": True})


def test_poems_by_gpt_learns_something_in_a_few_steps(real: Real) -> None:
    options = {"model": "gpt", "steps": 120, "width": 64, "layers": 2, "quiet": True}
    run = recipes.call("poems", {"data": some_poems(real), **options})
    assert run.metrics["test"]["bits_per_char"] < 9


@pytest.mark.parametrize("model", ["lstm", "transformer"])
def test_translate_learns_something_in_a_few_steps(model: str, real: Real) -> None:
    options = {"model": model, "steps": 60, "width": 32, "layers": 1, "vocabulary": 1000, "quiet": True}
    run = recipes.call("translate", {"data": str(real("eng_fra")), **options})
    assert run.metrics["valid"]["perplexity"] < 500
    assert 0 <= run.metrics["test"]["bleu"] <= run.metrics["test"]["chrf"]
    said = run.predict(["I'm cold."], beam=2, max_tokens=9)[0]
    assert len(said["attention"]) == len(said["tokens"])
    assert len(said["attention"][0]) == len(said["source_tokens"])
    assert [sum(row) for row in said["attention"]] == pytest.approx([1.0] * len(said["tokens"]), abs=1e-4)


def test_no_english_sentence_is_on_both_sides(real: Real) -> None:
    import gradus as gd

    data = gd.data.eng_fra(real("eng_fra"), size=500)
    sides = {name: {str(t).lower() for t in data.raw["source"][rows]} for name, rows in data.splits.items()}
    assert not sides["train"] & sides["test"]
    assert not sides["train"] & sides["valid"]
    assert len(data.splits["test"]) == pytest.approx(3000, abs=30)


@pytest.mark.long
def test_translate(real: Real) -> None:
    run = recipes.call("translate", {"data": str(real("eng_fra")), "quiet": True})
    assert run.metrics["test"]["bleu"] >= 33


@pytest.mark.long
def test_poems(real: Real) -> None:
    run = recipes.call("poems", {"data": str(real("poems")), "quiet": True})
    assert run.metrics["test"]["bits_per_char"] < run.summary["baseline"]["5-gram model"]["bits_per_char"]
