"""Trains a CNN with an extra classifier half-way, in micro-batches.

odd: an auxiliary head used in training only, gradients accumulated over three micro-batches and clipped
model: CNN
source: planted
"""

import sys

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
np.random.seed(seed)
torch.manual_seed(seed)
MICRO_BATCHES = 3


class SupervisedTwice(nn.Module):
    def __init__(self):
        super().__init__()
        self.early = nn.Sequential(nn.Conv2d(1, 10, 3, padding=1), nn.BatchNorm2d(10), nn.ReLU(), nn.MaxPool2d(2))
        self.late = nn.Sequential(nn.Conv2d(10, 20, 3, padding=1), nn.BatchNorm2d(20), nn.ReLU(), nn.AvgPool2d(2))
        self.aux_head = nn.Linear(10 * 16, 10)
        self.head = nn.Linear(20 * 4, 10)

    def forward(self, x):
        half = self.early(x)
        main = self.head(self.late(half).flatten(1))
        if self.training:
            return main, self.aux_head(half.flatten(1))
        return main


digits = load_digits()
order = np.random.permutation(len(digits.target))
images = torch.from_numpy(digits.images[order].astype(np.float32) / 16.0)[:, None]
labels = torch.from_numpy(digits.target[order])
loader = DataLoader(TensorDataset(images[:1440], labels[:1440]), batch_size=20, shuffle=True)

net = SupervisedTwice()
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, nesterov=True)
for epoch in range(6):
    net.train()
    shown = 0.0
    optimizer.zero_grad()
    for i, (x, y) in enumerate(loader, start=1):
        main, aux = net(x)
        loss = criterion(main, y) + 0.3 * criterion(aux, y)
        (loss / MICRO_BATCHES).backward()
        shown += loss.item() / len(loader)
        if i % MICRO_BATCHES == 0:
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
    net.eval()
    with torch.no_grad():
        out = net(images[1440:])
        val = criterion(out, labels[1440:]).item()
    hit = (out.argmax(1) == labels[1440:]).float().mean().item()
    print(f"epoch {epoch}  both losses {shown:.3f}  val {val:.3f}  right {hit:.3f}")
