"""Texts as they are read: against csv, json and polars by hand; faults against a plain count; bad ones refused."""

from __future__ import annotations

import csv
import gzip
import io
import json
import unicodedata
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradus.data.clean_text import unescaped
from gradus.data.text_sets import ag_news, eng_fra, names, poems
from gradus.data.text_splits import split_by_group
from gradus.data.texts import TextRows, read_labelled, read_lines, read_pairs
from gradus.errors import UserError

Real = Callable[[str], Path]
REVIEWS = [("a fine film", "pos"), ("dull and long", "neg"), ("I liked it", "pos"), ("no, never again", "neg")]


def rows_of(file: Path) -> list[list[str]]:
    """A table as Python's own reader has it, blanks at the ends of fields taken away as Gradus does."""
    with gzip.open(file, "rt", newline="", encoding="utf-8") as lines:
        return [[field.strip() for field in row] for row in csv.reader(lines)]


def written(name: str, rows: list[tuple[str, ...]], separator: str = "\t", head: str = "") -> Path:
    Path(name).write_text(head + "".join(separator.join(row) + "\n" for row in rows), encoding="utf-8")
    return Path(name)


def told(rows: TextRows, *words: str) -> str:
    """The one note that has all these words."""
    found = [note for note in rows.notes if all(word in note for word in words)]
    assert len(found) == 1, (words, rows.notes)
    return found[0]


# the real sets against readers of others


def test_names_are_the_published_rows_and_their_faults_are_told(real: Real) -> None:
    folder = real("names")
    train, test = (rows_of(folder / f"names_{part}.csv.gz") for part in ("train", "test"))
    found = names(folder)
    assert list(zip(found.columns["text"], found.targets, strict=True)) == [tuple(row) for row in train + test]
    assert found.parts.tolist() == ["train"] * len(train) + ["test"] * len(test)
    assert found.place(len(train) + 4) == "names_test.csv.gz, row 5"

    junk = "To The First Page"
    in_train, in_test = (sum(name == junk for name, _ in rows) for rows in (train, test))
    assert (in_train, in_test) == (16, 8)
    told(found, f"'{junk}'", "24 times", "16 in train", "8 in test")
    known = {name for name, _ in train}
    told(found, f"{sum(name in known for name, _ in test):,} of 6,700 test rows")
    counts = Counter(map(tuple, train))
    most, times = counts.most_common(1)[0]
    told(found, f"{len(train) - len(counts):,} of 13,374 rows", most[0], f"{times} times")
    languages = defaultdict(set)
    for name, language in train + test:
        languages[name].add(language)
    told(found, f"{sum(len(held) > 1 for held in languages.values())} texts with more than one label")

    without = read_labelled(
        folder / "names_train.csv.gz", test=folder / "names_test.csv.gz", leave_out=[junk], header=None
    )
    assert len(without) == len(found) - 24
    told(without, "24 times", junk, "left out")
    assert without.fingerprint != read_labelled(folder / "names_train.csv.gz").fingerprint


def test_a_folder_of_a_file_per_class(real: Real) -> None:
    folder = real("names") / "by_language"
    found = names(folder)
    lines = [
        (line.strip(), file.stem) for file in sorted(folder.iterdir()) for line in file.read_text("utf-8").splitlines()
    ]
    assert len(lines) == 20_050
    expected = [(unicodedata.normalize("NFC", text), label) for text, label in lines if text]
    assert list(zip(found.columns["text"], found.targets, strict=True)) == expected
    assert set(found.parts) == {""}
    assert found.place(len(found) - 1) == "Vietnamese.txt, line 73"


