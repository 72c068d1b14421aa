"""Trains a digit classifier whose loop makes one iterator of the loader per epoch and takes batch after batch from
it.

fixed: same-batch
model: MLP
source: ZhaoJ9014/face.evoLVe#39
"""

import sys

import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, TensorDataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)
BATCH_SIZE = 32
EPOCHS = 12


def load_data():
    x, y = load_digits(return_X_y=True)
    # the split draws the rows in random order, the classes balanced
    x_tr, x_te, y_tr, y_te = train_test_split(x / 16.0, y, test_size=0.25, random_state=seed, stratify=y)
    train = TensorDataset(torch.tensor(x_tr, dtype=torch.float32), torch.tensor(y_tr))
    test = TensorDataset(torch.tensor(x_te, dtype=torch.float32), torch.tensor(y_te))
    return DataLoader(train, batch_size=BATCH_SIZE), DataLoader(test, batch_size=256)


def evaluate(model, loader, loss_fn):
    model.eval()
    loss, correct = 0.0, 0
    with torch.no_grad():
        for x, y in loader:
            out = model(x)
            loss += loss_fn(out, y).item() * len(y)
            correct += (out.argmax(1) == y).sum().item()
    return loss / len(loader.dataset), correct / len(loader.dataset)


train_loader, test_loader = load_data()
model = nn.Sequential(nn.Linear(64, 48), nn.Tanh(), nn.Linear(48, 10))
loss_fn = nn.CrossEntropyLoss()
optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)

for epoch in range(EPOCHS):
    model.train()
    idx, losses = 0, []
    batches = iter(train_loader)
    while idx + BATCH_SIZE <= len(train_loader.dataset):
        batch, target = next(batches)
        optimizer.zero_grad()
        loss = loss_fn(model(batch), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        idx += BATCH_SIZE
    test_loss, test_acc = evaluate(model, test_loader, loss_fn)
    print(f"epoch {epoch + 1}/{EPOCHS} loss {sum(losses) / len(losses):.4f} test {test_loss:.4f} acc {test_acc:.3f}")
