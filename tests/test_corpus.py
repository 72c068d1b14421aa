"""Big texts prepared piece by piece: the tokens of the whole text, whoever makes them and however often killed."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import gradus as gd
from gradus.data import prepare_text, text_files, text_store, tokenised
from gradus.data.cache import cache_directory
from gradus.data.corpus import corpus
from gradus.data.prepare_text import Asked, Lines, prepared
from gradus.data.sequences import TextCorpus
from gradus.data.text_files import find_texts, pieces_of, texts_of
from gradus.data.tokens import BOS, EOS, IGNORE, SPECIAL, UNK, Tokens
from gradus.errors import UserError

needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="it looks at processes in /proc")
SAID = "a step upon the ladder is été done, and we don't stop 在 世界 你好。 Ångström 12 of 345 naïve steps!"
WORDS = SAID.split()


@pytest.fixture(autouse=True)
def _small_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of a thousand bytes and a cache of its own, so that a small file has many of the one in the other."""
    monkeypatch.setattr(text_files, "PIECE", 1_000)
    monkeypatch.setattr(text_store, "SYNC_SECONDS", 0.0)
    monkeypatch.setenv("GRADUS_CACHE", str(tmp_path / "cache"))


def story(lines: int, seed: int = 0) -> str:
    """Lines of words, some of them blank, some indented."""
    chance = random.Random(seed)
    out = []
    for _ in range(lines):
        out.append(" " * chance.choice([0, 0, 0, 2]) + " ".join(chance.choices(WORDS, k=chance.randint(0, 14))))
    return "\n".join(out) + "\n"


def written(text: str, name: str = "text.txt") -> Path:
    Path(name).write_bytes(text.encode())
    return Path(name)


def as_asked(**changes: object) -> Asked:
    usual = dict(tokens="characters", size=None, lines=False, max_length=None, valid=0.05, test=0.05, seed=0)
    return Asked(**{**usual, **changes})  # type: ignore[arg-type]


def files_of_cache() -> dict[str, bytes]:
    """Every file of the prepared texts, by its path there."""
    root = cache_directory() / "corpora"
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


# the tokens are those of the whole text


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_characters_are_those_of_the_normalised_text_looked_up_one_by_one(workers: int) -> None:
    text = unicodedata.normalize("NFD", story(300))
    data = corpus(written(text), tokens="characters", valid=0.0, test=0.0, workers=workers)
    number = {token: i for i, token in enumerate(data.tokens.labels)}
    composed = unicodedata.normalize("NFC", text)
    assert composed != text
    assert data.source.flat.tolist() == [*(number[c] for c in composed), EOS]
    assert sorted(data.tokens.labels[4:]) == sorted(set(composed))


def test_bpe_is_what_the_library_makes_of_the_whole_text() -> None:
    text = story(400)
    data = corpus(written(text), tokens="bpe", size=400, workers=2)
    from tokenizers import Tokenizer

    library = Tokenizer.from_str(data.tokens.bpe)
    assert data.source.flat.tolist() == [*library.encode(unicodedata.normalize("NFC", text)).ids, EOS]


BLANKS = " \t\n\r\x0b\x1c\x1f\x85\xa0\u2003\u2028\u3000\u200b\ufeffab'st1²!_，é\u0301世"


@given(st.text(alphabet=BLANKS, max_size=30))
@settings(max_examples=200, deadline=None)
def test_bpe_word_by_word_is_what_the_library_makes_of_any_text(text: str) -> None:
    column = _bpe()
    told = column.normalised(text)
    expected = column._bpe.encode(told, add_special_tokens=False).ids
    assert column.ragged([text])[0].tolist() == (expected or [UNK])


_kept: list[Tokens] = []


def _bpe() -> Tokens:
    if not _kept:
        _kept.append(Tokens.fit("text", [story(200)], "bpe", size=400))
    return _kept[0]


