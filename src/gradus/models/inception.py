"""Inception networks (Szegedy et al. 2014): several widths of view side by side, as in the course notes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gradus.models.cnn import Convolution


class InceptionBlock(nn.Module):
    """Four branches over the same input, their channels put together: 1×1, 5×5, two 3×3, and a pooled 1×1.

    Shapes: (batch, channels_in, height, width) → (batch, 11 · width / 2, height, width): 88 channels for a width of
    16, the course notes' numbers.
    """

    def __init__(self, channels_in: int, width: int = 16) -> None:
        super().__init__()
        wide = width * 3 // 2
        self.point = Convolution(channels_in, width, kernel=1)
        self.five = nn.Sequential(Convolution(channels_in, width, kernel=1), Convolution(width, wide, kernel=5))
        self.three = nn.Sequential(
            Convolution(channels_in, width, kernel=1), Convolution(width, wide), Convolution(wide, wide)
        )
        self.pooled = nn.Sequential(nn.AvgPool2d(3, stride=1, padding=1), Convolution(channels_in, wide, kernel=1))
        self.channels_out = width + 3 * wide

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.point(x), self.five(x), self.three(x), self.pooled(x)], dim=1)


class Inception(nn.Module):
    """A convolution, then inception blocks with pooling between them, then averaged.

    Args:
        input_shape: (channels, height, width) of a picture, at least 4×4.
        num_outputs: logits.
        width: channels of a block's narrowest branch.
        blocks: inception blocks; the picture is halved in size before each of the first two.
        dropout: the share of the averaged features that is dropped in training.

    Shapes: (batch, channels, height, width) → (batch, num_outputs).
    """

    def __init__(
        self, input_shape: tuple[int, ...], num_outputs: int, width: int = 16, blocks: int = 3, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.input_shape, self.num_outputs = tuple(input_shape), num_outputs
        self.width, self.blocks, self.dropout = width, blocks, dropout
        channels = width
        self.entrance = nn.Sequential(Convolution(input_shape[0], width), Convolution(width, width))
        self.inceptions = nn.Sequential()
        for number in range(blocks):
            block = InceptionBlock(channels, width)
            self.inceptions.append(nn.Sequential(nn.MaxPool2d(2), block) if number < 2 else block)
            channels = block.channels_out
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(channels, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.inceptions(self.entrance(x))
        return self.head(self.drop(x.mean(dim=(2, 3))))
