"""Rung 8: the first pictures, and the first command of the README."""

from __future__ import annotations

from typing import Any

import gradus as gd
from gradus.recipes.rung import rung


@rung(8, data="built in: 1,797 scans, 8×8", model="CNN", target="accuracy ≥ 0.985", seconds=10)
def digits(
    *,
    epochs: int = 20,
    batch_size: int = 64,
    lr: float | str = 4e-3,
    schedule: str = "one-cycle",
    ema: float = 0.98,
    width: int = 24,
    shift: int = 1,
    seed: int = 0,
    **settings: Any,
) -> gd.Run:
    """Tell handwritten digits apart by a small convolutional network.

    Settings:
        width: channels of the first convolutions
        shift: pixels that a training picture is moved by at most, either way
    """
    # 1 data: scikit-learn's scans; each is moved a little, differently in each epoch
    augment = [gd.data.Shift(shift)] if shift else []
    data = gd.data.digits(valid=0.05, seed=seed, augment=augment)

    # 2 model
    model = gd.models.CNN(data.input_shape, data.num_outputs, width=width)

    # 3 objective: ten classes, cross-entropy
    task = gd.tasks.MultiClass(data.labels)

    # 4 loop
    return gd.train(
        model, data, task,
        epochs=epochs, batch_size=batch_size, lr=lr, schedule=schedule, ema=ema, seed=seed, **settings,
    )  # fmt: skip