TROUBLE = "e가\u1100は\u09c7日\n \r🙂"
MARKS = "\u0301\u0327\u0315\u1161\u11a8\u0f71\u0f73\u09be\u3099"
CLUSTERS = st.tuples(st.sampled_from([*TROUBLE, "\r\n"]), st.text(alphabet=MARKS, max_size=5)).map("".join)


@given(st.lists(CLUSTERS, min_size=1, max_size=100).map("".join), st.integers(48, 100), st.booleans())
@settings(max_examples=300, deadline=None)
def test_pieces_together_are_the_normal_form_of_the_whole(text: str, size: int, lines: bool) -> None:
    path = written(text, "trouble.txt")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(text_files, "PIECE", size)
        files = find_texts(path)
        pieces = pieces_of(files, lines=lines)
        found = [texts_of(files, piece)[0] for piece in pieces]
    assert all(0 < piece.size <= 2 * size for piece in pieces)
    assert "".join(unicodedata.normalize("NFC", t) for some in found for t in some) == unicodedata.normalize(
        "NFC", text.replace("\r\n", "\n")
    )


def test_a_line_longer_than_a_piece_is_cut_at_a_blank_else_between_characters() -> None:
    path = written("short\n" + "word " * 1_000 + "\n" + "界" * 2_000 + "\n")
    files = find_texts(path)
    texts = [texts_of(files, piece)[0][0] for piece in pieces_of(files, lines=True)]
    assert len(texts) >= 10
    assert "".join(texts) == path.read_text()
    assert all(set(text.split()) <= {"short", "word"} or set(text) <= set("界\nword ") for text in texts)
    assert corpus(path, tokens="characters", rows="lines", valid=0.0, test=0.0).source.flat.tolist().count(UNK) == 0


def test_lines_are_rows_with_a_beginning_and_an_end_and_blank_ones_are_left_out() -> None:
    text = story(300).replace("\n", "\r\n")
    data = corpus(written(text), tokens="characters", rows="lines", length=40, valid=0.2, test=0.1, seed=3, workers=2)
    lines = [line.strip() for line in text.split("\r\n") if line.strip()]
    assert len(data) == len(lines)
    label = data.tokens.labels
    for row, line in enumerate(lines):
        ids = data.source[row].tolist()
        assert (ids[0], ids[-1]) == (BOS, EOS)
        assert len(ids) == min(len(line) + 2, 40)
        assert all(label[i] == c or (i == UNK and c not in label) for i, c in zip(ids[1:-1], line, strict=False))
    assert any(f"{sum(len(line) >= 38 for line in lines):,} lines of 40 tokens or more" in n for n in data.notes)


def test_a_folder_is_its_files_one_after_the_other_each_ended() -> None:
    Path("all/more").mkdir(parents=True)
    parts = {
        "2.txt": story(40, 1),
        "10.txt": story(2, 2),
        "more/a.txt": "\ufeffend",
        "notes.md": "not a text",
        "0.txt": "",
    }
    for name, text in parts.items():
        (Path("all") / name).write_text(text)
    data = corpus("all", tokens="characters", valid=0.0, test=0.0, length=50)
    decoded = data.tokens.decode(data.source.flat)
    assert decoded == parts["2.txt"] + parts["10.txt"] + "end"
    ends = np.cumsum([len(parts["2.txt"]) + 1, len(parts["10.txt"]) + 1, len("end") + 1]) - 1
    assert np.flatnonzero(data.source.flat == EOS).tolist() == ends.tolist()


def test_a_gzipped_text_gives_the_same_tokens() -> None:
    text = story(300)
    plain = corpus(written(text), tokens="characters", workers=0)
    with gzip.open("other.txt.gz", "wb") as file:
        file.write(text.encode())
    packed = corpus("other.txt.gz", tokens="characters", workers=2)
    assert np.array_equal(plain.source.flat, packed.source.flat)
    assert {name: rows.tolist() for name, rows in plain.splits.items()} == {
        n: r.tolist() for n, r in packed.splits.items()
    }
    assert not [name for name in files_of_cache() if "text-" in name]  # what was unpacked is gone


# splits and vocabulary


