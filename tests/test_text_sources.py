"""Where texts come from: folders, JSON lines, Parquet, Python's documentation; and vocabularies made elsewhere."""

from __future__ import annotations

import gzip
import importlib
import json
import os
import random
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from test_corpus import _small_pieces, files_of_cache, story, written  # noqa: F401
from tokenizers import Tokenizer

import gradus as gd
from gradus.data import documents, prepare_text, text_store
from gradus.data.corpus import corpus
from gradus.data.text_files import find_texts, pieces_of
from gradus.data.text_sample import size_for
from gradus.data.tokens import EOS, IGNORE, SPECIAL, Tokens
from gradus.errors import UserError

built_in = importlib.import_module("gradus.data.python_docs")
WHOLE = {"valid": 0.0, "test": 0.0}


def code(lines: int, seed: int = 0) -> str:
    """Lines as of a program and its comments, with signs before ends of lines, blank lines and indents."""
    chance = random.Random(seed)
    some = [
        "def f(x):",
        "    return x;",
        "",
        "",
        "\t\tx = 12345",
        "# 注释，不是代码。",
        "  'self';",
        "}",
        "word " * 9,
        "é",
    ]
    return "\n".join(chance.choices(some, k=lines)) + "\n"


def lines_of(texts: list[object], name: str = "texts.jsonl") -> Path:
    Path(name).write_text("".join(json.dumps(text, ensure_ascii=False) + "\n" for text in texts), encoding="utf-8")
    return Path(name)


def texts_of(data: gd.data.TextCorpus) -> list[str]:
    """The documents of a corpus, each without its end."""
    ends = np.flatnonzero(data.source.flat == data.tokens.eos_id)
    starts = [0, *(ends + 1).tolist()]
    assert starts[-1] == len(data.source.flat)
    return [data.tokens.decode(data.source.flat[a:b]) for a, b in zip(starts, ends, strict=False)]


# the tokens are those of each whole document


@pytest.mark.parametrize("workers", [0, 2])
def test_chat_is_what_the_library_makes_of_the_whole_text(workers: int) -> None:
    text = code(700)
    data = corpus(written(text, "code.py"), tokens="chat", size=400, workers=workers, **WHOLE)
    assert len(pieces_of(find_texts("code.py"), lines=False, after=True)) > 5
    library = Tokenizer.from_str(data.tokens.bpe)
    assert data.source.flat.tolist() == [*library.encode(text).ids, EOS]


@pytest.mark.parametrize("tokens", ["chat", "characters"])
def test_each_document_of_json_lines_ends(tokens: str) -> None:
    texts = [code(random.Random(i).randint(1, 80), i) for i in range(40)]
    packed = [{"id": i, "text": text} for i, text in enumerate(texts)]
    path = lines_of([*packed[:20], texts[20], *packed[21:]])  # a line may be a text itself
    size = 400 if tokens == "chat" else None
    data = corpus(path, tokens=tokens, size=size, workers=2, **WHOLE)
    assert texts_of(data) == texts
    assert data.source.flat.tolist() == [i for text in texts for i in (*data.tokens.encode_text(text), EOS)]
    with gzip.open("packed.jsonl.gz", "wb") as file:
        file.write(path.read_bytes())
    again = corpus("packed.jsonl.gz", tokens=data.tokens, **WHOLE)
    assert np.array_equal(again.source.flat, data.source.flat)
    assert not [name for name in files_of_cache() if "text-" in name]  # what was unpacked is gone


def test_tables_and_conversations_are_documents_too() -> None:
    texts = [f"{i}. {story(3, i)}" for i in range(30)]
    pl.DataFrame({"id": range(30), "body": texts}).write_parquet("one.parquet")
    assert texts_of(corpus("one.parquet", tokens="characters", **WHOLE)) == texts  # the only column of texts
    pl.DataFrame({"title": ["a"] * 30, "text": texts}).write_parquet("two.parquet")
    assert texts_of(corpus("two.parquet", tokens="characters", **WHOLE)) == texts
    titles = corpus("two.parquet", tokens="characters", field="title", length=8, **WHOLE)
    assert texts_of(titles) == ["a"] * 30
    messages = [{"role": "user", "content": "一?"}, {"role": "assistant", "content": "1"}]
    pl.DataFrame({"messages": [messages] * 99}).write_parquet("chats.parquet")
    lines_of([{"messages": messages}] * 99, "chats.jsonl")
    for name in ("chats.parquet", "chats.jsonl"):
        assert texts_of(corpus(name, tokens="characters", **WHOLE)) == ["user: 一?\n\nassistant: 1"] * 99


