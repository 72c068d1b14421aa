"""The index of a folder of documents: kept up to date by content, searched by words and by meaning, cited."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from documents_folder import Folder
from openai_server import serving

from gradus.errors import UserError
from gradus.language.documents import Index
from gradus.language.embeddings import embedder_of
from gradus.language.parse import LARGEST


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_only_what_has_changed_is_read(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write("a.md", "# Pumps\n\nThe pump stands in the cellar.")
    folder.write("b/c.txt", "The ladder stands in the attic.")
    index = folder.index()
    first = index.update()
    assert (first.new, first.passages, first.faults) == (2, 2, [])
    assert str(first).startswith("2 documents, 2 passages (2 new)")
    index.close()

    read: list[str] = []
    whole = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path.name) or whole(path))  # type: ignore[func-returns-value]
    index = folder.index()
    again = index.update()
    assert (again.unchanged, again.passages, read) == (2, 2, [])
    assert "nothing changed" in str(again)

    folder.write("b/c.txt", "The ladder was moved to the garden shed.")
    folder.write("d.txt", "A new kettle.")
    (folder.path / "a.md").unlink()
    third = index.update()
    assert (third.changed, third.new, third.removed, third.unchanged) == (1, 1, 1, 0)
    assert read == ["c.txt", "d.txt"]
    assert index.search("Where is the pump in the cellar?") == []
    assert [passage.text for passage in index.search("Where is the ladder?")] == [
        "The ladder was moved to the garden shed."
    ]


def test_a_touched_file_is_not_parsed_again_and_a_change_of_equal_size_and_time_is_seen(folder: Folder) -> None:
    path = folder.write("a.txt", "The pump is blue.")
    index = folder.index()
    index.update()
    os.utime(path, (1_700_000_000, 1_700_000_000))
    assert (index.update().unchanged, index.update().unchanged) == (1, 1)
    path.write_text("The pump is pink.")  # written just now: the clock of files may not have moved on
    assert index.update().changed == 1
    stamp = path.stat().st_mtime_ns
    path.write_text("The pump is gold.")
    os.utime(path, ns=(stamp, stamp))
    assert index.update().changed == 1
    assert index.search("What colour has the pump?")[0].text == "The pump is gold."


def test_what_cannot_be_read_is_named_in_one_line_each_and_left_out(folder: Folder) -> None:
    folder.write("good.txt", "The pump is blue.")
    folder.write("broken.pdf", b"%PDF-1.4\nnothing")
    folder.write("binary.txt", b"\x00\x01\x02\xff" * 50)
    folder.write("old.txt", "Ein schöner Tag".encode("latin-1"))
    folder.write("broken.docx", b"PK\x03\x04nothing")
    folder.write("photo.png", b"\x89PNG")
    (folder.path / "huge.txt").touch()
    os.truncate(folder.path / "huge.txt", LARGEST + 1)
    (folder.path / "loop").symlink_to(folder.path)
    (folder.path / "nowhere.txt").symlink_to(folder.path / "gone.txt")
    (folder.path / "itself.txt").symlink_to(folder.path / "itself.txt")
    os.mkfifo(folder.path / "pipe.txt")  # opening it would wait for ever
    (folder.path / ".git").mkdir()
    folder.write(".git/config.txt", "hidden")
    update = folder.index().update()
    assert update.new == 1
    faults = {line.split(":")[0].split(",")[0]: line for line in update.faults}
    assert set(faults) == {
        "broken.pdf", "binary.txt", "old.txt", "broken.docx", "huge.txt", "loop", "nowhere.txt", "itself.txt"
    }  # fmt: skip
    assert "not UTF-8 text" in faults["old.txt"]
    assert "back to a folder that it lies in" in faults["loop"]
    assert all("\n" not in line and "Traceback" not in line for line in update.faults)
    assert update.lines()[-1] == "1 file of kinds that hold no text to read: 1 .png."


def test_an_encoding_can_be_told(folder: Folder) -> None:
    folder.write("a.txt", "水泵在地下室。".encode("gb18030"))
    folder.write("b.txt", "The pump.")
    assert len(folder.index().update().faults) == 1
    index = folder.index(encoding="gb18030")
    assert index.update().faults == []
    assert index.search("水泵在哪里？")[0].text == "水泵在地下室。"


def test_a_document_that_breaks_is_forgotten_until_it_is_mended(folder: Folder) -> None:
    folder.write("a.txt", "The pump is blue.")
    index = folder.index()
    index.update()
    folder.write("a.txt", b"The pump \x00\x00\x00")
    assert (index.update().passages, len(index.update().faults)) == (0, 1)
    assert index.search("Which colour has the pump?") == []
    folder.write("a.txt", "The pump is blue.")
    assert index.update().new == 1


@pytest.mark.skipif(not hasattr(os, "seteuid") or os.geteuid() != 0, reason="only root can become somebody else")
def test_a_folder_that_may_only_be_read_and_files_that_may_not() -> None:
    with tempfile.TemporaryDirectory() as made:
        root = Path(made)
        root.chmod(0o755)
        docs, cache = root / "docs", root / "cache"
        docs.mkdir()
        cache.mkdir()
        cache.chmod(0o777)
        (docs / "a.txt").write_text("The pump is blue.")
        (docs / "secret.txt").write_text("No.")
        (docs / "secret.txt").chmod(0)
        (docs / "closed").mkdir(mode=0o700)
        docs.chmod(0o555)
        os.seteuid(65534)
        try:
            index = Index.of(docs, cache=cache)
            update = index.update()
            assert sorted(update.faults) == [
                "closed: Permission denied.",
                "secret.txt: can't be read: Permission denied.",
            ]
            assert index.search("Which colour has the pump?")[0].file == "a.txt"
            index.close()
        finally:
            os.seteuid(0)


def test_one_document_is_a_folder_of_one_whatever_its_kind(folder: Folder) -> None:
    path = folder.write("notes.log", "The pump is blue.")
    index = Index.of(path, cache=folder.cache)
    assert index.update().new == 1
    assert index.search("Which colour has the pump?")[0].source == "notes.log › line 1"
    with pytest.raises(UserError, match=r"no such folder\. Give a folder of documents"):
        Index.of(folder.path / "missing")


def test_a_source_is_cited_with_its_place_and_its_share(folder: Folder) -> None:
    folder.write(
        "guide/pumps.md", "# Pumps\n\n## Oil\n\nThe cellar pump takes K40 oil.\n\n## Noise\n\nIt hums at night."
    )
    folder.write("other.txt", "Nothing of that.")
    index = folder.index()
    index.update()
    best = index.search("Which oil does the cellar pump take?")[0]
    assert (best.file, best.place, best.source) == ("guide/pumps.md", "Pumps › Oil", "guide/pumps.md › Pumps › Oil")
    assert best.score == 1
    assert index.search("") == index.search("What is it?") == index.search('" OR * NEAR(') == []


class Concepts:
    """Embeds a text by which of four matters it speaks of, in any words."""

    name = "concepts"
    matters = (
        ("cat", "kitten", "feline"),
        ("rain", "drizzle", "storm"),
        ("bread", "loaf", "bakery"),
        ("invoice", "bill"),
    )

    def __init__(self) -> None:
        self.texts: list[str] = []

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        self.texts += texts
        rows = []
        for text in texts:
            noise = random.Random(text)
            about = [float(any(word in text.lower() for word in words)) for words in self.matters]
            row = np.array([*about, float(not any(about)), 0.0, 0.0, 0.0])
            row += [noise.gauss(0, 0.05) for _ in row]
            rows.append(row / np.linalg.norm(row))
        return np.array(rows, np.float32)


def test_meaning_finds_what_shares_no_word_and_what_neither_finds_is_not_found(folder: Folder) -> None:
    matters = ["A kitten sleeps on the sofa.", "Drizzle falls on the roof all day."]
    for number, text in enumerate(matters + [f"Invoice {n} was paid in month {n % 12}." for n in range(40)]):
        folder.write(f"n{number}.txt", text)
    embedder = Concepts()
    index = folder.index(embedder=embedder)
    index.update()
    assert [passage.file for passage in index.search("feline", 1)] == ["n0.txt"]
    assert [passage.file for passage in index.search("storm", 1)] == ["n1.txt"]
    assert index.search("invoice 31", 1)[0].file == "n33.txt"
    assert index.search("the turnover of an opera") == []
    assert folder.index().search("feline") == []

    embedder.texts.clear()
    index.update()
    assert embedder.texts == []  # vectors are kept
    folder.write("n0.txt", "A loaf of bread.")
    index.update()
    assert embedder.texts == ["line 1\nA loaf of bread."]
    assert [passage.file for passage in index.search("bakery", 1)] == ["n0.txt"]


def test_embeddings_come_from_a_server(folder: Folder) -> None:
    for number in range(40):
        folder.write(f"{number}.txt", f"Invoice {number} was paid.")
    folder.write("cat.txt", "A kitten sleeps.")
    concepts = Concepts()
    with serving() as server:
        server.embed = lambda text: concepts.embed([text])[0].tolist()
        index = folder.index(embedder=embedder_of(server.url))
        index.update()
        assert [passage.file for passage in index.search("feline")] == ["cat.txt"]
        assert max(len(body["input"]) for _, _, body in server.requests if "input" in body) == 32
    with pytest.raises(UserError, match="nothing listens there"):
        index.search("feline")


def test_odd_characters_come_back_as_they_are(folder: Folder) -> None:
    folder.write("odd.txt", 'Quote " and \\ and \u2028 and emoji 🐈 and tab\there: the password is swordfish.')
    index = folder.index()
    index.update()
    found = index.search("What is the password?")[0]
    assert found.text == (folder.path / "odd.txt").read_text(encoding="utf-8")
