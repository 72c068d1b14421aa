"""Curves of one number: a polynomial, and a sum of many bent lines, which can come close to any curve."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gradus.models.mlp import ACTIVATIONS


class Polynomial(nn.Module):
    """y = c[0]·x^degree + … + c[degree], with the highest power first, as ``numpy.polyfit`` gives them.

    Its coefficients begin at zero.

    Shapes: (batch, 1) → (batch, 1).
    """

    def __init__(self, degree: int) -> None:
        super().__init__()
        self.degree = degree
        self.coefficients = nn.Parameter(torch.zeros(degree + 1))

    def forward(self, x: Tensor) -> Tensor:
        powers = torch.vander(x.reshape(len(x)), self.degree + 1)
        return (powers @ self.coefficients)[:, None]


class SumOf(nn.Module):
    """y = offset + Σ c[i] · activation(b[i] + w[i]·x): so many pieces, each with a slope, a place and a height.

    Args:
        activation: one of relu, gelu, silu, tanh, sigmoid.
        width: how many pieces.
        reach: where the pieces bend to begin with: evenly between −reach and reach.

    Shapes: (batch, 1) → (batch, 1).
    """

    def __init__(self, activation: str, width: int, reach: float = 3.0) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"no activation '{activation}'; known: {', '.join(ACTIVATIONS)}.")
        self.activation, self.width, self.reach = activation, width, reach
        slopes = torch.randn(width)
        self.w = nn.Parameter(slopes)
        self.b = nn.Parameter(-slopes * torch.linspace(-reach, reach, width))
        self.c = nn.Parameter(torch.randn(width) / width**0.5)
        self.offset = nn.Parameter(torch.zeros(()))
        self.bend = ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        return (self.pieces(x).sum(dim=1) + self.offset)[:, None]

    def pieces(self, x: Tensor) -> Tensor:
        """What each piece adds: (batch, 1) → (batch, width)."""
        return self.c * self.bend(self.b + self.w * x.reshape(len(x), 1))
