"""Pictures per second from JPEG files in class folders: ``gd.data.pictures`` against DataLoader with Pillow.

    python benchmarks/pictures.py [--files 50000] [--workers 2] [--rounds 3]

It paints the files (10 classes, 96 to 160 pixels a side, quality 90) into a temporary directory. Both sides then bring
every picture to 64×64, standardise it and hand out shuffled batches of 64 in the same process tree, in turns, with as
many worker processes. Ours decodes into its cache before the first batch; that time belongs to its first epoch. Memory
is the peak of each process tree's own pages (Pss of anonymous and shared memory; pages of files in the disk cache can
be given back and don't count).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

SIZE, BATCH, CLASSES, SEED = 64, 64, 10, 0


def paint(place: str, numbers: range) -> None:
    """The picture files of these numbers: smooth colours with some noise, which compress like photographs."""
    from PIL import Image

    for number in numbers:
        chance = np.random.default_rng(number)
        height, width = chance.integers(96, 161, 2)
        small = Image.fromarray(chance.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        smooth = np.asarray(small.resize((int(width), int(height)), Image.Resampling.BICUBIC), np.int16)
        noisy = smooth + chance.integers(-12, 13, smooth.shape, dtype=np.int16)
        file = Path(place) / f"class{number % CLASSES}" / f"{number:06}.jpg"
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(file, quality=90)


def ours(place: str, workers: int) -> list[float]:
    """Seconds of two epochs."""
    import gradus as gd
    from gradus.training import batches_of

    begun, seconds = time.perf_counter(), []
    data = gd.data.pictures(place, size=SIZE, valid=0.0, test=0.0, workers=workers)
    order = gd.data.Order(data.splits["train"], BATCH, seed=SEED)
    batches = batches_of(data, order)
    for epoch in range(2):
        for k in range(epoch * order.batches_per_epoch, (epoch + 1) * order.batches_per_epoch):
            batches(k)
        seconds.append(time.perf_counter() - begun)
        begun = time.perf_counter()
    return seconds


def rival(place: str, workers: int) -> list[float]:
    """Seconds of two epochs of a DataLoader over class folders, as torchvision's ImageFolder and transforms do it."""
    import torch
    from PIL import Image, ImageOps

    class Folder(torch.utils.data.Dataset[Any]):
        def __init__(self) -> None:
            classes = sorted(p.name for p in Path(place).iterdir())
            self.files = [(f, c) for c, name in enumerate(classes) for f in sorted((Path(place) / name).iterdir())]

        def __len__(self) -> int:
            return len(self.files)

        def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
            path, label = self.files[index]
            with path.open("rb") as file:
                picture = ImageOps.fit(Image.open(file).convert("RGB"), (SIZE, SIZE), Image.Resampling.BILINEAR)
            tensor = torch.from_numpy(np.array(picture)).permute(2, 0, 1).to(torch.float32).div(255)
            return tensor.sub_(0.5).div_(0.25), label

    begun, seconds = time.perf_counter(), []
    loader = torch.utils.data.DataLoader(Folder(), batch_size=BATCH, shuffle=True, num_workers=workers)
    for _ in range(2):
        for _batch in loader:
            pass
        seconds.append(time.perf_counter() - begun)
        begun = time.perf_counter()
    return seconds


def own_bytes(process: int) -> int:
    """Memory of a process and its children that is theirs: no pages of files."""
    total = 0
    for number in (process, *children(process)):
        try:
            lines = Path(f"/proc/{number}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        values = {line.split(":")[0]: int(line.split()[1]) for line in lines[1:]}
        total += 1024 * (values.get("Pss_Anon", 0) + values.get("Pss_Shmem", 0))
    return total


def children(process: int) -> list[int]:
    try:
        direct = [int(p) for p in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except OSError:
        return []
    return direct + [inner for child in direct for inner in children(child)]


def run(side: str, place: str, workers: int) -> tuple[list[float], float]:
    """Seconds of each epoch and the peak of memory in MB, of one side in a process of its own with an empty cache."""
    with tempfile.TemporaryDirectory(dir=Path(place).parent) as cache:
        begun = subprocess.Popen(
            [sys.executable, __file__, "--side", side, "--place", place, "--workers", str(workers)],
            stdout=subprocess.PIPE, text=True, env={**os.environ, "GRADUS_CACHE": cache},
        )  # fmt: skip
        peak = 0

        def look() -> None:
            nonlocal peak
            while begun.poll() is None:
                peak = max(peak, own_bytes(begun.pid))
                time.sleep(0.5)

        watcher = threading.Thread(target=look)
        watcher.start()
        out, _ = begun.communicate()
        watcher.join()
        if begun.returncode:
            raise SystemExit(f"{side} failed")
        return json.loads(out), peak / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=50_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=("ours", "rival"), help=argparse.SUPPRESS)
    parser.add_argument("--place", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.side:
        print(json.dumps({"ours": ours, "rival": rival}[asked.side](asked.place, asked.workers)))
        return
    root = tempfile.mkdtemp()
    try:
        place = Path(root) / "pictures"
        for number in range(CLASSES):
            (place / f"class{number}").mkdir(parents=True)
        parts = [(str(place), range(first, asked.files, 16)) for first in range(16)]
        with multiprocessing.Pool() as pool:
            pool.starmap(paint, parts)
        seen: dict[str, list[list[float]]] = {"ours": [], "rival": []}
        for number in range(asked.rounds):
            for side in ("ours", "rival") if number % 2 else ("rival", "ours"):
                seconds, memory = run(side, str(place), asked.workers)
                seen[side].append(seconds)
                rates = "  ".join(f"{asked.files / s:8,.0f}" for s in seconds)
                print(f"round {number + 1}  {side:<6} pictures/s by epoch {rates}   peak {memory:,.0f} MB", flush=True)
        for epoch in range(2):
            ratios = [b[epoch] / a[epoch] for a, b in zip(seen["ours"], seen["rival"], strict=True)]
            print(f"epoch {epoch + 1}: {statistics.median(ratios):.2f} × the DataLoader's pictures per second")
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
