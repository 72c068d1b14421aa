"""What it costs to be watched by the doctor: the same training steps with and without it, alternating, as ratios.

    python benchmarks/doctor_cost.py [--rounds 15]

Steps of an MLP (below a millisecond), of a CNN and of a small transformer (tens of milliseconds), on one thread, in
short turns with and without the watch, and Gradus' own runs with and without their looks. The machine should be idle.
Medians of paired ratios are printed.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from gradus import recipes
from gradus.doctor import run as doctor
from gradus.doctor.judge import Diagnosis
from gradus.doctor.signals import Signals
from gradus.doctor.watch import Watch
from gradus.doctor.watch.watching import EVERY
from gradus.training.loop import Observer

Make = Callable[[], tuple[nn.Module, Tensor, Tensor]]


def mlp() -> tuple[nn.Module, Tensor, Tensor]:
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
    return model, torch.randn(64, 64), torch.randint(10, (64,))


def cnn() -> tuple[nn.Module, Tensor, Tensor]:
    model = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.Flatten(), nn.Linear(4096, 10),
    )  # fmt: skip
    return model, torch.randn(64, 3, 32, 32), torch.randint(10, (64,))


def transformer() -> tuple[nn.Module, Tensor, Tensor]:
    layer = nn.TransformerEncoderLayer(128, 4, 256, dropout=0.1, batch_first=True)
    model = nn.Sequential(nn.Embedding(1000, 128), nn.TransformerEncoder(layer, 4), nn.Linear(128, 1000))
    return model, torch.randint(1000, (16, 64)), torch.randint(1000, (16, 64))


class Switch:
    """A watch that can be taken off and put on again in an instant, its state kept: for short turns."""

    def __init__(self) -> None:
        self.watch = Watch()
        self.watch.__enter__()
        self.names = [(owner, name, before, getattr(owner, name)) for owner, name, before in self.watch.patches._before]
        hooks: tuple[Any, ...] = (_global_optimizer_pre_hooks, _global_optimizer_post_hooks)
        self.hooks = [(held, dict(held)) for held in hooks]

    def turn(self, on: bool) -> None:
        for owner, name, before, after in self.names:
            setattr(owner, name, after if on else before)
        for held, own in self.hooks:
            held.clear()
            held.update(own if on else {})


def compare(name: str, make: Make, pairs: int) -> None:
    """Turns of 50 steps, of which one is looked at closely, with and without the watch."""
    trained: dict[bool, Callable[[], float]] = {}
    switch = Switch()
    for watched in (True, False):
        switch.turn(watched)
        trained[watched] = steps_of(make)
    ratios, bare = [], []
    for number in range(pairs + 1):
        times = {}
        for watched in (True, False) if number % 2 else (False, True):
            switch.turn(watched)
            times[watched] = trained[watched]()
        if number:  # the first turn looks closely at its first steps
            ratios.append(times[True] / times[False])
            bare.append(times[False])
    switch.turn(True)
    switch.watch.__exit__(None, None, None)
    step, ratio = 1000 * statistics.median(bare), statistics.median(ratios)
    low, _, high = statistics.quantiles(ratios, n=4)
    print(
        f"{name:<12} {step:8.2f} ms a step, watched {ratio:.3f} x (half of {pairs} pairs {low:.3f} to {high:.3f})",
        flush=True,
    )


def steps_of(make: Make) -> Callable[[], float]:
    """A model and its training: call it for 50 steps; seconds a step come back."""
    torch.manual_seed(0)
    model, x, y = make()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    def steps() -> float:
        begun = time.perf_counter()
        for _ in range(EVERY):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x).flatten(0, -2), y.flatten())
            loss.backward()
            optimizer.step()
        return (time.perf_counter() - begun) / EVERY

    return steps


def own(rounds: int) -> None:
    """Runs of ``digits`` with the doctor's looks and without: the loop, the whole, and the looks by themselves.

    Two runs of some seconds differ by more than the looks cost wherever other programs share the machine; so the
    looks are timed, too, and told as their share of the rest.
    """
    parts = {name: getattr(doctor, name) for name in ("look_at_start", "look_at_end", "OnTheWay")}
    spent = {"in the loop": 0.0, "around it": 0.0}

    def timed(where: str, look: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            begun = time.perf_counter()
            try:
                return look(*args, **kwargs)
            finally:
                spent[where] += time.perf_counter() - begun

        return call

    class Timed(doctor.OnTheWay):
        step = timed("in the loop", doctor.OnTheWay.step)

    with_looks = {name: timed("around it", parts[name]) for name in ("look_at_start", "look_at_end")}
    with_looks["OnTheWay"] = Timed
    without = {
        "look_at_start": lambda prepared, settings: Signals(),
        "look_at_end": lambda prepared, directory, seen, summary: (seen, Diagnosis()),
        "OnTheWay": lambda prepared, directory, tell: Observer(),
    }

    def seconds(watched: bool) -> tuple[float, float]:
        for name, value in (with_looks if watched else without).items():
            setattr(doctor, name, value)
        spent.update(dict.fromkeys(spent, 0.0))
        with tempfile.TemporaryDirectory() as folder:
            begun = time.perf_counter()
            run = recipes.call("digits", {"quiet": True, "out": f"{folder}/run"})
            return run.summary["seconds"]["train"], time.perf_counter() - begun

    bare, loops, wholes, shares = [], [], [], []
    seconds(True)
    for turn in range(rounds):
        times = {}
        for watched in (True, False) if turn % 2 else (False, True):
            times[watched] = seconds(watched)
            if watched:
                loop, whole = times[True]
                looks = sum(spent.values())
                shares.append((spent["in the loop"] / (loop - spent["in the loop"]), looks / (whole - looks)))
        bare.append(times[False])
        loops.append(times[True][0] / times[False][0])
        wholes.append(times[True][1] / times[False][1])
    for name, value in parts.items():
        setattr(doctor, name, value)
    for place, (what, ratios) in enumerate((("own loop", loops), ("own runs", wholes))):
        seconds_bare = statistics.median(each[place] for each in bare)
        share = 1 + statistics.median(pair[place] for pair in shares)
        print(
            f"{what:<12} {seconds_bare:8.2f} s a run, looked at {statistics.median(ratios):.3f} x ({_range(ratios)}), "
            f"by the looks' own time {share:.4f} x"
        )


def _range(ratios: list[float]) -> str:
    return f"{min(ratios):.3f} to {max(ratios):.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    compare("mlp", mlp, 20 * rounds)
    compare("cnn", cnn, max(3, rounds // 2))
    compare("transformer", transformer, max(3, rounds // 2))
    own(max(3, rounds // 2))


if __name__ == "__main__":
    main()