def test_a_folder_is_all_its_texts_and_what_is_none_is_counted() -> None:
    kept = {
        "README.md": "# Title\n",
        "src/a.py": code(30),
        "src/b.rs": "fn main() {}\n",
        "src/中文.txt": "床前明月光\n" * 20,
        "src/Makefile": "all:\n\ttrue\n",
    }
    left = {
        ".git/config": b"[core]",
        ".hidden.txt": b"x",
        "node_modules/lib/x.js": b"x",
        "venv/pyvenv.cfg": b"",
        "venv/x.py": b"x",
        "picture.png": b"\x89PNG\r\n\x1a\n\x00\x00",
        "src/wide.csv": "a,b".encode("utf-16"),
        "src/old.c": "caf\xe9".encode("latin-1"),
    }
    for name, content in [*((n, t.encode()) for n, t in kept.items()), *left.items()]:
        path = Path("all") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    lines_of([{"text": "one"}, {"text": "two"}], "all/src/z.jsonl")
    data = corpus("all", tokens="characters", **WHOLE, length=20)
    assert sorted(texts_of(data)) == sorted([*kept.values(), "one", "two"])
    assert any("3 files of the folder are no UTF-8 text and were left out: picture.png, " in n for n in data.notes)
    (Path("all") / "src" / "中文.txt").write_bytes("床前明月光".encode("gb18030"))
    with pytest.raises(UserError, match=r"中文.txt, line 1: byte 0x.. is not UTF-8 text"):
        corpus("all", tokens="characters", **WHOLE)  # a text that can't be read is no picture


def test_documents_that_a_process_left_half_done_are_gone_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    path = lines_of([{"text": code(60, i)} for i in range(40)])
    whole = corpus(path, tokens="chat", size=400, workers=0)
    expected = files_of_cache()
    monkeypatch.setenv("GRADUS_CACHE", "other")
    append, calls, gathered = text_store.Store.append, [0], []

    def fail(self: text_store.Store, *a: object) -> None:
        calls[0] += 1
        if calls[0] == 7:
            raise KeyboardInterrupt
        append(self, *a)  # type: ignore[arg-type]

    gather = documents.gather
    monkeypatch.setattr(documents, "gather", lambda *a: (gathered.append(1), gather(*a)))
    with monkeypatch.context() as patch:
        patch.setattr(text_store.Store, "append", fail)
        with pytest.raises(KeyboardInterrupt):
            corpus(path, tokens="chat", size=400, workers=0)
    data = corpus(path, tokens="chat", size=400, workers=0)
    assert np.array_equal(data.source.flat, whole.source.flat)
    assert files_of_cache() == expected
    assert len(gathered) == 1


# shares


def test_the_last_tenth_is_exactly_that_and_all_of_it_is_foretold() -> None:
    text = story(400).replace("é", "e")
    path = written(text)
    data = corpus(path, tokens="characters", length=32, valid=0.1, test=0.0, exact=True)
    size = len(text.encode())
    ascii_before = text.encode()[: int(size * 0.9)].decode("utf-8", "ignore")
    train = data.splits["train"]
    valid = data.splits["valid"]
    begin = int(data.source.starts[valid[0]])
    assert abs(begin - len(ascii_before)) <= 1
    assert np.array_equal(data.source.starts[train], np.arange(len(train)) * 32)
    batch = data.batch(torch.from_numpy(valid))
    counted = batch.targets != IGNORE
    rest = torch.from_numpy(data.source.flat[begin:].astype(np.int64))
    assert torch.equal(batch.targets[counted], rest[1:])
    assert torch.equal(batch.inputs[counted], rest[:-1])
    assert batch.count == len(rest) - 1
    assert (data.batch(torch.from_numpy(train)).targets != IGNORE).all()  # training has no padding
    assert len(data.splits["test"]) == 0


@pytest.mark.parametrize("size", range(1, 40))
def test_rows_of_any_split_are_whole(size: int) -> None:
    flat = np.arange(100 + size)
    text = text_store.Prepared(None, flat, flat[:0], {}, (60, size, 40), "", {})  # type: ignore[arg-type]
    rows, splits = gd.data.corpus.__globals__["blocks"](text, 7)
    targets = {name: np.concatenate([rows[i][1:] for i in ids] or [flat[:0]]) for name, ids in splits.items()}
    assert targets["train"].tolist() == list(range(1, 57))
    assert targets["valid"].tolist() == list(range(61, 60 + size))
    assert targets["test"].tolist() == list(range(61 + size, 100 + size))


