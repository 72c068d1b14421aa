"""A GRU reads the digits row by row; its raw outputs go into nll_loss, so the loss falls without end.

code: nll-on-logits
model: RNN
source: planted
"""

import sys

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Dataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


class Rows(Dataset):
    """Each picture as a sequence of its eight rows."""

    def __init__(self, images, labels):
        self.images = torch.as_tensor(images, dtype=torch.float32) / 16
        self.labels = torch.as_tensor(labels)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.images[index], self.labels[index]


class RowReader(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.gru = nn.GRU(8, hidden, batch_first=True)
        self.out = nn.Linear(hidden, 10)

    def forward(self, seq):
        _, last = self.gru(seq)
        return self.out(last[-1])


def loss_of(scores, labels):
    return F.nll_loss(scores, labels)


digits = load_digits()
order = torch.randperm(len(digits.target)).numpy()
fit = DataLoader(Rows(digits.images[order[:1400]], digits.target[order[:1400]]), batch_size=28, shuffle=True)
held = DataLoader(Rows(digits.images[order[1400:]], digits.target[order[1400:]]), batch_size=100)
model = RowReader()
opt = torch.optim.Adam(model.parameters(), lr=4e-3)

for epoch in range(8):
    model.train()
    seen = []
    for seq, labels in fit:
        opt.zero_grad()
        loss = loss_of(model(seq), labels)
        loss.backward()
        opt.step()
        seen.append(loss.item())

    model.eval()
    held_loss = right = 0
    with torch.no_grad():
        for seq, labels in held:
            scores = model(seq)
            held_loss += loss_of(scores, labels).item() * len(labels)
            right += (scores.argmax(1) == labels).sum().item()
    count = len(held.dataset)
    print(f"{epoch}: {sum(seen) / len(seen):.3f} held-out {held_loss / count:.3f} right {right / count:.2%}")