def test_the_end_of_a_running_text_is_held_out_and_no_row_reaches_over_the_edge() -> None:
    text = "a" * 30 + "\n"
    held = "b" * 30 + "\n"
    path = written(text * 801 + held * 100 + held.replace("b", "c") * 100)  # each edge is in the line before it
    data = corpus(path, tokens="characters", length=16, valid=0.1, test=0.1)
    assert data.tokens.labels[4:] == ("a", "\n")  # of the training text alone
    seen = {name: "".join(data.tokens.decode(data.source[row]) for row in rows) for name, rows in data.splits.items()}
    assert {name: set(text) for name, text in seen.items()} == {
        "train": set("a\n"), "valid": set("\ufffd\n"), "test": set("\ufffd\n")
    }  # fmt: skip
    assert [len(rows) for rows in data.splits.values()] == pytest.approx([1_552, 193, 193], abs=1)
    starts = {name: data.source.starts[rows] for name, rows in data.splits.items()}
    assert starts["train"][-1] + 17 <= 801 * 31 - 1 <= starts["valid"][0]
    assert starts["valid"][-1] + 17 <= 901 * 31 - 1 <= starts["test"][0]


def test_every_token_of_the_training_text_is_foretold_once() -> None:
    data = corpus(written(story(200)), tokens="characters", length=10, valid=0.0, test=0.0)
    batch = data.batch(torch.arange(len(data)))
    flat = torch.from_numpy(data.source.flat.astype(np.int64))
    assert torch.equal(batch.inputs.flatten(), flat[: len(data) * 10])
    assert torch.equal(batch.targets.flatten(), flat[1 : len(data) * 10 + 1])
    assert batch.count == batch.targets.numel()
    assert len(flat) - len(data) * 10 <= 10


def test_equal_lines_are_in_one_split_and_the_shares_are_kept() -> None:
    lines = [f"line {i}" for i in range(20_000)]
    splits = Lines(7, 0.1, 0.2).splits(lines)
    shares = np.bincount(splits) / len(lines)
    assert shares == pytest.approx([0.7, 0.1, 0.2], abs=0.01)
    assert np.array_equal(Lines(7, 0.1, 0.2).splits(lines[::-1]), splits[::-1])
    assert not np.array_equal(Lines(8, 0.1, 0.2).splits(lines), splits)


def test_lines_held_out_give_the_vocabulary_nothing() -> None:
    letters = [chr(0x4E00 + i) for i in range(300)]
    data = corpus(written("\n".join(letters)), tokens="characters", rows="lines", valid=0.2, test=0.2)
    known = {data.tokens.labels[int(data.source[row][1])] for row in data.splits["train"]}
    assert known == set(data.tokens.labels[4:])
    held = [int(data.source[row][1]) for name in ("valid", "test") for row in data.splits[name]]
    assert set(held) == {UNK}
    assert len(held) + len(known) == 300


def test_the_sample_of_a_large_text_is_bounded_and_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(prepare_text.SAMPLES, "characters", 5_000)
    text = "".join(f"{chr(0x4E00 + i)}\n" * 100 for i in range(200))  # 80 kB, another character every 400 bytes
    data = corpus(written(text), tokens="characters", valid=0.0, test=0.0)
    known = [ord(c) - 0x4E00 for c in data.tokens.labels[4:] if c != "\n"]
    assert 0 < len(known) < 200
    assert max(known) > 180
    assert min(known) < 20
    assert any("a sample" in note for note in data.notes)
    assert any("unknown to the vocabulary" in note for note in data.notes)


# found again, made anew


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def forbid() -> None:
        def refuse(*_: object, **__: object) -> None:
            raise AssertionError("it was prepared again")

        monkeypatch.setattr(prepare_text, "_build", refuse)
        monkeypatch.setattr(tokenised, "_build", refuse)

    return forbid


