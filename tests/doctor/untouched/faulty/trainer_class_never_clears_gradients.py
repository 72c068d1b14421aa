"""Trains a tabular classifier through a Trainer class whose optimizer step never clears the gradients.

code: zero-grad-missing
model: MLP
source: tenstorrent/tt-blacksmith#711
"""

import sys
from dataclasses import dataclass

import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset


@dataclass
class TrainConfig:
    lr: float = 0.003
    momentum: float = 0.9
    batch_size: int = 16
    epochs: int = 22


class Trainer:
    def __init__(self, model: nn.Module, config: TrainConfig):
        self.model = model
        self.config = config
        self.loss_fn = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(model.parameters(), lr=config.lr, momentum=config.momentum)

    def optimizer_step(self, zero_grad: bool = False) -> None:
        self.optimizer.step()
        if zero_grad:
            self.optimizer.zero_grad()

    def training_step(self, batch: list[Tensor]) -> float:
        inputs, targets = batch
        loss = self.loss_fn(self.model(inputs), targets)
        loss.backward()
        self.optimizer_step()
        return loss.item()

    @torch.no_grad()
    def validate(self, data: TensorDataset) -> tuple[float, float]:
        self.model.eval()
        inputs, targets = data.tensors
        logits = self.model(inputs)
        return self.loss_fn(logits, targets).item(), (logits.argmax(-1) == targets).float().mean().item()

    def fit(self, train: TensorDataset, valid: TensorDataset) -> None:
        loader = DataLoader(train, batch_size=self.config.batch_size, shuffle=True)
        for epoch in range(self.config.epochs):
            self.model.train()
            losses = [self.training_step(batch) for batch in loader]
            val_loss, val_acc = self.validate(valid)
            print(f"[{epoch}] loss={sum(losses) / len(losses):.4f} val_loss={val_loss:.4f} val_acc={val_acc:.3f}")


if __name__ == "__main__":
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    torch.manual_seed(seed)
    x, y = load_breast_cancer(return_X_y=True)
    x_train, x_val, y_train, y_val = train_test_split(x, y, test_size=0.25, stratify=y, random_state=seed)
    scaler = StandardScaler().fit(x_train)
    as_set = lambda a, b: TensorDataset(torch.tensor(scaler.transform(a)).float(), torch.tensor(b))  # noqa: E731
    network = nn.Sequential(nn.Linear(30, 24), nn.ReLU(), nn.Dropout(0.3), nn.Linear(24, 2))
    Trainer(network, TrainConfig()).fit(as_set(x_train, y_train), as_set(x_val, y_val))
