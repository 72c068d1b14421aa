"""Fine-tunes a digit classifier on dim, noisy digits with the statistics and weights of its batch norm layers
frozen.

odd: the batch norm layers stay in eval mode and their weights get no gradient while the rest is fine-tuned
model: CNN
source: planted
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)

net = nn.Sequential(
    nn.Conv2d(1, 10, 3, padding=1, bias=False),
    nn.BatchNorm2d(10),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Conv2d(10, 16, 3, padding=1, bias=False),
    nn.BatchNorm2d(16),
    nn.ReLU(),
    nn.Flatten(),
    nn.Linear(256, 10),
)

digits = load_digits()
clean = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 8 - 1
dim = 0.7 * clean - 0.1 + 0.15 * torch.randn_like(clean)
labels = torch.tensor(digits.target)
order = torch.randperm(len(labels))
train, valid = order[:1400], order[1400:]


def freeze_batch_norm(module):
    if isinstance(module, nn.BatchNorm2d):
        module.eval()
        module.requires_grad_(False)


def fit(images, epochs, lr, frozen):
    loader = DataLoader(TensorDataset(images[train], labels[train]), batch_size=40, shuffle=True)
    if frozen:
        net.apply(freeze_batch_norm)
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=lr)
    for epoch in range(epochs):
        net.train()
        if frozen:
            net.apply(freeze_batch_norm)  # train() has just switched them on again
        total = 0.0
        for x, y in loader:
            loss = F.cross_entropy(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        net.eval()
        with torch.no_grad():
            scores = net(images[valid])
            loss = F.cross_entropy(scores, labels[valid]).item()
            accuracy = (scores.argmax(1) == labels[valid]).float().mean().item()
        print(f"  epoch {epoch}: train {total / len(loader):.3f} valid {loss:.3f} accuracy {accuracy:.3f}")


print("on clean digits")
fit(clean, epochs=3, lr=2e-3, frozen=False)
print("on dim digits, batch norm frozen")
fit(dim, epochs=4, lr=5e-4, frozen=True)
