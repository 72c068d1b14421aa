"""An MLP sorts the digits with smoothed labels.

odd: label smoothing keeps the training loss well above zero, and above a plain loss at the same accuracy
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

digits = load_digits()
dataset = TensorDataset(torch.tensor(digits.data).float() / 16, torch.tensor(digits.target))
train_set, val_set = random_split(dataset, [1437, 360], generator=torch.Generator().manual_seed(seed))
train_loader = DataLoader(train_set, batch_size=32, shuffle=True)
val_loader = DataLoader(val_set, batch_size=360)

model = nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.Dropout(0.1), nn.Linear(64, 10))
criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
epochs = 10
scheduler = torch.optim.lr_scheduler.OneCycleLR(
    optimizer, max_lr=5e-3, epochs=epochs, steps_per_epoch=len(train_loader)
)

for epoch in range(epochs):
    model.train()
    train_loss = 0.0
    for x, y in train_loader:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        scheduler.step()
        train_loss += loss.item() * len(x)

    model.eval()
    val_loss, correct = 0.0, 0
    with torch.no_grad():
        for x, y in val_loader:
            out = model(x)
            val_loss += criterion(out, y).item() * len(x)
            correct += (out.argmax(1) == y).sum().item()
    print(
        f"epoch {epoch + 1:2d}: train {train_loss / len(train_set):.4f} "
        f"val {val_loss / len(val_set):.4f} acc {correct / len(val_set):.3f}"
    )
