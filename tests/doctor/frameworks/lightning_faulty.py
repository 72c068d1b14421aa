"""A classifier of digits in Lightning whose model ends in a softmax."""

import logging
import sys
import warnings

import lightning
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

warnings.filterwarnings("ignore")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Digits(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 10), nn.Softmax(dim=1))

    def training_step(self, batch, number):
        x, y = batch
        return F.cross_entropy(self.net(x), y)

    def validation_step(self, batch, number):
        x, y = batch
        print(f"loss {F.cross_entropy(self.net(x), y).item():.9f}")

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=3e-3)


def main() -> None:
    lightning.seed_everything(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    digits = load_digits()
    x = torch.tensor(digits.data, dtype=torch.float32) / 16
    y = torch.tensor(digits.target)
    train = DataLoader(TensorDataset(x[:1437], y[:1437]), batch_size=64, shuffle=True)
    valid = DataLoader(TensorDataset(x[1437:], y[1437:]), batch_size=360)
    trainer = lightning.Trainer(
        max_epochs=6, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(Digits(), train, valid)


if __name__ == "__main__":
    main()
