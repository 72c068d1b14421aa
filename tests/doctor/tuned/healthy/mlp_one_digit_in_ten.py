"""Trains a detector of the digit 8 among all digits, a class of one row in ten, and reports its AUROC.

odd: nine rows in ten belong to one class and nothing is done about it, yet both classes are learnt
model: MLP
source: planted
"""

import sys

import torch
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


def main():
    x, digit = load_digits(return_X_y=True)
    is_eight = (digit == 8).astype("float32")
    split = train_test_split(x.astype("float32") / 8 - 1, is_eight, test_size=0.3, stratify=is_eight, random_state=seed)
    x_train, x_valid, y_train, y_valid = map(torch.from_numpy, split)
    print(f"share of eights: {y_train.mean():.3f} in training, {y_valid.mean():.3f} in validation")

    model = nn.Sequential(nn.Linear(64, 64), nn.LeakyReLU(0.1), nn.Dropout(0.1), nn.Linear(64, 1), nn.Flatten(0))
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    loader = DataLoader(TensorDataset(x_train, y_train), batch_size=32, shuffle=True)

    for epoch in range(1, 13):
        model.train()
        total = 0.0
        for xb, yb in loader:
            loss = criterion(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        model.eval()
        with torch.no_grad():
            logits = model(x_valid)
        auroc = roc_auc_score(y_valid.numpy(), logits.numpy())
        recall = (logits[y_valid == 1] > 0).float().mean().item()
        print(
            f"epoch {epoch:2d} loss {total / len(loader):.4f} valid {criterion(logits, y_valid).item():.4f} "
            f"AUROC {auroc:.4f} recall {recall:.3f}"
        )


main()
