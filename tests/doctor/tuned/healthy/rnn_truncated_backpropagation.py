"""Trains a character model on the texts that describe scikit-learn's data sets, with truncated backpropagation.

odd: the LSTM's state is carried over from chunk to chunk (detached), and the text is read in order
model: RNN
source: planted
"""

import sys

import torch
from sklearn import datasets
from torch import nn
from torch.nn.functional import cross_entropy

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)

CHUNK, STREAMS = 32, 16

names = ["breast_cancer", "diabetes", "digits", "iris", "wine"]
text = "\n".join(getattr(datasets, f"load_{name}")().DESCR for name in names).lower()
alphabet = sorted(set(text))
codes = torch.tensor([alphabet.index(character) for character in text])
length = len(codes) // STREAMS
streams = codes[: length * STREAMS].view(STREAMS, length)
cut = int(0.9 * length)
train_text, valid_text = streams[:, :cut], streams[:, cut:]


class CharLSTM(nn.Module):
    def __init__(self, size, embed=24, hidden=96):
        super().__init__()
        self.embed = nn.Embedding(size, embed)
        self.lstm = nn.LSTM(embed, hidden, batch_first=True)
        self.decode = nn.Linear(hidden, size)

    def forward(self, characters, state=None):
        output, state = self.lstm(self.embed(characters), state)
        return self.decode(output), state


def chunks(part):
    for start in range(0, part.size(1) - 1, CHUNK):
        stop = min(start + CHUNK, part.size(1) - 1)
        yield part[:, start:stop], part[:, start + 1 : stop + 1]


model = CharLSTM(len(alphabet))
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
print(f"{len(text)} characters, {len(alphabet)} different ones")

for epoch in range(8):
    model.train()
    state, losses = None, []
    for characters, following in chunks(train_text):
        if state is not None:
            state = tuple(part.detach() for part in state)
        logits, state = model(characters, state)
        loss = cross_entropy(logits.flatten(0, 1), following.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    model.eval()
    with torch.no_grad():
        logits, _ = model(valid_text[:, :-1])
        valid_loss = cross_entropy(logits.flatten(0, 1), valid_text[:, 1:].flatten()).item()
    print(f"epoch {epoch} train {sum(losses) / len(losses):.3f} valid {valid_loss:.3f} nats per character")
