"""``gradus predict`` and ``gradus test`` of runs that read texts: inputs, answers, bad ones in a line."""

from __future__ import annotations

import gzip
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from rich.cells import cell_len
from sacrebleu import corpus_bleu

import gradus as gd
from gradus.cli.predict_texts import attention_lines
from gradus.errors import UserError
from gradus.training.progress import printable

Gradus = Callable[..., tuple[int, str, str]]
NAMES = {
    "text": ["李白", "杜甫", "Smith", "Jones", "Ivanov", "Petrov"] * 10,
    "label": ["zh", "zh", "en", "en", "ru", "ru"] * 10,
}
LINES = ["床前明月光，疑是地上霜。", "舉頭望明月，低頭思故鄉。", "白日依山盡，黃河入海流。"] * 10
PAIRS = {
    "source": ["I am cold.", "You are here.", "We go home."] * 12,
    "target": ["J'ai froid.", "Tu es là.", "On rentre."] * 12,
}


def train(data: Any, model: Any, out: str, **settings: Any) -> gd.Run:
    return gd.train(model, data, quiet=True, out=out, **{"epochs": 3, "batch_size": 8, "lr": 1e-2, **settings})


@pytest.fixture(name="names")
def _names() -> gd.Run:
    data = gd.data.texts(NAMES, tokens="characters", name="names", valid=0.0, test=0.0)
    torch.manual_seed(0)
    return train(data, gd.models.BagOfEmbeddings(data.num_tokens, 3, width=8), "names")


@pytest.fixture(name="poems")
def _poems() -> gd.Run:
    data = gd.data.lines(LINES, name="poems", valid=0.0, test=0.0)
    torch.manual_seed(0)
    return train(data, gd.models.CharacterModel(data.num_tokens, width=8, hidden=8), "poems")


@pytest.fixture(name="pairs")
def _pairs() -> gd.Run:
    data = gd.data.pairs(PAIRS, tokens="characters", name="pairs", valid=0.0, test=0.0)
    torch.manual_seed(0)
    model = gd.models.LSTMTranslator(data.num_tokens, data.num_outputs, width=8, layers=1)
    return train(data, model, "pairs", epochs=8)