def test_the_second_start_finds_everything(no_work: Callable[[], None]) -> None:
    path = written(story(200))
    first = {rows: corpus(path, tokens="bpe", size=300, rows=rows) for rows in ("blocks", "lines")}  # type: ignore[arg-type]
    no_work()
    for rows, before in first.items():
        again = corpus(path, tokens="bpe", size=300, rows=rows)  # type: ignore[arg-type]
        assert np.array_equal(again.source.flat, before.source.flat)
        assert again.fingerprint == before.fingerprint
        assert again.encoder == before.encoder
    corpus(path, tokens="bpe", size=300, length=64, seed=5)  # rows of another length are the same tokens
    with pytest.raises(AssertionError):
        corpus(path, tokens="bpe", size=310)


def test_a_changed_text_is_prepared_anew_and_the_old_tokens_are_gone() -> None:
    path = written("first " * 2_000)
    before = corpus(path, tokens="characters", valid=0.0, test=0.0)
    held, size = np.array(before.source.flat), len(files_of_cache())
    status = path.stat()
    path.write_text("third " * 2_000)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # the same size and stamp: only its bytes tell
    after = corpus(path, tokens="characters", valid=0.0, test=0.0)
    assert after.tokens.decode(after.source.flat) == "third " * 2_000
    assert after.fingerprint != before.fingerprint
    assert len(files_of_cache()) == size
    assert np.array_equal(before.source.flat, held)  # who has the old ones open still has them


def test_a_damaged_cache_is_made_again() -> None:
    path = written(story(100))
    corpus(path, tokens="characters")
    whole = files_of_cache()
    tokens = next((cache_directory() / "corpora").glob("*/tokens"))
    tokens.write_bytes(tokens.read_bytes()[:-2])
    corpus(path, tokens="characters")
    assert files_of_cache() == whole


# killed, interrupted, disk full, two at once

PROGRAM = """
import resource, sys, time
from gradus.data import prepare_text, text_files, text_store
from gradus.data.prepare_text import Asked, prepared, texts_of
from gradus.errors import UserError
text_files.PIECE, text_store.SYNC_SECONDS = 1000, 0.0
prepare_text.texts_of = lambda *a: (time.sleep(0.005), texts_of(*a))[1]  # time enough to be killed in
if {limit}:
    resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    prepared("text.txt", Asked("{tokens}", {size}, {lines}, None, 0.05, 0.05, 0), None, 2)
except UserError as error:
    print(error)
    sys.exit(2)
print("done")
"""


def begun(
    *, tokens: str = "characters", size: int | None = None, lines: bool = True, limit: int = 0
) -> subprocess.Popen[str]:
    """A process of its own that prepares text.txt with two workers."""
    program = PROGRAM.format(tokens=tokens, size=size, lines=lines, limit=limit)
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", program], stdout=pipe, stderr=pipe, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def pieces_done() -> int:
    """How many pieces the journal under way tells of."""
    for journal in (cache_directory() / "corpora").glob("*.part/journal"):
        with contextlib.suppress(FileNotFoundError):
            lines = [line for line in journal.read_text().split("\n")[:-1] if line]
            return int(json.loads(lines[-1])["pieces"]) if lines else 0
    return 0


