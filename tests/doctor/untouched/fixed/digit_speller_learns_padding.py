"""Trains a decoder that spells out a pictured digit; the padding after each word is left out of the loss.

fixed: padding-in-loss
model: RNN
source: lukas-blecher/LaTeX-OCR#305
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
LETTERS = ["<pad>", "<bos>", "<eos>", *sorted(set("".join(WORDS)))]
PAD, BOS, EOS = 0, 1, 2
MAX_LEN = 16


def encode(word):
    ids = [BOS] + [LETTERS.index(ch) for ch in word] + [EOS]
    return ids + [PAD] * (MAX_LEN - len(ids))


class Speller(nn.Module):
    def __init__(self, dim=40):
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, dim), nn.Tanh())
        self.embedding = nn.Embedding(len(LETTERS), 12, padding_idx=PAD)
        self.decoder = nn.GRU(12, dim, batch_first=True)
        self.head = nn.Linear(dim, len(LETTERS))

    def forward(self, image, tokens):
        start = self.encoder(image).unsqueeze(0)
        states, _ = self.decoder(self.embedding(tokens), start)
        return self.head(states)


def sequence_loss(logits, tokens):
    return nn.functional.cross_entropy(logits.transpose(1, 2), tokens, ignore_index=PAD)


seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)
digits = load_digits()
spelled = torch.tensor([encode(WORDS[t]) for t in digits.target])
data = TensorDataset(torch.tensor(digits.images, dtype=torch.float32) / 16, spelled)
train_set, val_set = random_split(data, [1437, 360])
train_loader = DataLoader(train_set, batch_size=48, shuffle=True)
val_loader = DataLoader(val_set, batch_size=180)

model = Speller()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
for epoch in range(8):
    model.train()
    total = 0.0
    for image, tokens in train_loader:
        logits = model(image, tokens[:, :-1])
        loss = sequence_loss(logits, tokens[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    model.eval()
    val_total, exact = 0.0, 0
    with torch.no_grad():
        for image, tokens in val_loader:
            logits = model(image, tokens[:, :-1])
            val_total += sequence_loss(logits, tokens[:, 1:]).item()
            letters = tokens[:, 1:] != PAD
            exact += ((logits.argmax(-1) == tokens[:, 1:]) | ~letters).all(1).sum().item()
    print(f"{epoch}: loss {total / len(train_loader):.4f} val {val_total / 2:.4f} words right {exact / 360:.3f}")
