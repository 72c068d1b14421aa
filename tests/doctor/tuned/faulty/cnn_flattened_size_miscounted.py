"""Trains a convolutional net on digits; the first linear layer is sized for 4 x 4 maps, but two poolings leave 2 x
2.

code: error-shape
model: CNN
source: planted
"""

import sys

import torch
import torch.nn as nn
import torch.optim as optim
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(8, 16, kernel_size=3, padding=1)
        self.pool = nn.MaxPool2d(2, 2)
        self.fc1 = nn.Linear(16 * 4 * 4, 32)
        self.fc2 = nn.Linear(32, 10)

    def forward(self, x):
        x = self.pool(torch.relu(self.conv1(x)))
        x = self.pool(torch.relu(self.conv2(x)))
        x = torch.flatten(x, 1)
        x = torch.tanh(self.fc1(x))
        return self.fc2(x)


digits = load_digits()
images = (torch.tensor(digits.images, dtype=torch.float32) / 16).unsqueeze(1)
labels = torch.tensor(digits.target)
mix = torch.randperm(len(labels))
images, labels = images[mix], labels[mix]
trainloader = DataLoader(TensorDataset(images[:1400], labels[:1400]), batch_size=35, shuffle=True)
testloader = DataLoader(TensorDataset(images[1400:], labels[1400:]), batch_size=397)

net = Net()
criterion = nn.CrossEntropyLoss()
optimizer = optim.Adam(net.parameters(), lr=3e-3)

for epoch in range(6):
    net.train()
    running_loss = 0.0
    for inputs, targets in trainloader:
        optimizer.zero_grad()
        outputs = net(inputs)
        loss = criterion(outputs, targets)
        loss.backward()
        optimizer.step()
        running_loss += loss.item()
    net.eval()
    with torch.no_grad():
        for inputs, targets in testloader:
            outputs = net(inputs)
            test_loss = criterion(outputs, targets).item()
            accuracy = (outputs.argmax(1) == targets).float().mean().item()
    print(f"[{epoch + 1}] loss: {running_loss / len(trainloader):.3f} test: {test_loss:.3f} accuracy: {accuracy:.3f}")
