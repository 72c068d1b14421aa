"""Seconds per step: gradus against a hand-tuned bare loop, the usual DataLoader loop, and Lightning.

    python benchmarks/overhead.py [--rounds 15] [--only one-weight,mlp] [--json FILE]

All four train the same module on the same tensors with the same fused AdamW, in one process, in turns of about a
second, so that a busy moment of the machine hurts all alike; each figure is the median over the rounds of the ratio
within a round. Ours is a whole ``gd.train`` with everything on that a run has: metrics log, progress, checkpoints. Its
seconds a step are taken between two lines of its metrics log, which leaves out what happens once a run (the first
steps), as the clock of the others does; the share that a checkpoint takes of its default interval, timed in the same
run, is put on top. Lightning runs twice: as it comes (progress bar, CSV log of the loss, checkpoints), which is like
for like, and with all of that off.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import logging
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F

import gradus as gd
from gradus.training.progress import _console

WARM = 20  # steps before the clock starts


@dataclass
class Case:
    """A model, its data and how many steps take about a second."""

    build: Callable[[], nn.Module]
    inputs: Tensor
    targets: Tensor
    batch_size: int
    steps: int

    @property
    def loss(self) -> Callable[[Tensor, Tensor], Tensor]:
        if self.targets.is_floating_point():
            return lambda outputs, targets: F.mse_loss(outputs.squeeze(-1), targets)
        return F.cross_entropy


def cases(scale: float) -> dict[str, Case]:
    chance = torch.Generator().manual_seed(0)
    pictures, classes = torch.randn(20_000, 784, generator=chance), torch.randint(0, 10, (20_000,), generator=chance)
    x = torch.randn(6_400, 1, generator=chance)
    wide = gd.models.MLP(784, 2200, 2200, 1500, 10)

    def steps(n: int) -> int:
        return max(3 * WARM, int(n * scale))

    return {
        "one-weight": Case(lambda: gd.models.Linear(1, 1), x, 2 * x[:, 0], 64, steps(4_000)),
        "mlp 784-128-10": Case(lambda: gd.models.MLP(784, 128, 10), pictures, classes, 64, steps(1_200)),
        "notes' five-layer mlp": Case(
            lambda: gd.models.MLP(784, 512, 256, 128, 64, 10), pictures, classes, 64, steps(400)
        ),
        "notes' cnn": Case(
            lambda: gd.models.NotesCNN((1, 28, 28), 10), pictures.view(-1, 1, 28, 28), classes, 64, steps(160)
        ),
        f"mlp of {sum(p.numel() for p in wide.parameters()) / 1e6:.1f} M": Case(
            lambda: gd.models.MLP(784, 2200, 2200, 1500, 10), pictures, classes, 64, steps(60)
        ),
    }


def ours(case: Case, device: str) -> float:
    """Seconds a step of ``gd.train``, between the first line of its log past the warm-up and the last one."""
    torch.manual_seed(0)
    data = gd.data.arrays(case.inputs, case.targets, valid=0.0, test=0.0)
    with tempfile.TemporaryDirectory() as out:
        # contiguous and fp32, as the others: the choices that gradus would make faster with are left out
        run = gd.train(
            case.build(), data, steps=case.steps, batch_size=case.batch_size, optimizer="adamw", lr=1e-3, device=device,
            layout="contiguous", precision="fp32", out=f"{out}/run", log_every=10,
        )  # fmt: skip
        save = run.summary["seconds"]["save"]  # there was one, at the end
        lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    first = next(line for line in lines if line["step"] >= WARM)
    step = (lines[-1]["seconds"] - first["seconds"]) / (lines[-1]["step"] - first["step"])
    return float(step * (1 + save / max(30.0, 50 * save)))


def bare(case: Case, device: str) -> float:
    """The hand-tuned loop: tensors on the device, a permutation an epoch, gather by index, fused optimiser."""
    torch.manual_seed(0)
    model = case.build().to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    inputs, targets, loss_of = case.inputs.to(device), case.targets.to(device), case.loss
    n, done, begun = len(inputs), 0, 0.0
    while done < case.steps:
        order = torch.randperm(n).to(device)
        for start in range(0, n, case.batch_size):
            if done == WARM:
                synchronise(device)
                begun = time.perf_counter()
            rows = order[start : start + case.batch_size]
            loss = loss_of(model(inputs[rows]), targets[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            done += 1
            if done == case.steps:
                break
    synchronise(device)
    return (time.perf_counter() - begun) / (done - WARM)


def dataloader(case: Case, device: str) -> float:
    """The loop of the tutorials: DataLoader, its collation, ``loss.item()`` every step."""
    torch.manual_seed(0)
    model = case.build().to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    rows = torch.utils.data.TensorDataset(case.inputs, case.targets)
    loader = torch.utils.data.DataLoader(rows, batch_size=case.batch_size, shuffle=True)
    loss_of, done, begun, running = case.loss, 0, 0.0, 0.0
    while done < case.steps:
        for x, y in loader:
            if done == WARM:
                begun = time.perf_counter()
            optimizer.zero_grad()
            loss = loss_of(model(x.to(device)), y.to(device))
            loss.backward()
            optimizer.step()
            running += loss.item()
            done += 1
            if done == case.steps:
                break
    synchronise(device)
    return (time.perf_counter() - begun) / (done - WARM)


def lightning(case: Case, device: str, everything: bool = True) -> float:
    """Lightning's Trainer on a DataLoader, as it comes or with everything off that can be."""
    import lightning as lit
    from lightning.pytorch.loggers import CSVLogger

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    marks: dict[int, float] = {}

    class Module(lit.LightningModule):  # type: ignore[misc, unused-ignore]  # absent, it is Any
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.model = case.build()

        def training_step(self, batch: Any, index: int) -> Tensor:
            x, y = batch
            loss = case.loss(self.model(x), y)
            if everything:
                self.log("loss", loss, prog_bar=True)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), lr=1e-3, fused=True)

        def on_train_batch_end(self, outputs: Any, batch: Any, index: int) -> None:
            if self.global_step in (WARM, case.steps):  # before what happens once a run
                marks[self.global_step] = time.perf_counter()

    rows = torch.utils.data.TensorDataset(case.inputs, case.targets)
    loader = torch.utils.data.DataLoader(rows, batch_size=case.batch_size, shuffle=True)
    with tempfile.TemporaryDirectory() as out, open(os.devnull, "w") as void, contextlib.redirect_stdout(void):
        trainer = lit.Trainer(
            max_steps=case.steps, max_epochs=-1, accelerator="cpu" if device == "cpu" else "auto", devices=1,
            default_root_dir=out, logger=CSVLogger(out) if everything else False, enable_progress_bar=everything,
            enable_checkpointing=everything, enable_model_summary=False,
        )  # fmt: skip
        with contextlib.redirect_stderr(void):
            trainer.fit(Module(), loader)
        synchronise(device)
        return (marks[case.steps] - marks[WARM]) / (case.steps - WARM)


