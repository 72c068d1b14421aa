"""Texts in batches and what is learnt of them: padding never counts, measures against references, resume to the bit."""

from __future__ import annotations

import importlib
import math
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_resume import StopAt, log_of
from torch import nn
from torch.nn import functional as F

import gradus as gd
from gradus.data.ragged import Ragged
from gradus.data.tokens import BOS, EOS, IGNORE, PAD
from gradus.data.workers import read_ahead
from gradus.errors import Interrupted, UserError
from gradus.tasks.text_baselines import NGram
from gradus.tasks.tokens import corpus_scores
from gradus.training import checkpoint, read_directory
from gradus.training.evaluate import evaluate

CPU = torch.device("cpu")
WORDS = ["one", "two", "three", "four", "five", "six", "seven"]


def sentences(n: int = 120, seed: int = 0) -> list[str]:
    chance = np.random.default_rng(seed)
    return [" ".join(chance.choice(WORDS, chance.integers(1, 9))) for _ in range(n)]


def labelled(n: int = 120) -> gd.data.TextClasses:
    texts = sentences(n)
    return gd.data.texts({"text": texts, "label": ["odd" if len(t.split()) % 2 else "even" for t in texts]}, seed=1)


def mirrored(n: int = 120) -> gd.data.TextPairs:
    texts = sentences(n)
    return gd.data.pairs({"a": texts, "b": [" ".join(reversed(t.split())) for t in texts]}, tokens="words", test=0.2)


def plain_rows(data: Any, ids: torch.Tensor) -> list[str]:
    return [data.raw["text"][i] for i in ids.tolist()]


def test_classes_in_a_batch_are_the_texts_ids_filled_up() -> None:
    data = labelled()
    ids = torch.tensor([5, 0, 17, 3])
    batch = data.batch(ids)
    rows = [[4 + data.tokens.tokens.index(w) for w in text.split()] for text in plain_rows(data, ids)]
    longest = max(map(len, rows))
    assert batch.all_inputs[0].tolist() == [row + [PAD] * (longest - len(row)) for row in rows]
    assert batch.targets.tolist() == [float(len(row) % 2) for row in rows]  # "even" is class 0
    assert batch.count == 4


def test_lines_give_the_next_token_and_pairs_the_answer_one_further_on() -> None:
    lines = gd.data.lines(sentences(), tokens="characters")
    batch = lines.batch(torch.arange(6))
    inputs, targets = batch.all_inputs[0], batch.targets
    for i in range(6):
        row = lines.source[i].tolist()
        assert inputs[i, : len(row) - 1].tolist() == row[:-1]
        assert targets[i, : len(row) - 1].tolist() == row[1:]
        assert set(targets[i, len(row) - 1 :].tolist()) <= {IGNORE}
    assert batch.count == int((targets != IGNORE).sum())
    pairs = mirrored()
    batch = pairs.batch(torch.arange(9))
    source, previous = batch.all_inputs
    assert (previous[:, 0] == BOS).all()
    for i in range(9):
        said = pairs.reply.decode(batch.targets[i][batch.targets[i] != IGNORE].tolist())
        assert said == pairs.raw["target"][i] == " ".join(reversed(pairs.tokens.decode(source[i].tolist()).split()))
    assert batch.count == int((batch.targets != IGNORE).sum())


def test_tags_need_a_label_a_token() -> None:
    assert gd.data.tagged(["hello"], ["ohlol"], name="word").batch(torch.tensor([0])).targets.shape == (1, 5)
    with pytest.raises(UserError, match="text 2: 3 tokens but 2 labels"):
        gd.data.tagged(["ab", "abc"], ["xy", "xy"], name="word")


def test_the_vocabulary_is_of_the_training_rows_only() -> None:
    parts = ["train"] * 30 + ["test"] * 10
    rows = {"text": ["known word"] * 15 + ["other word"] * 15 + ["unseen word"] * 10, "label": ["a"] * 15 + ["b"] * 25}
    data = gd.data.texts({**rows, "split": parts}, target="label", text="text", valid=0.0)
    assert "unseen" not in data.tokens.tokens
    assert "known" in data.tokens.tokens