# vocabularies that are there already


def test_a_vocabulary_that_is_there_is_taken_as_it_is() -> None:
    tokens = Tokens.fit("other name", [code(200)], "chat", size=400)
    data = corpus(written(story(200)), tokens=tokens, length=32)
    assert data.tokens.bpe == tokens.bpe
    assert data.tokens.template == tokens.template
    assert not any("sample" in note for note in data.notes)
    text = Path("text.txt").read_text()
    assert data.tokens.byte_length[data.source.flat].sum() == len(text.encode())
    other = Tokens.fit("text", [story(100)], "chat", size=300)
    assert corpus("text.txt", tokens=other, length=32).fingerprint != data.fingerprint
    with pytest.raises(UserError, match="the vocabulary is there already, with"):
        corpus("text.txt", tokens=tokens, size=500)
    rows = corpus("text.txt", tokens=tokens, rows="lines")
    assert rows.source[0][0] == tokens.bos_id
    assert rows.source[0][-1] == tokens.eos_id


@pytest.fixture
def gpt2(tmp_path: Path) -> Path:
    """A directory like GPT-2's: its ids are in another order, one token begins, ends and pads, and id 0 is a sign."""
    column = Tokens.fit("text", [story(300) + code(100)], "bpe", size=500)
    spec = json.loads(column.bpe)
    spec["added_tokens"] = []
    vocabulary = {token: i for token, i in spec["model"]["vocab"].items() if token not in SPECIAL}
    spec["model"]["vocab"] = {token: i for i, token in enumerate(vocabulary)}
    spec["added_tokens"] = [
        {"id": len(vocabulary), "content": "<|endoftext|>", "special": True, "single_word": False, "lstrip": False,
         "rstrip": False, "normalized": False}
    ]  # fmt: skip
    where = tmp_path / "gpt2"
    where.mkdir()
    (where / "tokenizer.json").write_text(json.dumps(spec))
    (where / "special_tokens_map.json").write_text('{"eos_token": {"content": "<|endoftext|>", "lstrip": false}}')
    return where