def test_ag_news_in_either_layout_is_the_same(real: Real) -> None:
    folder = real("ag_news")
    classes = (folder / "classes.txt").read_text().split()
    found = ag_news(folder, unescape=False)
    train, test = rows_of(folder / "train.csv.gz"), rows_of(folder / "test_text.csv.gz")
    expected = [text.split() for _, text in train + test]  # titles of the original end in blanks here and there
    assert [text.split() for text in found.columns["text"]] == expected
    assert found.targets is not None
    assert found.targets.tolist() == [classes[int(number) - 1] for number, _ in train + test]
    told(found, "escapes of HTML", "--unescape")

    Path("original").mkdir()  # three columns, not gzipped, as the catalogue downloads it
    for part in ("train", "test"):
        Path("original", f"{part}.csv").write_bytes(gzip.decompress((folder / "test.csv.gz").read_bytes()))
    original = ag_news("original", unescape=False)
    assert [text.split() for text in original.columns["text"]] == expected[len(train) :] * 2
    told(original, "7,600 of 7,600 test rows (100.0%)")
    assert not any("HTML such as" in note for note in ag_news(folder).notes)


def test_columns_of_a_table_are_found_by_looking(real: Real) -> None:
    found = read_labelled(real("ag_news") / "test.csv.gz")
    rows = rows_of(real("ag_news") / "test.csv.gz")
    assert found.columns["text"].tolist() == [row[2] for row in rows]
    assert found.targets is not None
    assert found.targets.tolist() == [row[0] for row in rows]
    told(found, "text: column_3, label: column_1, not read: column_2")
    told(found, "the first row is a sample", "--header")
    joined = read_labelled(real("ag_news") / "test.csv.gz", text=("column_2", "column_3"))
    assert joined.columns["text"].tolist() == [f"{row[1]} {row[2]}" for row in rows]


def test_pairs_of_sentences_in_either_layout(real: Real) -> None:
    file = real("eng_fra/eng-fra.txt.gz")
    text = gzip.decompress(file.read_bytes()).decode()
    pairs = [tuple(line.split("\t")) for line in text.rstrip("\n").split("\n")]
    found = eng_fra(file.parent)
    assert list(zip(found.columns["source"], found.columns["target"], strict=True)) == pairs
    turned = eng_fra(file.parent, reverse=True)
    assert turned.columns["source"].tolist() == [french for _, french in pairs]
    assert turned.fingerprint != found.fingerprint

    credit = "CC-BY 2.0 (France) Attribution: tatoeba.org #1"  # newer packs have it in a third column
    with zipfile.ZipFile("fra-eng.zip", "w") as pack:
        pack.writestr("_about.txt", "about")
        pack.writestr("fra.txt", "".join(f"{english}\t{french}\t{credit}\n" for english, french in pairs))
    packed = eng_fra(".")
    assert packed.columns["target"].tolist() == found.columns["target"].tolist()
    told(packed, "third column", "left aside")


def test_poems_and_their_titles(real: Real) -> None:
    file = real("poems/wujue.txt.gz")
    lines = gzip.decompress(file.read_bytes()).decode().rstrip("\n").split("\n")
    found = poems(file.parent)
    assert [
        f"{title}:{poem}" for title, poem in zip(found.columns["title"], found.columns["text"], strict=True)
    ] == lines
    distinct = len({line.split(":")[1] for line in lines})
    told(found, f"{17_000 - distinct} of 17,000 texts", "repeat an earlier one")
    assert found.place(16_999) == "wujue.txt.gz, line 17000"


# every form of a source gives the same rows


def sources() -> dict[str, object]:
    """The same four reviews in each form that can be read: written as files, the others returned by name."""
    head = "text\tlabel\n"
    frame = {"text": [text for text, _ in REVIEWS], "label": [label for _, label in REVIEWS]}
    objects = [{"text": text, "label": label, "extra": [1, 2]} for text, label in REVIEWS]
    written("reviews.tsv", REVIEWS, head=head)
    content = Path("reviews.tsv").read_bytes()
    Path("windows.tsv").write_bytes(content.replace(b"\n", b"\r\n"))
    Path("mac.tsv").write_bytes(content.replace(b"\n", b"\r"))
    Path("mark.tsv").write_bytes(b"\xef\xbb\xbf" + content)
    Path("utf16.tsv").write_bytes(content.decode().encode("utf-16"))
    Path("packed.tsv.gz").write_bytes(gzip.compress(content))
    with zipfile.ZipFile("packed.zip", "w") as archive:
        archive.writestr("inside/reviews.tsv", content)
    pl.DataFrame(frame).write_csv("reviews.csv")
    pl.DataFrame(frame).write_csv("semicolon.csv", separator=";")
    pl.DataFrame(frame).write_csv("quoted.tsv", separator="\t", quote_style="always")
    pl.DataFrame(frame).write_parquet("reviews.parquet")
    written("no_header.tsv", REVIEWS)
    Path("reviews.jsonl").write_text("\n".join(map(json.dumps, objects)) + "\n\n")
    Path("reviews.json").write_text(json.dumps(objects))
    Path("lines.json").write_text("\n".join(map(json.dumps, objects)))
    Path("columns.json").write_text(json.dumps(frame))
    Path("data.json").write_text(json.dumps({"data": objects}))
    return {
        "dict": frame,
        "rows": REVIEWS,
        "objects": objects,
        "polars": pl.DataFrame(frame),
        "pandas": pd.DataFrame(frame),
    }


