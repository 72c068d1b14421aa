"""A CNN sorts the digits, gathering gradients of eight batches per step, each loss divided by eight.

fixed: accumulation-not-divided
model: CNN
source: fastai/fastai#3023
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


class Config:
    epochs = 6
    micro_batch = 8
    n_acc = 8
    lr = 0.05


def conv(c_in, c_out):
    return nn.Conv2d(c_in, c_out, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)


class Learner:
    def __init__(self, model, train_dl, valid_dl, cfg):
        self.model, self.train_dl, self.valid_dl, self.cfg = model, train_dl, valid_dl, cfg
        self.loss_func = nn.CrossEntropyLoss()
        self.opt = torch.optim.SGD(model.parameters(), lr=cfg.lr, momentum=0.9)

    def one_epoch(self):
        self.model.train()
        total = 0.0
        self.opt.zero_grad()
        for i, (xb, yb) in enumerate(self.train_dl, start=1):
            loss = self.loss_func(self.model(xb), yb)
            total += loss.item()
            (loss / self.cfg.n_acc).backward()
            if i % self.cfg.n_acc == 0:
                self.opt.step()
                self.opt.zero_grad()
        return total / len(self.train_dl)

    @torch.no_grad()
    def validate(self):
        self.model.eval()
        loss = acc = 0.0
        for xb, yb in self.valid_dl:
            out = self.model(xb)
            loss += self.loss_func(out, yb).item() * len(xb)
            acc += (out.argmax(1) == yb).sum().item()
        n = len(self.valid_dl.dataset)
        return loss / n, acc / n

    def fit(self):
        print("epoch  train_loss  valid_loss  accuracy")
        for epoch in range(self.cfg.epochs):
            train_loss = self.one_epoch()
            valid_loss, acc = self.validate()
            print(f"{epoch:5d}  {train_loss:10.4f}  {valid_loss:10.4f}  {acc:8.3f}")


digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
target = torch.tensor(digits.target)
order = torch.randperm(len(images))
train_ds = TensorDataset(images[order[:1408]], target[order[:1408]])
valid_ds = TensorDataset(images[order[1408:]], target[order[1408:]])
train_dl = DataLoader(train_ds, batch_size=Config.micro_batch, shuffle=True)
valid_dl = DataLoader(valid_ds, batch_size=128)
model = nn.Sequential(*conv(1, 8), *conv(8, 16), nn.Flatten(), nn.Linear(64, 10))
Learner(model, train_dl, valid_dl, Config).fit()
