"""A tiny GRU language model of letters; the output layer uses the same matrix as the embedding.

odd: embedding and output layer share one weight
model: RNN
source: planted
"""

import random
import sys

import torch
from torch import nn
from torch.nn import functional as F

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
random.seed(seed)
torch.manual_seed(seed)

NAMES = ["anna", "peter", "lucy", "otto", "maria", "jens"]
VERBS = ["buys", "sells", "counts", "paints", "finds"]
THINGS = ["apples", "boats", "chairs", "lamps", "stones", "shirts"]


def sentence():
    return f"{random.choice(NAMES)} {random.choice(VERBS)} {random.randrange(10, 1000)} {random.choice(THINGS)}. "


text = "".join(sentence() for _ in range(900))
letters = sorted(set(text))
ids = torch.tensor([letters.index(c) for c in text])
cut = int(0.9 * len(ids))
train_ids, val_ids = ids[:cut], ids[cut:]


class CharLM(nn.Module):
    def __init__(self, vocab, dim=48):
        super().__init__()
        self.embedding = nn.Embedding(vocab, dim)
        self.gru = nn.GRU(dim, dim, batch_first=True)
        self.decoder = nn.Linear(dim, vocab)
        nn.init.normal_(self.embedding.weight, std=0.2)
        self.decoder.weight = self.embedding.weight

    def forward(self, tokens):
        states, _ = self.gru(self.embedding(tokens))
        return self.decoder(states)


def windows(source, length=40):
    usable = (len(source) - 1) // length * length
    return source[:usable].view(-1, length), source[1 : usable + 1].view(-1, length)


def nll(model, inputs, targets):
    return F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())


model = CharLM(len(letters))
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.01)
val_inputs, val_targets = windows(val_ids)
for epoch in range(10):
    model.train()
    inputs, targets = windows(train_ids[random.randrange(40) :])
    losses = []
    for rows in torch.randperm(len(inputs)).split(32):
        loss = nll(model, inputs[rows], targets[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    model.eval()
    with torch.no_grad():
        val = nll(model, val_inputs, val_targets).item()
    print(f"epoch {epoch}: train {sum(losses) / len(losses):.3f} val {val:.3f} nats per letter")
