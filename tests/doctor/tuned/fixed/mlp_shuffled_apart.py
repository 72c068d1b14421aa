"""Trains a digit classifier after shuffling images and labels with one common order.

fixed: labels-misaligned
model: MLP
source: planted
"""

import sys

import numpy as np
import torch
from sklearn.datasets import load_digits

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
np.random.seed(seed)
torch.manual_seed(seed)

images, labels = load_digits(return_X_y=True)
images = (images / 16.0).astype(np.float32)

shuffled = np.random.permutation(len(images))
images, labels = images[shuffled], labels[shuffled]

split = int(0.8 * len(images))
x_train, x_test = torch.from_numpy(images[:split]), torch.from_numpy(images[split:])
y_train, y_test = torch.from_numpy(labels[:split]), torch.from_numpy(labels[split:])

model = torch.nn.Sequential(
    torch.nn.Linear(64, 64),
    torch.nn.LeakyReLU(0.1),
    torch.nn.Dropout(0.1),
    torch.nn.Linear(64, 10),
)
loss_fn = torch.nn.CrossEntropyLoss()
opt = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.8)
batch = 32

for epoch in range(15):
    model.train()
    epoch_loss, steps = 0.0, 0
    order = torch.randperm(split)
    for start in range(0, split, batch):
        idx = order[start : start + batch]
        opt.zero_grad()
        loss = loss_fn(model(x_train[idx]), y_train[idx])
        loss.backward()
        opt.step()
        epoch_loss += loss.item()
        steps += 1

    model.eval()
    with torch.no_grad():
        out = model(x_test)
        test_loss = loss_fn(out, y_test).item()
        acc = (out.argmax(dim=1) == y_test).float().mean().item()
    print("epoch", epoch, "loss", round(epoch_loss / steps, 4), "test loss", round(test_loss, 4), "acc", round(acc, 3))
