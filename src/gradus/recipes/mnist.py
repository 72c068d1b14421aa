"""Rung 9: the course notes' digits, with their multi-layer perceptron, their CNN, and better ones."""

from __future__ import annotations

from typing import Any, Literal

import gradus as gd
from gradus.recipes.rung import rung

# what the notes train with; everything here can be changed by a flag as well
NOTES: dict[str, Any] = {
    "optimizer": "sgd", "lr": 0.01, "momentum": 0.5, "schedule": "constant", "epochs": 10, "batch_size": 64,
    "weight_decay": 0.0, "ema": None, "shift": 0,
}  # fmt: skip


@rung(9, data="mnist/ or --data: 70,000 scans, 28×28", model="MLP, CNN", target="CNN accuracy ≥ 0.992", seconds=100)
def mnist(
    *,
    data: str | None = None,
    model: Literal["cnn", "mlp", "notes-cnn"] = "cnn",
    notes: bool = False,
    epochs: int | None = None,
    batch_size: int = 128,
    optimizer: str = "adamw",
    lr: float = 3e-3,
    momentum: float | None = None,
    weight_decay: float = 0.02,
    schedule: str = "one-cycle",
    ema: float | None = 0.995,
    shift: int = 2,
    width: int = 16,
    seed: int = 0,
    **settings: Any,
) -> gd.Run:
    """The notes' networks on MNIST, under the notes' settings or under better ones.

    Settings:
        data: directory of the four IDX files
        model: cnn, mlp (the notes' 784-512-256-128-64-10) or notes-cnn (the notes' two 5×5 convolutions)
        notes: train as the notes do: plain SGD 0.01, momentum 0.5, batch 64, 10 epochs, pictures as they are
        shift: pixels that a training picture is moved by at most, either way
        width: channels of the first convolutions of cnn
    """
    chosen: dict[str, Any] = dict(
        optimizer=optimizer, lr=lr, momentum=momentum, weight_decay=weight_decay, schedule=schedule,
        epochs=epochs or {"cnn": 5, "mlp": 20, "notes-cnn": 10}[model], batch_size=batch_size, ema=ema, shift=shift,
    )  # fmt: skip
    if notes:
        chosen |= NOTES
    shift = chosen.pop("shift")

    # 1 data
    augment = [gd.data.Shift(shift)] if shift else []
    pictures = gd.data.mnist(data, valid=0.05, seed=seed, augment=augment)

    # 2 model
    if model == "mlp":
        network: Any = gd.models.MLP(784, 512, 256, 128, 64, 10)
    elif model == "notes-cnn":
        network = gd.models.NotesCNN(pictures.input_shape, 10)
    else:
        network = gd.models.CNN(pictures.input_shape, 10, width=width)

    # 3 objective
    task = gd.tasks.MultiClass(pictures.labels)

    # 4 loop
    return gd.train(network, pictures, task, seed=seed, **{**chosen, **settings})
