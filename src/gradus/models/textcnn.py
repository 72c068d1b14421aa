"""A convolutional network over a text (Kim 2014): what are the strongest phrases of some lengths?"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.models.padding import lengths_of, masked_max, some_left_out


class TextCNN(nn.Module):
    """Filters over windows of neighbouring tokens, the strongest answer of each in the text, and an affine map.

    A window begins at each token; past the end of the text it sees zeros, however far the batch is padded.

    Args:
        num_tokens: the size of the vocabulary.
        num_outputs: logits.
        width: numbers that stand for a token.
        kernels: lengths of the windows, in tokens.
        channels: filters of each length.
        dropout: share of the filters' answers that is dropped in training.
        word_dropout: share of the tokens that are left out of a training text, each time others.
        padding: the id of tokens that aren't real.

    Shapes: ids (batch, time) → (batch, num_outputs).
    """

    def __init__(
        self,
        num_tokens: int,
        num_outputs: int,
        width: int = 64,
        kernels: tuple[int, ...] = (2, 3, 4, 5),
        channels: int = 64,
        dropout: float = 0.0,
        word_dropout: float = 0.0,
        padding: int = 0,
    ) -> None:
        super().__init__()
        self.num_tokens, self.num_outputs, self.width = num_tokens, num_outputs, width
        self.kernels, self.channels, self.dropout = tuple(kernels), channels, dropout
        self.word_dropout, self.padding = word_dropout, padding
        self.embed = nn.Embedding(num_tokens, width, padding)
        self.filters = nn.ModuleList(nn.Conv1d(width, channels, kernel) for kernel in kernels)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(channels * len(kernels), num_outputs)

    def forward(self, ids: Tensor) -> Tensor:
        lengths = lengths_of(ids, self.padding)
        ids = some_left_out(ids, self.word_dropout, self.padding, self.training)
        x = self.embed(ids).transpose(1, 2)
        strongest = []
        for kernel, filters in zip(self.kernels, self.filters, strict=True):
            answers = torch.relu(filters(F.pad(x, (0, kernel - 1))))
            strongest.append(masked_max(answers.transpose(1, 2), lengths))
        return self.head(self.drop(torch.cat(strongest, dim=1)))
