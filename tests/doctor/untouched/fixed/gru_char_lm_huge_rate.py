"""Trains a GRU to continue the text of data-set descriptions, at a fitting learning rate.

fixed: lr-too-high
model: RNN
source: planted
"""

import sys

import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from torch import nn

CFG = {"hidden": 48, "span": 25, "batch": 32, "lr": 0.005, "epochs": 10}


class CharModel(nn.Module):
    def __init__(self, symbols, hidden):
        super().__init__()
        self.embed = nn.Embedding(symbols, 16)
        self.rnn = nn.GRU(16, hidden, batch_first=True)
        self.decode = nn.Linear(hidden, symbols)

    def forward(self, ids):
        out, _ = self.rnn(self.embed(ids))
        return self.decode(out)


def corpus():
    text = " ".join(d().DESCR for d in (load_wine, load_diabetes, load_breast_cancer))
    text = " ".join(text.lower().split())
    alphabet = sorted(set(text))
    index = {c: i for i, c in enumerate(alphabet)}
    ids = torch.tensor([index[c] for c in text])
    rows = ids.unfold(0, CFG["span"] + 1, CFG["span"])
    return alphabet, rows


def loss_on(model, rows):
    logits = model(rows[:, :-1])
    return nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), rows[:, 1:].reshape(-1))


def main(seed):
    torch.manual_seed(seed)
    alphabet, rows = corpus()
    rows = rows[torch.randperm(len(rows))]
    split = int(0.85 * len(rows))
    train, val = rows[:split], rows[split:]
    model = CharModel(len(alphabet), CFG["hidden"])
    optimizer = torch.optim.Adam(model.parameters(), lr=CFG["lr"])
    for epoch in range(CFG["epochs"]):
        model.train()
        total = 0.0
        for piece in train[torch.randperm(len(train))].split(CFG["batch"]):
            loss = loss_on(model, piece)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(piece)
        model.eval()
        with torch.no_grad():
            held = loss_on(model, val).item()
        print(f"epoch {epoch}: nats per character {total / len(train):.3f} (held out {held:.3f})")


main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
