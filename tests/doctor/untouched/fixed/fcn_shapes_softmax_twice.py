"""Trains an encoder-decoder that labels the pixels of drawn shapes, with the raw scores going into the loss.

fixed: softmax-before-cross-entropy
model: CNN
source: say4n/pytorch-segnet#5
"""

import sys

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

SIZE = 12
STAMPS = torch.ones(3, 5, 5)
STAMPS[1] = 0.0
STAMPS[1, 2, :] = STAMPS[1, :, 2] = 1.0
STAMPS[2, 1:4, 1:4] = 0.0


def draw(n):
    image = 0.25 * torch.randn(n, 1, SIZE, SIZE)
    mask = torch.zeros(n, SIZE, SIZE, dtype=torch.long)
    for i in range(n):
        kind = int(torch.randint(3, (1,)))
        r, c = torch.randint(SIZE - 4, (2,)).tolist()
        image[i, 0, r : r + 5, c : c + 5] += STAMPS[kind]
        mask[i, r : r + 5, c : c + 5] = STAMPS[kind].long() * (kind + 1)
    return image, mask


class MiniSegNet(nn.Module):
    def __init__(self, classes=4):
        super().__init__()
        self.enc1 = nn.Sequential(nn.Conv2d(1, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU())
        self.enc2 = nn.Sequential(nn.Conv2d(12, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU())
        self.pool = nn.MaxPool2d(2)
        self.up = nn.Upsample(scale_factor=2)
        self.dec = nn.Sequential(nn.Conv2d(36, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, classes, 1))

    def forward(self, x):
        fine = self.enc1(x)
        coarse = self.up(self.enc2(self.pool(fine)))
        scores = self.dec(torch.cat([fine, coarse], dim=1))
        return scores, scores.softmax(dim=1)


seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)
train_loader = DataLoader(TensorDataset(*draw(512)), batch_size=32, shuffle=True)
val_image, val_mask = draw(128)

model = MiniSegNet()
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)

for epoch in range(10):
    model.train()
    running = 0.0
    for image, mask in train_loader:
        predicted, maps = model(image)
        loss = criterion(predicted, mask)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        running += loss.item() * len(image)
    model.eval()
    with torch.no_grad():
        predicted, maps = model(val_image)
        shape = val_mask > 0
        hit = (predicted.argmax(1) == val_mask)[shape].float().mean()
    print(f"epoch {epoch}: train loss {running / 512:.4f}, shape pixels right {hit:.3f}")
