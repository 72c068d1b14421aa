"""The index of a folder is never half-written: killed, damaged, used by several processes and threads at once."""

from __future__ import annotations

import multiprocessing.process
import random
import sqlite3
import threading
import time
from pathlib import Path

import pytest
from documents_folder import Folder

from gradus.errors import UserError
from gradus.language import documents
from gradus.language.documents import Index


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def updating(folder: Folder) -> None:
    """What a process of its own does: few documents a change, so that there are many to fall into."""
    documents.BATCH = 5
    folder.index().update()


def begun(folder: Folder) -> multiprocessing.process.BaseProcess:
    child = multiprocessing.get_context("fork").Process(target=updating, args=(folder,))
    child.start()
    return child


def consistent(path: Path) -> int:
    """The documents of an index's file, whose words and passages must fit each other."""
    database = sqlite3.connect(path)
    if database.execute("PRAGMA user_version").fetchone()[0] == 0:
        return 0  # killed before there were any tables
    assert database.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    database.execute("INSERT INTO words (words) VALUES ('integrity-check')")
    passages = {number for (number,) in database.execute("SELECT id FROM passages")}
    words = {number for (number,) in database.execute("SELECT rowid FROM words WHERE words MATCH 'thing'")}
    assert passages == words
    owners = {number for (number,) in database.execute("SELECT document FROM passages")}
    documents = {number for (number,) in database.execute("SELECT id FROM documents")}
    assert owners == documents
    database.close()
    return len(documents)


def test_killed_in_the_middle_of_an_update_the_index_is_whole(folder: Folder) -> None:
    for number in range(400):
        folder.write(
            f"{number}.txt", "\n\n".join(f"Document {number} tells of thing {part}. " * 12 for part in range(6))
        )
    chance = random.Random(1)
    seen = []
    for _ in range(8):
        child = begun(folder)
        time.sleep(chance.uniform(0.01, 0.12))
        child.kill()
        child.join()
        seen += [consistent(path) for path in folder.cache.glob("*.sqlite") if path.stat().st_size]
    index = folder.index()
    update = index.update()
    assert update.new + update.unchanged == 400
    index.close()
    assert consistent(next(folder.cache.glob("*.sqlite"))) == 400
    assert any(0 < count < 400 for count in seen), f"no kill fell into an update: {seen}"


def test_two_processes_update_at_once(folder: Folder) -> None:
    for number in range(120):
        folder.write(f"{number}.txt", f"Document {number} tells of one thing or another.")
    children = [begun(folder) for _ in range(3)]
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert consistent(next(folder.cache.glob("*.sqlite"))) == 120


@pytest.mark.parametrize("damage", ["all", "head", "middle", "other"])
def test_a_damaged_index_is_begun_anew_and_told(folder: Folder, damage: str) -> None:
    for number in range(60):
        folder.write(f"{number}.txt", f"Document {number} tells of thing number {number}. " * 30)
    index = folder.index()
    index.update()
    index.close()
    path = next(folder.cache.glob("*.sqlite"))
    content = bytearray(path.read_bytes())
    if damage == "all":
        content = bytearray(b"not an index at all" * 500)
    elif damage == "head":
        content[:100] = bytes(100)
    elif damage == "middle":
        content[4096 : len(content) - 4096] = random.Random(2).randbytes(len(content) - 8192)
    else:
        content[60:64] = (99).to_bytes(4, "big")  # user_version
    path.write_bytes(content)
    index = folder.index()
    update = index.update()
    assert "another version" in update.rebuilt if damage == "other" else "damaged" in update.rebuilt
    assert (update.new, update.unchanged) == (60, 0)
    assert index.search("What does document 7 tell?")[0].file == "7.txt"


def test_a_cache_that_cannot_be_written_is_one_line(folder: Folder, tmp_path: Path) -> None:
    folder.write("a.txt", "x")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"can't be made: .* set GRADUS_CACHE to a directory"):
        Index.of(folder.path, cache=tmp_path / "file" / "cache")


def test_threads_search_while_the_folder_changes(folder: Folder) -> None:
    for number in range(30):
        folder.write(f"{number}.txt", f"Valve {number} belongs to pump {number * 7}.")
    index = folder.index()
    index.update()
    wrong: list[object] = []
    over = threading.Event()

    def search(number: int) -> None:
        while not over.is_set():
            found = index.search(f"To which pump belongs valve {number}?", 1)
            if [passage.file for passage in found] != [f"{number}.txt"]:
                wrong.append(found)

    threads = [threading.Thread(target=search, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for number in range(40):
        folder.write("changing.txt", f"Ladder {number} is of another kind.")
        index.update()
    over.set()
    for thread in threads:
        thread.join()
    assert wrong == []
