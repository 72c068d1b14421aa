"""A convolutional network made to learn CIFAR-10 in seconds, after Keller Jordan's airbench (2024)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SpeedGroup(nn.Module):
    """A convolution, pooled to half the size, and a second one, each normalised and followed by a GELU.

    Shapes: (batch, channels_in, height, width) → (batch, channels_out, height // 2, width // 2).
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = _convolution(channels_in, channels_out), _norm(channels_out)
        self.conv2, self.norm2 = _convolution(channels_out, channels_out), _norm(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.norm1(F.max_pool2d(self.conv1(x), 2)))
        return F.gelu(self.norm2(self.conv2(x)))


class SpeedNet(nn.Module):
    """A whitening of 2×2 patches that is computed and not learnt, three groups of convolutions, a small linear head.

    Args:
        input_shape: (channels, height, width) of a picture, at least 20×20.
        num_outputs: logits.
        width: channels of the first group; the other two have four times as many.
        scale: of the logits: small ones at first keep the loss in bounds at a high learning rate.
        flips: when evaluated, average the logits of each picture and of its mirror image.

    Shapes: (batch, channels, height, width) → (batch, num_outputs).
    """

    def __init__(
        self, input_shape: tuple[int, ...], num_outputs: int, width: int = 64, scale: float = 1 / 9, flips: bool = True
    ) -> None:
        super().__init__()
        self.input_shape, self.num_outputs = tuple(input_shape), num_outputs
        self.width, self.scale, self.flips = width, scale, flips
        channels = input_shape[0]
        self.whitening = nn.Conv2d(channels, 8 * channels, 2)
        self.whitening.weight.requires_grad_(False)
        self.group1 = SpeedGroup(8 * channels, width)
        self.group2 = SpeedGroup(width, 4 * width)
        self.group3 = SpeedGroup(4 * width, 4 * width)
        self.head = nn.Linear(4 * width, num_outputs, bias=False)

    @torch.no_grad()
    def whiten(self, pictures: Tensor, epsilon: float = 5e-4) -> None:
        """Set the first layer so that 2×2 patches of these pictures, (rows, channels, height, width), come out white.

        Its filters are the eigenvectors of the patches' covariance over the roots of the eigenvalues, with both signs.
        """
        patches = pictures.unfold(2, 2, 1).unfold(3, 2, 1).permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(0, 2).double()
        values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
        filters = (vectors / (values + epsilon).sqrt()).T.reshape(-1, pictures.shape[1], 2, 2).flip(0)
        self.whitening.weight.copy_(torch.cat([filters, -filters]))
        assert self.whitening.bias is not None
        nn.init.zeros_(self.whitening.bias)

    def forward(self, x: Tensor) -> Tensor:
        logits = self._logits(x)
        return logits if self.training or not self.flips else (logits + self._logits(x.flip(-1))) / 2

    def _logits(self, x: Tensor) -> Tensor:
        x = self.group3(self.group2(self.group1(F.gelu(self.whitening(x)))))
        return self.head(x.amax(dim=(2, 3))) * self.scale


def _convolution(channels_in: int, channels_out: int) -> nn.Conv2d:
    """A 3×3 convolution whose first filters hand their input on."""
    conv = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
    nn.init.dirac_(conv.weight[: min(channels_in, channels_out)].data)
    return conv


def _norm(channels: int) -> nn.BatchNorm2d:
    """Normalisation over the batch with a bias that is learnt and a scale that isn't; it forgets soon."""
    norm = nn.BatchNorm2d(channels, eps=1e-12, momentum=0.4)
    norm.weight.requires_grad_(False)
    return norm