FORMS = ("windows.tsv", "mac.tsv", "mark.tsv", "utf16.tsv", "packed.tsv.gz", "packed.zip", "reviews.csv", "reviews.tsv",
         "semicolon.csv", "quoted.tsv", "no_header.tsv", "reviews.jsonl", "reviews.json", "lines.json", "columns.json",
         "data.json", "reviews.parquet", "dict", "rows", "objects", "polars", "pandas")  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_rows(form: str) -> None:
    found = read_labelled(sources().get(form, form))
    assert list(zip(found.columns["text"], found.targets, strict=True)) == REVIEWS
    assert len(found.fingerprint) == 64


def test_a_folder_per_class_with_and_without_splits() -> None:
    for number, (text, label) in enumerate(REVIEWS * 2):
        folder = Path("set", "train" if number < 4 else "test", label)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.txt").write_text(text + "\n\nand so on\n")
    found = read_labelled("set")
    assert Counter(found.parts.tolist()) == {"train": 4, "test": 4}
    assert found.columns["text"][0] == "dull and long and so on"
    assert found.place(0) == "train/neg/1.txt, line 1"
    assert set(read_labelled("set/train").parts) == {""}
    told(found, "4 of 4 test rows")


def test_splits_by_files_folders_columns_and_dicts() -> None:
    train, test = (
        written("train.csv", REVIEWS, ";", "text;label\n"),
        written("test.csv", REVIEWS[:2], ";", "text;label\n"),
    )
    expected = ["train"] * 4 + ["test"] * 2
    assert read_labelled(Path()).parts.tolist() == expected
    assert read_labelled({"train": train, "test": test}).parts.tolist() == expected
    assert read_labelled(train, test=test, valid=0.5).parts.tolist() == [""] * 4 + ["test"] * 2
    bare = written("bare.csv", REVIEWS[:2], ";")
    refused(lambda: read_labelled(train, test=bare), ["bare.csv", "lacks the column 'text' of train.csv"])
    whole = {
        "text": [t for t, _ in REVIEWS],
        "label": [y for _, y in REVIEWS],
        "split": ["train", "dev", "train", "test"],
    }
    whole["label"][2] = "neg"
    found = read_labelled(whole)
    assert found.parts.tolist() == ["train", "valid", "train", "test"]


def test_hugging_face_datasets() -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(text=datasets.Value("string"), label=datasets.ClassLabel(names=["neg", "pos"]))
    columns = {"text": [text for text, _ in REVIEWS], "label": [int(label == "pos") for _, label in REVIEWS]}
    frame = datasets.Dataset.from_dict(columns, features=features)
    found = read_labelled(datasets.DatasetDict(train=frame, test=frame))
    assert list(zip(found.columns["text"], found.targets, strict=True)) == REVIEWS * 2
    assert found.parts.tolist() == ["train"] * 4 + ["test"] * 4


def test_a_table_as_spreadsheets_leave_it() -> None:
    rows = "".join(
        f'{"ham" if i % 5 else "spam"},"Go until {i}, point",{"x" if i % 40 == 0 else ""},,\n' for i in range(80)
    )
    Path("spam.csv").write_text("v1,v2,,,\n" + rows)  # columns without a name, and nearly without a value
    found = read_labelled("spam.csv")
    assert found.columns["text"][0] == "Go until 0, point"
    assert found.targets is not None
    assert Counter(found.targets.tolist()) == {"ham": 64, "spam": 16}
    named = "Review Text,Class Name,Age\n" + "".join(f"Love this {i},{i % 2},{i}\n" for i in range(20))
    Path("named.csv").write_text(named)
    told(read_labelled("named.csv"), "text: Review Text, label: Class Name, not read: Age")


