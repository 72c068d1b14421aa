"""Bad texts and series through the command line: one clear line and status 2, or a told and counted repair."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Gradus = Callable[..., tuple[int, str, str]]
REVIEWS = "".join(
    f"{'good' if i % 2 else 'bad'} film number {i}\t{'liked' if i % 2 else 'loathed'}\n" for i in range(80)
)
PAIRS = "".join(f"I see {i} cats.\tJe vois {i} chats.\n" for i in range(80))
HOURS = "time,load\n" + "".join(f"2024-01-{1 + i // 24:02d} {i % 24:02d}:00:00,{i % 24}.5\n" for i in range(400))
HEAD = "review\tgrade\n"


def write(name: str, content: str | bytes) -> None:
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())


REFUSED = [
    ("wrong delimiter", "sentiment", HEAD + REVIEWS, ["--separator", ";"], ["bad.txt", "one column", "--separator"]),
    ("latin-1 without a word", "sentiment", (HEAD + REVIEWS).encode() + "tr\xe8s\tliked\n".encode("latin-1"), [],
     ["bad.txt", "line 82", "--encoding"]),
    ("mixed encodings", "sentiment", (HEAD + REVIEWS + "très\tliked\n").encode() + b"tr\xe8s\tliked\n", [],
     ["bad.txt", "line 83"]),
    ("binary", "sentiment", bytes(range(256)) * 40, [], ["bad.txt"]),
    ("nothing", "sentiment", "", [], ["bad.txt", "empty"]),
    ("empty texts only", "sentiment", HEAD + "\tliked\n\tloathed\n" * 30, ["--text", "review", "--target", "grade"],
     ["bad.txt", "empty"]),
    ("labels missing", "sentiment", HEAD + REVIEWS + "fine film\t\n", ["--target", "grade"],
     ["row 82", "'grade' is empty", "--drop-missing-target"]),
    ("one class", "sentiment", HEAD + REVIEWS.replace("loathed", "liked"), ["--target", "grade"],
     ["bad.txt", "'liked'"]),
    ("no such column", "sentiment", HEAD + REVIEWS, ["--target", "grades"], ["'grades'", "'grade'"]),
    ("three columns of pairs", "translate", PAIRS.replace("\n", "\tEnglish to French\n"), [], ["bad.txt", "3 columns"]),
    ("one column of pairs", "translate", PAIRS.replace("\t", " "), [], ["bad.txt"]),
    ("no lines", "poems", "\n\n\n", [], ["bad.txt", "empty"]),
    ("time backwards", "forecast", HOURS + "2024-01-02 00:00:00,1.0\n", ["--target", "load"], ["row 402", "--sort"]),
    ("a long gap", "forecast", HOURS + "2024-03-02 00:00:00,1.0\n", ["--target", "load"], ["bad.txt", "--fill"]),
    ("a word in the series", "forecast", HOURS.replace("11.5", "many", 1), ["--target", "load"], ["row 13", "'many'"]),
    ("too short a series", "forecast", HOURS[:600], ["--target", "load", "--horizon", "24"], ["bad.txt"]),
    ("a constant series", "forecast", "\n".join(line.split(",")[0] + ",7" if i else line
                                                for i, line in enumerate(HOURS.splitlines())),
     ["--target", "load"], ["always the same"]),
]  # fmt: skip


@pytest.mark.parametrize(("content", "flags", "words", "recipe"), [(c, f, w, r) for _, r, c, f, w in REFUSED],
                         ids=[name for name, *_ in REFUSED])  # fmt: skip
def test_one_clear_line(content: str | bytes, flags: list[str], words: list[str], recipe: str, gradus: Gradus) -> None:
    write("bad.txt" if recipe != "forecast" else "bad.csv", content)
    source = "bad.txt" if recipe != "forecast" else "bad.csv"
    status, _, err = gradus("train", recipe, "--data", source, "--steps", 2, "--out", "r", *flags)
    assert status == 2, err
    assert len(err.strip().splitlines()) == 1, err
    for word in words:
        assert word.replace("bad.txt", source) in err, err
    assert not Path("r").exists()


def test_a_label_that_training_never_saw(gradus: Gradus) -> None:
    write("train.tsv", HEAD + REVIEWS)
    write("test.tsv", HEAD + "a film\tadored\n" + REVIEWS)
    status, _, err = gradus(
        "train", "sentiment", "--data", "train.tsv", "--test", "test.tsv", "--out", "r", "--steps", 2
    )
    assert status == 2
    assert "test.tsv, row 2" in err
    assert "'adored'" in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\xef\xbb\xbf" + (HEAD + REVIEWS).encode(), ""),
        ((HEAD + REVIEWS).encode("utf-16"), ""),
        (HEAD + REVIEWS.replace("\n", "\r\n"), ""),
        (HEAD + REVIEWS + "\tliked\n" * 3, "3 rows with an empty text left out"),
        (HEAD + REVIEWS + "long " * 2_000_000 + "\tliked\n", "cut there [--max-length]"),
        (HEAD + REVIEWS + "good film number 1\tliked\n" * 4, "repeat an earlier one"),
        (HEAD + REVIEWS.replace("film", "cafe\u0301"), "brought to Unicode's form NFC"),
    ],
    ids=["BOM", "UTF-16", "Windows", "empty texts", "10 MB line", "repeats", "decomposed"],
)
def test_what_is_mended_is_told_and_counted(content: str | bytes, told: str, gradus: Gradus) -> None:
    write("reviews.tsv", content)
    status, out, err = gradus(
        "train", "sentiment", "--data", "reviews.tsv", "--target", "grade", "--steps", 2, "--out", "r"
    )
    assert status == 0, err
    notes = json.loads(Path("r/config.json").read_text(encoding="utf-8"))["data"]["notes"]
    assert told in " ".join(notes)
    assert " ".join(told.split()) in " ".join(out.split())
    vocabulary = json.loads(Path("r/config.json").read_text(encoding="utf-8"))
    assert vocabulary["task"]["labels"] == ["liked", "loathed"]


def test_short_gaps_of_a_series_are_filled_and_counted(gradus: Gradus) -> None:
    lines = HOURS.splitlines(keepends=True)
    write("load.csv", "".join(line for i, line in enumerate(lines) if i not in (100, 200, 201)))
    status, out, err = gradus("train", "forecast", "--data", "load.csv", "--target", "load", "--steps", 2, "--out", "r",
                              "--horizon", 12, "--history", 24)  # fmt: skip
    assert status == 0, err
    assert "3" in out
    assert "--fill" in out
