"""What saving costs: a model of 100 M weights under Adam, a checkpoint of 1.2 GB, saved every 30 seconds.

    python benchmarks/checkpoint.py [--seconds 150] [--every 30] [--rounds 3] [--device cpu] [--small] [--json FILE]

Five variants train the same MLP on the same tensors for the same number of steps, which is chosen by timing to take
``--seconds``. Each is a process of its own, and the order of the turns is reversed every round:

- ours, no saves: a whole ``gd.train`` whose interval is longer than the run;
- ours: ``gd.train(save_every="30 s")``, which copies the state and writes it in the background;
- torch.save: our loop, in which ``torch.save`` of model and optimiser is called and waited for, to two files by turns;
- lightning, no saves; lightning: its Trainer with ``ModelCheckpoint(train_time_interval=30 s)``, where it is installed.

The clock runs from the end of the warm-up to the last step, so the saves at the very beginning and at the very end of a
run are in none of them. The slow-down is against the same loop without saves in the same round, as the median over the
rounds. ``waited`` is how long training stood still for one save.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gradus as gd
from gradus.training.checkpoint import Snapshot
from gradus.training.loop import Observer
from gradus.training.saving import Checkpoints
from gradus.training.state import TrainState

WARM = 3  # steps before the clock starts
ROWS = 4096
NEVER = 1e9  # seconds
AGAINST = {"ours": "ours, no saves", "torch.save": "ours, no saves", "lightning": "lightning, no saves"}


@dataclass
class Work:
    """What a variant does: so many steps of training, with a save every so many seconds, in a directory."""

    steps: int
    every: float
    device: str
    small: bool
    out: Path

    @property
    def widths(self) -> tuple[int, ...]:
        return (64, 1024, 1024, 10) if self.small else (1024, 6656, 6656, 6656, 1000)

    @property
    def batch_size(self) -> int:
        return 1024 if self.small else 128

    def build(self) -> nn.Module:
        torch.manual_seed(0)
        return gd.models.MLP(*self.widths)

    def data(self) -> tuple[Tensor, Tensor]:
        chance = torch.Generator().manual_seed(0)
        inputs = torch.randn(ROWS, self.widths[0], generator=chance)
        return inputs, torch.randint(0, self.widths[-1], (ROWS,), generator=chance)

    def settings(self) -> dict[str, Any]:
        return {
            "steps": self.steps, "batch_size": self.batch_size, "optimizer": "adam", "lr": 1e-4, "quiet": True,
            "device": self.device, "precision": "fp32", "layout": "contiguous",
        }  # fmt: skip


class Taken:
    """What a variant has taken: seconds between two steps, and for each save its bytes and how long training waited."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.marks: dict[int, float] = {}
        self.waits: list[float] = []
        self.bytes = 0

    def mark(self, step: int) -> None:
        """After a step."""
        if step in (WARM, self.work.steps):
            synchronise(self.work.device)
            self.marks[step] = time.perf_counter()

    @contextlib.contextmanager
    def waiting(self) -> Any:
        """Around what training waits for."""
        begun = time.perf_counter()
        yield
        self.waits.append(time.perf_counter() - begun)

    def result(self) -> dict[str, float]:
        seconds = self.marks[self.work.steps] - self.marks[WARM]
        waited = sum(self.waits) / len(self.waits) if self.waits else 0.0
        return {"seconds": seconds, "saves": len(self.waits), "waited": waited, "bytes": self.bytes}


def ours(work: Work, every: float) -> Taken:
    """A whole ``gd.train``."""
    taken = Taken(work)
    look, begin, write = Checkpoints.step, Checkpoints._begin, Snapshot.write

    def watched_step(self: Checkpoints, state: TrainState) -> None:
        look(self, state)  # the last of the observers
        taken.mark(state.step)

    def timed_begin(self: Checkpoints, state: TrainState, *, in_background: bool = True) -> None:
        with taken.waiting():
            begin(self, state, in_background=in_background)

    def weighed_write(self: Snapshot, directory: Path, keep: int) -> int:
        taken.bytes = write(self, directory, keep)
        return taken.bytes

    Checkpoints.step, Checkpoints._begin, Snapshot.write = watched_step, timed_begin, weighed_write  # type: ignore[method-assign]
    data = gd.data.arrays(*work.data(), valid=0.0, test=0.0)
    gd.train(work.build(), data, save_every=f"{every:.1f} s", out=str(work.out / "run"), **work.settings())
    return taken


def plain_save(work: Work, every: float) -> Taken:
    """Our loop in memory, with ``torch.save`` in it."""
    taken = Taken(work)

    class Saves(Observer):
        last = time.perf_counter()

        def step(self, state: TrainState) -> None:
            if time.perf_counter() - self.last >= every:
                synchronise(work.device)
                with taken.waiting():
                    file = work.out / f"{len(taken.waits) % 2}.pt"
                    torch.save({"model": state.model.state_dict(), "optimizer": state.optimizer.state_dict()}, file)
                taken.bytes, self.last = file.stat().st_size, time.perf_counter()
            taken.mark(state.step)

    data = gd.data.arrays(*work.data(), valid=0.0, test=0.0)
    gd.fit(work.build(), data, observers=[Saves()], **work.settings())
    return taken


