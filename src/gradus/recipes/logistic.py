"""Rung 3: from a number to a probability, and to "not sure"."""

from __future__ import annotations

from typing import Any

import numpy as np

import gradus as gd
from gradus.recipes.rung import rung

HARDNESS, SLOPE = 5.0, 1.0  # an even chance at five hours, and how fast it rises with the hour


@rung(3, data="built in: 2,000 students", model="Linear(1, 1)", target="calibrated within 0.05, abstains", seconds=6)
def logistic(
    *,
    students: int = 2000,
    unsure_low: float = 0.4,
    unsure_high: float = 0.6,
    epochs: int = 20,
    batch_size: int = 32,
    lr: float | str = 0.05,
    schedule: str = "cosine",
    weight_decay: float = 0.0,
    seed: int = 0,
    **settings: Any,
) -> gd.Run:
    """Hours of study in, the chance of passing out, and "unsure" where the chance is about even.

    Settings:
        students: how many are made up
        unsure_low: the answer is "unsure" from this probability …
        unsure_high: … up to this one
    """
    # 1 data: each student passes with probability σ(hours − 5)
    chance = np.random.Generator(np.random.Philox(seed))
    hours = chance.uniform(0, 10, students)
    passed = chance.uniform(size=students) < 1 / (1 + np.exp(-SLOPE * (hours - HARDNESS)))
    data = gd.data.arrays(hours[:, None], passed.astype(np.int64), normalise=True, seed=seed, labels=["fail", "pass"],
                          name="logistic")  # fmt: skip

    # 2 model: one weight and one bias; the task turns its output into a probability
    model = gd.models.Linear(1, 1)

    # 3 objective: cross-entropy, and the band in which the answer is "unsure"
    task = gd.tasks.Binary(labels=("fail", "pass"), unsure=(unsure_low, unsure_high))

    # 4 loop
    return gd.train(
        model, data, task,
        epochs=epochs, batch_size=batch_size, lr=lr, schedule=schedule, weight_decay=weight_decay, seed=seed,
        **settings,
    )  # fmt: skip
