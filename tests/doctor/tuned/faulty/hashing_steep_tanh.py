"""A network learns 24-bit codes of digits through a tanh that is made so steep that the bits hardly pass a gradient.

code: saturated-units
model: MLP
source: planted
"""

import sys

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)

BETA = 25.0


class HashNet(nn.Module):
    def __init__(self, bits=24):
        super().__init__()
        self.fc1 = nn.Linear(64, 64)
        self.fc2 = nn.Linear(64, bits)
        self.classifier = nn.Linear(bits, 10)

    def encode(self, x):
        h = torch.tanh(BETA * self.fc1(x))
        return torch.tanh(BETA * self.fc2(h))

    def forward(self, x):
        return self.classifier(self.encode(x))


def load(seed):
    x, y = load_digits(return_X_y=True)
    x = (x - 8) / 8
    parts = train_test_split(x, y, test_size=0.2, random_state=seed, stratify=y)
    xtr, xte, ytr, yte = (torch.from_numpy(p) for p in parts)
    return TensorDataset(xtr.float(), ytr), TensorDataset(xte.float(), yte)


def main():
    train_set, test_set = load(seed)
    loader = DataLoader(train_set, batch_size=32, shuffle=True)
    model = HashNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    loss_fn = nn.CrossEntropyLoss()
    for epoch in range(12):
        model.train()
        total = 0.0
        for x, y in loader:
            optimizer.zero_grad(set_to_none=True)
            loss = loss_fn(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item()
        model.eval()
        with torch.no_grad():
            x, y = test_set.tensors
            out = model(x)
            bits = model.encode(x).sign()
            agree = (model.classifier(bits).argmax(1) == y).float().mean()
        print(f"epoch {epoch}: loss {total / len(loader):.3f}, test {loss_fn(out, y):.3f}, with hard bits {agree:.3f}")


if __name__ == "__main__":
    main()
