"""What a report tells of texts, against figures computed apart; writing samples leaves no trace in training."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from sacrebleu import sentence_chrf
from sklearn.metrics import confusion_matrix
from test_report import HOSTILE, _show, browser  # noqa: F401 - fixtures

import gradus as gd
from gradus.data.tokens import Tokens
from gradus.errors import UserError
from gradus.reports import charts, texts
from gradus.reports.page import write_report
from gradus.reports.record import read_record
from gradus.reports.words import Words
from gradus.training import text_evidence
from gradus.training.samples import Samples, generators_kept
from gradus.training.whole import read_directory

if TYPE_CHECKING:
    from playwright.sync_api import Page

POEMS = [
    "床前明月光，疑是地上霜。",
    "舉頭望明月，低頭思故鄉。",
    "白日依山盡，黃河入海流。",
    "欲窮千里目，更上一層樓。",
] * 15
ENGLISH = ["I am cold.", "I am old.", "You are cold.", "You are here.", "We go home.", "We are here now."]
FRENCH = ["J'ai froid.", "Je suis vieux.", "Tu as froid.", "Tu es là.", "On rentre.", "On est là maintenant."]


def poems(**options: Any) -> Any:
    return gd.data.lines([f"{poem}{i}" for i, poem in enumerate(POEMS)], name="poems", valid=0.2, test=0.3, **options)


def words_of_two_kinds() -> Any:
    """Three classes of words, of unequal lengths; one of them can't be told from another."""
    draw = random.Random(0)
    made = ["".join(draw.choices("abc" if i % 3 == 0 else "xyz", k=draw.randint(2, 12))) for i in range(240)]
    return gd.data.texts({"text": made, "label": [f"k{i % 3}" for i in range(240)]}, tokens="characters", name="words")


def pairs() -> Any:
    rows = {
        "source": [f"{e} {i}" for i in range(12) for e in ENGLISH],
        "target": [f"{f} {i}" for i in range(12) for f in FRENCH],
    }
    return gd.data.pairs(rows, tokens="characters", valid=0.2, test=0.3, name="pairs")


def train(data: Any, model: Any, out: str = "r", **settings: Any) -> gd.Run:
    return gd.train(model, data, quiet=True, out=out, **{"epochs": 2, "batch_size": 16, **settings})


def poet(data: Any, **options: Any) -> Any:
    torch.manual_seed(0)
    return gd.models.CharacterModel(data.num_tokens, width=8, hidden=8, **options)


def evidence_of(run: gd.Run) -> dict[str, Any]:
    found: dict[str, Any] = read_directory(run.directory.evidence)[1]["evidence"]
    return found


def report_of(run: gd.Run, lang: str = "en") -> str:
    write_report(run.directory, Path("page.html"), lang)
    return Path("page.html").read_text(encoding="utf-8")


@pytest.fixture(name="written")
def _written() -> gd.Run:
    data = poems()
    return train(data, poet(data), epochs=4)


@pytest.fixture(name="translated")
def _translated() -> gd.Run:
    data = pairs()
    torch.manual_seed(0)
    model = gd.models.LSTMTranslator(data.num_tokens, data.num_outputs, width=16, layers=1)
    return train(data, model, epochs=6, lr=1e-2)


def test_samples_leave_no_trace_in_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def rolling(model: torch.nn.Module, step: int) -> list[dict[str, Any]]:
        """A writer that draws from every generator, with dropout where it may."""
        assert not model.training
        return [{"text": f"{random.random()} {np.random.rand()} {torch.rand(3).tolist()} {torch.randn(1)}"}]

    def weights(out: str, observers: Callable[..., list[Any]] | None) -> tuple[list[torch.Tensor], Any]:
        with monkeypatch.context() as patch:
            if observers is not None:
                patch.setattr("gradus.experiment.samples_of", observers)
            data = poems()
            torch.manual_seed(1)
            random.seed(1)
            np.random.seed(1)
            run = train(data, poet(data, dropout=0.4), out, epochs=None, steps=12, valid_every="2 steps")
        return list(run.model.parameters()), (random.random(), np.random.rand(), torch.rand(1).item())

    none = weights("none", lambda *_: [])
    usual = weights("usual", None)
    wild = weights("wild", lambda _, directory, show: [Samples(rolling, directory, show)])
    assert len(Path("wild/samples.jsonl").read_text().splitlines()) == 6
    for other in (usual, wild):
        assert all(torch.equal(a, b) for a, b in zip(none[0], other[0], strict=True))
        assert none[1] == other[1]


