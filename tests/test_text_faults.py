"""Bad texts refused in one clear line, and any bytes at all read or refused."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_texts import REVIEWS, refused

from gradus.data.text_sets import ag_news
from gradus.data.texts import read_labelled, read_lines, read_pairs
from gradus.errors import UserError

Real = Callable[[str], Path]


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