class Tokenwise(nn.Module):
    """Logits of each token from the token alone, whatever stands beside it."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(size, 8)
        self.head = nn.Linear(8, size)

    def forward(self, ids: torch.Tensor, previous: torch.Tensor | None = None) -> torch.Tensor:
        return self.head(self.embed(ids if previous is None else previous))


def test_padding_never_counts_in_loss_gradient_or_metrics() -> None:
    data = gd.data.lines(sentences(), tokens="words")
    task = gd.tasks.for_target(data)
    torch.manual_seed(0)
    model = Tokenwise(data.num_tokens).double()
    batch = data.batch(torch.arange(8))
    inputs, targets = F.pad(batch.all_inputs[0], (0, 5)), F.pad(batch.targets, (0, 5), value=IGNORE)
    found = []
    for x, y in ((batch.all_inputs[0], batch.targets), (inputs, targets)):
        model.zero_grad()
        loss = task.loss_sum(model(x), y)
        loss.backward()
        sums, counts = task.keep(model(x).detach(), y)
        found.append((loss.item(), model.head.weight.grad.clone(), sums, counts, task.num_targets(y)))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-12)
    torch.testing.assert_close(found[0][1], found[1][1])
    torch.testing.assert_close(found[0][2], found[1][2])
    assert found[0][3].tolist() == found[1][3].tolist()
    assert found[0][4] == found[1][4] == batch.count


def test_a_split_is_measured_the_same_whatever_is_read_together(monkeypatch: pytest.MonkeyPatch) -> None:
    data = mirrored(200)
    task = gd.tasks.SequenceToSequence(data.reply.size)
    torch.manual_seed(0)
    model = Tokenwise(data.reply.size).eval()
    rows = data.splits["train"]
    whole = evaluate(model, data, rows, task, device=CPU)
    monkeypatch.setattr(importlib.import_module("gradus.training.evaluate"), "ROWS", 7)
    parts = evaluate(model, data, rows, task, device=CPU)
    assert whole == pytest.approx(parts, rel=1e-6)
    nats = tokens = right = 0.0
    for row in rows.tolist():  # one by one, with no padding at all
        batch = data.batch(torch.tensor([row]))
        logits = model(*batch.all_inputs).detach()[0]
        nats += F.cross_entropy(logits, batch.targets[0], reduction="sum").item()
        right += (logits.argmax(1) == batch.targets[0]).sum().item()
        tokens += len(batch.targets[0])
    assert whole["loss"] == pytest.approx(nats / tokens, rel=1e-5)
    assert whole["accuracy"] == pytest.approx(right / tokens)
    assert whole["perplexity"] == pytest.approx(math.exp(nats / tokens), rel=1e-5)


def test_the_unigram_models_perplexity_in_closed_form() -> None:
    data = gd.data.lines(sentences(300), tokens="words", test=0.3)
    found = gd.tasks.baselines(gd.tasks.for_target(data), data)["unigram model"]
    train = Counter(token for row in data.splits["train"] for token in data.source[row][1:].tolist())
    total, size = sum(train.values()), data.num_tokens
    test = [token for row in data.splits["test"] for token in data.source[row][1:].tolist()]
    nats = -sum(math.log((train[token] + 1) / (total + size)) for token in test) / len(test)
    assert found["perplexity"] == pytest.approx(math.exp(nats))
    characters = sum(len(data.tokens.decode([t])) + (t == EOS) for t in test)
    assert found["bits_per_char"] == pytest.approx(nats * len(test) / math.log(2) / characters)


def test_bits_a_character_do_not_depend_on_what_a_token_is() -> None:
    """A model that says the same of every text, told by characters or by pairs of them."""
    texts = ["abab", "ab", "ababab"]
    letters = gd.data.lines(texts, tokens="characters", valid=0, test=0)
    task = gd.tasks.NextToken.of(letters.tokens)
    nats = 1.7
    sums, counts = [], []
    for row in range(3):
        sums.append([nats * (len(texts[row]) + 1), 0.0, len(texts[row]) + 1.0, 2 * len(texts[row]) + 2.0])
        counts.append(len(texts[row]) + 1)
    measured = task.metrics(torch.tensor(sums), torch.tensor(counts))
    assert measured["bits_per_char"] == pytest.approx(nats / math.log(2))
    assert measured["bits_per_byte"] == pytest.approx(nats / math.log(2) / 2)
    pieces = gd.data.lines(texts, tokens="bpe", size=262, valid=0, test=0)
    batch = pieces.batch(torch.arange(3))
    of_pieces = gd.tasks.NextToken.of(pieces.tokens)
    kept, _ = of_pieces.keep(torch.zeros(*batch.targets.shape, pieces.num_tokens), batch.targets)
    assert kept[:, 2].tolist() == [len(text) + 1 for text in texts]


@given(st.lists(st.lists(st.integers(4, 8), min_size=1, max_size=6), min_size=1, max_size=12), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_an_n_gram_models_probabilities_sum_to_one(texts: list[list[int]], order: int) -> None:
    ragged = Ragged.of([[BOS, *text, EOS] for text in texts])
    model = NGram(order, 10).fit(ragged, range(len(ragged)))
    for context in ([BOS], [BOS, 4], [5, 6, 7], [8, 8, 8, 8], []):
        assert sum(model.probability(context, token) for token in range(10)) == pytest.approx(1.0)


def test_a_bigram_model_by_hand() -> None:
    ragged = Ragged.of([[BOS, 4, 5, EOS], [BOS, 4, 4, EOS]])
    model = NGram(2, 7).fit(ragged, range(2))
    # bigrams: BOS→4 twice, 4→5, 5→EOS, 4→4, 4→EOS once each: discount 4 / (4 + 2·1)
    assert model.discounts[1] == pytest.approx(4 / 6)
    # below it: 4 comes after BOS and 4, 5 after 4, EOS after 5 and 4; 1 is met once, 2 twice: discount 1 / (1 + 2·2)
    lower = (max(1 - 0.2, 0) + 0.2 * 3 / 7) / 5
    assert model.probability([4], 5) == pytest.approx((1 - 4 / 6) / 3 + (4 / 6) * 3 / 3 * lower)


def test_bleu_and_chrf_are_what_sacrebleus_command_says(tmp_path: Path) -> None:
    written = ["the cat sat on a mat .", "no rain today", "it is late , isn't it ?"]
    references = ["the cat sat on the mat .", "there is no rain today", "it is late, isn't it?"]
    (tmp_path / "hyp").write_text("\n".join(written) + "\n")
    (tmp_path / "ref").write_text("\n".join(references) + "\n")
    found = corpus_scores(written, references)
    for metric in ("bleu", "chrf"):
        command = [sys.executable, "-m", "sacrebleu", "ref", "-i", "hyp", "-m", metric, "-b", "-w", "6"]
        told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
        assert found[metric] == pytest.approx(float(told), abs=1e-6)


@pytest.mark.parametrize("build", [labelled, mirrored])
def test_batches_of_texts_are_the_same_for_any_number_of_workers(build: Any) -> None:
    data = build()
    order = gd.data.Order(data.splits["train"], 8, seed=3, lengths=data.lengths[data.splits["train"]])
    requests = [(order.indices(k), None) for k in range(20)]
    for workers in (1, 3):
        for (ids, _), read in zip(requests, read_ahead(data, requests, workers), strict=True):
            here = data.batch(ids)
            assert read.indices.tolist() == ids.tolist()
            assert torch.equal(read.targets, here.targets)
            assert all(torch.equal(a, b) for a, b in zip(read.all_inputs, here.all_inputs, strict=True))
            assert read.count == here.count


def translator(data: gd.data.TextPairs) -> nn.Module:
    return gd.models.LSTMTranslator(data.num_tokens, data.num_outputs, width=16, layers=1, dropout=0.2)


class StopWithin(nn.Module):
    """A translator that sends this process a signal in its training step of a given number."""

    def __init__(self, step: int, inner: nn.Module) -> None:
        super().__init__()
        self.stop, self.inner = StopAt(step), inner
        self.begin, self.advance = inner.begin, inner.advance

    def forward(self, source: torch.Tensor, previous: torch.Tensor) -> torch.Tensor:
        return self.inner(self.stop(source), previous)


def test_a_run_on_pairs_stopped_and_resumed_ends_in_the_same_bits() -> None:
    data = mirrored(150)
    options: dict[str, Any] = dict(epochs=3, batch_size=8, lr=5e-3, schedule="cosine", accumulate=2, clip=1.0, seed=5)
    torch.manual_seed(1)
    first = translator(data)
    begin = {k: v.clone() for k, v in first.state_dict().items()}
    whole = gd.train(StopWithin(0, first), data, quiet=True, out="whole", **options)
    for stop in (1, 7, 20, 33):
        model = translator(data)
        model.load_state_dict(begin)
        with pytest.raises(Interrupted):
            gd.train(StopWithin(2 * stop, model), data, quiet=True, out=f"run{stop}", **options)
        assert checkpoint.steps(Path(f"run{stop}/checkpoints"))[-1] == stop
        torch.manual_seed(stop)
        run = gd.resume(f"run{stop}", StopWithin(0, translator(data)), data)
        assert log_of(run.path) == log_of(whole.path)
        ours, theirs = (read_directory(r.path / "predictor")[0]["model"] for r in (run, whole))
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_gradient_in_parts_is_that_of_the_whole_batch_of_unequal_lengths() -> None:
    data = mirrored(80)
    found = []
    for parts in (1, 2, 3):
        torch.manual_seed(0)
        model = gd.models.LSTMTranslator(data.num_tokens, data.num_outputs, width=8, layers=1, dropout=0.0).double()
        gd.fit(model, data, steps=4, batch_size=12, accumulate=parts, optimizer="sgd", lr=0.5, precision="fp32")
        found.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    torch.testing.assert_close(found[0], found[1], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found[0], found[2], rtol=1e-9, atol=1e-12)
