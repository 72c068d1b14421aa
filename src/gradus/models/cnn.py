"""Convolutional networks for small pictures: the course notes' plain one, and a better one of the same length."""

from __future__ import annotations

from torch import Tensor, nn


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
        stages: list[nn.Module] = []
        channels = input_shape[0]
        for stage, wide in enumerate((width, 2 * width, 4 * width)):
            if stage > 0:
                stages.append(nn.MaxPool2d(2))
            stages += [*convolution(channels, wide), *convolution(wide, wide)]
            channels = wide
        self.stages = nn.Sequential(*stages)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(channels, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.drop(self.stages(x).mean(dim=(2, 3))))


def convolution(channels_in: int, channels_out: int) -> tuple[nn.Module, ...]:
    """A 3×3 convolution that keeps the size, normalised over the batch, and a ReLU."""
    return (
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )
