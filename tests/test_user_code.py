"""What a person brings: their own modules, datasets and loops; and what they read in the README."""

from __future__ import annotations

import csv
import gzip
import random
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import gradus as gd
from gradus.errors import Interrupted, UserError
from gradus.training import TrainState, batches_of, load_newest, run, save, supervised

ROOT = Path(__file__).parents[1]


class Rings(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    """A dataset as tutorials write it, with noise drawn from all three generators in ``__getitem__``."""

    def __init__(self, n: int = 300) -> None:
        self.angle, self.ring = torch.linspace(0, 60, n), torch.arange(n) % 3

    def __len__(self) -> int:
        return len(self.angle)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        radius = 1.0 + float(self.ring[i]) + 0.1 * random.random() + 0.1 * np.random.rand() + 0.1 * torch.rand(())
        return radius * torch.stack([self.angle[i].cos(), self.angle[i].sin()]), int(self.ring[i])


class Net(nn.Module):
    def __init__(self, stop: int = 0) -> None:
        super().__init__()
        self.hidden, self.out, self.stop = nn.Linear(2, 64), nn.Linear(64, 3), stop

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.stop -= 1
            if self.stop == 0:
                import os
                import signal

                os.kill(os.getpid(), signal.SIGINT)
        return self.out(F.relu(self.hidden(x)))


def test_a_plain_module_and_a_plain_dataset_train_resume_and_predict() -> None:
    settings = dict(epochs=15, batch_size=30, lr=1e-2, quiet=True)
    torch.manual_seed(0)
    whole = Net()
    done = gd.train(whole, Rings(), out="whole", **settings)
    assert done.test()["accuracy"] > 0.9
    torch.manual_seed(0)
    with pytest.raises(Interrupted):
        gd.train(Net(stop=40), Rings(), out="cut", **settings)
    model = Net()
    run_again = gd.resume("cut", model, Rings())
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), model.parameters(), strict=True))
    point = torch.tensor([2.1, 0.0])
    assert run_again.predict([point])[0]["label"] == "1"
    opened = gd.Run("cut", model=Net())
    assert opened.predict([point])[0]["probabilities"] == pytest.approx(
        run_again.predict([point])[0]["probabilities"], abs=1e-6
    )
    with pytest.raises(UserError, match="a class of your own"):
        gd.Run("cut").predict([point])


def test_samples_depend_on_seed_epoch_and_sample_alone_and_leave_generators_be() -> None:
    data = gd.data.wrap(Rings())
    random.seed(1)
    torch.manual_seed(1)
    before = random.random(), torch.rand(1)
    random.seed(1)
    torch.manual_seed(1)
    together = data.batch(torch.arange(20), gd.data.Draw(0, 3)).inputs
    assert (random.random(), torch.rand(1)) == before
    assert torch.equal(together[7], data.batch(torch.tensor([7]), gd.data.Draw(0, 3)).inputs[0])
    assert not torch.equal(together, data.batch(torch.arange(20), gd.data.Draw(0, 4)).inputs)


def test_a_tensor_dataset_is_gathered_and_regression_is_inferred() -> None:
    x = torch.randn(200, 4)
    data = gd.data.wrap(torch.utils.data.TensorDataset(x, x @ torch.ones(4)))
    assert isinstance(data, gd.data.MemoryDataset)
    assert isinstance(gd.tasks.for_target(data), gd.tasks.Regression)


def test_the_parts_work_in_a_loop_of_one_s_own(tmp_path: Path) -> None:
    """Order, state, step, loop and checkpoint one by one, as CONTRIBUTING tells."""
    data = gd.data.digits()
    order = gd.data.Order(data.splits["train"], 64, seed=0)
    batches = batches_of(data, order)
    step = supervised(gd.tasks.MultiClass(10), lr=1e-3)  # type: ignore[arg-type]

    def fresh() -> TrainState:
        torch.manual_seed(0)
        model = gd.models.MLP(64, 32, 10)
        return TrainState(model, torch.optim.Adam(model.parameters(), lr=1e-3), total_steps=40)

    whole = fresh()
    run(whole, batches, step)
    mine = fresh()
    for k in range(25):  # a loop by hand
        step(mine, batches(k))
        mine.step += 1
    save(tmp_path / "c", mine)
    other = fresh()
    load_newest(tmp_path / "c", other)
    run(other, batches, step)
    assert all(torch.equal(a, b) for a, b in zip(whole.model.parameters(), other.model.parameters(), strict=True))


def test_a_model_that_does_not_fit_is_told_in_one_line() -> None:
    data = gd.data.digits()
    with pytest.raises(UserError, match=r"can't read a batch of inputs of shape \(64, 1, 8, 8\)"):
        gd.train(nn.Linear(65, 10), data, steps=1, quiet=True)
    with pytest.raises(UserError, match=r"needs \(64, 10\)"):
        gd.train(gd.models.MLP(64, 5), data, steps=1, quiet=True)
    with pytest.raises(UserError, match=r"no setting 'epoch'\. Did you mean 'epochs'"):
        gd.train(gd.models.MLP(64, 10), data, epoch=1)
    with pytest.raises(UserError, match="no validation split to wait for"):
        gd.train(gd.models.MLP(64, 10), gd.data.digits(valid=0.0), steps=1, patience=3, quiet=True)
    with pytest.raises(UserError, match="sample 0 is a Tensor, not a pair"):
        gd.train(gd.models.MLP(64, 10), [torch.zeros(64)] * 10, gd.tasks.MultiClass(10), steps=1)  # type: ignore[arg-type]
    assert not Path("runs").exists()


def python_blocks(name: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.DOTALL)


def test_the_readme_s_python_runs_as_printed(real: Callable[[str], Path]) -> None:
    table, mnist = python_blocks("README.md")[:2]
    real("mnist")
    Path("titanic.csv").write_bytes(real("titanic/train.csv").read_bytes())
    for code in (table, mnist):
        assert len([line for line in code.splitlines() if line.strip() and not line.startswith("#")]) <= 6
    names: dict[str, object] = {}
    exec(table, names)
    assert names["run"].metrics["test"]["accuracy"] > 0.75  # type: ignore[attr-defined]
    exec(mnist, names)
    assert names["run"].metrics["test"]["accuracy"] > 0.95  # type: ignore[attr-defined]


def test_the_readme_s_texts_run_as_printed(real: Callable[[str], Path]) -> None:
    with gzip.open(real("ag_news/train.csv.gz"), "rt", encoding="utf-8", newline="") as file:
        rows = [(text, grade) for grade, text in csv.reader(file)][:3000]
    with Path("reviews.tsv").open("w", encoding="utf-8", newline="") as out:
        csv.writer(out, delimiter="\t").writerows([("review", "grade"), *rows])
    names: dict[str, object] = {}
    exec(python_blocks("README.md")[2], names)
    assert names["run"].metrics["test"]["accuracy"] > 0.75  # type: ignore[attr-defined]


def test_contributing_s_loop_survives_being_cut_off() -> None:
    loop = next(block for block in python_blocks("CONTRIBUTING.md") if "load_newest" in block)
    exec(loop, {})
    again: dict[str, object] = {}
    exec(loop, again)  # finds its checkpoint and has nothing left to do
    assert again["state"].step == again["state"].total_steps  # type: ignore[attr-defined]