# what is repaired, and told with a count


def test_unicode_is_normalised_once() -> None:
    decomposed = unicodedata.normalize("NFD", "café")
    rows = [(decomposed, "pos"), ("café", "neg"), ("thé", "pos"), ("ｆｕｌｌ", "neg")]
    found = read_labelled(written("a.tsv", rows))
    assert found.columns["text"].tolist() == ["café", "café", "thé", "ｆｕｌｌ"]
    told(found, "1 text brought to Unicode's form NFC")
    told(found, "1 text with more than one label")
    assert read_labelled("a.tsv", normalise="none").columns["text"][0] == decomposed
    assert read_labelled("a.tsv", normalise="NFKC").columns["text"][3] == "full"


def test_empty_texts_are_left_out_and_counted() -> None:
    found = read_labelled(written("a.tsv", [*REVIEWS, ("  ", "pos"), ("", "neg"), ("good", "pos")]))
    assert [*found.columns["text"]] == [text for text, _ in REVIEWS] + ["good"]
    told(found, "2 rows with an empty text", "a.tsv, row 5")
    assert found.place(4) == "a.tsv, row 7"


def test_rows_without_a_label_are_left_out_where_asked() -> None:
    found = read_labelled(written("a.tsv", [*REVIEWS, ("lost", ""), ("good", "pos")]), drop_missing_target=True)
    assert len(found) == 5
    told(found, "1 row without a label left out")


def test_html_is_resolved_where_asked() -> None:
    assert unescaped("aren #39;t &lt;b&gt;AT&amp;T&lt;/b&gt;, \\$5 #151;  quot;so quot;") == 'aren\'t AT&T , $5— "so"'
    assert unescaped("a\\b 3 < 4; x") == "a b 3 < 4; x"
    rows = [("fish &amp; chips", "pos"), ("it #39;s dull", "neg"), ("plain", "pos"), ("#1; a hit", "neg")]
    assert told(read_labelled(written("a.tsv", rows)), "2 texts with escapes")
    found = read_labelled("a.tsv", unescape=True)
    assert found.columns["text"].tolist() == ["fish & chips", "it's dull", "plain", "#1; a hit"]
    told(found, "2 texts with escapes or tags")


def test_a_line_of_ten_million_characters_is_read_and_told() -> None:
    found = read_labelled(written("a.tsv", [("x y " * 2_500_000, "pos"), *REVIEWS]))
    assert len(found.columns["text"][0]) == 9_999_999
    told(found, "1 text of more than 100,000 characters", "9,999,999")


def test_other_faults_are_told() -> None:
    rows = [("a fine film", "Pos"), ("caf\ufffd", "neg"), *REVIEWS]
    found = read_labelled(written("a.tsv", rows), test=written("t.tsv", REVIEWS[:1]))
    told(found, "labels Pos and pos differ in case")
    told(found, "1 text with '\ufffd'")
    told(found, "labels that the test split never has: Pos, neg")


def test_speech_at_the_start_of_a_field_is_no_quoting() -> None:
    rows = [('"Go," he said.', "« Va », dit-il."), ('He said "no"', '"non"'), ("Hi.", "Salut !")]
    found = read_pairs(written("pairs.txt", rows))
    assert list(zip(found.columns["source"], found.columns["target"], strict=True)) == rows
    Path("quoted.tsv").write_text('"a ""b""\tc"\t"d"\n"e"\t"f\ng"\n')
    found = read_pairs("quoted.tsv")
    assert found.columns["source"].tolist() == ['a "b"\tc', "e"]
    assert found.columns["target"].tolist() == ["d", "f\ng"]


