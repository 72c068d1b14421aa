"""Trains a small segmentation net with batch norm and dropout; validation puts it into eval mode and nothing puts
it back for the following epochs.

code: training-in-eval-mode
model: CNN
source: wolny/pytorch-3dunet#53
"""

import sys

import torch
from torch import nn, optim

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


def microscope(n, size=16):
    """Noisy images of one bright round cell each, and the mask of the cell."""
    grid = torch.arange(size).float()
    centre = torch.rand(n, 2, 1, 1) * (size - 6) + 3
    radius = torch.rand(n, 1, 1) * 2.5 + 2
    inside = (grid[:, None] - centre[:, 0]) ** 2 + (grid[None, :] - centre[:, 1]) ** 2 < radius**2
    mask = inside.float().unsqueeze(1)
    return mask * 1.2 - 0.2 + 0.8 * torch.randn(n, 1, size, size), mask


class UNetTrainer:
    def __init__(self, model, optimizer, loss, train, valid):
        self.model = model
        self.optimizer = optimizer
        self.loss_criterion = loss
        self.train_data, self.valid_data = train, valid

    def fit(self, epochs):
        self.model.train()
        for epoch in range(epochs):
            train_loss = self.train()
            valid_loss, iou = self.validate()
            print(f"Epoch [{epoch}/{epochs - 1}] train {train_loss:.4f}, validation {valid_loss:.4f}, IoU {iou:.3f}")

    def train(self, batch=16):
        images, masks = self.train_data
        losses = []
        for rows in torch.randperm(len(images)).split(batch):
            loss = self.loss_criterion(self.model(images[rows]), masks[rows])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            losses.append(loss.item())
        return sum(losses) / len(losses)

    def validate(self):
        self.model.eval()
        images, masks = self.valid_data
        with torch.no_grad():
            output = self.model(images)
            found = output > 0
            both, either = (found & (masks > 0)).sum(), (found | (masks > 0)).sum()
            return self.loss_criterion(output, masks).item(), (both / either).item()


def conv_block(inside, outside):
    return nn.Sequential(nn.Conv2d(inside, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside), nn.ReLU())


net = nn.Sequential(conv_block(1, 10), conv_block(10, 10), nn.Dropout2d(0.1), nn.Conv2d(10, 1, 3, padding=1))
trainer = UNetTrainer(
    net, optim.Adam(net.parameters(), lr=3e-3), nn.BCEWithLogitsLoss(), microscope(320), microscope(96)
)
trainer.fit(epochs=7)
