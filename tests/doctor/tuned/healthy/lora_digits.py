"""A network trained on upright digits is fitted to digits turned on their side by low-rank additions to frozen layers.

odd: the base is frozen on purpose, and the second low-rank matrix begins at zero
model: MLP
source: planted
"""

import sys

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


class LoRALinear(nn.Module):
    def __init__(self, base, rank=8, alpha=16):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.lora_a = nn.Parameter(torch.randn(rank, base.in_features) / base.in_features**0.5)
        self.lora_b = nn.Parameter(torch.zeros(base.out_features, rank))
        self.scaling = alpha / rank

    def forward(self, x):
        return self.base(x) + F.linear(F.linear(x, self.lora_a), self.lora_b) * self.scaling


def evaluate(net, x, y):
    net.eval()
    with torch.no_grad():
        out = net(x)
    return F.cross_entropy(out, y).item(), (out.argmax(1) == y).float().mean().item()


def train(net, x, y, x_val, y_val, epochs, lr, label):
    loader = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True)
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=lr)
    for epoch in range(epochs):
        net.train()
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(net(xb), yb)
            loss.backward()
            optimizer.step()
        val_loss, acc = evaluate(net, x_val, y_val)
        print(f"{label} epoch {epoch}: last batch {loss.item():.3f}  val {val_loss:.3f}  acc {acc:.3f}")


digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32) / 16
labels = torch.tensor(digits.target)
fit, held = train_test_split(torch.arange(len(labels)), test_size=0.2, random_state=seed, stratify=labels)
upright, turned = images.flatten(1), images.rot90(dims=(1, 2)).flatten(1)

net = nn.Sequential(nn.Linear(64, 96), nn.GELU(), nn.Linear(96, 64), nn.GELU(), nn.Linear(64, 10))
train(net, upright[fit], labels[fit], upright[held], labels[held], epochs=8, lr=2e-3, label="base")

for i, layer in enumerate(net):
    if isinstance(layer, nn.Linear):
        net[i] = LoRALinear(layer)
print(f"base on turned digits: acc {evaluate(net, turned[held], labels[held])[1]:.3f}")
train(net, turned[fit], labels[fit], turned[held], labels[held], epochs=10, lr=3e-3, label="lora")
