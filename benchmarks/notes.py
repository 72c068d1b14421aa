"""Whole-process wall clock to 97 % on MNIST: the course notes' own script shape against ``gradus train mnist``.

    python benchmarks/notes.py [--data MNIST_DIRECTORY] [--rounds 3]

Every figure is a process from its start to its end, imports included, in turns; the printed ratios are medians of the
ratios within a round. The notes' script (``benchmarks/notes_script.py``) stops as soon as it reaches 97 %. Ours runs
to the end of its budget, writes its checkpoints and log, and fits its baselines: once with the notes' network under
the defaults for one epoch, once under the notes' own settings for as many epochs as their script needed. Then the
networks of the rungs in both memory layouts.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
TARGET = 0.97


def timed(*command: object) -> tuple[float, str]:
    """The seconds that a process takes, and what it prints."""
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stderr}")
    return time.perf_counter() - begun, done.stdout


def notes(data: Path, workers: int) -> tuple[float, float, int]:
    """Seconds, accuracy and epochs of the notes' script."""
    seconds, text = timed(HERE / "notes_script.py", data, "--workers", workers, "--until", TARGET)
    reached = [float(v) for v in re.findall(r"accuracy ([\d.]+)", text)]
    return seconds, reached[-1], len(reached)


def ours(data: Path, *arguments: object) -> tuple[float, float]:
    """Seconds and test accuracy of ``gradus train mnist``."""
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "run"
        seconds, text = timed("-m", "gradus", "train", "mnist", "--data", data, "--json", "--out", out, *arguments)
    return seconds, json.loads(text)["metrics"]["test"]["accuracy"]


def layouts(rounds: int) -> None:
    """Print what forward and backward take in both memory layouts, in turns in this process, by network."""
    import torch

    import gradus as gd
    from gradus.training.machine import fastest, rehearsal

    networks = (
        ("digits' CNN", gd.models.CNN((1, 8, 8), 10, width=24), 64),
        ("mnist's CNN", gd.models.CNN((1, 28, 28), 10, width=16), 128),
        ("the notes' CNN", gd.models.NotesCNN((1, 28, 28), 10), 64),
        ("photos' SpeedNet", gd.models.SpeedNet((3, 40, 40), 10, width=24), 64),
        ("cifar's SpeedNet", gd.models.SpeedNet((3, 32, 32), 10, width=16), 128),
    )
    task, last = gd.tasks.MultiClass(tuple("0123456789")), torch.channels_last
    print("\nmilliseconds of forward and backward, contiguous and channels_last:")
    for name, model, size in networks:
        inputs, targets = torch.randn(size, *model.input_shape), torch.arange(size) % 10
        plain = gd.data.Batch(inputs, targets, targets)
        turned = gd.data.Batch(inputs.to(memory_format=last), targets, targets)
        pairs = [
            fastest(rehearsal(model, task, plain), rehearsal(model, task, turned, memory_format=last))
            for _ in range(rounds)
        ]
        before, after = (1000 * statistics.median(column) for column in zip(*pairs, strict=True))
        print(f"  {name:<18} {before:6.2f}  {after:6.2f}   {statistics.median(a / b for a, b in pairs):.2f} ×")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("GRADUS_DATA", "data")) / "mnist"
    parser.add_argument("--data", type=Path, default=default, help="directory of MNIST's four files")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    epochs = 10
    columns: dict[str, list[float]] = {}
    for number in range(asked.rounds):
        row: dict[str, tuple[float, float]] = {}
        for workers in (0, 2):
            seconds, accuracy, epochs = notes(asked.data, workers)
            row[f"notes' script, {workers} workers ({epochs} epochs)"] = seconds, accuracy
        row["gradus mnist --model mlp --epochs 1"] = ours(asked.data, "--model", "mlp", "--epochs", 1)
        like = ("--model", "mlp", "--notes", "--epochs", epochs)
        row[f"gradus mnist --model mlp --notes --epochs {epochs}"] = ours(asked.data, *like)
        best = min(seconds for name, (seconds, _) in row.items() if name.startswith("notes'"))
        for name, (seconds, accuracy) in row.items():
            kind = re.sub(r"\(.*|\d+$", "", name)
            columns.setdefault(kind, []).append(best / seconds)
            print(f"round {number + 1}  {name:<52} {seconds:7.1f} s  accuracy {accuracy:.4f}", flush=True)
    print("\nto 97 %, times as fast as the faster of the notes' scripts (median of rounds):")
    for kind, ratios in columns.items():
        print(f"  {kind:<52} {statistics.median(ratios):.2f} ×")
    layouts(asked.rounds)


if __name__ == "__main__":
    main()
