"""Texts as they are read: against csv, json and polars by hand; faults against a plain count; bad ones refused."""

from __future__ import annotations

import csv
import gzip
import json
import unicodedata
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import polars as pl
import pytest

from gradus.data.clean_text import unescaped
from gradus.data.text_sets import ag_news, eng_fra, names, poems
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


def refused(call: Callable[[], object], words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        call()
    line = str(caught.value)
    assert "\n" not in line, line
    assert len(line) < 300, line
    assert [word for word in words if word not in line] == [], line


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
