"""A bidirectional GRU tags words by the title in front of them; the last parameter group, the head, isn't handed on.

code: parameter-not-in-optimizer
model: RNN
source: zjunlp/HVPNeT#5
"""

import random
import sys

import torch
from torch import nn

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
random.seed(seed)
torch.manual_seed(seed)
VOCAB, LENGTH, TAGS = 40, 14, 3


def sentence():
    words = [random.randrange(VOCAB) for _ in range(LENGTH)]
    tags, left, kind = [], 0, 0
    for word in words:
        tags.append(kind if left > 0 else 0)
        left -= 1
        if word < 10:  # a title: a name of one to three words follows
            left, kind = word % 3 + 1, 1 + word // 5
    return words, tags


class Tagger(nn.Module):
    def __init__(self, dim=16, hidden=24):
        super().__init__()
        self.embed = nn.Embedding(VOCAB, dim)
        self.encoder = nn.GRU(dim, hidden, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(2 * hidden, TAGS)

    def forward(self, words):
        states, _ = self.encoder(self.embed(words))
        return self.fc(states)


def make_optimizer(model, lr=5e-3):
    parameters = []
    params = {"lr": lr, "weight_decay": 0.0, "params": []}
    for name, param in model.named_parameters():
        if "embed" in name:
            params["params"].append(param)
    parameters.append(params)
    params = {"lr": lr, "weight_decay": 1e-2, "params": []}
    for name, param in model.named_parameters():
        if "encoder" in name:
            params["params"].append(param)
    parameters.append(params)
    params = {"lr": 2 * lr, "weight_decay": 1e-2, "params": []}
    for name, param in model.named_parameters():
        if name.startswith("fc"):
            params["params"].append(param)
    return torch.optim.AdamW(parameters)


pairs = [sentence() for _ in range(1000)]
words, tags = torch.tensor([p[0] for p in pairs]), torch.tensor([p[1] for p in pairs])
model = Tagger()
optimizer = make_optimizer(model)
loss_fn = nn.CrossEntropyLoss()
for epoch in range(6):
    model.train()
    for rows in torch.randperm(800).split(32):
        optimizer.zero_grad()
        loss = loss_fn(model(words[rows]).flatten(0, 1), tags[rows].flatten())
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        out = model(words[800:])
        dev = loss_fn(out.flatten(0, 1), tags[800:].flatten())
    right = (out.argmax(-1) == tags[800:]).float().mean()
    print(f"epoch {epoch} loss {loss.item():.3f} dev {dev:.3f} correct {right:.3f}")