def wait_for(pieces: int, process: subprocess.Popen[str]) -> None:
    while pieces_done() < pieces:
        assert process.poll() is None, ended(process)
        time.sleep(0.002)


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    return [int(p) for p in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def alive(process: int) -> bool:
    """Whether a process is there, and not only its exit status."""
    try:
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False


@pytest.fixture
def undisturbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """What preparing text.txt by lines in characters comes to; nothing of it is left in the cache of the test."""
    written(story(2_600))
    with monkeypatch.context() as patched:
        patched.setenv("GRADUS_CACHE", str(tmp_path / "calm"))
        prepared("text.txt", as_asked(lines=True), None, 0)
        files = files_of_cache()
    assert len(files) == 7
    return files


def test_killed_at_any_instant_it_is_gone_on_with_to_the_same_bytes(undisturbed: dict[str, bytes]) -> None:
    total = len(pieces_of(find_texts("text.txt"), lines=True))
    assert total > 60
    for share in (0.1, 0.4, 0.7):
        process = begun()
        wait_for(int(share * total), process)
        process.kill()
        ended(process)
    assert not (cache_directory() / "corpora").joinpath(next(iter(undisturbed)).split("/")[0]).exists()
    status, out, err = ended(begun())
    assert (status, out, err) == (0, "done\n", "")
    assert files_of_cache() == undisturbed


def test_what_was_done_is_not_done_again(undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    total = len(pieces_of(find_texts("text.txt"), lines=True))
    process = begun()
    wait_for(total // 2, process)
    process.kill()
    ended(process)
    done, work = pieces_done(), []
    monkeypatch.setattr(prepare_text, "texts_of", lambda *a: work.append(a) or texts_of(*a))
    prepared("text.txt", as_asked(lines=True), None, 0)
    assert len(work) <= total - done + 1
    assert files_of_cache() == undisturbed


def test_a_journal_cut_off_or_ahead_of_its_files_is_not_believed(undisturbed: dict[str, bytes]) -> None:
    process = begun()
    wait_for(40, process)
    process.kill()
    ended(process)
    partial = next((cache_directory() / "corpora").glob("*.part"))
    journal = partial / "journal"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:-1]) + lines[-1][:25])
    with (partial / "tokens").open("r+b") as file:
        file.truncate(3_000)  # as after a power cut that lost what was never synced
    prepared("text.txt", as_asked(lines=True), None, 0)
    assert files_of_cache() == undisturbed


@needs_proc
def test_ctrl_c_ends_it_and_every_process_of_it_and_it_is_gone_on_with(undisturbed: dict[str, bytes]) -> None:
    process = begun()
    wait_for(20, process)
    workers = workers_of(process)
    assert len(workers) == 2
    process.send_signal(signal.SIGINT)
    status, _, err = ended(process)
    assert status in (-signal.SIGINT, 130, 1)
    assert err.strip().endswith("KeyboardInterrupt")
    assert not any(map(alive, workers))
    prepared("text.txt", as_asked(lines=True), None, 0)
    assert files_of_cache() == undisturbed


@needs_proc
def test_workers_end_with_a_killed_process_and_let_its_lock_go(undisturbed: dict[str, bytes]) -> None:
    process = begun()
    wait_for(20, process)
    workers = workers_of(process)
    process.kill()
    until = time.monotonic() + 20
    try:
        while any(map(alive, workers)):
            assert time.monotonic() < until, "a worker outlived the process that began it"
            time.sleep(0.02)
    finally:
        for worker in filter(alive, workers):
            os.kill(worker, signal.SIGKILL)
        ended(process)


def test_two_processes_at_once_make_one_of_it(undisturbed: dict[str, bytes]) -> None:
    both = [begun(), begun()]
    answers = [ended(process) for process in both]
    assert [(status, out) for status, out, _ in answers] == [(0, "done\n")] * 2
    waited = [err for _, _, err in answers if err]
    assert len(waited) <= 1
    assert all("another process is preparing it" in err for err in waited)
    assert files_of_cache() == undisturbed


