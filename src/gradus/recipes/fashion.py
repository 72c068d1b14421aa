"""Rung 10: the same code as for digits, on pictures that are harder to tell apart."""

from __future__ import annotations

from typing import Any, Literal

import gradus as gd
from gradus.recipes.rung import rung


@rung(10, data="downloaded (31 MB), or --data: 28×28", model="CNN", target="accuracy ≥ 0.92", seconds=180)
def fashion(
    *,
    data: str | None = None,
    model: Literal["cnn", "residual", "inception", "vgg"] = "cnn",
    width: int = 16,
    flip: bool = True,
    shift: int = 2,
    epochs: int = 8,
    batch_size: int = 128,
    lr: float | str = 3e-3,
    weight_decay: float = 0.05,
    schedule: str = "one-cycle",
    ema: float = 0.995,
    seed: int = 0,
    **settings: Any,
) -> gd.Run:
    """Tell clothes apart: Zalando's Fashion-MNIST.

    Settings:
        data: directory of the four IDX files
        model: cnn, residual, inception or vgg
        width: channels of the first convolutions
        flip: mirror training pictures at random; no good for digits
        shift: pixels that a training picture is moved by at most, either way
    """
    # 1 data: a shirt mirrored is a shirt
    augment: list[gd.data.Augmentation] = [
        *([gd.data.Flip()] if flip else []),
        *([gd.data.Shift(shift)] if shift else []),
    ]
    clothes = gd.data.fashion(data, valid=0.05, seed=seed, augment=augment)

    # 2 model
    build = {
        "cnn": gd.models.CNN, "residual": gd.models.ResNet, "inception": gd.models.Inception, "vgg": gd.models.VGG,
    }[model]  # fmt: skip
    size = {"widths": (width, 2 * width, 4 * width)} if model == "vgg" else {"width": width}
    network = build(clothes.input_shape, clothes.num_outputs, **size)

    # 3 objective
    task = gd.tasks.MultiClass(clothes.labels)

    # 4 loop
    return gd.train(
        network, clothes, task, epochs=epochs, batch_size=batch_size, lr=lr, weight_decay=weight_decay,
        schedule=schedule, ema=ema, seed=seed, **settings,
    )  # fmt: skip