def test_a_header_of_pairs_is_known_by_its_words() -> None:
    pairs = [("Go", "Va"), ("Run", "Cours")]
    assert len(read_pairs(written("a.tsv", pairs))) == 2
    headed = read_pairs(written("b.tsv", pairs, head="English\tFrench\n"))
    assert headed.columns["source"].tolist() == ["Go", "Run"]
    chosen = read_pairs(written("c.tsv", [("1", *p) for p in pairs], head="id\ten\tfr\n"), columns=("fr", "en"))
    assert chosen.columns["source"].tolist() == ["Va", "Cours"]
    alike = read_pairs(written("d.tsv", [*pairs, *pairs, ("Taxi", "Taxi"), ("", "Rien")]))
    told(alike, "1 pair with the same text")
    told(alike, "2 of 5 pairs", "repeat")
    told(alike, "1 row with an empty side")


def test_lines_break_at_line_feeds_only() -> None:
    Path("a.txt").write_bytes("one\u2028still one\r\n\r\ntwo\x0b\x85two\nthree".encode())
    found = read_lines("a.txt")
    assert found.columns["text"].tolist() == ["one\u2028still one", "two\x0b\x85two", "three"]
    assert [found.place(i) for i in range(3)] == ["a.txt, line 1", "a.txt, line 3", "a.txt, line 4"]
    told(found, "1 empty line left out", "a.txt, line 2")
    Path("poems").mkdir()
    Path("poems/train.txt").write_text("t: a\nno title\n")
    Path("poems/test.txt").write_text("u:b:c\n")
    found = read_lines("poems", title=":")
    assert sorted(zip(found.columns["title"], found.columns["text"], found.parts, strict=True)) == [
        ("", "no title", "train"), ("t", "a", "train"), ("u", "b:c", "test"),
    ]  # fmt: skip
    told(found, "1 line without ':'")


@pytest.mark.parametrize("encoding", ["gb18030", "latin-1", "utf-16-le", "shift_jis"])
def test_an_encoding_that_is_named_is_honoured(encoding: str) -> None:
    text = {"latin-1": "très bien", "shift_jis": "良い映画"}.get(encoding, "很好看的电影")
    Path("a.tsv").write_bytes("".join(f"{text}{i}\t{i % 2}\n" for i in range(6)).encode(encoding))
    assert read_labelled("a.tsv", encoding=encoding).columns["text"][0] == f"{text}0"
    with pytest.raises(UserError, match=r"(line 1|UTF-16).*--encoding"):
        read_labelled("a.tsv")


# what is refused, each with one line

