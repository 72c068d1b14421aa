"""Trains a small language model on padded walks of differing length; the loss ignores the padding.

fixed: padding-in-loss
model: Transformer
source: huggingface/transformers#2759
"""

import sys

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, TensorDataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)

PAD, END, STATES = 0, 1, 12
VOCABULARY = STATES + 2
MAX_LEN = 28

successors = torch.stack([torch.randperm(STATES)[:3] for _ in range(STATES)])


def walk():
    """A random walk over twelve rooms: from each, one door is taken often and two seldom; a few walks are long."""
    length = int(torch.randint(4, 9, ())) if torch.rand(()) < 0.8 else int(torch.randint(9, MAX_LEN - 1, ()))
    doors = torch.multinomial(torch.tensor([0.8, 0.1, 0.1]), length, replacement=True)
    rooms = [int(torch.randint(STATES, ()))]
    for door in doors.tolist():
        rooms.append(int(successors[rooms[-1], door]))
    return torch.tensor([room + 2 for room in rooms] + [END])


class TinyLM(nn.Module):
    def __init__(self, dim=32):
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, dim, padding_idx=PAD)
        self.position = nn.Embedding(MAX_LEN, dim)
        block = nn.TransformerEncoderLayer(dim, 2, 64, dropout=0.1, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(block, 1, enable_nested_tensor=False)
        self.head = nn.Linear(dim, VOCABULARY)

    def forward(self, tokens):
        steps = tokens.size(1)
        x = self.embed(tokens) + self.position(torch.arange(steps))
        future = torch.ones(steps, steps, dtype=torch.bool).triu(1)
        return self.head(self.blocks(x, mask=future, src_key_padding_mask=tokens == PAD))


walks = pad_sequence([walk() for _ in range(700)], batch_first=True, padding_value=PAD)
train = DataLoader(TensorDataset(walks[:600]), batch_size=30, shuffle=True)
valid = DataLoader(TensorDataset(walks[600:]), batch_size=100)

model = TinyLM()
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
loss_fct = nn.CrossEntropyLoss(ignore_index=PAD)

for epoch in range(6):
    sums = {}
    for name, loader in (("train", train), ("valid", valid)):
        model.train(name == "train")
        losses = []
        with torch.set_grad_enabled(name == "train"):
            for (tokens,) in loader:
                logits = model(tokens[:, :-1])
                loss = loss_fct(logits.reshape(-1, VOCABULARY), tokens[:, 1:].reshape(-1))
                if name == "train":
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                losses.append(loss.item())
        sums[name] = sum(losses) / len(losses)
    print(f"epoch {epoch + 1} lm loss {sums['train']:.3f} validation {sums['valid']:.3f}")
