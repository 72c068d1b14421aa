"""Conversations from files to packed rows: what is read, what is learnt, what is told, and that none sees another."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_base import chat_tokens

import gradus as gd
from gradus.data.chat import encode_chat
from gradus.data.chat_files import read_chats
from gradus.data.chats import NOTHING, ChatRows
from gradus.data.encoded_chats import encode
from gradus.data.lessons import HOWS, lessons
from gradus.data.tokens import IGNORE
from gradus.errors import UserError
from gradus.tasks import Answers

TALK = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]


def write(name: str, *values: Any) -> Path:
    path = Path(name)
    path.write_text("".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values), encoding="utf-8")
    return path


def rows_of(talks: list[Any], length: int = 64, **options: Any) -> ChatRows:
    shares = {"valid": 0.0, "test": 0.0, **options}
    return ChatRows("talks", lambda: ((talk, "") for talk in talks), chat_tokens(), length=length, **shares)


def talk(question: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


# reading


@pytest.mark.parametrize(
    "value",
    [
        {"messages": TALK},
        {"messages": [{**TALK[0], "name": "Ann"}, TALK[1]], "id": 7},
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "H"}, {"type": "text", "text": "i"}]},
                TALK[1],
            ]
        },
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}]},
        {"conversations": [{"from": "user", "value": "Hi"}, {"from": "assistant", "value": "Hello!"}]},
        {"instruction": "Hi", "input": "", "output": "Hello!"},
        {"instruction": "Hi", "output": "Hello!"},
    ],
)
def test_all_forms_are_read_alike(value: dict[str, Any]) -> None:
    assert list(read_chats(write("a.jsonl", value, value))) == [TALK, TALK]


def test_alpaca_joins_its_input_and_knows_a_system() -> None:
    value = {"instruction": "Add.", "input": "1 + 2", "output": "3", "system": "Be short."}
    assert next(iter(read_chats(write("a.jsonl", value)))) == [
        {"role": "system", "content": "Be short."},
        *talk("Add.\n1 + 2", "3"),
    ]


def test_files_of_all_kinds() -> None:
    plain = json.dumps({"messages": TALK})
    with gzip.open("a.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write(f"\n{plain}\n\n{plain}\n")
    Path("b.json").write_text(f"[{plain}, {plain}]")
    Path("c.json").write_text(f"{plain}\n{plain}\n")
    Path("d.jsonl").write_bytes(b"\xef\xbb\xbf" + plain.encode())
    assert [len(list(read_chats(name))) for name in ("a.jsonl.gz", "b.json", "c.json", "d.jsonl")] == [2, 2, 2, 1]
    folder = Path("folder")
    folder.mkdir()
    for name in ("b.json", "d.jsonl"):
        Path(name).rename(folder / name)
    (folder / "notes.txt").write_text("no conversation")
    assert len(list(read_chats(folder))) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"messages": [{"role": "user", "content": "x"}]}\n{"messages": 3}', "a.jsonl, line 2: messages must be"),
        (b'{"messages": []}', "a.jsonl, line 1: no messages"),
        (b'{"messages": [{"role": "wizard", "content": "x"}]}', "a.jsonl, line 1, message 1: the role 'wizard'"),
        (b'{"messages": [{"role": "user", "content": 3}]}', "line 1, message 1: the content must be text, not int"),
        (b'{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}', "content must be text, not list"),
        (b'{"conversations": [{"from": "human"}]}', "a.jsonl, line 1, message 1: not a message"),
        (b'{"conversations": "x"}', "a.jsonl, line 1: conversations must be a list"),
        (b'{"text": "x"}', 'a.jsonl, line 1: no conversation: it has text, but {"messages"'),
        (b"[1]", "a.jsonl, line 1: not an object"),
        (b'\n{"messages": [}', r"a.jsonl, line 2: not JSON \(Expecting value, character 15\). Each line"),
        (b'{"messages": "\xff"}', "a.jsonl, line 1: byte 0xff is not UTF-8"),
        (b"[" * 100_000, "a.jsonl, line 1: "),
        (b"", "a.jsonl: nothing in it"),
    ],
)
def test_a_bad_line_is_told_with_its_number(content: bytes, message: str) -> None:
    Path("a.jsonl").write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        list(read_chats("a.jsonl"))
    assert "\n" not in str(error.value)


def test_files_that_are_none() -> None:
    Path("a.txt").write_text("x")
    Path("a.jsonl.gz").write_bytes(gzip.compress(b'{"messages": []}' * 100)[:-20])
    Path("empty").mkdir()
    for name, message in (
        ("a.txt", "not JSON by its name"),
        ("none.jsonl", "no such file"),
        ("a.jsonl.gz", "a.jsonl.gz: can't be read|line 1"),
        ("empty", "no file in it ends in"),
    ):
        with pytest.raises(UserError, match=message):
            list(read_chats(name))


# encoding


def test_our_own_template_is_written_as_the_engine_of_templates_writes_it() -> None:
    tokens = chat_tokens()
    odd = ["", "<|end|>", "<|en", "a<|user|>b", "\ud800x", "两个字", " <|assistant|>\n", "e\u0301"]
    talks = [list(lesson.messages) for lesson in lessons(200, 3)]
    talks += [[{"role": "system", "content": a}, *talk(b, a)] for a in odd for b in odd]
    for one in talks:
        assert encode(tokens, one) == encode_chat(tokens, one)


# rows


def unpacked(rows: ChatRows) -> list[tuple[list[int], list[int]]]:
    """The ids read and the targets of every conversation, put apart again by the numbers of the texts."""
    batch = rows.batch(torch.arange(len(rows)))
    ids, texts = batch.all_inputs
    out = []
    for row in range(len(rows)):
        for text in range(int(texts[row].max()) + 1):
            inside = texts[row] == text
            out.append((ids[row][inside].tolist(), batch.targets[row][inside].tolist()))
    return out


def apart(rows: ChatRows, row: int) -> list[list[int]]:
    """The ids that are read of each conversation of a row."""
    ids, texts = (part[0] for part in rows.batch(torch.tensor([row])).all_inputs)
    return [ids[texts == text].tolist() for text in range(int(texts.max()) + 1)]


def test_every_conversation_is_in_the_rows_once_with_its_answers_as_targets() -> None:
    talks = [list(lesson.messages) for lesson in lessons(300, 1)]
    rows = rows_of(talks, length=512)
    wanted = []
    for one in talks:
        ids, learn = encode_chat(chat_tokens(), one)
        wanted.append((ids[:-1], [i if learnt else IGNORE for i, learnt in zip(ids[1:], learn[1:], strict=True)]))
    assert sorted(unpacked(rows)) == sorted(wanted)
    batch = rows.batch(torch.arange(len(rows)))
    assert batch.count == int((batch.targets != IGNORE).sum()) == rows.counts.sum()
    assert batch.targets.shape == batch.all_inputs[0].shape == (len(rows), 512)
    empty = batch.all_inputs[1] == NOTHING
    assert (batch.all_inputs[0][empty] == chat_tokens().pad_id).all()
    assert (batch.targets[empty] == IGNORE).all()


def test_of_many_conversations_at_most_three_hundredths_are_padding() -> None:
    rows = gd.data.lesson_chats(chat_tokens(), count=5_000, length=256, questions=7)
    assert rows.padding <= 0.03
    assert any("% of the rows is padding" in note for note in rows.notes)


def test_what_is_learnt_is_what_the_assistant_says_and_its_end() -> None:
    tokens = chat_tokens()
    rows = rows_of([[{"role": "system", "content": "Be kind."}, *TALK, *talk("3 + 4", "7")]])
    batch = rows.batch(torch.tensor([0]))
    learnt = batch.targets[batch.targets != IGNORE].tolist()
    assert learnt == [*tokens.encode_text("Hello!"), tokens.stop_ids[0], *tokens.encode_text("7"), tokens.stop_ids[0]]


def test_no_conversation_sees_another() -> None:
    talks = [list(lesson.messages) for lesson in lessons(40, 2)]
    rows = rows_of(talks, length=128)
    torch.manual_seed(0)
    model = gd.models.GPT(chat_tokens().size, width=32, heads=2, layers=2, max_length=128).eval()
    ids, texts = rows.batch(torch.arange(len(rows))).all_inputs
    packed = model(ids, texts)
    assert torch.isfinite(packed).all()
    for row in range(len(rows)):
        for text in range(int(texts[row].max()) + 1):
            inside = texts[row] == text
            alone = model(ids[row][inside][None])[0]
            assert torch.allclose(packed[row][inside], alone, atol=1e-4)


def test_what_is_too_long_is_cut_and_counted_and_never_makes_a_nan() -> None:
    long = talk("x " * 10, "word " * 200)
    silent = talk("x " * 300, "never read")
    only = [{"role": "user", "content": "nobody answers"}]
    rows = rows_of([TALK, long, silent, only, TALK], length=48)
    assert rows.num_chats == 3
    assert [note for note in rows.notes if "packed" not in note] == [
        "1 conversation without an answer left out",
        "2 conversations of more than 48 tokens cut there [--length]",
        "1 conversation left out, for nothing of an answer was left",
    ]
    batch = rows.batch(torch.arange(len(rows)))
    model = gd.models.GPT(chat_tokens().size, width=16, heads=2, layers=1, max_length=48)
    loss = Answers(chat_tokens().size).loss_of(model, batch)
    loss.backward()
    assert torch.isfinite(loss)
    assert (rows.counts > 0).all()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_nothing_to_learn_from_is_told() -> None:
    with pytest.raises(UserError, match="talks: no conversation with an answer is left"):
        rows_of([[{"role": "user", "content": "Hi"}]])
    with pytest.raises(UserError, match="rows of 1 tokens"):
        rows_of([TALK], length=1)
    with pytest.raises(UserError, match=r"talks: .*too few to split"):
        rows_of([TALK] * 3, valid=0.3, test=0.3)


def test_equal_conversations_are_on_one_side_and_all_is_the_same_each_time() -> None:
    talks = [talk(f"question {i % 30}", f"answer {i % 30}") for i in range(240)]
    first, again = (rows_of(talks, valid=0.2, test=0.2, seed=5) for _ in range(2))
    asked = {
        split: {"".join(first.tokens.spoken(ids)) for row in rows for ids in apart(first, int(row))}
        for split, rows in first.splits.items()
    }
    assert all(asked.values())
    assert not asked["train"] & asked["valid"]
    assert not asked["train"] & asked["test"]
    assert sum(len(some) for some in asked.values()) == 30
    assert first.fingerprint == again.fingerprint
    assert all(np.array_equal(first.splits[s], again.splits[s]) for s in first.splits)
    everything = torch.arange(len(first))
    assert torch.equal(first.batch(everything).targets, again.batch(everything).targets)
    assert rows_of(talks[:-1], valid=0.2, test=0.2, seed=5).fingerprint != first.fingerprint


def test_another_vocabulary_reads_the_same_conversations() -> None:
    talks = [list(lesson.messages) for lesson in lessons(60, 1)]
    rows = rows_of(talks, length=600)
    other = gd.data.Tokens.fit("text", ["hello world " * 50], "chat", size=300)
    encoder = gd.data.Encoder((other,), rows.target)
    again = rows.encoded_by(encoder)
    assert again.tokens.size == other.size
    assert again.encoded_by(rows.encoder).fingerprint == rows.fingerprint
    said = {other.decode(ids) for ids, _ in unpacked(again)}
    assert said == {chat_tokens().decode(ids) for ids, _ in unpacked(rows)}
    assert rows.encoded_by(rows.encoder).source is rows.source


def test_lessons_have_their_own_test() -> None:
    rows = gd.data.lesson_chats(chat_tokens(), count=400, length=256, questions=70, valid=0.05)
    assert len(rows.questions) == 70 + 17 + 17
    assert [sum(lesson.how == how for lesson in rows.questions) for how in HOWS] == [70, 17, 17]
    told = "".join("".join(rows.row_words(int(row)).values()) for row in rows.splits["test"])
    assert all(lesson.question[-1]["content"] in told for lesson in rows.questions if not lesson.how)
    assert gd.tasks.for_target(rows).name == "lessons"
    assert gd.tasks.for_target(rows, num_tokens=640).num_outputs == 640
    assert "conversations" in rows.describe()


# the loss


def test_the_loss_is_that_of_all_logits_and_its_gradient_too() -> None:
    rows = gd.data.lesson_chats(chat_tokens(), count=60, length=128, questions=7, valid=0.0)
    batch = rows.batch(torch.arange(3))
    task = Answers(chat_tokens().size)
    torch.manual_seed(0)
    model = gd.models.GPT(chat_tokens().size, width=32, heads=2, layers=2, max_length=128)
    losses, gradients = [], []
    for few in (True, False):
        model.zero_grad()
        if few:
            loss = task.loss_of(model, batch)
        else:
            logits = model(*batch.all_inputs)
            loss = torch.nn.functional.cross_entropy(
                logits.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORE, reduction="sum"
            )
        loss.backward()
        losses.append(loss.item())
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-4) for a, b in zip(*gradients, strict=True))
    parts = sum(task.loss_of(model, part).item() for part in batch.parts(3))
    assert parts == pytest.approx(losses[0], rel=1e-5)