def feed(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_a_text_gets_its_label_with_probabilities(names: gd.Run, gradus: Gradus) -> None:
    status, out, err = gradus("predict", "names", "李白", "Ivanov")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    for line, text in zip(lines, ("李白", "Ivanov"), strict=True):
        answer = names.predict([text])[0]
        best = max(answer["probabilities"].values())
        assert line.startswith(text)
        assert f"{answer['label']}  {answer['label']} {best:.3f}" in line
    labels = [names.predict([text])[0]["label"] for text in ("李白", "Ivanov")]
    before = [line.split(f"  {label}")[0] for line, label in zip(lines, labels, strict=True)]
    assert [cell_len(name) for name in before] == [6, 6]  # a Chinese character takes two cells


def test_json_holds_every_probability_and_no_escapes(names: gd.Run, gradus: Gradus) -> None:
    status, out, _ = gradus("predict", "names", "李白", "--json")
    (answer,) = json.loads(out)
    assert status == 0
    assert answer == names.predict(["李白"])[0]
    assert sum(answer["probabilities"].values()) == pytest.approx(1)


def test_files_of_texts_are_read_by_their_kind(names: gd.Run, gradus: Gradus, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["李白", "Petrov", "a b, c"]
    expected = names.predict(texts)
    table = pl.DataFrame({"label": ["zh", "ru", "en"], "text": texts})
    Path("a.txt").write_text("\n".join(["李白", "", "Petrov", "a b, c", ""]), encoding="utf-8")
    Path("a.txt.gz").write_bytes(gzip.compress(Path("a.txt").read_bytes()))
    table.write_csv("a.csv")
    table.write_csv("a.tsv", separator="\t")
    table.write_csv("bare.tsv", separator="\t", include_header=False)
    table.rename({"text": "review"}).write_csv("review.csv")
    table.select("text").write_ndjson("a.jsonl")
    table.write_parquet("a.parquet")
    table.drop("label").write_csv("one.csv")
    for file in ("a.txt", "a.txt.gz", "a.csv", "a.tsv", "bare.tsv", "review.csv", "a.jsonl", "a.parquet", "one.csv"):
        status, out, err = gradus("predict", "names", file, "--json")
        assert (status, json.loads(out)) == (0, expected), file
        assert ("longest column" in err) == (file in ("bare.tsv", "review.csv")), file
    feed(monkeypatch, Path("a.txt").read_bytes())
    assert json.loads(gradus("predict", "names", "-", "--json")[1]) == expected
    status, out, _ = gradus("predict", "names", "a.txt", "Smith")
    assert [line.split()[0] for line in out.splitlines()] == ["李白", "Petrov", "a", "Smith"]


def test_many_texts_are_answered_as_one_by_one(names: gd.Run, gradus: Gradus) -> None:
    texts = [name * (1 + i % 7) for i, name in enumerate(NAMES["text"] * 6)]
    Path("many.txt").write_text("\n".join(texts), encoding="utf-8")
    found = json.loads(gradus("predict", "names", "many.txt", "--json")[1])
    assert len(found) == 360
    for place in (0, 255, 256, 359):
        alone = names.predict([texts[place]])[0]["probabilities"]
        assert found[place]["probabilities"] == pytest.approx(alone, abs=1e-5)


def test_bad_inputs_are_one_line(names: gd.Run, gradus: Gradus, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("empty.txt").write_text("\n\n")
    Path("latin.txt").write_bytes("é\n".encode("latin-1"))
    Path("picture.png").write_bytes(b"\x89PNG")
    for arguments, expected in [
        ((), "nothing to predict"),
        (("missing.txt",), "missing.txt: no such file"),
        (("empty.txt",), "empty"),
        (("latin.txt",), "latin.txt"),
        (("picture.png",), "has no texts"),
        (("Smith", "--beam", 3), "beam: for a model that writes"),
        (("Smith", "--count", 2), "--count"),
        (("Smith", "--count", 0), "--count"),
        (("Smith", "--figure", "a.html"), "this run's model has none"),
        (("\udcff",), "isn't text in the encoding"),
    ]:
        status, out, err = gradus("predict", "names", *arguments)
        assert (status, out) == (2, ""), arguments
        assert expected in err, arguments
        assert err.count("\n") == 1, err
    assert not Path("a.html").exists()
    feed(monkeypatch, b"\n")
    assert gradus("predict", "names", "-")[0] == 2
    feed(monkeypatch, b"\xff\xfe\xfd")
    assert "standard input" in gradus("predict", "names", "-")[2]
    gradus("train", "digits", "--steps", 1, "--out", "digits")
    for flags in (("--temperature", 1), ("--top-k", 2), ("--count", 2), ("--figure", "x.html")):
        status, _, err = gradus("predict", "digits", "x.png", *flags)
        assert (status, flags[0] in err, "writes" in err) == (2, True, True)


def test_a_text_longer_than_a_file_s_name_is_a_text(names: gd.Run, gradus: Gradus) -> None:
    status, out, _ = gradus("predict", "names", "李" * 5_000)
    assert status == 0
    assert "…  " in out
    assert out.split("…")[0] == "李" * 29  # of two cells each
    Path("Smith").mkdir()
    assert gradus("predict", "names", "Smith")[0] == 0
    assert gradus("predict", "names", "")[0] == 0


def test_a_text_goes_on_from_its_beginning(poems: gd.Run, gradus: Gradus) -> None:
    status, out, _ = gradus("predict", "poems", "床前", "--seed", 3)
    assert status == 0
    assert out.startswith("床前")
    assert out == poems.predict(["床前"], seed=3)[0]["text"] + "\n"
    assert gradus("predict", "poems", "--seed", 3)[1] == gradus("predict", "poems", "", "--seed", 3)[1]  # from nothing
    (nothing,) = json.loads(gradus("predict", "poems", "", "--json")[1])
    assert nothing["begun"] == ""
    assert "\ufffd" not in nothing["text"]
    several = gradus("predict", "poems", "--count", 4, "--temperature", 2, "--seed", 1)
    assert several == gradus("predict", "poems", "--count", 4, "--temperature", 2, "--seed", 1)
    assert len(set(several[1].split("\n\n"))) == 4
    assert several[1] != gradus("predict", "poems", "--count", 4, "--temperature", 2, "--seed", 2)[1]
    short = json.loads(gradus("predict", "poems", "--max-tokens", 3, "--beam", 2, "--json")[1])
    assert len(short[0]["text"]) <= 3
    greedy = [
        json.loads(gradus("predict", "poems", "白", *f, "--json")[1]) for f in (("--temperature", 0), ("--top-k", 1))
    ]
    assert greedy[0][0]["text"] == greedy[1][0]["text"]
    status, _, err = gradus("predict", "poems", "白", "--temperature", 0, "--count", 2)
    assert (status, "every answer to a text is the same" in err) == (2, True)
    assert gradus("predict", "poems", "白", "--top-p", 7)[0] == 2


def test_decoding_goes_through_run_and_names_what_it_does_not_know(poems: gd.Run, names: gd.Run) -> None:
    assert (
        poems.predict(["白"], temperature=0, max_tokens=4)[0]["text"]
        == poems.predict(["白"], top_k=1, max_tokens=4)[0]["text"]
    )
    with pytest.raises(UserError, match=r"no setting 'temprature' of decoding\. Did you mean 'temperature'"):
        poems.predict(["白"], temprature=1)
    with pytest.raises(UserError, match="beam: for a model that writes"):
        names.predict(["白"], beam=2)
    data = gd.data.tagged(["hello"], ["ohlol"], name="hello")
    tagger = train(data, gd.models.RecurrentTagger(data.num_tokens, data.num_outputs, hidden=4), "hello")
    with pytest.raises(UserError, match="temperature: for a model that writes"):
        tagger.predict(["hello"], temperature=1)


def test_a_translation_has_its_attention(pairs: gd.Run, gradus: Gradus) -> None:
    status, out, err = gradus("predict", "pairs", "I am cold.", "--figure", "a.html")
    assert status == 0
    assert out.startswith("I am cold.  ")
    assert "a.html" in err
    page = Path("a.html").read_text(encoding="utf-8")
    assert 'id="chart-attention-0"' in page
    assert "default-src 'none'" in page
    (answer,) = json.loads(gradus("predict", "pairs", "I am cold.", "--json")[1])
    assert "".join(answer["source_tokens"]) == "I am cold.<eos>"
    assert np.array(answer["attention"]).shape == (len(answer["tokens"]), len(answer["source_tokens"]))
    drawn = [a["text"] for a in json.loads(gradus("predict", "pairs", "I am", "--top-k", 5, "--count", 8, "--json")[1])]
    assert len(set(drawn)) > 1
    status, _, err = gradus("predict", "pairs", "I am", "--figure", "absent/a.html")
    assert (status, err.count("\n")) == (2, 1)


def test_attention_in_a_terminal_is_a_matrix_or_a_list() -> None:
    answer = {
        "source_tokens": ["I", " am", "冷", "<eos>"],
        "tokens": ["J'", "ai", "寒い", "<eos>"],
        "attention": [[1, 0, 0, 0], [0.3, 0.7, 0, 0], [0, 0.04, 0.96, 0], [0, 0, 0, 0.5]],
    }
    lines = attention_lines(answer, 80)
    assert lines[0].split() == ["I", "am", "冷", "<eos>"]
    starts = [cell_len(lines[0][: lines[0].index(token)]) for token in ("I", "am", "冷", "<eos>")]

    def darkest(line: str) -> int:
        return cell_len(line[: next(line.index(shade) for shade in "█▓▒" if shade in line)])

    assert [darkest(line) for line in lines[1:]] == starts
    assert all(cell_len(line) <= 80 for line in lines)
    assert attention_lines(answer, 20) == [
        "J'     ← I 1.00",
        "ai     ← am 0.70",
        "寒い   ← 冷 0.96",
        "<eos>  ← <eos> 0.50",
    ]


def test_nothing_that_is_read_or_written_steers_the_terminal(names: gd.Run, gradus: Gradus) -> None:
    assert "\x1b" not in gradus("predict", "names", "a\x1b[2Jb\rc")[1]
    assert printable("床\x1b[31m\x07\x00 é\n\u3000") == "床\ufffd[31m\ufffd\ufffd é\n\u3000"


def test_labelled_files_are_measured_with_the_run_s_vocabulary(names: gd.Run, gradus: Gradus) -> None:
    texts, labels = ["李白", "Petrov", "Jones", "Weiß"], ["zh", "ru", "zh", "en"]
    table = pl.DataFrame({"text": texts, "label": labels})
    table.write_csv("a.csv")
    table.rename({"text": "name", "label": "from"}).write_csv("renamed.csv")
    table.write_csv("bare.tsv", separator="\t", include_header=False)
    table.write_ndjson("a.jsonl")
    table.head(1).write_csv("single.csv")
    said = [answer["label"] for answer in names.predict(texts)]
    right = sum(a == b for a, b in zip(said, labels, strict=True)) / 4
    loss = -np.mean([np.log(a["probabilities"][t]) for a, t in zip(names.predict(texts), labels, strict=True)])
    for file in ("a.csv", "renamed.csv", "bare.tsv", "a.jsonl"):
        status, out, _ = gradus("test", "names", "--data", file, "--json")
        found = json.loads(out)
        assert (status, found["accuracy"]) == (0, right), file
        assert found["loss"] == pytest.approx(loss, rel=1e-4)
    assert json.loads(gradus("test", "names", "--data", "single.csv", "--json")[1])["accuracy"] == float(
        said[0] == "zh"
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("text,label\nLi,zh\nKim,ko\n", "a.csv, row 3: the label 'ko' isn't one of the run's"),
        ("text,label\nLi,zh\nKim,\n", "a.csv, row 3: has no label"),
        ("Li,zh\nKim,ko\n", "a.csv, row 2: the label 'ko'"),
        ("text,label\nLi,x\nKim,y\n", "no column holds labels of the run, which are en, ru, zh"),
        ("text\nLi\n", "one column only"),
        ("", "empty"),
    ],
)
def test_a_label_that_the_run_does_not_know_is_one_line(
    content: str, expected: str, names: gd.Run, gradus: Gradus
) -> None:
    Path("a.csv").write_text(content)
    status, out, err = gradus("test", "names", "--data", "a.csv")
    assert (status, out) == (2, "")
    assert expected in err
    assert err.count("\n") == 1


def test_pairs_and_lines_are_measured_too(pairs: gd.Run, poems: gd.Run, gradus: Gradus) -> None:
    rows = list(zip(PAIRS["source"][:3], PAIRS["target"][:3], strict=True))
    Path("pairs.tsv").write_text("\n".join("\t".join(row) for row in rows), encoding="utf-8")
    found = json.loads(gradus("test", "pairs", "--data", "pairs.tsv", "--json")[1])
    said = [answer["text"] for answer in pairs.predict([source for source, _ in rows])]
    assert found["bleu"] == pytest.approx(corpus_bleu(said, [[target for _, target in rows]]).score)
    assert [a["text"] for a in json.loads(gradus("predict", "pairs", "pairs.tsv", "--json")[1])] == said
    Path("poems.txt").write_text("\n".join(LINES[:2]), encoding="utf-8")
    found = json.loads(gradus("test", "poems", "--data", "poems.txt", "--json")[1])
    ids = [
        torch.from_numpy(poems.predictor.encoder.columns[0].ragged([line])[0].astype(np.int64)) for line in LINES[:2]
    ]
    with torch.no_grad():
        nats = [torch.nn.functional.cross_entropy(poems.model(i[None, :-1])[0], i[1:], reduction="sum") for i in ids]
    assert found["loss"] == pytest.approx(float(sum(nats)) / sum(len(i) - 1 for i in ids), rel=1e-5)
