"""The text sets that are known by name: where each is looked for, and how its files are read, whatever their layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from gradus.data.read import TableText, read_file
from gradus.data.sets import find, find_file
from gradus.data.texts import TextRows, read_labelled, read_lines, read_pairs
from gradus.errors import UserError

MARKS = {  # files that tell the sets apart from a person's own
    "ag_news": ("classes.txt",),
    "eng_fra": ("eng-fra.txt*", "fra-eng.zip", "fra.txt"),
    "poems": ("wujue.txt*",),
}
NEWS = ("World", "Sports", "Business", "Sci/Tech")


def names(path: str | Path | None = None, *, leave_out: Sequence[str] = ()) -> TextRows:
    """Surnames of 18 languages, 13,374 to train on and 6,700 to test, as published: with 24 rows that are no names.

    Args:
        path: the directory of ``names_train`` and ``names_test``; one with a file of names per language, which has no
            test split; or a table file. None looks where ``find`` does, and downloads them at last.
        leave_out: texts that are no names.
    """
    if path is not None and not any(Path(path).glob("names_train*")):
        return read_labelled(path, leave_out=leave_out)
    folder = find("names", path, "names_train", "names_test")
    train, test = (_headless(folder, f"names_{part}.csv") for part in ("train", "test"))
    return read_labelled(
        {"train": train, "test": test}, text="column_1", target="column_2", header=False, leave_out=leave_out
    )


def ag_news(path: str | Path | None = None, *, unescape: bool = True) -> TextRows:
    """AG News: four topics, 7,600 rows to test, up to 120,000 to train on; a text is a title and a description.

    Args:
        path: the directory of ``train.csv`` and ``test.csv`` (also gzipped), each of class, title and description, or
            of class and text. None looks where ``find`` does, and downloads them at last.
        unescape: put what the set's wrecked escapes of HTML stand for in their place.
    """
    folder = find("ag_news", path, "train.csv", "test.csv")
    train, test = (_news(_headless(folder, f"{part}.csv")) for part in ("train", "test"))
    return read_labelled({"train": train, "test": test}, text="text", target="class", unescape=unescape)


def eng_fra(path: str | Path | None = None, *, reverse: bool = False) -> TextRows:
    """Pairs of English and French sentences of Tatoeba, as manythings.org packs them; sorted by length, not split.

    Args:
        path: ``eng-fra.txt`` (also gzipped), ``fra-eng.zip``, any other pair file, or the directory of one. None looks
            where ``find`` does, and downloads it at last.
        reverse: French is read, English answered.
    """
    if path is not None and not Path(path).is_dir():
        return read_pairs(path, header=False, reverse=reverse)
    folder = find("eng_fra", path, "eng-fra.txt|fra-eng.zip|fra.txt")
    names = ("eng-fra.txt", "eng-fra.txt.gz", "fra-eng.zip", "fra.txt", "fra.txt.gz")
    file = next((folder / name for name in names if (folder / name).exists()), folder / names[0])
    return read_pairs(file, header=False, reverse=reverse)


def poems(path: str | Path | None = None) -> TextRows:
    """17,000 Chinese quatrains of five characters a line, each with its title, not split; some stand there twice.

    Args:
        path: ``wujue.txt`` (also gzipped) or its directory. None looks where ``find`` does, and downloads it at last.
    """
    return read_lines(find_file("poems", "wujue.txt.gz", path), title=":")


def is_set(name: str, path: str | Path | None) -> bool:
    """Whether a path is the directory of a known set, by files that only it has; no path is always meant for it."""
    return path is None or any(next(Path(path).glob(mark), None) for mark in MARKS[name])


def _headless(folder: Path, name: str) -> TableText:
    file = next((folder / near for near in (name, f"{name}.gz") if (folder / near).exists()), folder / name)
    return read_file(file, header=False)


def _news(table: TableText) -> TableText:
    """The class by its name, and what is beside it as one text."""
    number, *texts = table.columns.values()
    classes = {str(code): name for code, name in enumerate(NEWS, start=1)}
    for row, code in enumerate(number.tolist()):
        if code not in classes:
            raise UserError(f"{table.place(row)}: a class of {code!r}, where AG News has 1 to {len(NEWS)}.")
    named = np.array([classes[code] for code in number.tolist()], dtype=object)
    text = np.array([" ".join(filter(None, row)) or None for row in zip(*texts, strict=True)], dtype=object)
    return replace(table, columns={"text": text, "class": named}, named=True)
