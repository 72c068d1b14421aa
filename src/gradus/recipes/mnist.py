"""Rung 9: the course notes' digits, with their multi-layer perceptron, their CNN, and better ones."""

from __future__ import annotations

from typing import Any, Literal

import gradus as gd
from gradus.recipes.rung import rung

OURS: dict[str, Any] = dict(
    batch_size=128, optimizer="adamw", lr=3e-3, weight_decay=0.02, schedule="one-cycle", ema=0.995, shift=2
)
NOTES: dict[str, Any] = dict(batch_size=64, optimizer="sgd", lr=0.01, momentum=0.5, epochs=10, shift=0)
EPOCHS = {"cnn": 5, "mlp": 20, "notes-cnn": 10, "residual": 5, "inception": 5, "vgg": 5}


@rung(
    9,
    data="downloaded (12 MB), or --data: 28×28",
    model="MLP, CNN, ResNet, Inception, VGG",
    target="CNN accuracy ≥ 0.992",
    seconds=120,
)
def mnist(
    *,
    data: str | None = None,
    model: Literal["cnn", "mlp", "notes-cnn", "residual", "inception", "vgg"] = "cnn",
    notes: bool = False,
    epochs: int | None = None,
    batch_size: int | None = None,
    optimizer: str | None = None,
    lr: float | str | None = None,
    weight_decay: float | None = None,
    schedule: str | None = None,
    ema: float | None = None,
    shift: int | None = None,
    width: int = 16,
    seed: int = 0,
    **settings: Any,
) -> gd.Run:
    """The notes' networks on MNIST, under the notes' settings or under better ones.

    Settings:
        data: directory of the four IDX files
        model: mlp (the notes' 784-512-256-128-64-10), notes-cnn (their two 5×5 convolutions), cnn, residual,
            inception or vgg
        notes: train as the notes do: SGD 0.01, momentum 0.5, batch 64, 10 epochs, pictures as they are
        epochs: passes over the training rows [5; mlp 20, notes-cnn 10; with --notes 10]
        batch_size: samples a step [128; with --notes 64]
        optimizer: any optimiser of torch.optim by name [adamw; with --notes sgd]
        lr: learning rate [0.003; with --notes 0.01]
        weight_decay: weight decay [0.02; with --notes 0]
        schedule: learning rate over the run [one-cycle; with --notes constant]
        ema: decay of an average of the weights [0.995; with --notes none]
        shift: pixels that a training picture is moved by at most, either way [2; with --notes 0]
        width: channels of the first convolutions of cnn, residual, inception and vgg
    """
    typed: dict[str, Any] = dict(
        epochs=epochs, batch_size=batch_size, optimizer=optimizer, lr=lr, weight_decay=weight_decay,
        schedule=schedule, ema=ema, shift=shift,
    )  # fmt: skip
    usual = NOTES if notes else {**OURS, "epochs": EPOCHS[model]}
    if {"steps", "minutes"} & settings.keys():  # another budget was asked for
        usual = {key: value for key, value in usual.items() if key != "epochs"}
    settings = usual | settings | {key: value for key, value in typed.items() if value is not None}
    shift = settings.pop("shift")

    # 1 data
    augment = [gd.data.Shift(shift)] if shift else []
    pictures = gd.data.mnist(data, valid=0.05, seed=seed, augment=augment)

    # 2 model
    if model == "mlp":
        network: Any = gd.models.MLP(784, 512, 256, 128, 64, 10)
    elif model == "notes-cnn":
        network = gd.models.NotesCNN(pictures.input_shape, 10)
    elif model == "vgg":
        network = gd.models.VGG(pictures.input_shape, 10, widths=(width, 2 * width, 4 * width))
    else:
        kind = {"cnn": gd.models.CNN, "residual": gd.models.ResNet, "inception": gd.models.Inception}[model]
        network = kind(pictures.input_shape, 10, width=width)

    # 3 objective
    task = gd.tasks.MultiClass(pictures.labels)

    # 4 loop
    return gd.train(network, pictures, task, seed=seed, **settings)
