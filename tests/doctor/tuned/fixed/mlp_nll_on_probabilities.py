"""An MLP sorts the digits; its log-softmax output goes into NLLLoss.

fixed: nll-on-probabilities
model: MLP
source: planted
"""

import sys

import torch
from sklearn import datasets
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset, random_split

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)

EPOCHS = 10
BATCH = 32

data = datasets.load_digits()
X = torch.tensor(data.data, dtype=torch.float32) / 16.0
Y = torch.tensor(data.target, dtype=torch.long)
train_set, test_set = random_split(TensorDataset(X, Y), [1437, 360])
train_loader = DataLoader(train_set, batch_size=BATCH, shuffle=True)
test_loader = DataLoader(test_set, batch_size=120)

model = nn.Sequential(
    nn.Linear(64, 48),
    nn.Tanh(),
    nn.Linear(48, 32),
    nn.Tanh(),
    nn.Linear(32, 10),
    nn.LogSoftmax(dim=1),
)
criterion = nn.NLLLoss()
optimizer = optim.SGD(model.parameters(), lr=0.03, momentum=0.9)

for e in range(EPOCHS):
    model.train()
    train_loss = 0
    for inputs, targets in train_loader:
        optimizer.zero_grad()
        outputs = model(inputs)
        loss = criterion(outputs, targets)
        loss.backward()
        optimizer.step()
        train_loss += loss.item()

    model.eval()
    test_loss, n_right = 0, 0
    with torch.no_grad():
        for inputs, targets in test_loader:
            outputs = model(inputs)
            test_loss += criterion(outputs, targets).item()
            n_right += (outputs.argmax(dim=1) == targets).sum().item()
    print("Epoch:", e + 1, "of", EPOCHS)
    print("  training loss:", round(train_loss / len(train_loader), 4))
    print("  test loss:", round(test_loss / len(test_loader), 4), " accuracy:", round(n_right / len(test_set), 3))