def test_generators_are_kept_also_after_an_error() -> None:
    saved = random.getstate(), np.random.get_state()[1].tolist(), torch.random.get_rng_state()
    with pytest.raises(ZeroDivisionError), generators_kept():
        random.random(), np.random.rand(), torch.rand(1)
        raise ZeroDivisionError
    assert random.getstate() == saved[0]
    assert np.random.get_state()[1].tolist() == saved[1]
    assert torch.equal(torch.random.get_rng_state(), saved[2])


def test_what_is_written_at_each_check_is_kept_told_and_cut_back(written: gd.Run) -> None:
    lines = [json.loads(line) for line in (written.path / "samples.jsonl").read_text("utf-8").splitlines()]
    checks = [json.loads(s) for s in (written.path / "metrics.jsonl").read_text().splitlines() if "valid" in s]
    assert [line["step"] for line in lines] == [check["step"] for check in checks]
    assert [one["temperature"] for one in lines[0]["samples"]] == [0.5, 0.8, 1.0]
    last = lines[-1]["samples"][1]["text"]
    settings = {"temperature": 0.8, "max_tokens": 60, "seed": lines[-1]["step"]}
    assert last == written.predict([""], **settings)[0]["text"]  # the weights are those of the end
    assert f"step {lines[-1]['step']}, written: {last}" in (written.path / "log.txt").read_text("utf-8")
    assert [line["step"] for line in read_record(written.directory).samples] == [line["step"] for line in lines]
    with (written.path / "samples.jsonl").open("a") as file:
        file.write('{"step": 9')
    assert len(read_record(written.directory).samples) == len(lines)
    written.directory.cut_metrics(lines[1]["step"])
    assert [line["step"] for line in read_record(written.directory).samples] == [line["step"] for line in lines[:2]]
    (written.path / "samples.jsonl").write_text("{}}\n")
    with pytest.raises(UserError, match="damaged"):
        read_record(written.directory)


def test_samples_stand_above_the_progress_of_a_terminal(gradus: Callable[..., tuple[int, str, str]]) -> None:
    Path("poems.txt").write_text("\n".join(f"{p}{i}" for i, p in enumerate(POEMS)), encoding="utf-8")
    status, out, _ = gradus(
        "train", "poems", "--data", "poems.txt", "--steps", 4, "--hidden", 8, "--valid-every", "2 steps"
    )
    assert status == 0
    told = re.findall(r"^written +(.*)$", out, re.MULTILINE)
    assert len(told) == 2
    assert "\\u" not in out
    assert gradus("train", "poems", "--data", "poems.txt", "--steps", 2, "--hidden", 8, "--json")[1].startswith("{")


