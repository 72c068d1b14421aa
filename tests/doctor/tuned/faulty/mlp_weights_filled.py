"""An MLP classifies digits, but every weight begins at the same number, so that all hidden units stay copies of one.

code: constant-init
model: MLP
source: planted
"""

import sys

import torch
import torch.nn as nn
import torch.optim as optim
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


class Perceptron(nn.Module):
    def __init__(self, hidden=64):
        super().__init__()
        self.layer1 = nn.Linear(64, hidden)
        self.layer2 = nn.Linear(hidden, 10)
        self.tanh = nn.Tanh()

    def forward(self, x):
        return self.layer2(self.tanh(self.layer1(x)))


def init_weights(m):
    if isinstance(m, nn.Linear):
        nn.init.constant_(m.weight, 0.05)
        nn.init.zeros_(m.bias)


digits = load_digits()
data = torch.FloatTensor(digits.data) / 16.0
target = torch.LongTensor(digits.target)
perm = torch.randperm(len(data))
train_idx, test_idx = perm[:1497], perm[1497:]
trainloader = DataLoader(TensorDataset(data[train_idx], target[train_idx]), batch_size=32, shuffle=True)
testloader = DataLoader(TensorDataset(data[test_idx], target[test_idx]), batch_size=100)

model = Perceptron()
model.apply(init_weights)
criterion = nn.CrossEntropyLoss()
optimizer = optim.Adam(model.parameters(), lr=0.002)

n_epochs = 10
for epoch in range(n_epochs):
    train_loss = 0.0
    model.train()
    for inputs, labels in trainloader:
        optimizer.zero_grad()
        outputs = model(inputs)
        loss = criterion(outputs, labels)
        loss.backward()
        optimizer.step()
        train_loss += loss.item() * inputs.size(0)

    test_loss, correct = 0.0, 0
    model.eval()
    with torch.no_grad():
        for inputs, labels in testloader:
            outputs = model(inputs)
            test_loss += criterion(outputs, labels).item() * inputs.size(0)
            correct += (torch.max(outputs, 1)[1] == labels).sum().item()
    print(f"Epoch [{epoch + 1}/{n_epochs}] Train Loss: {train_loss / len(train_idx):.4f}", end=" ")
    print(f"Test Loss: {test_loss / len(test_idx):.4f} Accuracy: {correct / len(test_idx):.4f}")