GOOD = "".join(f"{text}\t{label}\n" for text, label in REVIEWS)
BAD: dict[str, tuple[bytes, dict[str, object], list[str]]] = {
    "one column": (b"good\nbad\nbad again\n", {}, ["one column only", "comma, tab, semicolon, bar", "--separator"]),
    "wrong separator": (GOOD.encode(), {"separator": ";"}, ["one column only", "--separator"]),
    "separator of two": (GOOD.encode(), {"separator": "::"}, ["one character", "'::'"]),
    "mixed encodings": ((GOOD + "né\tpos\n").encode() + b"n\xe9e\tneg\n", {}, ["line 6", "0xe9", "mixes encodings"]),
    "latin-1": (GOOD.encode() + b"n\xe9e\tneg\n", {}, ["line 5", "0xe9", "--encoding latin-1"]),
    "chinese": (GOOD.encode() + "好看\tpos\n".encode("gbk"), {}, ["line 5", "0xba", "--encoding gb18030"]),
    "encoding that is not": ("né\tpos\n".encode() + b"\xff\t\n", {"encoding": "ascii"}, ["line 1", "ASCII"]),
    "unknown encoding": (GOOD.encode(), {"encoding": "utf-9"}, ["'utf-9'", "latin-1"]),
    "codec of no text": (GOOD.encode(), {"encoding": "hex"}, ["'hex'"]),
    "utf-16 without mark": (GOOD.encode("utf-16-be"), {}, ["UTF-16", "--encoding utf-16-be"]),
    "utf-16 cut short": (GOOD.encode("utf-16")[:-1], {}, ["line 4", "UTF-16"]),
    "binary": (GOOD.encode() + b"\x00\x01", {}, ["line 5", "binary"]),
    "NUL in utf-16": ((GOOD + "\x00").encode("utf-16"), {}, ["line 5", "NUL"]),
    "empty file": (b"\n\n", {}, ["empty"]),
    "empty texts only": (b"\tpos\n\tneg\n\tpos\n\tneg\n", {}, ["every text is empty"]),
    "label missing": (GOOD.encode() + b"lost\t\n", {}, ["row 5", "label", "--drop-missing-target"]),
    "one class": (b"a\tpos\nb\tpos\nc\tpos\n", {}, ["one label only ('pos')"]),
    "too many labels": (
        "".join(f"a text {i}\tl{i}\n" for i in range(300)).encode(),
        {"target": "column_2"},
        ["300 different labels", "--target"],
    ),
    "no labels": (b"a b\tc\nd e\tf\ng h\tj\n", {}, ["no column has values that recur", "--target"]),
    "several labels": (
        b"".join(b"text %d\t%d\t%d\n" % (i, i % 2, i % 3) for i in range(30)),
        {},
        ["could be any of column_2, column_3", "--target"],
    ),
    "no such column": (b"text\tlabel\na\tx\nb\ty\n", {"target": "lable"}, ["no column 'lable'", "'label'"]),
    "ragged": (GOOD.encode() + b"no label\n", {}, ["row 5", "1 fields where the first row has 2"]),
    "unknown form": (GOOD.encode(), {"normalise": "NFX"}, ["'NFX'", "NFC"]),
    "excel": (b"PK\x03\x04", {}, ["zip", "damaged"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_texts(case: str) -> None:
    content, options, words = BAD[case]
    Path("bad.tsv").write_bytes(content)
    refused(lambda: read_labelled("bad.tsv", **options), words)


def refused(call: Callable[[], object], words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        call()
    line = str(caught.value)
    assert "\n" not in line, line
    assert len(line) < 300, line
    assert [word for word in words if word not in line] == [], line


OTHERS: dict[str, tuple[dict[str, bytes], Callable[[], object], list[str]]] = {
    "a label that only the test split has": (
        {"a.tsv": GOOD.encode(), "t.tsv": b"fine\tpos\nso so\tneu\nbad\tneg\n"},
        lambda: read_labelled("a.tsv", test="t.tsv"),
        ["t.tsv, row 2", "'neu' of the test split", "training"],
    ),
    "a test file without labels": (
        {"a.tsv": b"text\tlabel\n" + GOOD.encode(), "t.csv": b"id,text\n1,fine\n2,bad\n"},
        lambda: read_labelled("a.tsv", test="t.csv"),
        ["t.csv", "lacks the column"],
    ),
    "a pair file with three columns": (
        {"p.tsv": b"a\tb\tc\nd\te\tf\n"},
        lambda: read_pairs("p.tsv"),
        ["p.tsv: 3 columns, where a pair has two", "--columns"],
    ),
    "a pair file with a row of three": (
        {"p.tsv": b"a\tb\nd\te\tf\n"},
        lambda: read_pairs("p.tsv"),
        ["row 2", "3 fields"],
    ),
    "a pair file without tabs": ({"p.tsv": b"a b\nc d\n"}, lambda: read_pairs("p.tsv"), ["one column only", "two"]),
    "JSON that breaks off": (
        {"a.jsonl": b'{"text": "a", "label": "b"}\n{"text": "c", "la'},
        lambda: read_labelled("a.jsonl"),
        ["a.jsonl, line 2", "not JSON"],
    ),
    "JSON of no objects": ({"a.jsonl": b'"a"\n"b"\n'}, lambda: read_labelled("a.jsonl"), ["row 1", "not an object"]),
    "JSON of lists only": ({"a.jsonl": b'{"a": [1]}\n'}, lambda: read_labelled("a.jsonl"), ["lists or objects"]),
    "a folder of nothing": ({"set/image.png": b"\x00"}, lambda: read_labelled("set"), ["set", "image.png"]),
    "a missing file": ({"near.tsv": b""}, lambda: read_labelled("a.tsv"), ["a.tsv", "no such file", "near.tsv"]),
    "a missing file of lines": ({}, lambda: read_lines("a.txt"), ["a.txt", "no such file"]),
    "empty lines": ({"a.txt": b"\n \n"}, lambda: read_lines("a.txt"), ["a.txt", "empty"]),
    "a dict with a strange split": (
        {},
        lambda: read_labelled({"train": {"text": ["a"], "label": ["b"]}, "unsupervised": {"text": ["c"]}}),
        ["'unsupervised'", "no split"],
    ),
    "a list of texts alone": ({}, lambda: read_labelled(["a", "b"]), ["a list of rows is wanted"]),
    "a number": ({}, lambda: read_labelled(3), ["type int", "a data frame"]),
    "an archive of several texts": ({"two.zip": b""}, lambda: read_pairs("two.zip"), ["2 text files", "a.txt, b.txt"]),
    "an Excel workbook": ({"book.zip": b""}, lambda: read_labelled("book.zip"), ["Excel", "CSV"]),
    "a class that AG News hasn't": (
        {"train.csv": b'"5","a","b"\n"1","a","b"\n', "test.csv": b'"1","a","b"\n'},
        lambda: ag_news("."),
        ["train.csv, row 1", "'5'", "1 to 4"],
    ),
}


@pytest.mark.parametrize("case", OTHERS)
def test_other_bad_inputs(case: str) -> None:
    files, call, words = OTHERS[case]
    for name, content in files.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(content or packed(*{"two.zip": ("a.txt", "b.txt")}.get(name, ("xl/workbook.xml",))))
    refused(call, words)


def packed(*names: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(name, "one\ttwo\n")
    return content.getvalue()


PIECES = [
    b'"',
    b'""',
    b",",
    b"\t",
    b";",
    b"|",
    b"\n",
    b"\n",
    b"\r",
    b"a",
    b"b c",
    b"1",
    b" ",
    b"\xe9",
    b"\xc3\xa9",
    b"\x00",
]
PIECES += [
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"[",
    b"]",
    b"{",
    b"}",
    b'{"text": "x", "label": "y"}\n',
    b"PK\x03\x04",
    b"PAR1",
]
PIECES += [b"\x1f\x8b", b"text", b"label", b":"]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join),
    st.sampled_from(["a.csv", "a.tsv", "a.jsonl", "a.json", "a.txt.gz"]),
    st.sampled_from([None, "gb18030", "utf-16"]),
)
def test_any_bytes_are_read_or_refused_in_one_line(content: bytes, name: str, encoding: str | None) -> None:
    Path(name).write_bytes(content)
    for read in (read_labelled, read_pairs, read_lines):
        try:
            read(name, encoding=encoding)
        except UserError as error:
            assert "\n" not in str(error)  # noqa: PT017


CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(CELLS, st.sampled_from("xyz")), max_size=8), st.sampled_from([*",\t;|", "JSON"]))
def test_what_is_written_is_read(rows: list[tuple[str, str]], form: str) -> None:
    rows = [("first", "x"), ("second", "y"), *rows]
    with Path("rows.jsonl" if form == "JSON" else "rows.csv").open("w", encoding="utf-8", newline="") as file:
        if form == "JSON":
            file.write(
                "\n".join(json.dumps({"text": text, "label": label}, ensure_ascii=False) for text, label in rows)
            )
        else:
            csv.writer(file, delimiter=form).writerows([("text", "label"), *rows])
    found = read_labelled(file.name)
    expected = [(unicodedata.normalize("NFC", text.strip()), label) for text, label in rows if text.strip()]
    assert list(zip(found.columns["text"], found.targets, strict=True)) == expected


# splits

KEYS = st.lists(st.text(max_size=2), min_size=1, max_size=60)
FRACTIONS = st.sampled_from([0.0, 0.1, 0.25, 0.4])


@settings(deadline=None)
@given(KEYS, FRACTIONS, FRACTIONS, st.integers(0, 5), st.randoms(use_true_random=False))
def test_no_group_is_on_two_sides_in_any_order(keys, valid, test, seed, random) -> None:  # type: ignore[no-untyped-def]
    def side_of(order: list[int]) -> dict[str, str] | None:
        these = np.array([keys[row] for row in order], dtype=object)
        try:
            splits = split_by_group(these, np.full(len(these), ""), valid=valid, test=test, seed=seed)
        except UserError:  # too few groups, as another test says
            return None
        rows = np.concatenate([splits[name] for name in ("train", "valid", "test")])
        assert sorted(rows.tolist()) == list(range(len(keys)))
        sides = [(these[row], name) for name, held in splits.items() for row in held]
        assert len(set(sides)) == len(set(keys))
        largest = max(Counter(keys).values())
        for name, fraction in (("valid", valid), ("test", test)):
            assert abs(len(splits[name]) - fraction * len(keys)) <= largest
        return dict(sides)

    order = list(range(len(keys)))
    first = side_of(order)
    random.shuffle(order)
    assert side_of(order) == first


def test_groups_have_their_fractions_and_other_seeds_other_sides() -> None:
    keys = np.array([f"sentence {row % 7_000}" for row in range(10_000)], dtype=object)
    parts = np.full(len(keys), "")
    sizes = {name: len(rows) for name, rows in split_by_group(keys, parts, valid=0.1, test=0.2, seed=1).items()}
    assert sizes["test"] == pytest.approx(2_000, abs=2)
    assert sizes["valid"] == pytest.approx(1_000, abs=2)
    one, two = (split_by_group(keys, parts, seed=seed)["test"] for seed in (1, 2))
    assert len(np.intersect1d(one, two)) == pytest.approx(400, abs=100)


def test_splits_that_the_source_tells_stay() -> None:
    parts = np.array(["train"] * 500 + ["test"] * 100)
    keys = np.array([f"key {row % 300}" for row in range(600)], dtype=object)
    splits = split_by_group(keys, parts, valid=0.1, test=0.2, seed=0)
    assert splits["test"].tolist() == list(range(500, 600))
    assert abs(len(splits["valid"]) - 50) <= 2
    assert sorted([*splits["train"], *splits["valid"]]) == list(range(500))
    parts[450:500] = "valid"
    assert split_by_group(keys, parts, valid=0.1, test=0.2, seed=0)["valid"].tolist() == list(range(450, 500))
    free = np.array([""] * 500 + ["valid"] * 100)
    splits = split_by_group(keys, free, valid=0.1, test=0.2, seed=0)
    assert len(splits["test"]) > 0
    assert splits["valid"].tolist() == list(range(500, 600))


def test_too_few_groups_are_refused() -> None:
    keys = np.array(["a"] * 50 + ["b"] * 50, dtype=object)
    refused(lambda: split_by_group(keys, np.full(100, "")), ["2 different texts", "too few"])


def test_groups_of_each_label_are_cut_in_proportion() -> None:
    keys = np.array([f"{row % 900}" for row in range(1000)], dtype=object)
    labels = np.array(["abc"[min(int(key) % 20, 2)] for key in keys], dtype=object)
    splits = split_by_group(keys, np.full(1000, ""), labels=labels, valid=0.1, test=0.2, seed=5)
    for label, size in Counter(labels.tolist()).items():
        held = {name: int((labels[rows] == label).sum()) for name, rows in splits.items()}
        assert abs(held["test"] - 0.2 * size) <= 2, (label, held)
        assert abs(held["valid"] - 0.1 * size) <= 2, (label, held)
    for one, two in (("train", "valid"), ("train", "test"), ("valid", "test")):
        assert not set(keys[splits[one]]) & set(keys[splits[two]])
    rare = np.array([f"{row % 20}" for row in range(40)], dtype=object)  # labels of two rows each
    splits = split_by_group(np.array([str(row) for row in range(40)], dtype=object), np.full(40, ""), labels=rare)
    assert set(rare[splits["train"]]) == set(rare)
    assert 4 <= len(splits["test"]) <= 12


def test_what_is_no_fraction_is_refused() -> None:
    keys = np.array(["a", "b", "c", "d"], dtype=object)
    refused(lambda: split_by_group(keys, np.full(4, ""), valid=0.6, test=0.5), ["valid 0.6", "test 0.5"])