def synchronise(device: str) -> None:
    if device != "cpu":
        torch.accelerator.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of steps")
    parser.add_argument("--only", default="", help="parts of the cases' names, with commas")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    rivals: dict[str, Callable[[Case, str], float]] = {"bare": bare, "dataloader": dataloader}
    with contextlib.suppress(ImportError):
        import lightning as _  # noqa: F401

        rivals |= {"lightning": lightning, "all off": functools.partial(lightning, everything=False)}
    _console[:] = [Console(file=open(os.devnull, "w"), force_terminal=True)]  # noqa: SIM115 - drawn, but into the void
    load = os.getloadavg()[0]
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {given.device}, load {load:.2f} before")
    print(f"{'case':<24}{'ours':>10}" + "".join(f"{name:>12}{'ours/it':>9}" for name in rivals) + "   (µs a step)")
    figures = {}
    for name, case in cases(given.scale).items():
        if given.only and not any(part in name for part in given.only.split(",")):
            continue
        taken: dict[str, list[float]] = {key: [] for key in ("ours", *rivals)}
        for turn in range(given.rounds):
            variants = [("ours", ours), *rivals.items()]
            for key, function in variants if turn % 2 == 0 else reversed(variants):
                taken[key].append(function(case, given.device))
        ratios = {k: statistics.median(o / r for o, r in zip(taken["ours"], taken[k], strict=True)) for k in rivals}
        medians = {key: statistics.median(values) for key, values in taken.items()}
        row = "".join(f"{1e6 * medians[k]:>12.1f}{ratios[k]:>9.3f}" for k in rivals)
        print(f"{name:<24}{1e6 * medians['ours']:>10.1f}{row}", flush=True)
        figures[name] = {"seconds_per_step": medians, "ratio": ratios}
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
