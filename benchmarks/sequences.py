"""Names, news and translation against the programs that a person would else run, in turns in one process tree.

    python benchmarks/sequences.py [names] [news] [translate] [--rounds 3] [--epochs 6] [--steps 60]

names      the program of the course: lists of ASCII codes padded in a loop, each batch sorted by length for
           ``pack_padded_sequence``, a plain Adam; against ``gradus`` as it trains, for as many epochs: names per second
           and test accuracy, with an equal net, and with a smaller one that comes to at least that accuracy.
news       fastText's own program (``pip install fasttext``) against the recipe: seconds of whole processes, test
           accuracy. Without it that part says so.
translate  a DataLoader that pads random batches against batches of like length, with the same module, optimiser and
           precision: tokens per second, padding not counted.

The data are those of the recipes, found as they find them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence

import gradus as gd
from gradus.training import batches_of

WIDTH, LAYERS, BATCH = 100, 2, 256  # of the course's names program
SMALL = dict(embedding=64, hidden=64, layers=1, batch_size=128, lr=6e-3, schedule="one-cycle", optimizer="adamw")


class CourseNames(nn.Module):
    """The course's net: embedding of ASCII codes, two layers of a bidirectional GRU over packed rows, an affine map."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(128, WIDTH)
        self.gru = nn.GRU(WIDTH, WIDTH, LAYERS, bidirectional=True)
        self.fc = nn.Linear(WIDTH, classes)

    def forward(self, codes: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(self.embedding(codes.t()), lengths.cpu())
        _, hidden = self.gru(packed)
        logits: Tensor = self.fc(hidden[-1])
        return logits


def course_batch(names: list[str], classes: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    """A batch as the course puts it together: codes by list, padding by loop, sorted by length."""
    rows = [[min(ord(letter), 127) for letter in name] for name in names]
    lengths: Tensor = torch.LongTensor([len(row) for row in rows])
    codes = torch.zeros(len(rows), int(lengths.max())).long()
    for number, (row, length) in enumerate(zip(rows, lengths, strict=True)):
        codes[number, :length] = torch.LongTensor(row)
    lengths, order = lengths.sort(0, descending=True)
    return codes[order], lengths, torch.LongTensor(classes)[order]


def course_names(data: gd.data.TextClasses, epochs: int) -> tuple[float, float]:
    """Names per second in training, and test accuracy, of the course's program."""
    texts, classes = data.raw["text"], data.raw_targets

    class Names(torch.utils.data.Dataset[Any]):
        def __init__(self, rows: np.ndarray) -> None:
            self.rows = rows

        def __len__(self) -> int:
            return len(self.rows)

        def __getitem__(self, index: int) -> tuple[str, int]:
            return texts[self.rows[index]], int(classes[self.rows[index]])

    torch.manual_seed(0)
    net = CourseNames(data.num_outputs)
    optimizer, criterion = torch.optim.Adam(net.parameters(), lr=0.001), nn.CrossEntropyLoss()
    loader = torch.utils.data.DataLoader(Names(data.splits["train"]), batch_size=BATCH, shuffle=True)
    begun, total = time.perf_counter(), 0.0
    for _ in range(epochs):
        for names, labels in loader:
            codes, lengths, targets = course_batch(list(names), labels.tolist())
            loss = criterion(net(codes, lengths), targets)
            total += loss.item()
            net.zero_grad()
            loss.backward()
            optimizer.step()
    seconds = time.perf_counter() - begun
    right = 0
    with torch.no_grad():
        test = torch.utils.data.DataLoader(Names(data.splits["test"]), batch_size=BATCH)
        for names, labels in test:
            codes, lengths, targets = course_batch(list(names), labels.tolist())
            right += int((net(codes, lengths).argmax(1) == targets).sum())
    return epochs * len(data.splits["train"]) / seconds, right / len(data.splits["test"])


def our_names(data: gd.data.TextClasses, epochs: int, **options: Any) -> tuple[float, float]:
    """Names per second in training, and test accuracy."""
    torch.manual_seed(0)
    settings = dict(embedding=WIDTH, hidden=WIDTH, layers=LAYERS)
    settings |= {key: options.pop(key) for key in list(options) if key in settings}
    net = gd.models.RecurrentClassifier(data.num_tokens, data.num_outputs, **settings)  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as place:
        asked = {"epochs": epochs, "batch_size": BATCH, "optimizer": "adam", "lr": 0.001, "quiet": True, **options}
        run = gd.train(net, data, out=str(Path(place) / "run"), **asked)
        seconds = run.summary["seconds"]["total"]
        return run.summary["samples"] / seconds, run.metrics["test"]["accuracy"]


def names(rounds: int, epochs: int) -> None:
    data = gd.data.names(valid=0.0)
    nets: dict[str, dict[str, Any]] = {
        "equal net, batch and optimiser": {},
        "one layer of 64, batch 128, one-cycle": dict(SMALL),
    }
    ratios: dict[str, list[float]] = {name: [] for name in nets}
    for number in range(rounds):
        theirs, theirs_right = course_names(data, epochs)
        print(f"names, round {number + 1}: the course's {theirs:,.0f}/s, accuracy {theirs_right:.4f}", flush=True)
        for name, options in nets.items():
            ours, ours_right = our_names(data, epochs, **options)
            ratios[name].append(ours / theirs)
            print(f"       ours, {name}: {ours:,.0f}/s, accuracy {ours_right:.4f}: {ours / theirs:.2f} ×", flush=True)
    for name, found in ratios.items():
        print(f"names, {epochs} epochs, {name}: median {statistics.median(found):.2f} × names per second")


FASTTEXT = """
import json, sys, time
begun = time.perf_counter()
import fasttext
epochs = int(sys.argv[3])
options = {"lr": 0.5, "epoch": epochs, "wordNgrams": 2, "dim": 64, "thread": 2, "verbose": 0}
model = fasttext.train_supervised(sys.argv[1], **options)
seconds = time.perf_counter() - begun
count, accuracy, _ = model.test(sys.argv[2])
print(json.dumps([seconds, accuracy]))
"""
OURS = """
import json, sys, tempfile, time
begun = time.perf_counter()
from gradus import recipes
with tempfile.TemporaryDirectory() as place:
    run = recipes.call("news", {"epochs": int(sys.argv[1]), "out": place + "/run", "quiet": True})
    print(json.dumps([run.summary["seconds"]["total"], run.metrics["test"]["accuracy"]]))
"""


def news(rounds: int) -> None:
    data = gd.data.ag_news(valid=0.0)
    found = subprocess.run([sys.executable, "-c", "import fasttext"], capture_output=True, check=False)
    if found.returncode:
        print("news: fastText isn't installed (pip install fasttext); only ours is run")
    with tempfile.TemporaryDirectory() as place:
        files = [str(Path(place) / f"{split}.txt") for split in ("train", "test")]
        for file, split in zip(files, ("train", "test"), strict=True):
            with open(file, "w", encoding="utf-8") as out:
                for row in data.splits[split]:
                    words = " ".join(data.tokens.spoken(data.source[row]))
                    out.write(f"__label__{data.raw_targets[row]} {words}\n")
        told: dict[str, list[tuple[float, float, float]]] = {}
        for _ in range(rounds):
            if not found.returncode:
                for epochs in (5, 25):
                    told.setdefault(f"fastText, {epochs} epochs", []).append(_timed(FASTTEXT, *files, str(epochs)))
            for epochs in (2, 5):
                told.setdefault(f"ours, {epochs} epochs", []).append(_timed(OURS, str(epochs)))
    for name, results in told.items():
        whole, training, accuracy = (statistics.median(column) for column in zip(*results, strict=True))
        print(f"news, {name}: {whole:.1f} s, of them training {training:.1f} s; test accuracy {accuracy:.4f}")


def _timed(code: str, *arguments: str) -> tuple[float, float, float]:
    """Seconds of a whole process, and the seconds of training and the accuracy that it tells."""
    begun = time.perf_counter()
    told = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True).stdout
    seconds = time.perf_counter() - begun
    training, accuracy = json.loads(told.strip().splitlines()[-1])
    return seconds, training, accuracy


def translate(rounds: int, steps: int) -> None:
    data = gd.data.eng_fra(size=4000)
    train = data.splits["train"]
    assert data.lengths is not None
    lengths = data.lengths[train]
    sources, answers = (
        [torch.from_numpy(rows[i].astype(np.int64)) for i in train] for rows in (data.source, data.answers)
    )

    def padded(pairs: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        return tuple(pad_sequence(list(side), batch_first=True) for side in zip(*pairs, strict=True))  # type: ignore[return-value]

    def of_chance() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        while True:
            pairs = list(zip(sources, answers, strict=True))
            for source, answer in torch.utils.data.DataLoader(pairs, 64, shuffle=True, collate_fn=padded):  # type: ignore[arg-type]
                yield source, answer[:, :-1], answer[:, 1:]

    def of_like_length() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        batches = batches_of(data, gd.data.Order(train, 64, seed=0, lengths=lengths))
        for k in range(10**9):
            batch = batches(k)
            yield batch.all_inputs[0], batch.all_inputs[1], batch.targets.clamp(min=0)

    for name, build in (
        ("LSTM with attention", lambda: gd.models.LSTMTranslator(data.num_tokens, data.num_outputs)),
        ("Transformer", lambda: gd.models.TransformerTranslator(data.num_tokens, data.num_outputs, layers=3)),
    ):
        sides = {"ours": of_like_length(), "padded": of_chance()}
        nets: dict[str, tuple[nn.Module, Any]] = {}
        for side in sides:
            torch.manual_seed(0)
            net: nn.Module = build()
            nets[side] = net, torch.optim.AdamW(net.parameters(), lr=1e-3, fused=True)
        rates: dict[str, list[float]] = {side: [] for side in sides}
        for number in range(rounds + 1):
            for side, batches in sides.items():
                net, optimizer = nets[side]
                begun, tokens = time.perf_counter(), 0
                for _ in range(steps if number else 5):
                    source, previous, targets = next(batches)
                    logits = net(source, previous)
                    F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=0).backward()
                    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
                    optimizer.step()
                    optimizer.zero_grad()
                    tokens += int((targets != 0).sum()) + int((source != 0).sum())
                if number:  # the first round warms up
                    rates[side].append(tokens / (time.perf_counter() - begun))
        ratios = [a / b for a, b in zip(rates["ours"], rates["padded"], strict=True)]
        told = ", ".join(f"{side} {statistics.median(values):,.0f}" for side, values in rates.items())
        print(f"translate, {name}: tokens/s {told}: median {statistics.median(ratios):.2f} ×", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["names", "news", "translate"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6, help="of the course's names program")
    parser.add_argument("--steps", type=int, default=60, help="of a round of translate")
    asked = parser.parse_args()
    if "names" in asked.parts:
        names(asked.rounds, asked.epochs)
    if "news" in asked.parts:
        news(asked.rounds)
    if "translate" in asked.parts:
        translate(asked.rounds, asked.steps)


if __name__ == "__main__":
    main()
