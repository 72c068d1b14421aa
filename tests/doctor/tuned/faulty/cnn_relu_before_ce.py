"""A CNN sorts the digits; a ReLU follows the last layer too, so no class score given to the loss is negative.

code: output-out-of-reach
model: CNN
source: planted
"""

import sys

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


def block(c_in, c_out):
    return nn.Sequential(nn.Conv2d(c_in, c_out, 3, padding=1), nn.BatchNorm2d(c_out), nn.ReLU(), nn.MaxPool2d(2))


class SmallCNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(block(1, 8), block(8, 16), nn.Flatten())
        self.linear = nn.Linear(64, 10)

    def forward(self, img):
        return torch.relu(self.linear(self.body(img)))


digits = load_digits()
train_x, val_x, train_y, val_y = train_test_split(digits.images / 16, digits.target, test_size=297, random_state=seed)
train_x, val_x = (torch.tensor(a, dtype=torch.float32)[:, None] for a in (train_x, val_x))
train_y, val_y = torch.tensor(train_y), torch.tensor(val_y)
loader = DataLoader(TensorDataset(train_x, train_y), batch_size=50, shuffle=True)

cnn = SmallCNN()
ce = nn.CrossEntropyLoss()
optim = torch.optim.Adam(cnn.parameters(), lr=1e-3)
step = 0
for epoch in range(8):
    cnn.train()
    for img, label in loader:
        loss = ce(cnn(img), label)
        optim.zero_grad(set_to_none=True)
        loss.backward()
        optim.step()
        step += 1
        if step % 20 == 0:
            print(f"step {step}: loss {loss.item():.3f}")
    cnn.eval()
    with torch.inference_mode():
        out = cnn(val_x)
        val_loss = ce(out, val_y)
        val_acc = (out.argmax(-1) == val_y).float().mean()
    print(f"epoch {epoch}: validation loss {val_loss:.3f}, accuracy {val_acc:.3f}")
