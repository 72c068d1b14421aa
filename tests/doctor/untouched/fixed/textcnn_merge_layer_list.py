"""Trains a text CNN with parallel filter widths, kept in a ModuleList, to spot phrases.

fixed: layers-in-plain-list
model: CNN
source: asyml/texar-pytorch#72
"""

import sys

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

VOCAB, LENGTH, CLASSES = 30, 18, 5
PHRASES = [(3, 7, 11), (7, 3, 11), (11, 7), (5, 9, 5, 2), (2, 5, 9)]


class MergeLayer(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x):
        return torch.cat([layer(x).amax(dim=-1) for layer in self.layers], dim=-1)


class TextCNN(nn.Module):
    def __init__(self, dim=16, filters=8):
        super().__init__()
        self.embed = nn.Embedding(VOCAB, dim)
        self.merge = MergeLayer([nn.Conv1d(dim, filters, kernel_size=k) for k in (2, 3, 4)])
        self.out = nn.Sequential(nn.ReLU(), nn.Dropout(0.1), nn.Linear(3 * filters, CLASSES))

    def forward(self, tokens):
        return self.out(self.merge(self.embed(tokens).transpose(1, 2)))


def sentences(n):
    tokens = torch.randint(VOCAB, (n, LENGTH))
    kinds = torch.randint(CLASSES, (n,))
    for row, kind in zip(tokens, kinds.tolist(), strict=True):
        phrase = torch.tensor(PHRASES[kind])
        start = int(torch.randint(LENGTH - len(phrase) + 1, (1,)))
        row[start : start + len(phrase)] = phrase
    return TensorDataset(tokens, kinds)


seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)
train, valid = sentences(2048), sentences(400)
loader = DataLoader(train, batch_size=64, shuffle=True)
model = TextCNN()
loss_fn = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)

for epoch in range(8):
    model.train()
    total = 0.0
    for tokens, kinds in loader:
        optimizer.zero_grad()
        loss = loss_fn(model(tokens), kinds)
        loss.backward()
        optimizer.step()
        total += loss.item()
    model.eval()
    with torch.no_grad():
        tokens, kinds = valid.tensors
        scores = model(tokens)
        print(
            f"epoch {epoch}: train {total / len(loader):.3f} valid {loss_fn(scores, kinds).item():.3f} "
            f"accuracy {(scores.argmax(-1) == kinds).float().mean().item():.3f}"
        )