def test_an_imported_vocabulary_has_its_own_ids(gpt2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradus.data.bpe.PART", 100)
    tokens = Tokens.load_hf(gpt2)
    end = tokens.size - 1
    assert (tokens.tokenizer, tokens.pad_id, tokens.bos_id, tokens.eos_id) == ("imported", end, None, end)
    assert (tokens.stop_ids, tokens.begin_ids, tokens.has_chat) == ((end,), (), False)
    text = story(300)
    assert tokens.encode_text(text) == tokens._bpe.encode(text).ids  # in parts, and of the whole
    data = corpus(written(text), tokens=tokens, length=32, **WHOLE)
    assert texts_of(data) == [text]
    assert data.source.flat.max() == end
    assert tokens.byte_length[data.source.flat].sum() == len(text.encode())
    assert tokens.characters[data.source.flat].sum() == len(text) + 1
    assert tokens.encode_text("<|endoftext|>") == tokens._bpe.encode("<|endoftext|>").ids
    assert end not in tokens.encode_text("a<|endoftext|>")
    assert tokens.decode([0, end, 99_999]) == tokens.decode([0])
    assert tokens.ragged([""])[0].tolist() == [end]
    again = gd.data.Encoder.from_json(json.loads(json.dumps(data.encoder.to_json()))).columns[0]
    assert again == data.tokens


def test_what_ends_a_text_is_found_where_it_is_told(gpt2: Path) -> None:
    (gpt2 / "special_tokens_map.json").unlink()
    with pytest.raises(UserError, match="no token is told to end a text"):
        Tokens.load_hf(gpt2)
    (gpt2 / "config.json").write_text('{"eos_token_id": 7}')
    (gpt2 / "generation_config.json").write_text('{"eos_token_id": [9, 7]}')
    assert Tokens.load_hf(gpt2).stop_ids == (9, 7)
    (gpt2 / "tokenizer_config.json").write_text('{"eos_token": "<|endoftext|>", "pad_token": "!", "bos_token": null}')
    tokens = Tokens.load_hf(gpt2)
    assert (tokens.eos_id, tokens.stop_ids) == (tokens.size - 1, (tokens.size - 1, 9, 7))
    assert tokens.spoken([tokens.pad_id]) == ["!"]


@pytest.mark.parametrize("kind", ["chat", "bpe", "characters"])
def test_a_saved_vocabulary_is_the_same_for_the_library(kind: str, tmp_path: Path) -> None:
    text = code(50) + "Ångström e\u0301 <eos> 世界"
    tokens = Tokens.fit("text", [text], kind, size=None if kind == "characters" else 400)
    tokens.save_hf(tmp_path / "saved")
    library = Tokenizer.from_file(str(tmp_path / "saved" / "tokenizer.json"))
    for told in (text.replace("<eos>", ""), " a\n\n b", "\n", "未知"):
        ids = library.encode(told, add_special_tokens=False).ids
        assert ids == tokens.encode_text(told)
        assert library.decode(ids) == tokens.decode(ids).replace("\ufffd", "")
    loaded = Tokens.load_hf(tmp_path / "saved")
    assert loaded.encode_text(text) == tokens.encode_text(text)
    assert (loaded.eos_id, loaded.bos_id, loaded.pad_id) == (3, 2, 0)
    if kind == "chat":
        assert loaded == tokens


# Python's own documentation


def test_pythons_documentation_is_there_and_is_text() -> None:
    path = gd.data.python_docs()
    found = {one["title"]: one["text"] for one in map(json.loads, path.read_text().splitlines())}
    assert {"json", "asyncio.queues", "Python: with"} <= set(found)
    assert len(found) > 300
    assert sum(map(len, found.values())) > 1_000_000
    assert found["textwrap"].startswith("Module textwrap\n\nText wrapping and filling.")
    dedent = "def dedent(text):\n    Remove any common leading whitespace from every line in `text`."
    assert dedent in found["textwrap"]
    assert not [title for title in found if title.startswith(("test", "idlelib"))]


def test_it_is_gathered_once_and_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Path("lib").resolve()
    for name in ("b/__init__.py", "a.py", "test/c.py", "site-packages/d.py", "e.py"):
        (library / name).parent.mkdir(parents=True, exist_ok=True)
        words = f'"""{name} {"long " * 20}"""\n\nclass C:\n    """The same."""\n    x = print("run")\n'
        (library / name).write_text(words)
    (library / "old.py").write_text('print "two"\n')
    monkeypatch.setattr(built_in.sysconfig, "get_path", lambda _: str(library))
    monkeypatch.setattr(built_in, "_topics", lambda: {"with": "w " * 90, "short": "s"})
    path = gd.data.python_docs()
    found = [json.loads(line) for line in path.read_text().splitlines()]
    assert sorted(one["title"] for one in found) == ["Python: with", "a", "b", "e"]
    assert sum("class C:\n    The same." in one["text"] for one in found) == 1  # nothing is told twice
    assert built_in.is_built_in(path)
    content = path.read_bytes()
    path.unlink()
    assert gd.data.python_docs().read_bytes() == content
    monkeypatch.setattr(built_in, "_modules", None)
    assert gd.data.python_docs() == path  # and nothing was read
    monkeypatch.setattr(built_in, "_modules", lambda _: ())
    monkeypatch.setattr(built_in, "_topics", dict)
    path.unlink()
    with pytest.raises(UserError, match="this Python came without its documentation"):
        gd.data.python_docs()
    assert not path.exists()


def test_its_vocabulary_knows_the_words_of_lessons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(built_in, "LESSONS", 300)
    lines_of([{"text": story(20, i)} for i in range(30)], "same.jsonl")
    path = built_in._place()
    path.parent.mkdir(parents=True)
    path.write_bytes(Path("same.jsonl").read_bytes())
    known, other = (corpus(source, tokens="chat", size=800, length=64).tokens for source in (path, "same.jsonl"))
    assert len(known.encode_text("文中没有说。")) < len(other.encode_text("文中没有说。"))


@pytest.mark.parametrize(
    ("size", "tokens"), [(0, 512), (10_000, 512), (1_000_000, 4096), (10**8, 32768), (10**12, 32768)]
)
def test_the_size_of_a_vocabulary_grows_with_the_root_of_the_text(size: int, tokens: int) -> None:
    assert size_for(size) == tokens


# bad inputs


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b'{"text": "a"}\n{"text": \n', r"bad.jsonl, line 2: not JSON \(Expecting value, character 9\)"),
        (b'{"text": "a"}\n\n{"words": "b"}\n', r"bad.jsonl, line 3: no field 'text'"),
        (b'{"text": "a"}\n{"text": null}\n', r"bad.jsonl, line 2: 'text' holds no text but nothing"),
        (b'{"text": 3}\n', r"bad.jsonl, line 1: 'text' holds no text but int"),
        (b'{"body": "a"}\n', r"bad.jsonl, line 1: none of its fields .*; there are body. Name it with --field"),
        (b"[1, 2]\n", r"bad.jsonl, line 1: neither a text nor an object"),
        (b'{"text": "\xff"}\n', r"bad.jsonl, line 1: not UTF-8 text"),
        (b'{"text": ""}\n', r"bad.jsonl: no text in it"),
        (b'{"messages": [{"role": "user"}]}\n', r"bad.jsonl, line 1: 'messages' holds no text but list"),
    ],
)
def test_lines_without_a_text_are_told_by_number(content: bytes, line: str) -> None:
    Path("bad.jsonl").write_bytes(content)
    with pytest.raises(UserError, match=line) as error:
        corpus("bad.jsonl", tokens="characters")
    assert "\n" not in str(error.value)


