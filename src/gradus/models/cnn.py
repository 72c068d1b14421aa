"""Plain convolutional networks for pictures: the course notes' one, a better one of the same length, and a deep stack.

``Convolution`` is the part that the other networks of this room are built from too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Convolution(nn.Module):
    """A convolution that keeps the size (or halves it, with stride 2), normalised over the batch, and a ReLU.

    Shapes: (batch, channels_in, height, width) → (batch, channels_out, height / stride, width / stride).
    """

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int = 3, stride: int = 1, relu: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(channels_out)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x))
        return torch.relu_(x) if self.relu else x


class NotesCNN(nn.Module):
    """The course notes' first CNN: two 5×5 convolutions of 10 and 20 channels, each pooled, and one affine map.

    Shapes: (batch, channels, height, width), at least 16×16 → (batch, num_outputs).
    """

    def __init__(self, input_shape: tuple[int, ...], num_outputs: int) -> None:
        super().__init__()
        self.input_shape, self.num_outputs = tuple(input_shape), num_outputs
        channels, height, width = input_shape
        self.convolutions = nn.Sequential(
            nn.Conv2d(channels, 10, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(10, 20, 5), nn.MaxPool2d(2), nn.ReLU()
        )
        rows, columns = (((n - 4) // 2 - 4) // 2 for n in (height, width))
        self.head = nn.Linear(20 * rows * columns, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.convolutions(x).flatten(1))


class CNN(nn.Module):
    """Three stages of two 3×3 convolutions with batch normalisation, halved in size between them, then averaged.

    Args:
        input_shape: (channels, height, width) of a picture, at least 8×8.
        num_outputs: logits.
        width: channels of the first stage; the second and third have twice and four times as many.
        dropout: the share of the averaged features that is dropped in training.

    Shapes: (batch, channels, height, width) → (batch, num_outputs).
    """

    def __init__(self, input_shape: tuple[int, ...], num_outputs: int, width: int = 24, dropout: float = 0.0) -> None:
        super().__init__()
        self.input_shape, self.num_outputs = tuple(input_shape), num_outputs
        self.width, self.dropout = width, dropout
        self.stage1 = nn.Sequential(Convolution(input_shape[0], width), Convolution(width, width))
        self.stage2 = nn.Sequential(nn.MaxPool2d(2), Convolution(width, 2 * width), Convolution(2 * width, 2 * width))
        self.stage3 = nn.Sequential(
            nn.MaxPool2d(2), Convolution(2 * width, 4 * width), Convolution(4 * width, 4 * width)
        )
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(4 * width, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stage3(self.stage2(self.stage1(x)))
        return self.head(self.drop(x.mean(dim=(2, 3))))


class VGG(nn.Module):
    """A stack of 3×3 convolutions, pooled after each stage, with a hidden layer at its end (Simonyan, Zisserman 2014).

    Args:
        input_shape: (channels, height, width) of a picture, at least 2 to the number of stages each way.
        num_outputs: logits.
        widths: channels of each stage.
        depth: convolutions in each stage.
        hidden: width of the hidden layer.
        dropout: the share of the hidden layer that is dropped in training.

    Shapes: (batch, channels, height, width) → (batch, num_outputs).
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_outputs: int,
        widths: tuple[int, ...] = (16, 32, 64),
        depth: int = 2,
        hidden: int = 128,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        self.input_shape, self.num_outputs = tuple(input_shape), num_outputs
        self.widths, self.depth, self.hidden, self.dropout = tuple(widths), depth, hidden, dropout
        channels, height, width = input_shape
        self.stages = nn.Sequential()
        for wide in widths:
            first = Convolution(channels, wide)
            more = [Convolution(wide, wide) for _ in range(depth - 1)]
            self.stages.append(nn.Sequential(first, *more, nn.MaxPool2d(2)))
            channels, height, width = wide, height // 2, width // 2
        self.hidden_layer = nn.Sequential(nn.Linear(channels * height * width, hidden), nn.ReLU(), nn.Dropout(dropout))
        self.head = nn.Linear(hidden, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.hidden_layer(self.stages(x).flatten(1)))
