"""A line: outputs = x · wᵀ + b, the first rung of every ladder."""

from __future__ import annotations

from torch import Tensor, nn


class Linear(nn.Module):
    """One affine map of all of a sample's numbers.

    Shapes: (batch, …) with num_inputs numbers a sample → (batch, num_outputs).
    """

    def __init__(self, num_inputs: int, num_outputs: int) -> None:
        super().__init__()
        self.num_inputs, self.num_outputs = num_inputs, num_outputs
        self.linear = nn.Linear(num_inputs, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.flatten(1))