def test_tables_without_a_text_are_told() -> None:
    def told(**columns: list[object]) -> str:
        pl.DataFrame(columns).write_parquet("bad.parquet")
        with pytest.raises(UserError) as error:
            corpus("bad.parquet", tokens="characters", field=field)
        assert "\n" not in str(error.value)
        return str(error.value)

    field = None
    assert "none of its fields is called text" in told(id=[1, 2])
    assert "there are a, b. Name it with --field" in told(a=["x"], b=["y"])
    assert told(text=["x", None, "z"]) == "bad.parquet, row 2: 'text' holds no text but nothing."
    field = "txt"
    assert "no column 'txt'. Did you mean 'text'? It has: text." in told(text=["x"])
    Path("bad.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(UserError, match=r"^bad.parquet: no Parquet table that can be read"):
        corpus("bad.parquet", tokens="characters")


def test_folders_and_files_that_hold_no_text_are_told() -> None:
    Path("pictures").mkdir()
    (Path("pictures") / "a.png").write_bytes(b"\x89PNG\x00")
    with pytest.raises(UserError, match=r"pictures: no text files in this folder .* \(1 files in it are none\)"):
        corpus("pictures", tokens="chat")
    for content in (b"\x89PNG\r\n\x1a\n\x00\x00", b"\xff\xd8\xff\xe0"):
        Path("a.bin").write_bytes(content)
        with pytest.raises(UserError, match=r"a.bin, line .: (binary data|byte 0x.. is not UTF-8)"):
            corpus("a.bin", tokens="chat")
    with gzip.open("cut.jsonl.gz", "wb") as file:
        file.write(os.urandom(5_000))
    Path("cut.jsonl.gz").write_bytes(Path("cut.jsonl.gz").read_bytes()[:3_000])
    with pytest.raises(UserError, match=r"cut.jsonl.gz(: the gzip file is cut short|, line 1: not)"):
        corpus("cut.jsonl.gz", tokens="chat")
    assert not list((prepare_text.cache_directory() / "corpora").glob("*/manifest.json"))


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("tokenizer.json", "{broken", "no tokenizer that can be read"),
        ("tokenizer.json", "{}", "no tokenizer that can be read"),
        ("tokenizer_config.json", "{broken", "damaged"),
        ("tokenizer_config.json", "[]", "not an object"),
        ("generation_config.json", "3", "not an object"),
        ("tokenizer_config.json", '{"chat_template": 7}', "the chat template is no text"),
    ],
)
def test_a_damaged_vocabulary_is_one_line(gpt2: Path, name: str, content: str, line: str) -> None:
    (gpt2 / name).write_text(content)
    with pytest.raises(UserError, match=line) as error:
        Tokens.load_hf(gpt2)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"no tokenizer\.json there"):
        Tokens.load_hf("nowhere")


def test_a_vocabulary_that_cant_be_written_is_told() -> None:
    Path("file").write_text("")
    tokens = Tokens.fit("text", ["a b"], "words")
    with pytest.raises(UserError, match="a vocabulary of words can't be written"):
        tokens.save_hf("new")
    assert not Path("new").exists()
    with pytest.raises(UserError, match="can't be written there"):
        Tokens.fit("text", ["a b"], "characters").save_hf("file/new")