def test_confusions_are_those_of_scikit_learn() -> None:
    data = words_of_two_kinds()
    torch.manual_seed(0)
    run = train(data, gd.models.RecurrentClassifier(data.num_tokens, 3, embedding=8, hidden=8), epochs=6, lr=1e-2)
    found, rows = evidence_of(run), data.splits["test"]
    answers = run.predict([data.raw["text"][row] for row in rows])
    true = [f"k{c}" for c in data.raw_targets[rows]]
    counts = confusion_matrix(true, [a["label"] for a in answers], labels=["k0", "k1", "k2"])
    expected = sorted(
        ((int(counts[i, j]), f"k{i}", f"k{j}") for i in range(3) for j in range(3) if i != j and counts[i, j]),
        reverse=True,
    )
    assert expected
    assert sorted(((e["count"], e["true"], e["predicted"]) for e in found["confusions"]), reverse=True) == expected
    assert [e["count"] for e in found["confusions"]] == [count for count, *_ in expected]
    for entry in found["confusions"]:
        assert entry["share"] == pytest.approx(entry["count"] / true.count(entry["true"]))
        place = rows.tolist().index(entry["row"])
        assert (true[place], answers[place]["label"]) == (entry["true"], entry["predicted"])
        assert entry["texts"] == {"text": data.raw["text"][entry["row"]]}
        same = [
            a["probabilities"][entry["predicted"]]
            for a, t in zip(answers, true, strict=True)
            if (t, a["label"]) == (entry["true"], entry["predicted"])
        ]
        assert entry["probability"] == pytest.approx(max(same), abs=1e-5)
    page = report_of(run)
    assert "Most often taken for one another" in page
    assert data.raw["text"][found["mistakes"][0]["row"]] in page


def test_lengths_and_padding_are_counted() -> None:
    data = words_of_two_kinds()
    run = train(data, gd.models.BagOfEmbeddings(data.num_tokens, 3, width=4))
    found, true = evidence_of(run), np.array([len(text) for text in data.raw["text"]])
    (one,) = found["lengths"]
    assert one["longest"] == true.max()
    assert one["mean"] == pytest.approx(true.mean())
    for split, rows in data.splits.items():
        shown = {b: c for b, c in zip(one["begins"], one["counts"][split], strict=True) if c}
        assert shown == {int(n): int(c) for n, c in zip(*np.unique(true[rows], return_counts=True), strict=True)}
    order = gd.data.Order(data.splits["train"], 16, seed=0, lengths=data.lengths[data.splits["train"]])
    cells = [true[order.indices(k).numpy()] for k in range(order.batches_per_epoch)]
    padding = 1 - sum(c.sum() for c in cells) / sum(c.max() * len(c) for c in cells)
    assert found["padding"]["sorted"] == pytest.approx(padding)
    assert found["padding"]["chance"] > padding
    page = report_of(run)
    assert f"{100 * padding:.2g} % of the batches is padding" in page
    assert re.search(">[abcxyz]</span>", page)  # the tokens that the model sees


def test_a_long_tail_of_lengths_is_one_bar() -> None:
    sizes = [*range(1, 401), 5_000, 90_000]
    data = gd.data.texts(
        {"text": ["a" * n for n in sizes], "label": [f"k{i % 2}" for i in range(402)]}, tokens="characters",
        max_length=100_000, name="long", valid=0.0, test=0.0,
    )  # fmt: skip
    (one,) = text_evidence.lengths(data)
    assert sum(one["counts"]["train"]) == 402
    assert len(one["begins"]) <= text_evidence.BINS + 1
    assert one["clipped"] == sum(n >= one["begins"][-1] + one["width"] for n in sizes) >= 1
    drawn = charts.lengths(one, Words("en"))
    assert drawn["data"][0]["customdata"][-1] == f"≥ {one['begins'][-1]:,}"


def test_answers_are_those_of_the_model_and_ranked_by_chrf(translated: gd.Run) -> None:
    found, data = evidence_of(translated)["answers"], pairs()
    assert [e["group"] for e in found] == ["best"] * 4 + ["middle"] * 4 + ["worst"] * 4
    rows = data.splits["test"]
    assert {e["row"] for e in found} <= set(rows.tolist())
    for entry in found:
        source, reference = (data.raw[name][entry["row"]] for name in ("source", "target"))
        assert list(entry["texts"].values()) == [source, reference]
        assert entry["said"] == translated.predict([source])[0]["text"]
        assert entry["chrf"] == pytest.approx(sentence_chrf(entry["said"], [reference]).score)
    every = sorted(
        sentence_chrf(a["text"], [r]).score
        for a, r in zip(translated.predict(data.raw["source"][rows].tolist()), data.raw["target"][rows], strict=True)
    )
    assert [e["chrf"] for e in found[:4]] == pytest.approx(every[::-1][:4])
    assert [e["chrf"] for e in found[8:]] == pytest.approx(every[:4])
    drawn = [e for e in found if "attention" in e]
    assert 1 <= len(drawn) <= text_evidence.ATTENTIONS
    for entry in drawn:
        weights = np.array(entry["attention"])
        assert weights.shape == (len(entry["tokens"]), len(entry["source_tokens"]))
        assert weights.sum(1) == pytest.approx(1.0, abs=0.01)
        assert "".join(entry["source_tokens"]) == entry["texts"]["source"] + "<eos>"


