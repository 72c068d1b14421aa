"""Trains an LSTM that reads digits row by row; it keeps its state, with the graph, for the next batch, and the
second backward raises an exception.

code: hidden-state-kept
model: RNN
source: pytorch/pytorch#2769
"""

import sys

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset, random_split

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)
BATCH = 40


class LSTM(nn.Module):
    def __init__(self, input_len=8, hidden_len=48, target_size=10):
        super().__init__()
        self.hidden_len = hidden_len
        self.lstm = nn.LSTM(input_len, hidden_len, batch_first=True)
        self.hidden2class = nn.Linear(hidden_len, target_size)
        self.hidden = self.init_hidden()

    def init_hidden(self):
        return torch.zeros(1, BATCH, self.hidden_len), torch.zeros(1, BATCH, self.hidden_len)

    def forward(self, x):
        lstm_out, self.hidden = self.lstm(x, self.hidden)
        return F.log_softmax(self.hidden2class(lstm_out[:, -1, :]), dim=1)


digits = load_digits()
data = TensorDataset(torch.tensor(digits.images / 16 - 0.3, dtype=torch.float32), torch.tensor(digits.target))
train_data, test_data = random_split(data, [1397, 400])
train_loader = DataLoader(train_data, batch_size=BATCH, shuffle=True, drop_last=True)
test_loader = DataLoader(test_data, batch_size=BATCH)

model = LSTM()
criterion = nn.NLLLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)

for epoch in range(8):
    model.train()
    total = 0.0
    for i, (inputs, targets) in enumerate(train_loader):
        output = model(inputs)
        loss = criterion(output, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
        if i % 20 == 0:
            print(f"Epoch [{epoch}][{i}/{len(train_loader)}] loss {loss.item():.4f}")
    model.eval()
    test_loss, correct = 0.0, 0
    with torch.no_grad():
        for inputs, targets in test_loader:
            output = model(inputs)
            test_loss += criterion(output, targets).item() / len(test_loader)
            correct += (output.argmax(1) == targets).sum().item()
    print(f"Epoch [{epoch}] train {total / len(train_loader):.4f} test {test_loss:.4f} accuracy {correct / 400:.3f}")
