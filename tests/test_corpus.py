"""Big texts prepared piece by piece: the tokens of the whole text, whoever makes them and however often killed."""

from __future__ import annotations

import gzip
import os
import random
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import gradus as gd
from gradus.data import Draw, prepare_text, text_files, text_store, tokenised
from gradus.data.cache import cache_directory
from gradus.data.corpus import corpus
from gradus.data.prepare_text import Asked, Lines
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
        ".notes.md": "hidden",
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
    ends = {name: starts[name][-1] + len(data.source[rows[-1]]) for name, rows in data.splits.items()}
    assert starts["valid"][0] + 100 * 31 == ends["valid"] == starts["test"][0] == 901 * 31 - 1
    assert ends["test"] == len(data.source.flat)  # nothing of them is left out


def test_every_token_of_the_training_text_is_foretold_once() -> None:
    data = corpus(written(story(200)), tokens="characters", length=10, valid=0.0, test=0.0)
    batch = data.batch(torch.arange(len(data)))
    flat = torch.from_numpy(data.source.flat.astype(np.int64))
    assert torch.equal(batch.inputs.flatten(), flat[: len(data) * 10])
    assert torch.equal(batch.targets.flatten(), flat[1 : len(data) * 10 + 1])
    assert batch.count == batch.targets.numel()
    assert len(flat) - len(data) * 10 <= 10


def test_later_epochs_cut_the_training_text_elsewhere_and_never_reach_beyond_it() -> None:
    data = corpus(written(story(200)), tokens="characters", length=10, valid=0.2, test=0.1)
    rows = torch.from_numpy(data.splits["train"])
    end = len(rows) * 10 + 1  # of what rows of training are cut from
    flat = torch.from_numpy(data.source.flat.astype(np.int64))
    shifts = set()
    for epoch in range(12):
        batch = data.batch(rows, Draw(3, epoch))
        begins = torch.from_numpy(data.shifted(rows.numpy(), Draw(3, epoch))) if epoch else 10 * rows
        shift = int(begins[0])
        shifts.add(shift)
        assert 0 <= shift < 10
        assert int(begins[-1]) + 11 <= end
        assert torch.equal(batch.targets[:-1].flatten(), flat[shift + 1 : shift + 1 + 10 * (len(rows) - 1)])
        assert torch.equal(batch.inputs[:, 1:], batch.targets[:, :-1])
        assert torch.equal(batch.targets[-1], flat[end - 10 : end])
        assert batch.count == 10 * len(rows)
        assert data.row_words(5, Draw(3, epoch))["text"][1:] == data.tokens.decode(batch.targets[5])  # as it was read
        some = data.batch(rows[[5, 2]], Draw(3, epoch))  # a row is the same in whatever batch
        assert torch.equal(some.inputs, batch.inputs[[5, 2]])
    assert len(shifts) > 4
    plain = data.batch(rows)
    assert torch.equal(plain.targets, data.batch(rows, Draw(3, 0)).targets)  # as evaluation and the first epoch see it
    held = torch.from_numpy(data.splits["valid"])
    assert torch.equal(data.batch(held).inputs.flatten()[:10], flat[int(data.source.starts[held[0]]) :][:10])


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
