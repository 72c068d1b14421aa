"""A one-layer Transformer tells which of two marks comes first in a sequence; with Adam at 1e-7 it hardly moves.

code: lr-too-low
model: Transformer
source: planted
"""

import sys

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)
VOCAB, LENGTH = 12, 12


class WhichFirst(Dataset):
    """Sequences of words 2..11 with one 0 and one 1 in them; the label says whether the 0 stands before the 1."""

    def __init__(self, n):
        self.words = torch.randint(2, VOCAB, (n, LENGTH))
        places = torch.rand(n, LENGTH).argsort(dim=1)[:, :2]
        self.words.scatter_(1, places, torch.tensor([0, 1]).repeat(n, 1))
        self.labels = (places[:, 0] < places[:, 1]).long()

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        return self.words[i], self.labels[i]


class Model(nn.Module):
    def __init__(self, dim=32):
        super().__init__()
        self.words = nn.Embedding(VOCAB, dim)
        self.places = nn.Embedding(LENGTH, dim)
        self.layer = nn.TransformerEncoderLayer(dim, nhead=4, dim_feedforward=64, dropout=0.0, batch_first=True)
        self.head = nn.Linear(dim, 2)

    def forward(self, words):
        h = self.words(words) + self.places(torch.arange(words.size(1)))
        return self.head(self.layer(h).mean(dim=1))


train_set, val_set = WhichFirst(1600), WhichFirst(400)
train_loader = DataLoader(train_set, batch_size=64, shuffle=True)
val_loader = DataLoader(val_set, batch_size=400)
model = Model()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-7)
criterion = nn.CrossEntropyLoss()

for epoch in range(8):
    model.train()
    train_loss = 0.0
    for words, labels in train_loader:
        optimizer.zero_grad()
        loss = criterion(model(words), labels)
        loss.backward()
        optimizer.step()
        train_loss += loss.item()
    model.eval()
    with torch.no_grad():
        for words, labels in val_loader:
            logits = model(words)
            val_loss = criterion(logits, labels).item()
            accuracy = (logits.argmax(1) == labels).float().mean().item()
    print(f"epoch {epoch}: train {train_loss / len(train_loader):.4f}, val {val_loss:.4f}, accuracy {accuracy:.3f}")
