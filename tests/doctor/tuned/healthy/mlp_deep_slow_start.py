"""An eight-layer tanh network on digits by SGD: nothing seems to happen at first, then it trains well.

odd: the loss lies on a plateau for the first epochs
model: MLP
source: planted
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)

bunch = load_digits()
pixels = torch.tensor(bunch.data, dtype=torch.float32) / 8 - 1
train_set, val_set = random_split(TensorDataset(pixels, torch.tensor(bunch.target)), [1437, 360])
train_loader = DataLoader(train_set, batch_size=32, shuffle=True)
val_loader = DataLoader(val_set, batch_size=360)

layers = []
for _ in range(7):
    layers += [nn.Linear(64, 64), nn.Tanh()]
model = nn.Sequential(*layers, nn.Linear(64, 10))

optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
loss_fn = nn.CrossEntropyLoss()


def validate():
    model.eval()
    x, y = next(iter(val_loader))
    with torch.no_grad():
        out = model(x)
    return loss_fn(out, y).item(), (out.argmax(1) == y).float().mean().item()


for epoch in range(20):
    model.train()
    losses = []
    for x, y in train_loader:
        optimizer.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    val_loss, val_acc = validate()
    mean = sum(losses) / len(losses)
    print(f"epoch {epoch:2d}: first {losses[0]:.3f}, mean {mean:.3f}, val {val_loss:.3f} {val_acc:.3f}")