def test_bits_are_those_of_the_formula(written: gd.Run) -> None:
    found, data = evidence_of(written), poems()
    model = written.model.double().eval()
    bits: dict[str, list[float]] = {}
    means = {}
    for row in data.splits["test"]:
        ids = torch.from_numpy(data.source[row].astype(np.int64))
        with torch.no_grad():
            chances = torch.softmax(model(ids[None, :-1])[0], dim=1)
        costs = [-math.log2(chances[i, token]) for i, token in enumerate(ids[1:].tolist())]
        means[int(row)] = sum(costs) / len(costs)
        for token, cost in zip(data.tokens.spoken(ids[1:].tolist()), costs, strict=True):
            bits.setdefault(token, []).append(cost)
    whole = sum(map(sum, bits.values()))
    assert whole / sum(map(len, bits.values())) == pytest.approx(
        written.metrics["test"]["loss"] / math.log(2), rel=1e-4
    )
    ranked = sorted(bits, key=lambda token: -sum(bits[token]))
    assert [one["token"] for one in found["costly"]][:5] == ranked[:5]
    for one in found["costly"]:
        assert one["count"] == len(bits[one["token"]])
        assert one["mean"] == pytest.approx(sum(bits[one["token"]]) / one["count"], rel=1e-3)
        assert one["share"] == pytest.approx(sum(bits[one["token"]]) / whole, rel=1e-3)
    assert found["shaded"][0]["mean"] == pytest.approx(max(means.values()), rel=1e-3)
    assert found["shaded"][-1]["mean"] == pytest.approx(min(means.values()), rel=1e-3)
    for entry in found["shaded"]:
        assert entry["mean"] == pytest.approx(means[entry["row"]], rel=1e-3)
        assert "".join(piece for piece, _ in entry["pieces"]) == data.raw["text"][entry["row"]] + "<eos>"


def test_what_is_written_goes_on_from_how_test_rows_begin(written: gd.Run) -> None:
    found, data = evidence_of(written)["written"], poems()
    assert found[0]["begun"] == ""
    assert [list(entry["said"]) for entry in found] == [["0.5", "0.8", "1"]] * len(found)
    for number, entry in enumerate(found[1:], start=1):
        text = data.raw["text"][entry["row"]]
        assert entry["row"] in data.splits["test"]
        assert entry["begun"] + entry["true"] == text
        assert re.fullmatch(r".{5}，", entry["begun"])
        assert "\ufffd" not in entry["begun"]
        assert number < 5


@pytest.mark.parametrize(
    ("text", "begun"),
    [
        ("床前明月光，疑是地上霜。", "床前明月光，"),
        ("To be, or not to be", "To be,"),
        ("so long a line without any pause in it at all", "so long a line"),
        ("一二三四五六七八九", "一二三"),
        ("ab", "a"),
        ("。。。。", "。"),
    ],
)
def test_a_beginning_is_a_clause_or_a_third(text: str, begun: str) -> None:
    assert text_evidence.beginning(text) == begun


def test_pieces_of_one_character_are_shown_together() -> None:
    text = "床前明月光 I'm é😀!"
    column = Tokens.fit("text", [text, "abc"], "bpe", size=260)  # every byte a token
    ids = column.ragged([text])[0]
    assert len(ids) > len(text)
    pieces = text_evidence.readable(column, ids)
    assert "".join(piece for piece, _ in pieces) == text
    assert sum(count for _, count in pieces) == len(ids)
    assert texts.visible(column.spoken(ids[:1])[0], Words("en")) == "(part of a character)"


