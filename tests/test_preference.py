"""Direct preference optimisation: the pairs and their reference, and the loss against its plain formula in float64."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_base import chat_tokens

import gradus as gd
from gradus.data.chat import encode_chat
from gradus.data.chat_pairs import PairRows, read_pairs
from gradus.data.tokens import IGNORE
from gradus.errors import UserError
from gradus.tasks import Preference, reference_of

ASKED = [{"role": "user", "content": "What is 3 + 4?"}]
TALK = [*ASKED, {"role": "assistant", "content": "7"}, {"role": "user", "content": "And 2 + 2?"}]


def pairs_of(*pairs: tuple[list[dict[str, str]], str, str], length: int = 256, **options: Any) -> PairRows:
    given = [{"messages": asked, "chosen": chosen, "rejected": rejected} for asked, chosen, rejected in pairs]
    shares = {"valid": 0.0, "test": 0.0, **options}
    return PairRows("pairs", lambda: given, chat_tokens(), length=length, **shares)


def small(seed: int = 0, **options: Any) -> gd.models.GPT:
    torch.manual_seed(seed)
    return gd.models.GPT(chat_tokens().size, width=16, heads=2, layers=2, max_length=256, **options)


def said(model: gd.models.GPT, asked: list[dict[str, str]], answer: str) -> float:
    """The log-probability of an answer, token by token in float64, from the conversation alone."""
    tokens = chat_tokens()
    before = encode_chat(tokens, asked, answer=True)[0]
    whole = encode_chat(tokens, [*asked, {"role": "assistant", "content": answer}])[0]
    logits = model.eval()(torch.tensor([whole[:-1]]))[0].double().detach().numpy()
    logs = (
        logits
        - np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True))
        - logits.max(1, keepdims=True)
    )
    return float(sum(logs[i - 1, whole[i]] for i in range(len(before), len(whole))))


PAIRS = [(ASKED, "7", "8, I think"), (TALK, "4", "the answer is 5"), (ASKED, "It is 7.", "7 7 7")]


def test_the_loss_is_the_papers() -> None:
    model, frozen = small(1), small(2)
    rows = pairs_of(*PAIRS)
    rows.refer(reference_of(frozen, rows))
    batch = rows.batch(torch.arange(3))
    task = Preference(rows.num_outputs, beta=0.3)
    wanted, margins = 0.0, []
    for asked, chosen, rejected in PAIRS:
        gained = [said(model, asked, text) - said(frozen, asked, text) for text in (chosen, rejected)]
        margins.append(0.3 * (gained[0] - gained[1]))
        wanted += float(np.log1p(np.exp(-margins[-1])))
    outputs = model(*batch.all_inputs)
    assert task.loss_sum(outputs, batch.targets).item() == pytest.approx(wanted, rel=1e-4)
    assert task.loss_of(model, batch).item() == pytest.approx(wanted, rel=1e-4)
    assert task.num_targets(batch.targets) == batch.count == 3
    kept = task.keep(outputs, batch.targets)
    scores = task.scores(*kept)
    assert scores["loss"] == pytest.approx(wanted / 3, rel=1e-4)
    assert scores["margin"] == pytest.approx(np.mean(margins), rel=1e-3)
    assert scores["accuracy"] == pytest.approx(np.mean(np.array(margins) > 0))
    assert scores["reward_chosen"] - scores["reward_rejected"] == pytest.approx(scores["margin"])


def test_the_reference_is_what_a_frozen_model_says_of_whole_answers() -> None:
    model = small(dropout=0.5).train()
    rows = pairs_of(*PAIRS)
    found = reference_of(model, rows, rows=2)
    assert model.training
    for (asked, chosen, rejected), line in zip(PAIRS, found, strict=True):
        difference = said(model, asked, chosen) - said(model, asked, rejected)
        assert line[0] - line[1] == pytest.approx(difference, abs=1e-3)
    assert np.array_equal(found, reference_of(model, rows, rows=2))


def test_a_model_that_is_its_own_reference_has_a_loss_of_log_two_and_learns_to_prefer() -> None:
    model, rows = small(), pairs_of(*PAIRS)
    rows.refer(reference_of(model, rows))
    batch, task = rows.batch(torch.arange(3)), Preference(rows.num_outputs)
    assert task.loss_of(model.eval(), batch).item() / 3 == pytest.approx(np.log(2), abs=1e-5)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(30):
        optimizer.zero_grad()
        task.loss_of(model, batch).backward()
        optimizer.step()
    scores = task.scores(*task.keep(model(*batch.all_inputs), batch.targets))
    assert scores["accuracy"] == 1.0
    assert scores["loss"] < 0.5


def test_neither_text_of_a_pair_sees_the_other_and_what_both_say_alike_counts_for_nothing() -> None:
    rows = pairs_of(*PAIRS)
    batch = rows.batch(torch.arange(3))
    ids, texts = batch.all_inputs
    tokens = chat_tokens()
    for row, (asked, chosen, rejected) in enumerate(PAIRS):
        whole = [encode_chat(tokens, [*asked, {"role": "assistant", "content": a}])[0] for a in (chosen, rejected)]
        shared = next(i for i, (x, y) in enumerate(zip(*whole, strict=False)) if x != y)
        for number, sign in enumerate((1, -1)):
            inside = texts[row] == number
            assert ids[row][inside].tolist() == whole[number][:-1]
            learnt = inside & (batch.targets[row, 0] != IGNORE)
            assert batch.targets[row, 0][learnt].tolist() == whole[number][shared:]
            assert set(batch.targets[row, 1][learnt].tolist()) == {sign}
    assert rows.lengths is not None
    assert (rows.lengths == [(texts[row] >= 0).sum() for row in range(3)]).all()


def test_what_is_too_long_is_cut_on_both_sides_alike_and_counted() -> None:
    long = [{"role": "user", "content": "word " * 200}]
    rows = pairs_of((long, "yes", "no"), (ASKED, "7", "word " * 300), (ASKED, "7", "7"), PAIRS[0], length=64)
    assert len(rows) == 3
    assert list(rows.notes) == [
        "1 pair of equal answers left out",
        "2 pairs of more than 64 tokens together cut to fit [--length]",
    ]
    assert rows.source.lengths.max() <= 64
    words = rows.row_words(0)
    assert words["chosen"].endswith("word <|end|><|assistant|>yes")
    assert words["rejected"].endswith("word <|end|><|assistant|>no")
    batch = rows.batch(torch.arange(3))
    assert ((batch.targets[:, 1] == 1).any(1) & (batch.targets[:, 1] == -1).any(1)).all()
    loss = Preference(rows.num_outputs).loss_of(small(), batch)
    assert torch.isfinite(loss)


def test_pairs_are_the_same_each_time_and_those_of_one_question_on_one_side() -> None:
    first, again = (gd.data.lesson_chat_pairs(chat_tokens(), count=120, length=256, questions=7) for _ in range(2))
    assert first.fingerprint == again.fingerprint
    assert all(np.array_equal(first.splits[s], again.splits[s]) for s in first.splits)
    asked = [[{"role": "user", "content": f"question {i % 30}"}] for i in range(120)]
    same = pairs_of(*[(one, f"{i}", f"{i + 1} or so") for i, one in enumerate(asked)], valid=0.2, test=0.3)
    sides = [{same.row_words(int(row))["chosen"].split("<|end|>")[0] for row in rows} for rows in same.splits.values()]
    assert [len(side) for side in sides] == [15, 6, 9]
    assert not sides[0] & (sides[1] | sides[2])
    assert not sides[1] & sides[2]
    with pytest.raises(UserError, match=r"a reference of shape \(3, 2\) for 120 pairs"):
        first.refer(np.zeros((3, 2)))


@pytest.mark.parametrize(
    "value",
    [
        {"prompt": "What is 3 + 4?", "chosen": "7", "rejected": "8"},
        {"prompt": ASKED, "chosen": "7", "rejected": {"role": "assistant", "content": "8"}},
        {"messages": ASKED, "chosen": [{"role": "assistant", "content": "7"}], "rejected": "8"},
        {
            "chosen": [*ASKED, {"role": "assistant", "content": "7"}],
            "rejected": [*ASKED, {"role": "assistant", "content": "8"}],
        },
    ],
)
def test_all_forms_of_pairs_are_read_alike(value: dict[str, Any]) -> None:
    Path("p.jsonl").write_text(json.dumps(value))
    assert list(read_pairs("p.jsonl")) == [{"messages": ASKED, "chosen": "7", "rejected": "8"}]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"prompt": "x", "chosen": "y"}, "p.jsonl, line 1: no 'rejected'"),
        ({"chosen": "x", "rejected": "y"}, "line 1: nothing to answer"),
        ({"prompt": "x", "chosen": 3, "rejected": "y"}, "line 1, chosen, message 1: not a message"),
        ({"prompt": "x", "chosen": ASKED, "rejected": "y"}, "line 1, chosen: ends with the user's words"),
        (
            {"prompt": "x", "chosen": [*ASKED, {"role": "assistant", "content": "7"}], "rejected": "y"},
            "line 1: 'chosen' answers another conversation",
        ),
    ],
)
def test_a_bad_pair_is_told_with_its_line(value: dict[str, Any], message: str) -> None:
    Path("p.jsonl").write_text(json.dumps(value))
    with pytest.raises(UserError, match=message):
        list(read_pairs("p.jsonl"))


def test_beta_must_be_positive() -> None:
    with pytest.raises(UserError, match="beta"):
        Preference(10, beta=0.0)
