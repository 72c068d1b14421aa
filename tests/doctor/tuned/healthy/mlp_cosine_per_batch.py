"""An MLP on digits with a cosine schedule that runs over all batches of the training.

odd: the scheduler is stepped with each batch, as its T_max counts batches
model: MLP
source: planted
"""

import sys

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader, TensorDataset

EPOCHS = 12


def loaders(seed):
    x, y = load_digits(return_X_y=True)
    x_train, x_val, y_train, y_val = train_test_split(x, y, test_size=0.2, random_state=seed)
    mean, std = x_train.mean(), x_train.std()
    train = TensorDataset(torch.tensor((x_train - mean) / std, dtype=torch.float32), torch.tensor(y_train))
    val = TensorDataset(torch.tensor((x_val - mean) / std, dtype=torch.float32), torch.tensor(y_val))
    return DataLoader(train, batch_size=32, shuffle=True), DataLoader(val, batch_size=360)


def main(seed):
    torch.manual_seed(seed)
    train_loader, val_loader = loaders(seed)
    model = nn.Sequential(
        nn.Linear(64, 64), nn.GELU(), nn.Dropout(0.2), nn.Linear(64, 32), nn.GELU(), nn.Linear(32, 10)
    )
    loss_fn = nn.CrossEntropyLoss(label_smoothing=0.05)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    scheduler = CosineAnnealingLR(optimizer, T_max=EPOCHS * len(train_loader))
    for epoch in range(EPOCHS):
        model.train()
        total = 0.0
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = loss_fn(model(x), y)
            loss.backward()
            optimizer.step()
            scheduler.step()
            total += loss.item()
        model.eval()
        with torch.no_grad():
            x, y = next(iter(val_loader))
            out = model(x)
            val_loss, val_acc = loss_fn(out, y).item(), (out.argmax(1) == y).float().mean().item()
        lr = scheduler.get_last_lr()[0]
        print(f"{epoch + 1:2d} lr {lr:.5f} train {total / len(train_loader):.4f} val {val_loss:.4f} acc {val_acc:.4f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
