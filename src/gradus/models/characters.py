"""A recurrent language model, which tells the next character, or any token, from those before.

It writes token by token: ``begin`` gives the empty state, ``advance`` takes a token, ``read`` takes a whole beginning.
"""

from __future__ import annotations

from torch import Tensor, nn

from gradus.models.transformer import scaled_embedding

State = tuple[Tensor, ...]  # each with the batch first, so that rows can be picked or repeated


class CharacterModel(nn.Module):
    """A recurrent language model: embedding → LSTM or GRU → affine map to the logits of the next token.

    Args:
        num_tokens: the size of the vocabulary.
        width: features of a token.
        hidden: width of the memory.
        layers: one upon the other.
        cell: gru or lstm.
        dropout: share of the embeddings and of each layer's output that is dropped in training.
        tie: the output layer's weights are the tokens' vectors (Press and Wolf 2016); a map brings the memory to their
            width where it has another.

    Shapes: ids (batch, time) → (batch, time, num_tokens).
    """

    def __init__(
        self,
        num_tokens: int,
        width: int = 192,
        hidden: int = 256,
        layers: int = 1,
        cell: str = "gru",
        dropout: float = 0.0,
        tie: bool = True,
    ) -> None:
        super().__init__()
        kinds = {"gru": nn.GRU, "lstm": nn.LSTM}
        if cell not in kinds:
            raise ValueError(f"no cell '{cell}'; known: {', '.join(kinds)}.")
        self.num_tokens, self.width, self.hidden, self.layers = num_tokens, width, hidden, layers
        self.cell, self.dropout, self.tie = cell, dropout, tie
        self.embed = scaled_embedding(num_tokens, width)
        self.recurrence = kinds[cell](width, hidden, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.narrow = nn.Linear(hidden, width, bias=False) if tie and hidden != width else nn.Identity()
        self.head = nn.Linear(width if tie else hidden, num_tokens)
        if tie:
            self.head.weight = self.embed.weight
        self.drop = nn.Dropout(dropout)

    def forward(self, ids: Tensor) -> Tensor:
        return self.read(ids, self.begin(len(ids)))[0]

    def begin(self, batch_size: int) -> State:
        """The state before the first token: for each of a GRU's one or an LSTM's two, zeros (batch, layers, hidden)."""
        zeros = self.head.weight.new_zeros(batch_size, self.layers, self.hidden)
        return (zeros, zeros) if self.cell == "lstm" else (zeros,)

    def advance(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """The logits of the token after these, (batch,) → (batch, num_tokens), and the state from there on."""
        logits, state = self.read(tokens[:, None], state)
        return logits.squeeze(1), state

    def read(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        """The logits after each of some tokens, (batch, time) → (batch, time, num_tokens), and the state after all."""
        x = self.drop(self.embed(ids) * self.width**0.5)
        first = tuple(t.transpose(0, 1).contiguous() for t in state)
        if self.cell == "lstm":
            memories, ends = self.recurrence(x, first)
        else:
            memories, end = self.recurrence(x, first[0])
            ends = (end,)
        out = self.narrow(self.drop(memories))
        return self.head(out), tuple(t.transpose(0, 1) for t in ends)