def lightning(work: Work, every: float) -> Taken:
    """Lightning's Trainer and its ModelCheckpoint, which keeps the newest two."""
    import lightning as lit
    from lightning.pytorch.callbacks import Callback, ModelCheckpoint

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_float32_matmul_precision("high")  # as ours
    taken = Taken(work)

    class Module(lit.LightningModule):  # type: ignore[misc, unused-ignore]  # absent, it is Any
        def __init__(self) -> None:
            super().__init__()
            self.model = work.build()

        def training_step(self, batch: Any, index: int) -> Tensor:
            return F.cross_entropy(self.model(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=1e-4, fused=True)

    class Marks(Callback):  # type: ignore[misc, unused-ignore]
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            taken.mark(trainer.global_step)

    class Saves(ModelCheckpoint):  # type: ignore[misc, unused-ignore]
        def _save_checkpoint(self, trainer: Any, filepath: str) -> None:
            synchronise(work.device)
            with taken.waiting():
                super()._save_checkpoint(trainer, filepath)
            taken.bytes = Path(filepath).stat().st_size

    interval = datetime.timedelta(seconds=every)
    saves = Saves(work.out, monitor="step", mode="max", save_top_k=2, train_time_interval=interval)
    rows = torch.utils.data.TensorDataset(*work.data())
    batches = torch.utils.data.DataLoader(rows, batch_size=work.batch_size, shuffle=True)
    with open(os.devnull, "w") as void, contextlib.redirect_stdout(void), contextlib.redirect_stderr(void):
        trainer = lit.Trainer(
            max_steps=work.steps, max_epochs=-1, accelerator="cpu" if work.device == "cpu" else "auto", devices=1,
            logger=False, default_root_dir=work.out, enable_progress_bar=False, enable_model_summary=False,
            enable_checkpointing=every != NEVER, callbacks=[Marks(), *([saves] if every != NEVER else [])],
        )  # fmt: skip
        trainer.fit(Module(), batches)
    return taken


VARIANTS: dict[str, Callable[[Work], Taken]] = {
    "ours, no saves": lambda work: ours(work, NEVER),
    "ours": lambda work: ours(work, work.every),
    "torch.save": lambda work: plain_save(work, work.every),
    "lightning, no saves": lambda work: lightning(work, NEVER),
    "lightning": lambda work: lightning(work, work.every),
}


def synchronise(device: str) -> None:
    if device != "cpu":
        torch.accelerator.synchronize()


def in_its_own_process(variant: str, work: Work) -> dict[str, float]:
    """Run a variant in a fresh process and a fresh directory, when the disk has nothing left to write."""
    with tempfile.TemporaryDirectory(dir=work.out) as out:
        os.sync()
        given = json.dumps({**asdict(work), "out": out})
        command = [sys.executable, __file__, "--variant", variant, "--work", given]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{variant}: {done.stderr}")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=150.0, help="of training in each variant")
    parser.add_argument("--every", type=float, default=30.0, help="seconds between two saves")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--small", action="store_true", help="a model of 1.1 M weights, to try it out")
    parser.add_argument("--out", type=Path, default=Path(), help="a directory on the disk to be measured, 4 GB free")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("--variant", help=argparse.SUPPRESS)
    parser.add_argument("--work", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    if given.variant:
        work = Work(**{**given.work, "out": Path(given.work["out"])})
        print(json.dumps(VARIANTS[given.variant](work).result()))
        return
    names = [name for name in VARIANTS if "lightning" not in name or find_spec("lightning")]
    work = Work(WARM + 10, NEVER, given.device, given.small, given.out.resolve())
    step = in_its_own_process("ours, no saves", work)["seconds"] / 10
    work.steps, work.every = WARM + max(10, round(given.seconds / step)), given.every
    weights = sum(p.numel() for p in work.build().parameters())
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {given.device}, load {os.getloadavg()[0]:.2f} "
        f"before; {weights / 1e6:.1f} M weights, {work.steps} steps of {step:.3f} s, a save every {work.every:g} s"
    )
    rounds: list[dict[str, dict[str, float]]] = []
    for number in range(given.rounds):
        turns = names if number % 2 == 0 else names[::-1]
        rounds.append({name: in_its_own_process(name, work) for name in turns})
        print(f"round {number + 1} of {given.rounds} done", file=sys.stderr)
    print(f"{'':<22}{'steps/s':>9}{'slower by':>12}{'saves':>8}{'waited':>12}{'bytes':>16}")
    figures: dict[str, dict[str, float]] = {}
    for name in names:
        row = {key: statistics.median(turn[name][key] for turn in rounds) for key in rounds[0][name]}
        row["rate"] = (work.steps - WARM) / row["seconds"]
        slower = "–"
        if name in AGAINST:
            ratios = [turn[name]["seconds"] / turn[AGAINST[name]]["seconds"] for turn in rounds]
            row["slower"] = statistics.median(ratios) - 1
            slower = f"{100 * row['slower']:.2f} %"
        saves = f"{row['saves']:>8.0f}{row['waited']:>10.3f} s{row['bytes']:>16,.0f}" if row["saves"] else f"{0:>8}"
        print(f"{name:<22}{row['rate']:>9.3f}{slower:>12}{saves}")
        figures[name] = row
    if given.json:
        given.json.write_text(json.dumps({"figures": figures, "rounds": rounds}, indent=1))


if __name__ == "__main__":
    main()
