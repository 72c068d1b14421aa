"""Whole-process wall clock to 97 % on MNIST: the course notes' own script shape against ``gradus train mnist``.

    python benchmarks/notes.py [--data MNIST_DIRECTORY] [--rounds 3]

Every figure is a process from its start to its end, imports included, in turns; the printed ratios are medians of the
ratios within a round. The notes' script (``benchmarks/notes_script.py``) stops as soon as it reaches 97 %. Ours runs
to the end of its budget, writes its checkpoints and log, and fits its baselines: once with the notes' network under
the defaults, once under the notes' own settings for as many epochs as their script needed. Then the recipe's CNN and
the notes' CNN in both memory layouts: the seconds of the same steps.
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


def layout(data: Path, model: str, layout: str, steps: int) -> float:
    """Milliseconds a step of training in a memory layout."""
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "run"
        arguments = ("--data", data, "--model", model, "--layout", layout, "--steps", steps, "--valid-every", "1 epoch")
        _, text = timed("-m", "gradus", "train", "mnist", *arguments, "--json", "--out", out)
    return 1000 * float(json.loads(text)["seconds"]["train"]) / steps


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
        row["gradus mnist --model mlp --epochs 2"] = ours(asked.data, "--model", "mlp", "--epochs", 2)
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
    print("\nmilliseconds a training step, contiguous and channels_last:")
    for model, steps in (("cnn", 150), ("notes-cnn", 400)):
        pairs = [tuple(layout(asked.data, model, kind, steps) for kind in ("contiguous", "channels_last"))
                 for _ in range(asked.rounds)]  # fmt: skip
        plain, last = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(a / b for a, b in pairs)
        print(f"  {model:<12} {plain:6.2f}  {last:6.2f}   {ratio:.2f} ×")


if __name__ == "__main__":
    main()
