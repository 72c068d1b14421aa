"""What it costs to be watched by the doctor: the same training steps with and without it, alternating, as ratios.

    python benchmarks/doctor_cost.py [--rounds 15]

Steps of an MLP (below a millisecond), of a CNN and of a small transformer (tens of milliseconds), on one thread, and
Gradus' own runs with and without their looks. The machine should be idle. Medians of paired ratios are printed.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradus import recipes
from gradus.doctor import run as doctor
from gradus.doctor.judge import Diagnosis
from gradus.doctor.signals import Signals
from gradus.doctor.watch import Watch
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


def seconds_of(make: Make, steps: int, watched: bool) -> float:
    """Seconds a step, of the second half of some steps."""
    torch.manual_seed(0)
    model, x, y = make()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    watch = Watch()
    if watched:
        watch.__enter__()
    try:
        for step in range(steps):
            if step == steps // 2:
                begun = time.perf_counter()
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x).flatten(0, -2), y.flatten())
            loss.backward()
            optimizer.step()
        return (time.perf_counter() - begun) / (steps - steps // 2)
    finally:
        if watched:
            watch.__exit__(None, None, None)


def compare(name: str, make: Make, steps: int, rounds: int) -> None:
    ratios, bare = [], []
    seconds_of(make, max(2, steps // 4), False)
    for turn in range(rounds):
        order = (True, False) if turn % 2 else (False, True)
        times = {watched: seconds_of(make, steps, watched) for watched in order}
        ratios.append(times[True] / times[False])
        bare.append(times[False])
    step = 1000 * statistics.median(bare)
    print(f"{name:<12} {step:8.2f} ms a step, watched {statistics.median(ratios):.3f} x ({_range(ratios)})", flush=True)


def own(rounds: int) -> None:
    """A run of ``digits`` with the doctor's looks and without them: its loop alone, and the whole of it."""
    parts = {name: getattr(doctor, name) for name in ("look_at_start", "look_at_end", "OnTheWay")}
    none = {
        "look_at_start": lambda prepared, settings: Signals(),
        "look_at_end": lambda prepared, directory, seen, summary: (seen, Diagnosis()),
        "OnTheWay": lambda prepared, directory, tell: Observer(),
    }

    def seconds(watched: bool) -> tuple[float, float]:
        for name, value in (parts if watched else none).items():
            setattr(doctor, name, value)
        with tempfile.TemporaryDirectory() as folder:
            begun = time.perf_counter()
            run = recipes.call("digits", {"quiet": True, "out": f"{folder}/run"})
            return run.summary["seconds"]["train"], time.perf_counter() - begun

    found = []
    seconds(True)
    for turn in range(rounds):
        order = (True, False) if turn % 2 else (False, True)
        times = {watched: seconds(watched) for watched in order}
        found.append((times, [with_ / without for with_, without in zip(times[True], times[False], strict=True)]))
    for name, value in parts.items():
        setattr(doctor, name, value)
    for place, what in enumerate(("own loop", "own runs")):
        bare = statistics.median(times[False][place] for times, _ in found)
        ratios = [pair[place] for _, pair in found]
        print(f"{what:<12} {bare:8.2f} s a run, looked at {statistics.median(ratios):.3f} x ({_range(ratios)})")


def _range(ratios: list[float]) -> str:
    return f"{min(ratios):.3f} to {max(ratios):.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    compare("mlp", mlp, 1000, rounds)
    compare("cnn", cnn, 60, max(3, rounds // 3))
    compare("transformer", transformer, 60, max(3, rounds // 3))
    own(max(3, rounds // 3))


if __name__ == "__main__":
    main()