def test_tags_are_shown_token_by_token() -> None:
    data = gd.data.tagged(["hello", "abc"], ["ohlol", "cba"], name="tags")
    run = train(data, gd.models.RecurrentTagger(data.num_tokens, data.num_outputs, hidden=4), steps=3)
    found = evidence_of(run)["tagged"]
    for entry in found:
        said = run.predict(["".join(entry["tokens"])])[0]["labels"]
        assert entry["said"] == said
        assert entry["wrong"] == sum(a != b for a, b in zip(said, entry["labels"], strict=True))
    assert [e["wrong"] for e in found] == sorted((e["wrong"] for e in found), reverse=True)
    assert "Each token, below it its label" in report_of(run)


def test_notes_of_the_data_are_told_and_kept(gradus: Callable[..., tuple[int, str, str]]) -> None:
    data = gd.data.texts(
        {"text": ["同样", "同样", *(f"字{i}" for i in range(40))], "label": [f"k{i % 2}" for i in range(42)]},
        tokens="characters", name="repeated",
    )  # fmt: skip
    assert data.notes
    run = train(data, gd.models.BagOfEmbeddings(data.num_tokens, 1, width=4))
    assert run.config["data"]["notes"] == list(data.notes)
    page = report_of(run)
    assert all(f"<li>{note}</li>" in page.replace("&#x27;", "'").replace("&quot;", '"') for note in data.notes)


def test_chinese_stays_chinese_and_hostile_texts_are_words(written: gd.Run) -> None:
    page = report_of(written, "zh")
    for part in ("learnt", "written", "surprises", "data", "samples"):
        assert f'<section id="{part}">' in page
    assert "床前明月光" in page or "白日依山盡" in page or "舉頭望明月" in page or "欲窮千里目" in page
    assert "\\u" not in (written.path / "samples.jsonl").read_text("utf-8")
    data = gd.data.texts(
        {"text": [f"{HOSTILE} {i}" for i in range(60)], "label": [f"{HOSTILE}{i % 3}" for i in range(60)]},
        tokens="words", name=HOSTILE,
    )  # fmt: skip
    run = train(data, gd.models.BagOfEmbeddings(data.num_tokens, 3, width=4), "hostile")
    assert "<img" not in report_of(run)


def test_a_model_that_cannot_write_gets_its_report() -> None:
    data = poems()
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Embedding(data.num_tokens, 8), torch.nn.Linear(8, data.num_outputs))
    run = train(data, model)
    found = evidence_of(run)
    assert "written" not in found
    assert found["costly"]
    assert not (run.path / "samples.jsonl").exists()
    assert '<section id="surprises">' in report_of(run)


@pytest.mark.parametrize("kind", ["written", "translated"])
def test_pages_of_texts_open_offline_and_fit_any_width(
    kind: str, request: pytest.FixtureRequest, show: Callable[..., Page], tmp_path: Path
) -> None:
    run = request.getfixturevalue(kind)
    write_report(run.directory, tmp_path / "page.html", "en")
    page = show(tmp_path / "page.html", scheme="dark")
    charts_there = page.locator(".chart").count()
    assert page.locator(".chart .main-svg").count() >= charts_there >= 4
    for width in (1280, 820, 400):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    if kind == "translated":
        page.locator("#attention").scroll_into_view_if_needed()
        labels = page.evaluate("document.getElementById('chart-attention-0').layout.xaxis.ticktext")
        assert labels[-1] == "&lt;eos&gt;"
        box = page.locator("#chart-attention-0 .nsewdrag").first.bounding_box()
        assert box is not None
        assert box["width"] / len(labels) >= 15  # the labels can be told apart
        assert "<eos>" in str(page.locator("#chart-attention-0 .xaxislayer-above").first.text_content())
    else:
        assert page.locator("#surprises .shaded span").count() > 20
        assert "Noto" in page.evaluate("getComputedStyle(document.body).fontFamily")