def test_a_full_disk_is_one_line_and_what_is_done_is_kept(undisturbed: dict[str, bytes]) -> None:
    size = len(next(content for name, content in undisturbed.items() if name.endswith("/tokens")))
    status, out, err = ended(begun(limit=size // 2))
    assert (status, err) == (2, "")
    assert out.count("\n") == 1
    assert "can't be kept there: File too large. Make room" in out
    assert pieces_done() > 0
    assert ended(begun())[:2] == (0, "done\n")
    assert files_of_cache() == undisturbed


# bad texts


def refused(source: str | Path, **options: object) -> str:
    with pytest.raises(UserError) as error:
        corpus(source, **{"tokens": "characters", **options})  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    assert not list((cache_directory() / "corpora").glob("*/manifest.json"))
    return str(error.value)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("rows", ["lines", "blocks"])
def test_the_first_byte_that_is_no_utf8_is_told_with_its_line(workers: int, rows: str) -> None:
    lines = story(500).encode().split(b"\n")
    lines[333] += b"caf\xe9 au lait"
    lines[400] += b"\xff"
    Path("bad.txt").write_bytes(b"\n".join(lines))
    assert refused("bad.txt", workers=workers, rows=rows).startswith("bad.txt, line 334: byte 0xe9 is not UTF-8 text")


def test_a_file_that_isnt_text_or_isnt_there_is_one_line() -> None:
    written(story(100) + "a\x00b\n", "zero.txt")
    assert refused("zero.txt").startswith("zero.txt, line 101: binary data")
    Path("wide.txt").write_bytes("text".encode("utf-16"))
    assert refused("wide.txt").startswith("wide.txt: UTF-16")
    assert refused(written("", "none.txt")).startswith("none.txt: the file is empty")
    assert refused("absent.txt").startswith("absent.txt: no such file")
    Path("folder").mkdir()
    assert refused("folder").startswith("folder: no .txt files")
    Path("cut.txt.gz").write_bytes(gzip.compress(story(500).encode())[:-200])
    assert refused("cut.txt.gz").startswith("cut.txt.gz: the gzip file is cut short")
    with pytest.raises(UserError, match=r"^blank.txt: 0 tokens leave no row to train on"):
        corpus(written("\n\n \n", "blank.txt"), rows="lines")


def test_a_file_that_shrinks_grows_or_goes_while_it_is_read_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def after(reads: int, act: Callable[[], object]) -> None:
        count = iter(range(1_000_000))

        def look(*a: object) -> object:
            if next(count) == reads:
                act()
            return texts_of(*a)  # type: ignore[arg-type]

        monkeypatch.setattr(prepare_text, "texts_of", look)

    path = written(story(300))
    after(20, lambda: os.truncate(path, 3_000))
    assert "changed while it was read" in refused(path, workers=0)
    written(story(300))
    after(20, lambda: path.write_text(path.read_text() + "more\n"))
    assert "changed while it was read" in refused(path, workers=0)
    written(story(300))
    after(20, path.unlink)
    assert "can't be read: No such file" in refused(path, workers=0)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_told() -> None:
    path = written(story(10))
    path.chmod(0)
    assert refused(path).startswith("text.txt: can't be read: Permission denied")


def test_a_worker_that_dies_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    here = os.getpid()

    def die(*a: object) -> object:
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return None

    monkeypatch.setattr(prepare_text, "texts_of", die)
    assert "a process that prepares it died" in refused(written(story(300)), workers=2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tokens": "letters"}, "no tokenizer 'letters'"),
        ({"rows": "block"}, "no rows of 'block'. Did you mean 'blocks'?"),
        ({"length": 2}, "three tokens at least"),
        ({"valid": 1.5}, "shares of the text"),
        ({"valid": 0.5, "test": 0.5}, "leave no text to train on"),
        ({"size": 3}, "a vocabulary of 3"),
        ({"length": 100_000}, "leave no row to train on"),
    ],
)
def test_settings_without_sense_are_told(options: dict[str, object], words: str) -> None:
    path = written(story(50))
    with pytest.raises(UserError, match=words.replace("?", r"\?")):
        corpus(path, **{"tokens": "characters", **options})  # type: ignore[arg-type]


# training on it


@pytest.mark.parametrize("rows", ["blocks", "lines"])
def test_a_model_learns_from_it_and_a_run_is_a_whole_predictor(rows: str) -> None:
    path = written(story(600))
    data = corpus(path, tokens="characters", rows=rows, length=32, valid=0.1, test=0.1)  # type: ignore[arg-type]
    model = gd.models.CharacterModel(data.num_tokens, width=16, hidden=32)
    run = gd.train(model, data, epochs=4, lr=1e-2, quiet=True, out="run")
    test = run.test()
    assert test["bits_per_char"] < 0.8 * np.log2(data.num_tokens)
    answer = gd.Run("run").predict(["a step"], max_tokens=8)[0]
    assert answer["text"].startswith("a step")
    assert set(data.row_words(3)) == {"text"}


def test_another_text_is_read_with_the_vocabulary_of_the_run(no_work: Callable[[], None]) -> None:
    first = corpus(written("abc abc\n" * 400), tokens="characters", length=16)
    other = corpus(written("cab dab\n" * 400, "other.txt"), tokens="characters", length=16)
    read = other.encoded_by(first.encoder)
    assert isinstance(read, TextCorpus)
    assert read.encoder == first.encoder
    assert set(read.tokens.decode(read.source[0])) == set("cab \n\ufffd")
    assert set(other.tokens.decode(other.source[0])) == set("cab d\n")
    no_work()
    assert np.array_equal(first.encoded_by(first.encoder).source.flat, first.source.flat)
    assert np.array_equal(other.encoded_by(first.encoder).source.flat, read.source.flat)


def test_rows_of_lines_are_padded_and_padding_never_counts() -> None:
    data = corpus(written(story(100)), tokens="words", rows="lines")
    rows = torch.tensor([0, 5, 17])
    batch = data.batch(rows)
    lengths = data.source.lengths[rows.numpy()]
    assert batch.inputs.shape == (3, lengths.max() - 1)
    assert (batch.targets != IGNORE).sum(1).tolist() == (lengths - 1).tolist()
    assert batch.count == int((batch.targets != IGNORE).sum())
    assert data.lengths is not None


# texts in memory


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    monkeypatch.setattr(tokenised, "SMALL", 10_000)
    monkeypatch.setattr(tokenised, "CHUNK", 2_000)
    lines = [*story(1_500).splitlines(), "", "long " * 3_000]
    texts = np.empty(len(lines), dtype=object)
    texts[:] = lines
    return texts


@pytest.mark.parametrize("kind", ["characters", "words", "bpe"])
def test_many_texts_are_tokenised_as_one_by_one_whoever_does_it(
    many: np.ndarray, kind: str, no_work: Callable[[], None]
) -> None:
    column = Tokens.fit("text", many, kind, size=400, begin=True, end=True, max_length=50)
    expected = [column.ragged([text])[0].tolist() for text in many.tolist()]
    for workers in (0, 1, 2):
        found = tokenised.tokenised(column, many, f"print {workers}", workers=workers)
        assert [found[i].tolist() for i in range(len(found))] == expected
    files = {p: p.read_bytes() for p in (cache_directory() / "texts").glob("*/tokens")}
    assert len(files) == 3
    assert len(set(files.values())) == 1
    no_work()
    assert tokenised.tokenised(column, many, "print 1")[7].tolist() == expected[7]


def test_few_texts_leave_no_file() -> None:
    texts = np.array(["a text", "another"], dtype=object)
    column = Tokens.fit("text", texts, "characters")
    assert len(tokenised.tokenised(column, texts, "print")) == 2
    assert not cache_directory().exists()


def test_tokens_by_vocabularies_of_long_ago_are_removed(many: np.ndarray) -> None:
    for size in range(10, 10 + tokenised.KEPT + 3):
        tokenised.tokenised(Tokens.fit("text", many, "words", size=size), many, "print", workers=0)
    tokenised.tokenised(Tokens.fit("other", many, "words", size=10), many, "print", workers=0)
    assert len(list((cache_directory() / "texts").iterdir())) == tokenised.KEPT + 1


def test_a_cache_that_cant_be_written_is_one_line(many: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("file").write_text("")
    monkeypatch.setenv("GRADUS_CACHE", "file/cache")
    with pytest.raises(UserError, match="can't be kept there: Not a directory"):
        tokenised.tokenised(Tokens.fit("text", many, "words"), many, "print", workers=0)
    with pytest.raises(UserError, match="can't be kept there: Not a directory"):
        corpus(written(story(20)), tokens="characters")


def test_special_tokens_written_in_a_text_are_its_letters() -> None:
    text = "say <eos> and <pad>\n" * 100
    data = corpus(written(text), tokens="bpe", size=300, valid=0.0, test=0.0, length=16)
    assert data.tokens.decode(data.source.flat) == text
    assert np.flatnonzero(data.source.flat < len(SPECIAL)).tolist() == [len(data.source.flat) - 1]
