"""An MLP learns digits with gradients accumulated over 16 batches, cleared only after a step.

fixed: zero-grad-misplaced
model: MLP
source: ultralytics/ultralytics#11217
"""

import sys

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Trainer:
    def __init__(self, model, train_loader, val_data, epochs=48, accumulate=16):
        self.model = model
        self.train_loader = train_loader
        self.val_data = val_data
        self.epochs = epochs
        self.accumulate = accumulate
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)

    def optimizer_step(self):
        self.optimizer.step()
        self.optimizer.zero_grad()

    def validate(self):
        self.model.eval()
        x, y = self.val_data
        with torch.no_grad():
            out = self.model(x)
            return self.criterion(out, y).item(), (out.argmax(1) == y).float().mean().item()

    def train(self):
        nb = len(self.train_loader)
        last_opt_step = -1
        for epoch in range(self.epochs):
            self.model.train()
            seen = 0.0
            for i, (x, y) in enumerate(self.train_loader):
                ni = i + nb * epoch
                loss = self.criterion(self.model(x), y)
                (loss / self.accumulate).backward()
                seen += loss.item()
                if ni - last_opt_step >= self.accumulate:
                    self.optimizer_step()
                    last_opt_step = ni
            val_loss, val_acc = self.validate()
            if epoch % 4 == 3:
                print(f"{epoch + 1}/{self.epochs}  train {seen / nb:.3f}  val {val_loss:.3f}  acc {val_acc:.3f}")


if __name__ == "__main__":
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    torch.manual_seed(seed)
    x, y = load_digits(return_X_y=True)
    x = (x / 16 - 0.3) / 0.38
    x_train, x_val, y_train, y_val = train_test_split(x, y, test_size=325, stratify=y, random_state=seed)
    train_set = TensorDataset(torch.tensor(x_train, dtype=torch.float32), torch.tensor(y_train))
    loader = DataLoader(train_set, batch_size=64, shuffle=True)
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    Trainer(net, loader, (torch.tensor(x_val, dtype=torch.float32), torch.tensor(y_val))).train()
