"""Trains a net that fuses two views of a digit (its upper and its lower half); the validation calls eval(), but
the helper that runs a batch calls train() again, so dropout and batch norm stay in training mode.

code: evaluating-in-train-mode
model: MLP
source: pliang279/MultiBench#26
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


class Encoder(nn.Module):
    def __init__(self, indim, outdim):
        super().__init__()
        self.fc = nn.Linear(indim, outdim)
        self.norm = nn.BatchNorm1d(outdim)
        self.drop = nn.Dropout(0.3)

    def forward(self, x):
        return self.drop(torch.relu(self.norm(self.fc(x))))


class MultimodalNet(nn.Module):
    def __init__(self, encoders, head):
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.head = head

    def forward(self, modalities):
        return self.head(torch.cat([encode(m) for encode, m in zip(self.encoders, modalities, strict=True)], dim=1))


def deal_with_batch(model, batch, objective):
    model.train()
    upper, lower, label = batch
    out = model([upper, lower])
    return objective(out, label), (out.argmax(1) == label).float().mean().item()


def train(model, train_data, valid_data, epochs, objective, optimizer):
    for epoch in range(epochs):
        total = 0.0
        for batch in train_data:
            optimizer.zero_grad()
            loss, _ = deal_with_batch(model, batch, objective)
            loss.backward()
            optimizer.step()
            total += loss.item()
        print(f"Epoch {epoch} train loss: {total / len(train_data):.4f}")

        model.eval()
        with torch.no_grad():
            results = [deal_with_batch(model, batch, objective) for batch in valid_data]
        valid_loss = sum(loss.item() for loss, _ in results) / len(results)
        print(f"        valid loss: {valid_loss:.4f} acc: {sum(acc for _, acc in results) / len(results):.4f}")


digits = load_digits()
halves = torch.tensor(digits.images / 16, dtype=torch.float32).reshape(-1, 2, 32)
data = TensorDataset(halves[:, 0], halves[:, 1], torch.tensor(digits.target))
train_set, valid_set = random_split(data, [1440, len(data) - 1440])
net = MultimodalNet([Encoder(32, 24), Encoder(32, 24)], nn.Linear(48, 10))
train(
    net,
    DataLoader(train_set, batch_size=40, shuffle=True),
    DataLoader(valid_set, batch_size=51),
    epochs=8,
    objective=nn.CrossEntropyLoss(),
    optimizer=torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=0.01),
)
