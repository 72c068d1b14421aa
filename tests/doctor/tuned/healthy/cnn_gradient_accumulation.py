"""A CNN sorts the digits with gradients gathered over four small batches per step, each divided by four.

odd: zero_grad and step run only every fourth backward; the loss that goes backward is a quarter of the one printed
model: CNN
source: planted
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)
accumulation_steps = 4

digits = load_digits()
x = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
y = torch.tensor(digits.target)
perm = torch.randperm(len(x))
x, y = x[perm], y[perm]
train_loader = DataLoader(TensorDataset(x[:1440], y[:1440]), batch_size=12, shuffle=True)
x_val, y_val = x[1440:], y[1440:]

model = nn.Sequential(
    nn.Conv2d(1, 8, 3, padding=1),
    nn.GELU(),
    nn.Conv2d(8, 16, 3, stride=2, padding=1),
    nn.GELU(),
    nn.Flatten(),
    nn.Linear(16 * 4 * 4, 10),
)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True)

for epoch in range(6):
    model.train()
    optimizer.zero_grad()
    running = 0.0
    for step, (images, labels) in enumerate(train_loader):
        loss = criterion(model(images), labels)
        running += loss.item()
        (loss / accumulation_steps).backward()
        if (step + 1) % accumulation_steps == 0:
            optimizer.step()
            optimizer.zero_grad()

    model.eval()
    with torch.no_grad():
        out = model(x_val)
        val_loss = criterion(out, y_val).item()
        accuracy = (out.argmax(1) == y_val).float().mean().item()
    print(f"epoch {epoch + 1}  train {running / len(train_loader):.4f}  val {val_loss:.4f}  accuracy {accuracy:.3f}")
