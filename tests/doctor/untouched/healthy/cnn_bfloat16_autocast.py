"""Trains a digit CNN with its forward pass in bfloat16.

odd: mixed precision: autocast to bfloat16 around the forward pass, master weights in float32
model: CNN
source: planted
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split


class Trainer:
    def __init__(self, net, lr):
        self.net = net
        self.optimizer = torch.optim.AdamW(net.parameters(), lr=lr)
        self.criterion = nn.CrossEntropyLoss()

    def forward(self, x, y):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = self.net(x)
            loss = self.criterion(logits, y)
        return logits.float(), loss

    def train_epoch(self, loader):
        self.net.train()
        total = 0.0
        for x, y in loader:
            self.optimizer.zero_grad(set_to_none=True)
            _, loss = self.forward(x, y)
            loss.backward()
            nn.utils.clip_grad_norm_(self.net.parameters(), 2.0)
            self.optimizer.step()
            total += loss.item()
        return total / len(loader)

    @torch.inference_mode()
    def evaluate(self, loader):
        self.net.eval()
        losses, hits, n = 0.0, 0, 0
        for x, y in loader:
            logits, loss = self.forward(x, y)
            losses += loss.item() * len(y)
            hits += (logits.argmax(1) == y).sum().item()
            n += len(y)
        return losses / n, hits / n


seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)
bunch = load_digits()
dataset = TensorDataset(torch.tensor(bunch.images).float().unsqueeze(1) / 16, torch.tensor(bunch.target))
train, test = random_split(dataset, [1440, 357])
net = nn.Sequential(
    nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)
)
trainer = Trainer(net, lr=4e-3)
for epoch in range(4):
    train_loss = trainer.train_epoch(DataLoader(train, batch_size=40, shuffle=True))
    test_loss, test_acc = trainer.evaluate(DataLoader(test, batch_size=119))
    print(f"epoch {epoch}: {train_loss:.3f} / {test_loss:.3f} / {test_acc:.3f}")
