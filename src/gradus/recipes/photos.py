"""Rung 11: a folder of pictures per class, the user's own or the flowers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import gradus as gd
from gradus.recipes.rung import rung


@rung(
    11, data="--data: a folder per class, or a CSV", model="SpeedNet", target="flowers ≥ 0.75 from scratch", seconds=270
)
def photos(
    *,
    data: str | None = None,
    annotations: str | None = None,
    size: int = 40,
    framing: Literal["crop", "pad", "stretch"] = "crop",
    grey: bool | None = None,
    strict: bool = False,
    model: Literal["speed", "residual", "inception", "vgg", "cnn"] | None = None,
    width: int = 24,
    flip: bool = True,
    rotate: float = 15.0,
    zoom: float = 0.4,
    shift: int = 4,
    colour: float = 0.3,
    erase: float = 0.25,
    mixup: float = 0.3,
    label_smoothing: float = 0.1,
    epochs: int = 40,
    batch_size: int | None = None,
    optimizer: str = "muon",
    lr: float | str = 6e-3,
    weight_decay: float = 0.3,
    schedule: str = "one-cycle",
    ema: float = 0.99,
    workers: int | None = None,
    seed: int = 0,
    **settings: Any,
) -> gd.Run:
    """Tell photographs apart: decoding, augmentation, a network from scratch.

    Settings:
        data: a directory or zip archive with a folder per class, or with train, valid and test above them
        annotations: a CSV of path and label, and perhaps split, for pictures that lie anyhow
        size: pixels that every picture is brought to, each way
        framing: where a picture isn't square: crop (its middle), pad (with black) or stretch
        grey: one channel instead of three [decided by looking]
        strict: stop at a picture that can't be read, instead of naming it and leaving it out
        model: speed (of rung 12), residual, inception, vgg or cnn [speed; residual below 1,000 training pictures]
        width: channels of the first convolutions
        flip: mirror training pictures at random; speed and residual average their answers over both
        rotate: degrees that a training picture is turned by at most, either way
        zoom: share that a training picture is enlarged or shrunk by at most
        shift: pixels that a training picture is moved by at most, either way
        colour: share that brightness, contrast and saturation of a training picture change by at most
        erase: side of a square that is painted over in training pictures, as a share of theirs
        mixup: blend training pictures two by two; 0.2 blends mildly, 1 as it comes
        label_smoothing: share of each target that is spread over all classes
        batch_size: samples a step [64; fewer below 1,000 training pictures]
    """
    import torch

    # 1 data: decoded once, kept in the cache; changed at random in each epoch, on the device
    d = gd.data
    augment: list[Any] = [
        *([d.Flip()] if flip else []),
        *([d.Rotate(rotate, zoom)] if rotate or zoom else []),
        *([d.Shift(shift)] if shift else []),
        *([d.Colour(colour, colour, colour)] if colour else []),
        *([d.Erase(erase)] if erase else []),
        *([d.Mixup(mixup)] if mixup else []),
    ]
    pictures = d.pictures(
        data or _flowers(), annotations=annotations, size=size, framing=framing, grey=grey,
        seed=seed, augment=augment, workers=workers, strict=strict,
    )  # fmt: skip

    # 2 model: large pictures are halved at the door. Few pictures make few steps, too few for the small logits of speed
    size_of_train = len(pictures.splits["train"])
    model = model or ("residual" if size_of_train < 1000 else "speed")
    batch_size = batch_size or max(8, min(64, size_of_train // 16))
    shape, classes, stem = pictures.input_shape, pictures.num_outputs, 1 if size < 48 else 2 if size < 128 else 4
    network: Any
    if model == "speed":  # its first layer is computed from training pictures
        network = gd.models.SpeedNet(shape, classes, width=width, flips=flip)
        network.whiten(pictures.batch(torch.from_numpy(pictures.splits["train"][:2000])).all_inputs[0])
    elif model == "residual":
        network = gd.models.ResNet(shape, classes, width=width, blocks=(1, 1, 1, 1), stem=stem, flips=flip)
    elif model == "inception":
        network = gd.models.Inception(shape, classes, width=width)
    elif model == "vgg":
        network = gd.models.VGG(shape, classes, widths=(width, 2 * width, 4 * width, 4 * width))
    else:
        network = gd.models.CNN(shape, classes, width=width)

    # 3 objective: one class a picture
    task = gd.tasks.for_target(pictures, label_smoothing=label_smoothing)

    # 4 loop
    return gd.train(
        network, pictures, task, epochs=epochs, batch_size=batch_size, optimizer=optimizer, lr=lr,
        weight_decay=weight_decay, schedule=schedule, ema=ema, workers=workers, seed=seed, **settings,
    )  # fmt: skip


def _flowers() -> Path:
    """The set that the target is measured on, where somebody has put it."""
    try:
        return gd.data.find("flowers", None, "flowers.zip")
    except gd.UserError:
        raise gd.UserError(
            "photos: no pictures were given. Name a directory or zip archive with a folder per class: --data FOLDER."
        ) from None
