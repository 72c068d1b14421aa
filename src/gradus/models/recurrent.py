"""Recurrent networks, from the cell h = tanh(W x + U h + b) written by hand to the library's LSTM and GRU.

Two ways to use one: an answer at each token (``RecurrentTagger``), or one for the whole text (``RecurrentClassifier``).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.models.padding import last, lengths_of, masked_max, masked_mean, reversed_rows, some_left_out

POOLINGS = ("last", "max", "mean")


class HandRNN(nn.Module):
    """A recurrent network by hand (Elman 1990): at each step the memory becomes h = tanh(W x + U h + b).

    It computes what ``torch.nn.RNN`` does, and gives its outputs in the same form.

    Shapes: (batch, time, inputs) → the memories after each step, (batch, time, hidden), and the last, (batch, hidden).
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.W = nn.Linear(inputs, hidden)  # with the bias b
        self.U = nn.Linear(hidden, hidden, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = x.new_zeros(x.shape[0], self.U.in_features)
        memories = []
        for x_now in x.unbind(1):
            h = torch.tanh(self.W(x_now) + self.U(h))
            memories.append(h)
        return torch.stack(memories, dim=1), h


class Recurrence(nn.Module):
    """Layers of recurrent networks over rows of unequal length; with ``bidirectional`` each layer reads both ways.

    The backward way reads each row from its own last token, which is put first by a gather. Unlike
    ``pack_padded_sequence`` that needs no lengths on the host, for which a GPU would have to be waited for. On a CPU it
    takes as long for a GRU, and four fifths of the time for an LSTM, whose fused kernel takes no packed rows.

    Args:
        inputs: features of a step.
        hidden: width of the memory, of each direction.
        cell: cell (by hand), rnn, lstm or gru.
        dropout: share of what one layer hands to the next that is dropped in training.

    Shapes: (batch, time, inputs) and lengths (batch,) → (batch, time, width) with width = hidden, or twice that if
    bidirectional, and the last true memories, (batch, layers, width). Outputs beyond a row's length mean nothing.
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        layers: int = 1,
        cell: str = "gru",
        bidirectional: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.width = 2 * hidden if bidirectional else hidden
        widths = [inputs] + [self.width] * (layers - 1)
        self.forwards = nn.ModuleList(_cell(cell, width, hidden) for width in widths)
        self.backwards = nn.ModuleList(_cell(cell, width, hidden) for width in widths if bidirectional)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        memories = []
        for number, forwards in enumerate(self.forwards):
            if number:
                x = self.drop(x)
            y, _ = forwards(x)
            memory = last(y, lengths)
            if self.backwards:
                z, _ = self.backwards[number](reversed_rows(x, lengths))
                z = reversed_rows(z, lengths)
                y, memory = torch.cat([y, z], dim=2), torch.cat([memory, z[:, 0]], dim=1)
            memories.append(memory)
            x = y
        return x, torch.stack(memories, dim=1)


class RecurrentTagger(nn.Module):
    """Logits at each token: embedding (or one-hot letters) → recurrence → affine map.

    Args:
        num_tokens: the size of the vocabulary that is read.
        num_classes: logits of each token.
        cell: cell (written by hand: ``HandRNN``), rnn, lstm or gru.
        embedding: numbers that stand for a token; 0 gives each token as one-hot.
        hidden: width of the memory, of each direction.
        bidirectional: read each row backwards as well.
        dropout: share of the embeddings and of each layer's output that is dropped in training.
        padding: the id of tokens that aren't real.

    Shapes: ids (batch, time) → (batch, time, num_classes).
    """

    def __init__(
        self,
        num_tokens: int,
        num_classes: int,
        cell: str = "cell",
        embedding: int = 0,
        hidden: int = 16,
        layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        padding: int = 0,
    ) -> None:
        super().__init__()
        self.num_tokens, self.num_classes, self.cell = num_tokens, num_classes, cell
        self.embedding, self.hidden, self.layers = embedding, hidden, layers
        self.bidirectional, self.dropout, self.padding = bidirectional, dropout, padding
        self.embed = nn.Embedding(num_tokens, embedding, padding) if embedding else None
        self.recurrence = Recurrence(embedding or num_tokens, hidden, layers, cell, bidirectional, dropout)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(self.recurrence.width, num_classes)

    def forward(self, ids: Tensor) -> Tensor:
        if self.embed is None:
            x = F.one_hot(ids, self.num_tokens).to(self.head.weight.dtype)
        else:
            x = self.drop(self.embed(ids))
        memories, _ = self.recurrence(x, lengths_of(ids, self.padding))
        return self.head(self.drop(memories))


class RecurrentClassifier(nn.Module):
    """Logits of a whole text: embedding → recurrence → its last true memory, or a pool of all → affine map.

    Args:
        num_tokens: the size of the vocabulary.
        num_outputs: logits.
        embedding: numbers that stand for a token.
        hidden: width of the memory, of each direction.
        cell: cell (by hand), rnn, lstm or gru.
        bidirectional: read each text backwards as well.
        dropout: share of the embeddings, of each layer's output and of the pooled memory that is dropped in training.
        word_dropout: share of the tokens that are left out of a training text, each time others.
        padding: the id of tokens that aren't real; they change no logit.
        pooling: last (the memory of each direction after its last token), max or mean (over the text's tokens).

    Shapes: ids (batch, time) → (batch, num_outputs).
    """

    def __init__(
        self,
        num_tokens: int,
        num_outputs: int,
        embedding: int = 64,
        hidden: int = 128,
        layers: int = 1,
        cell: str = "gru",
        bidirectional: bool = True,
        dropout: float = 0.0,
        word_dropout: float = 0.0,
        padding: int = 0,
        pooling: str = "last",
    ) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise ValueError(f"no pooling '{pooling}'; known: {', '.join(POOLINGS)}.")
        self.num_tokens, self.num_outputs, self.embedding = num_tokens, num_outputs, embedding
        self.hidden, self.layers, self.cell, self.bidirectional = hidden, layers, cell, bidirectional
        self.dropout, self.word_dropout, self.padding, self.pooling = dropout, word_dropout, padding, pooling
        self.embed = nn.Embedding(num_tokens, embedding, padding)
        self.recurrence = Recurrence(embedding, hidden, layers, cell, bidirectional, dropout)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(self.recurrence.width, num_outputs)

    def forward(self, ids: Tensor) -> Tensor:
        lengths = lengths_of(ids, self.padding)
        ids = some_left_out(ids, self.word_dropout, self.padding, self.training)
        memories, ends = self.recurrence(self.drop(self.embed(ids)), lengths)
        if self.pooling == "last":
            text = ends[:, -1]
        else:
            text = (masked_max if self.pooling == "max" else masked_mean)(memories, lengths)
        return self.head(self.drop(text))


def _cell(cell: str, inputs: int, hidden: int) -> nn.Module:
    kinds = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
    if cell == "cell":
        return HandRNN(inputs, hidden)
    if cell not in kinds:
        raise ValueError(f"no cell '{cell}'; known: cell, {', '.join(kinds)}.")
    module = kinds[cell](inputs, hidden, batch_first=True)
    if cell == "lstm":
        remember_at_first(module)
    return module


@torch.no_grad()
def remember_at_first(lstm: nn.Module) -> None:
    """Set the forget gate's bias of an ``nn.LSTM`` to 1, so that it begins by remembering (Jozefowicz et al. 2015).

    Its gates lie one after the other: input, forget, cell, output. Each has two biases, which are added.
    """
    for name, bias in lstm.named_parameters():
        if "bias" in name:
            hidden = len(bias) // 4
            bias[hidden : 2 * hidden].fill_(1.0 if "bias_ih" in name else 0.0)
