"""A small CNN learns the handwritten digits with Adam, but the gradients of earlier batches are never cleared.

code: zero-grad-missing
model: CNN
source: SO 60335387
"""

import sys

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset, random_split

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1)
        self.fc = nn.Linear(16 * 4 * 4, 10)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc(torch.flatten(x, 1))


def evaluate(model, loader, criterion):
    model.eval()
    total_loss, correct = 0.0, 0
    with torch.no_grad():
        for data, target in loader:
            output = model(data)
            total_loss += criterion(output, target).item() * len(target)
            correct += (output.argmax(dim=1) == target).sum().item()
    return total_loss / len(loader.dataset), 100.0 * correct / len(loader.dataset)


digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16.0
full = TensorDataset((images - 0.3) / 0.38, torch.tensor(digits.target))
train_set, val_set = random_split(full, [1437, 360])
train_loader = DataLoader(train_set, batch_size=64, shuffle=True)
val_loader = DataLoader(val_set, batch_size=120)

model = Net()
criterion = nn.CrossEntropyLoss()
optimizer = optim.Adam(model.parameters(), lr=2e-3)

for epoch in range(8):
    model.train()
    running_loss, correct = 0.0, 0
    for data, label in train_loader:
        scores = model(data)
        loss = criterion(scores, label)
        loss.backward()
        optimizer.step()
        running_loss += loss.item() * len(label)
        correct += (scores.argmax(dim=1) == label).sum().item()
    val_loss, val_acc = evaluate(model, val_loader, criterion)
    print(
        f"epoch {epoch}: train loss {running_loss / len(train_set):.4f}, acc {100 * correct / len(train_set):.1f}% | "
        f"val loss {val_loss:.4f}, acc {val_acc:.1f}%"
    )
