"""What each of several processes does for tests/test_world.py; the data and models that the test's references share.

Called as ``python world_script.py TASK``. What a process found lies in ``found-SIZE-RANK.pt`` when it has ended.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import gradus as gd
from gradus.data import Order
from gradus.errors import Interrupted, UserError
from gradus.training import TrainState, supervised
from gradus.training.loop import Batches, Observer, batches_of, run
from gradus.training.world import World, join, rank

SAMPLES = 29  # in batches of 7: the last one has a single sample


class Sometimes(nn.Module):
    """Has a part for inputs above a bound alone, one that is never called, and a table with sparse gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.always, self.rare, self.never = nn.Linear(3, 4), nn.Linear(3, 4), nn.Linear(3, 4)
        self.table = nn.Embedding(5, 4, sparse=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.always(x) + self.table((x[:, 1].abs() * 2).long().clamp(max=4))
        rare = x[:, 0] > 1.2
        return out.index_add(0, rare.nonzero()[:, 0], self.rare(x[rare])) if bool(rare.any()) else out


class Wide(nn.Module):
    """A module in float64, of float32 inputs."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner.double()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.double() if x.is_floating_point() else x)


class Remembers(nn.Module):
    """Keeps the sum of the inputs that it was given last, as running statistics of one's own do."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("last", torch.zeros(3))
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.register_buffer("constant", torch.tensor([True, False]))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.last = x.detach().sum(0)
            self.calls += 1
        return x


class Ends(nn.Module):
    """Does something in the training step of a given number, in one process."""

    def __init__(self, act: Callable[[], None], step: int, where: int) -> None:
        super().__init__()
        self.act, self.left, self.where = act, step, where

    def forward(self, x: Tensor) -> Tensor:
        if self.training and rank() == self.where:
            self.left -= 1
            if self.left == 0:
                self.act()
        return x


def numbers() -> gd.data.Dataset:
    chance = np.random.default_rng(0)
    return gd.data.arrays(chance.normal(size=(SAMPLES, 3)), np.arange(SAMPLES) % 4, valid=0.0, test=0.0)


def names(count: int = SAMPLES, **shares: float) -> gd.data.Dataset:
    chance = np.random.default_rng(1)
    lines = ["".join(chance.choice(list("abcde"), chance.integers(1, 12))) for _ in range(count)]
    return gd.data.lines(lines, tokens="characters", **(shares or {"valid": 0.0, "test": 0.0}))


def cases() -> dict[str, tuple[gd.data.Dataset, nn.Module, gd.tasks.Task]]:
    torch.manual_seed(0)
    four = gd.tasks.MultiClass(("a", "b", "c", "d"))
    rows = names()
    return {
        "mlp": (numbers(), Wide(gd.models.MLP(3, 8, 4)), four),
        "sometimes": (numbers(), Wide(Sometimes()), four),
        "tokens": (rows, Wide(gd.models.CharacterModel(rows.num_outputs, 6, 8)), gd.tasks.for_target(rows)),
    }


def gradients(batches: Batches, model: nn.Module, task: gd.tasks.Task, world: World | None) -> list[Tensor]:
    """The gradient of each batch of the first epoch, read off what plain descent of rate 1 does to the weights."""
    state = TrainState(model, torch.optim.SGD(model.parameters(), lr=1.0), total_steps=99, world=world)
    step = supervised(task, lr=1.0)
    found = []
    for k in range(-(-SAMPLES // 7)):
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        step(state, batches(k))
        found.append(torch.cat([(before[name] - p.detach()).flatten() for name, p in model.named_parameters()]))
        model.load_state_dict(before, strict=False)
    return found


def order_of(data: gd.data.Dataset, batch_size: int) -> Order:
    return Order(data.splits["train"], batch_size, seed=3, lengths=data.lengths)


def look_at_combine(world: World) -> dict[str, Any]:
    """Shares and gradients, buffers, agreement, and what one process says to the others."""
    found: dict[str, Any] = {"gradients": {}, "indices": {}}
    for name, (data, model, task) in cases().items():
        batches = batches_of(data, order_of(data, 7), world=world)
        found["indices"][name] = [batches(k).indices for k in range(10)]
        found["gradients"][name] = gradients(batches, model, task, world)
    data = gd.data.as_dataset([(torch.tensor([float(i)]), i % 3) for i in range(SAMPLES)])
    data.workers = 1
    batches = batches_of(data, order_of(data, 3), 8, world)
    found["indices"]["workers"] = [batches(k).indices for k in range(4, 8)]
    found["buffers"] = look_at_buffers(world)
    found["told"] = [world.same(f"rank {world.rank}"), world.once(lambda: {"rank": world.rank})]
    try:
        world.once(refuse)
    except UserError as error:
        found["refused"] = str(error)
    found["stopped"] = stopped(world)
    found["any"] = [world.any(world.rank == 1), world.any(False)]
    return found


def look_at_buffers(world: World) -> dict[str, Tensor]:
    torch.manual_seed(world.rank)  # the state of rank 0 is everyone's, whatever they began with
    model = nn.Sequential(Remembers(), nn.Linear(3, 4), nn.BatchNorm1d(4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    state = TrainState(model, optimizer, total_steps=2, world=world)
    step = supervised(gd.tasks.MultiClass(("a", "b", "c", "d")), lr=0.1)
    data = numbers()
    run(state, batches_of(data, order_of(data, 7), world=world), step)
    assert state.samples == 14
    return {name: value.clone() for name, value in model.state_dict().items()}


def stopped(world: World) -> tuple[str | None, int]:
    """The last process is asked to stop after its second step."""

    class Ask(Observer):
        def step(self, state: TrainState) -> None:
            if world.rank == world.size - 1 and state.step == 2:
                state.ask("SIGUSR1")

    data, model, task = cases()["mlp"]
    state = TrainState(model, torch.optim.SGD(model.parameters(), lr=0.1), total_steps=50, world=world)
    run(state, batches_of(data, order_of(data, 7), world=world), supervised(task, lr=0.1), [Ask()])
    return state.stop, state.step


def refuse() -> None:
    raise UserError("the disk is full")


def train(kind: str, out: str, act: nn.Module | None = None, **settings: Any) -> gd.Run:
    """A run of a small net, begun from rank 0's weights."""
    torch.manual_seed(rank())
    common = dict(steps=36, lr=3e-3, log_every=1, valid_every="8 steps", out=out, resume="auto", quiet=True)
    if kind == "gru":
        data = names(100, valid=0.1, test=0.1)
        model: nn.Module = gd.models.CharacterModel(data.num_outputs, 8, 12)
        return gd.train(nn.Sequential(act, model) if act else model, data, batch_size=9, clip=1.0, **common, **settings)
    chance = np.random.default_rng(5)
    x = chance.normal(size=(125, 6))
    data = gd.data.arrays(x, (x[:, 0] + x[:, 1] > 0).astype(int) + (x[:, 2] > 1))
    dropout = 0.3 if kind == "dropout" else 0.0
    model = gd.models.MLP(6, 16, data.num_outputs, dropout=dropout)
    extra = dict(ema=0.9, schedule="one-cycle", patience=50)
    return gd.train(nn.Sequential(act, model) if act else model, data, batch_size=20, **extra, **{**common, **settings})


def train_several(world: World) -> dict[str, Any]:
    """Whole runs, and the parts of runs that other numbers of processes begin or go on with."""
    found: dict[str, Any] = {}
    chance = np.random.default_rng(world.rank)
    for name, inputs, data in (
        ("unfit", 99, numbers()),
        ("differs", 3, gd.data.arrays(chance.normal(size=(60, 3)), np.arange(60) % 3)),
    ):
        try:
            gd.train(nn.Linear(inputs, 3), data, steps=5, quiet=True)
        except UserError as error:
            found[name] = str(error)
    train("mlp", f"mlp-{world.size}")
    train("gru", f"gru-{world.size}")
    for kind in ("mlp", "gru"):
        act = Ends(terminate, 12, world.size - 1) if world.size == 2 else nn.Identity()
        try:
            run = train(kind, f"elastic-{kind}", act)
            found[kind] = run.metrics["test"]["loss"]
        except Interrupted as stop:
            found[kind] = str(stop)
    if world.size == 2:
        train("dropout", "whole", nn.Identity(), save_every="10 steps")
    return found


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def end(how: str) -> None:
    """Train, until rank 1 ends in its 20th step."""

    def act() -> None:
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise UserError("sample 7 can't be read")

    data: Any = numbers()
    if how == "kill":  # processes that read ahead hold the connections of the one that is killed
        data = gd.data.as_dataset([(torch.tensor([i, 1.0, 2.0]), i % 4) for i in range(60)])
    settings = dict(workers=1) if how == "kill" else {}
    try:
        gd.train(nn.Sequential(Ends(act, 20, 1), nn.Linear(3, 4)), data, steps=100_000, out=how, quiet=True, **settings)
    except UserError as error:
        print(f"rank {rank()}: {error}", file=sys.stderr)
        sys.exit(2)


def killed_once() -> None:
    """The run with dropout, whose rank 1 is killed in its 25th step, but not when it is started again."""

    def act() -> None:
        if not Path("killed").exists():
            Path("killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    run = train("dropout", "restarted", Ends(act, 25, 1), save_every="10 steps")
    os.write(1, f"rank {rank()} ended at step {run.summary['steps']}\n".encode())  # whole lines, whoever else writes


def main(task: str) -> None:
    torch.set_num_threads(1)
    if task in ("kill", "raise"):
        return end(task)
    if task == "killed-once":
        return killed_once()
    world = join()
    assert world is not None
    found = {**look_at_combine(world), **train_several(world)}
    torch.save(found, f"found-{world.size}-{world.rank}.pt")
    return None


if __name__ == "__main__":
    main(sys.argv[1])
