"""An MLP tells malignant from benign with one output; a softmax over that single output makes it always 1.

code: softmax-of-one
model: MLP
source: planted
"""

import sys

import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader, Dataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
np.random.seed(seed)
torch.manual_seed(seed)


class CancerDataset(Dataset):
    def __init__(self, features, labels):
        self.features = torch.FloatTensor(features)
        self.labels = torch.FloatTensor(labels)

    def __len__(self):
        return len(self.features)

    def __getitem__(self, idx):
        return self.features[idx], self.labels[idx]


class BinaryClassifier(nn.Module):
    def __init__(self, input_size):
        super().__init__()
        self.hidden = nn.Linear(input_size, 12)
        self.act = nn.LeakyReLU()
        self.output = nn.Linear(12, 1)
        self.prob = nn.Softmax(dim=1)

    def forward(self, x):
        x = self.act(self.hidden(x))
        return self.prob(self.output(x)).squeeze(1)


features, labels = load_breast_cancer(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(features, labels, test_size=0.25, stratify=labels)
scaler = StandardScaler()
X_train = scaler.fit_transform(X_train)
X_test = scaler.transform(X_test)
train_loader = DataLoader(CancerDataset(X_train, y_train), batch_size=16, shuffle=True)
test_loader = DataLoader(CancerDataset(X_test, y_test), batch_size=64, shuffle=False)

model = BinaryClassifier(X_train.shape[1])
criterion = nn.BCELoss()
optimizer = torch.optim.Adam(model.parameters(), lr=0.001)

for epoch in range(20):
    model.train()
    epoch_loss = 0.0
    for inputs, targets in train_loader:
        optimizer.zero_grad()
        loss = criterion(model(inputs), targets)
        loss.backward()
        optimizer.step()
        epoch_loss += loss.item()

    model.eval()
    val_loss, hits = 0.0, 0
    with torch.no_grad():
        for inputs, targets in test_loader:
            probs = model(inputs)
            val_loss += criterion(probs, targets).item()
            hits += ((probs > 0.5).float() == targets).sum().item()
    if (epoch + 1) % 5 == 0:
        print(f"Epoch {epoch + 1}: loss {epoch_loss / len(train_loader):.4f}, val {val_loss / len(test_loader):.4f}")
        print(f"          accuracy {hits / len(X_test):.3f}")
