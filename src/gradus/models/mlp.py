"""Layers of affine maps with a nonlinearity between them; categories enter by embeddings."""

from __future__ import annotations

import torch
from torch import Tensor, nn

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


class MLP(nn.Module):
    """A multi-layer perceptron: ``MLP(784, 512, 256, 10)`` has two hidden layers.

    Args:
        widths: inputs, hidden layers and outputs, in order; at least two.
        activation: one of relu, gelu, silu, tanh, sigmoid, after each hidden layer.
        dropout: the share of each hidden layer that is dropped in training.
        batch_norm: normalise each hidden layer over the batch, before the activation.
        categories: how many codes each category has. The last len(categories) inputs are codes, and each is replaced
            by a learnt vector of about 1.6 · codes^0.56 numbers (fastai's rule), at most 50.
        skip: add a linear map of the inputs to the output, so that the hidden layers learn what a line leaves over.
        only: the places of the inputs that it reads, widths[0] of them; empty reads all.

    Shapes: (batch, …) with widths[0] numbers a sample → (batch, widths[-1]).
    """

    places: Tensor

    def __init__(
        self,
        *widths: int,
        activation: str = "relu",
        dropout: float = 0.0,
        batch_norm: bool = False,
        categories: tuple[int, ...] = (),
        skip: bool = False,
        only: tuple[int, ...] = (),
    ) -> None:
        super().__init__()
        if len(widths) < 2:
            raise ValueError(f"MLP needs at least the number of inputs and of outputs, not {widths}.")
        if activation not in ACTIVATIONS:
            raise ValueError(f"no activation '{activation}'; known: {', '.join(ACTIVATIONS)}.")
        self.widths, self.activation = widths, activation
        self.dropout, self.batch_norm, self.categories = dropout, batch_norm, tuple(categories)
        self.skip, self.only = skip, tuple(only)
        if only:
            self.register_buffer("places", torch.tensor(only), persistent=False)
        sizes = [min(50, round(1.6 * codes**0.56)) for codes in self.categories]
        self.embeddings = nn.ModuleList(nn.Embedding(*pair) for pair in zip(self.categories, sizes, strict=True))
        layers: list[nn.Module] = []
        width = inputs = widths[0] - len(self.categories) + sum(sizes)
        for hidden in widths[1:-1]:
            layers.append(nn.Linear(width, hidden))
            if batch_norm:
                layers.append(nn.BatchNorm1d(hidden))
            layers.append(ACTIVATIONS[activation]())
            if dropout:
                layers.append(nn.Dropout(dropout))
            width = hidden
        layers.append(nn.Linear(width, widths[-1]))
        self.layers = nn.Sequential(*layers)
        self.line = nn.Linear(inputs, widths[-1]) if skip else None

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        if self.only:
            x = x.index_select(1, self.places)
        if self.categories:
            numbers, codes = x.split([x.shape[1] - len(self.categories), len(self.categories)], dim=1)
            vectors = [table(code) for table, code in zip(self.embeddings, codes.long().unbind(1), strict=True)]
            x = torch.cat([numbers, *vectors], dim=1)
        out = self.layers(x)
        return out if self.line is None else out + self.line(x)
