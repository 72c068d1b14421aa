"""An RNN tells which of three made-up languages a word is from, with log_softmax and NLLLoss.

odd: the model ends in log_softmax (outputs are never above zero) and the loss is NLLLoss, which is right together
model: RNN
source: planted
"""

import random
import sys

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
random.seed(seed)
torch.manual_seed(seed)

LANGUAGES = {
    "marish": (["mar", "el", "un", "ta", "sho"], ["ish", "ar", "en"]),
    "tolvan": (["tol", "va", "ne", "ta", "ru"], ["van", "ol", "en"]),
    "kesti": (["kes", "ti", "lu", "ne", "sho"], ["ti", "ek", "ar"]),
}
LETTERS = "abcdefghijklmnopqrstuvwxyz"
LENGTH = 12


def word(language):
    stems, endings = LANGUAGES[language]
    text = "".join(random.choice(stems) for _ in range(random.randint(1, 3))) + random.choice(endings)
    return text[-LENGTH:]


def encode(text):
    return [0] * (LENGTH - len(text)) + [LETTERS.index(c) + 1 for c in text]


class CharRNN(nn.Module):
    def __init__(self, n_letters, emb_size, hidden_size, output_size):
        super().__init__()
        self.embedding = nn.Embedding(n_letters + 1, emb_size, padding_idx=0)
        self.rnn = nn.RNN(emb_size, hidden_size, batch_first=True)
        self.h2o = nn.Linear(hidden_size, output_size)
        self.softmax = nn.LogSoftmax(dim=1)

    def forward(self, line):
        _, hidden = self.rnn(self.embedding(line))
        return self.softmax(self.h2o(hidden[0]))


names = list(LANGUAGES)
pairs = sorted({(word(name), label) for _ in range(4000) for label, name in enumerate(names)})
random.shuffle(pairs)
lines = torch.tensor([encode(text) for text, _ in pairs])
labels = torch.tensor([label for _, label in pairs])
cut = len(pairs) * 4 // 5
train = DataLoader(TensorDataset(lines[:cut], labels[:cut]), batch_size=24, shuffle=True)

rnn = CharRNN(len(LETTERS), 12, 24, len(names))
criterion = nn.NLLLoss()
optimizer = torch.optim.Adam(rnn.parameters(), lr=3e-3)
for epoch in range(8):
    rnn.train()
    total = 0.0
    for line, label in train:
        rnn.zero_grad()
        loss = criterion(rnn(line), label)
        loss.backward()
        optimizer.step()
        total += loss.item()
    rnn.eval()
    with torch.no_grad():
        output = rnn(lines[cut:])
        val = criterion(output, labels[cut:]).item()
        right = (output.argmax(1) == labels[cut:]).float().mean().item()
    print(f"{epoch:2d}  {total / len(train):.4f}  {val:.4f}  {right:.1%}")
