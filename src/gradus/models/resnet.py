"""Residual networks (He et al. 2015): a block adds what it has learnt to what it was given."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gradus.models.cnn import Convolution


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut; where the size is halved or the channels grow, the shortcut follows.

    The second normalisation begins at zero, so that a fresh block passes its input on (Goyal et al. 2017).

    Shapes: (batch, channels_in, height, width) → (batch, channels_out, height / stride, width / stride).
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__()
        self.first = Convolution(channels_in, channels_out, stride=stride)
        self.second = Convolution(channels_out, channels_out, relu=False)
        nn.init.zeros_(self.second.norm.weight)
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut.append(nn.AvgPool2d(stride, ceil_mode=True))  # nothing is skipped over (He et al. 2018)
        if channels_in != channels_out:
            self.shortcut.append(Convolution(channels_in, channels_out, kernel=1, relu=False))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu_(self.second(self.first(x)) + self.shortcut(x))


class ResNet(nn.Module):
    """A stem, stages of residual blocks, each of half the size and twice the channels, then averaged.

    Args:
        input_shape: (channels, height, width) of a picture.
        num_outputs: logits.
        width: channels of the first stage.
        blocks: residual blocks in each stage.
        stem: 1 for small pictures; 2 or 4 divides a larger picture's height and width by that first.
        dropout: the share of the averaged features that is dropped in training.
        flips: when evaluated, average the logits of each picture and of its mirror image.

    Shapes: (batch, channels, height, width) → (batch, num_outputs).
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_outputs: int,
        width: int = 16,
        blocks: tuple[int, ...] = (2, 2, 2),
        stem: int = 1,
        dropout: float = 0.0,
        flips: bool = False,
    ) -> None:
        super().__init__()
        if stem not in (1, 2, 4):
            raise ValueError(f"stem divides a picture's size by 1, 2 or 4, not {stem}.")
        self.input_shape, self.num_outputs = tuple(input_shape), num_outputs
        self.width, self.blocks, self.stem, self.dropout = width, tuple(blocks), stem, dropout
        self.flips = flips
        kernel, stride = (3, 1) if stem == 1 else (5, 2)
        self.entrance = nn.Sequential(Convolution(input_shape[0], width, kernel, stride))
        if stem == 4:
            self.entrance.append(nn.MaxPool2d(3, 2, padding=1))
        self.stages = nn.Sequential()
        channels = width
        for number, count in enumerate(blocks):
            wide = width * 2**number
            stage = nn.Sequential(ResidualBlock(channels, wide, stride=1 if number == 0 else 2))
            for _ in range(count - 1):
                stage.append(ResidualBlock(wide, wide))
            self.stages.append(stage)
            channels = wide
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(channels, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        logits = self._logits(x)
        return logits if self.training or not self.flips else (logits + self._logits(x.flip(-1))) / 2

    def _logits(self, x: Tensor) -> Tensor:
        x = self.stages(self.entrance(x))
        return self.head(self.drop(x.mean(dim=(2, 3))))
