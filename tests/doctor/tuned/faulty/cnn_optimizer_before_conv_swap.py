"""A CNN on digits whose convolutions are exchanged for weight-standardised ones after the optimizer was made.

code: optimizer-holds-old-parameters
model: CNN
source: hustzxd/EfficientPyTorch#1
"""

import sys

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


class StandardisedConv2d(nn.Conv2d):
    def forward(self, x):
        w = self.weight
        fan_in = w[0].numel()
        w = w - w.mean(dim=(1, 2, 3), keepdim=True)
        w = w / (w.std(dim=(1, 2, 3), keepdim=True) * fan_in**0.5 + 1e-5)
        return F.conv2d(x, w, self.bias, self.stride, self.padding)


def replace_conv_recursively(module):
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d):
            new = StandardisedConv2d(child.in_channels, child.out_channels, child.kernel_size, padding=child.padding)
            setattr(module, name, new)
        else:
            replace_conv_recursively(child)


def small_cnn():
    features = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU()
    )
    return nn.Sequential(features, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(64, 10))


def accuracy(model, x, y):
    model.eval()
    with torch.no_grad():
        out = model(x)
    return F.cross_entropy(out, y).item(), (out.argmax(dim=1) == y).float().mean().item()


data = load_digits()
x = torch.from_numpy(data.images).float().unsqueeze(1) / 8 - 1
y = torch.from_numpy(data.target)
shuffled = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
train_rows, val_rows = shuffled[:1400], shuffled[1400:]
loader = DataLoader(TensorDataset(x[train_rows], y[train_rows]), batch_size=50, shuffle=True)

model = small_cnn()
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
replace_conv_recursively(model)

for epoch in range(1, 11):
    model.train()
    for images, labels in loader:
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    val_loss, val_acc = accuracy(model, x[val_rows], y[val_rows])
    print(f"[{epoch}] last batch {loss.item():.3f} | val {val_loss:.3f} ({val_acc:.1%})")
