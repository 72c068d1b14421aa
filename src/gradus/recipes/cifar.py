"""Rung 12: the speed rung. Pictures stay on the device, Muon updates the filters, answers are averaged over flips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradus as gd
from gradus.recipes.rung import rung


@rung(12, data="downloaded (170 MB), or --data: folders", model="SpeedNet", target="cifar2 ≥ 0.95", seconds=60)
def cifar(
    *,
    data: str | None = None,
    width: int | None = None,
    padding: int = 2,
    erase: float = 0.0,
    epochs: int = 8,
    batch_size: int | None = None,
    optimizer: str = "muon",
    lr: float | str = 4e-3,
    weight_decay: float = 0.05,
    schedule: str = "one-cycle",
    seed: int = 0,
    **settings: Any,
) -> gd.Run:
    """Small colour pictures as fast as the machine goes: whitening, Muon, test-time flips.

    Settings:
        data: CIFAR-10's binary archive or directory, or any directory or archive with a folder per class
        width: channels of the first group, a quarter of the others' [16; 64 on a GPU]
        padding: pixels that a training picture is moved by at most, either way, with its border mirrored
        erase: side of a square that is painted over in training pictures, as a share of theirs
        batch_size: samples a step [128; 1000 on a GPU]
    """
    import torch

    fast = torch.accelerator.is_available() and settings.get("device") != "cpu"

    # 1 data
    augment: list[gd.data.Augmentation] = [
        gd.data.Flip(),
        gd.data.Crop(padding),
        *([gd.data.Erase(erase)] if erase else []),
    ]
    if data is None or _is_cifar(Path(data)):
        pictures = gd.data.cifar10(data, valid=0.05, seed=seed, augment=augment)
    else:
        workers = settings.get("workers")
        pictures = gd.data.pictures(data, size=32, valid=0.05, seed=seed, augment=augment, workers=workers)

    # 2 model: its first layer is computed from 5,000 training pictures
    model = gd.models.SpeedNet(pictures.input_shape, pictures.num_outputs, width=width or (64 if fast else 16))
    model.whiten(pictures.batch(torch.from_numpy(pictures.splits["train"][:5000])).all_inputs[0])

    # 3 objective
    task = gd.tasks.for_target(pictures)

    # 4 loop
    return gd.train(
        model, pictures, task, epochs=epochs, batch_size=batch_size or (1000 if fast else 128), optimizer=optimizer,
        lr=lr, weight_decay=weight_decay, schedule=schedule, seed=seed, **settings,
    )  # fmt: skip


def _is_cifar(path: Path) -> bool:
    """Whether a path is CIFAR-10's binary version rather than pictures of one's own."""
    return path.name.endswith(".tar.gz") or any(path.glob("cifar-10-bin*")) or any(path.glob("**/data_batch_1.bin"))
