"""A CNN answers four yes-no questions about each digit (even, prime, closed loop, five or more).

odd: multi-label targets as rows of zeros and ones, BCEWithLogitsLoss with a weight per label
model: CNN
source: planted
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)

QUESTIONS = {"even": {0, 2, 4, 6, 8}, "prime": {2, 3, 5, 7}, "loop": {0, 6, 8, 9}, "large": {5, 6, 7, 8, 9}}


class DigitQuestions(Dataset):
    def __init__(self):
        bunch = load_digits()
        self.images = torch.tensor(bunch.images, dtype=torch.float32).unsqueeze(1) / 16
        self.answers = torch.tensor([[float(d in yes) for yes in QUESTIONS.values()] for d in bunch.target.tolist()])

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return self.images[i], self.answers[i]


dataset = DigitQuestions()
order = torch.randperm(len(dataset)).tolist()
train_loader = DataLoader(Subset(dataset, order[:1400]), batch_size=40, shuffle=True)
val_loader = DataLoader(Subset(dataset, order[1400:]), batch_size=100)

model = nn.Sequential(
    nn.Conv2d(1, 8, 3, padding=1),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Conv2d(8, 16, 3, padding=1),
    nn.ReLU(),
    nn.Flatten(),
    nn.Linear(16 * 16, len(QUESTIONS)),
)
share = dataset.answers[order[:1400]].mean(0)
criterion = nn.BCEWithLogitsLoss(pos_weight=(1 - share) / share)
optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)

for epoch in range(8):
    model.train()
    losses = []
    for images, answers in train_loader:
        optimizer.zero_grad()
        loss = criterion(model(images), answers)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    model.eval()
    val_losses, right = [], torch.zeros(len(QUESTIONS))
    with torch.no_grad():
        for images, answers in val_loader:
            logits = model(images)
            val_losses.append(criterion(logits, answers).item())
            right += ((logits > 0) == (answers > 0.5)).float().sum(0)
    per_question = " ".join(f"{q} {r:.2f}" for q, r in zip(QUESTIONS, right / len(order[1400:]), strict=True))
    print(
        f"epoch {epoch}: {sum(losses) / len(losses):.3f} val {sum(val_losses) / len(val_losses):.3f} | {per_question}"
    )
