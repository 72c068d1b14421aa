"""A run as a whole: begun or gone on with by one command, stopped by signals or by NaN, kept from other processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_resume import StopAt, log_of
from torch import nn

import gradus as gd
from gradus.errors import Interrupted, UserError
from gradus.training import checkpoint, read_directory

SETTINGS: dict[str, Any] = dict(epochs=3, batch_size=20, lr=1e-2, quiet=True)


def data() -> gd.data.Dataset:
    x = np.random.default_rng(0).normal(size=(200, 3))
    return gd.data.arrays(x, x.sum(1) ** 2, test=0.1)


def net(*before: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(*before, gd.models.MLP(3, 16, 1, dropout=0.1))


def weights(model: nn.Module) -> list[bytes]:
    return [p.detach().numpy().tobytes() for p in model.parameters()]


def test_one_command_begins_goes_on_and_shows_what_is_finished() -> None:
    whole = net()
    steps = gd.train(whole, data(), **SETTINGS).summary["steps"]
    for stop in (3, 11):
        with pytest.raises(Interrupted):
            gd.train(net(StopAt(stop)), data(), out="r", resume="auto", **SETTINGS)
    assert checkpoint.steps(Path("r/checkpoints"))[-1] == 14
    run = gd.train(net(StopAt(0)), data(), out="r", resume="auto", **SETTINGS)
    assert run.summary["resumed"] == [3, 14]
    assert run.summary["steps"] == steps
    assert weights(run.model) == weights(whole)
    summary = Path("r/summary.json").read_bytes()
    again = gd.train(net(StopAt(0)), data(), out="r", resume="auto", **SETTINGS)
    assert Path("r/summary.json").read_bytes() == summary
    assert weights(again.model) == weights(whole)


def test_each_setting_that_differs_is_named() -> None:
    with pytest.raises(Interrupted):
        gd.train(net(StopAt(3)), data(), out="r", **SETTINGS)
    before = {path: path.read_bytes() for path in Path("r").rglob("*") if path.is_file()}
    other = {**SETTINGS, "lr": 0.5, "schedule": "cosine", "save_every": "1 s", "keep": 5, "workers": 1}
    with pytest.raises(UserError) as refused:
        gd.train(net(), data(), out="r", resume="auto", **other)
    told = str(refused.value)
    assert "lr is 0.01 there and 0.5 here" in told
    assert "schedule is constant there and cosine here" in told
    assert not any(free in told for free in ("save_every", "keep", "workers", "epochs"))
    assert {path: path.read_bytes() for path in Path("r").rglob("*") if path.is_file()} == before
    with pytest.raises(UserError, match="needs out="):
        gd.train(net(), data(), resume="auto", **SETTINGS)


def test_settings_of_a_recipe_that_differ_are_named(gradus: Callable[..., tuple[int, str, str]]) -> None:
    line = ("train", "digits", "--epochs", 1, "--out", "r", "--resume", "auto")
    assert gradus(*line)[0] == 0
    status, _, err = gradus(*line, "--width", 8, "--shift", 2)
    assert status == 2
    assert "width is 24 there and 8 here; shift is 1 there and 2 here" in err
    status, _, err = gradus("train", "hello", "--out", "r", "--resume", "auto")
    assert status == 2
    assert "recipe is digits there and hello here" in err
    status, out, _ = gradus(*line)
    assert status == 0
    assert "finished already" in out


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGUSR1"])
def test_a_signal_lets_the_step_end_and_saves(name: str) -> None:
    class Signalled(StopAt):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.left -= self.training
            if self.training and self.left == 0:
                signal.raise_signal(getattr(signal, name))
            return x

    before = signal.getsignal(getattr(signal, name))
    with pytest.raises(Interrupted, match="stopped and saved"):
        gd.train(net(Signalled(5)), data(), out="r", **SETTINGS)
    assert checkpoint.steps(Path("r/checkpoints")) == [0, 5]
    assert f"{name}: stopped at step 5, saved at step 5" in Path("r/log.txt").read_text()
    assert signal.getsignal(getattr(signal, name)) == before


def test_a_second_ctrl_c_stops_at_once_and_loses_only_the_steps_since_the_last_checkpoint() -> None:
    class Impatient(StopAt):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.left -= self.training
            time.sleep(0.05)  # so that a save is done before the next one
            if self.training and self.left == 0:
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)
                raise AssertionError("still there")
            return x

    whole = net(StopAt(0))
    gd.train(whole, data(), **SETTINGS)
    with pytest.raises(Interrupted, match="stopped at once"):
        gd.train(net(Impatient(10)), data(), out="r", save_every="4 steps", **SETTINGS)
    assert checkpoint.steps(Path("r/checkpoints"))[-1] in (4, 8)  # the second may still have been on its way
    run = gd.resume("r", net(StopAt(0)), data())
    assert weights(run.model) == weights(whole)


def test_two_processes_do_not_train_one_run() -> None:
    code = """
import sys, time, gradus as gd
from gradus.training import RunDirectory
directory = RunDirectory.open("r")
directory.lock()
print("locked", flush=True)
sys.stdin.read()
"""
    with pytest.raises(Interrupted):
        gd.train(net(StopAt(3)), data(), out="r", **SETTINGS)
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        for _ in range(2):
            with pytest.raises(UserError, match="another process is training this run"):
                gd.train(net(), data(), out="r", resume="auto", **SETTINGS)
        other.kill()
    run = gd.train(net(StopAt(0)), data(), out="r", resume="auto", **SETTINGS)
    assert run.summary["resumed"] == [3]
    assert not Path("r/.lock").exists()


def test_the_newest_few_checkpoints_are_kept() -> None:
    class Waiting(nn.Module):  # so that each save is written before the next is due
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            while self.training and any(Path("r/checkpoints").glob(".*")):
                pass
            return x

    gd.train(net(Waiting()), data(), out="r", save_every="1 steps", keep=3, **SETTINGS)
    last = gd.Run("r").summary["steps"]
    found = checkpoint.steps(Path("r/checkpoints"))
    assert len(found) == 3
    assert found[-1] == last
    with pytest.raises(UserError, match="keep: 0 is not a whole number from 1"):
        gd.train(net(), data(), keep=0, **SETTINGS)


def test_the_best_weights_are_kept_and_used_without_stopping_early() -> None:
    """Against a plain replay that looks at the validation loss after each epoch."""
    settings = {**SETTINGS, "epochs": 40, "lr": 0.05}
    run = gd.train(net(), data(), out="r", keep_best=True, **settings)
    checks = {line["step"]: line["valid"]["loss"] for line in log_of(run.path) if "valid" in line}
    best = min(checks, key=lambda step: checks[step])
    assert best < run.summary["steps"] == max(checks)  # else this test shows nothing
    again = net()
    gd.train(again, data(), **settings, patience=1000)
    assert weights(run.model) == weights(again)
    assert run.summary["weights"] == f"the best weights, of step {best:,}"
    tensors, values = read_directory(run.path / f"checkpoints/{run.summary['steps']:08d}")
    assert values["state"]["best"] == {"value": checks[best], "step": best}
    assert all(torch.equal(tensors["best"][name], p) for name, p in run.model.state_dict().items())


class Counting(nn.Module):
    """Keeps a number that is no tensor, by torch's own way, and a tensor beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, Any] = {"calls": 0, "sum": torch.zeros(2)}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.seen = {"calls": self.seen["calls"] + 1, "sum": self.seen["sum"] + 1}
        return x * (1 + self.seen["calls"] / 100)

    def get_extra_state(self) -> dict[str, Any]:
        return self.seen

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.seen = state


def test_what_a_module_keeps_beside_its_tensors_is_kept() -> None:
    whole = net(Counting())
    gd.train(whole, data(), **SETTINGS)
    with pytest.raises(Interrupted):
        gd.train(net(Counting(), StopAt(7)), data(), out="r", **SETTINGS)
    counting = Counting()
    run = gd.resume("r", net(counting, StopAt(0)), data())
    assert counting.seen["calls"] == run.summary["steps"]
    assert torch.equal(counting.seen["sum"], torch.full((2,), float(run.summary["steps"])))
    assert weights(run.model) == weights(whole)


class Broken(nn.Module):
    """Gives a NaN for the samples whose first number is negative, from a training step on."""

    def __init__(self, step: int, until: int = 10**9) -> None:
        super().__init__()
        self.calls, self.first, self.until = 0, step, until

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += self.training
        if self.training and self.first <= self.calls <= self.until:
            return torch.where(x[:, :1] < 0, torch.nan, x)
        return x


def test_a_loss_that_is_nan_stops_the_run_and_says_where(capsys: pytest.CaptureFixture[str]) -> None:
    class Negative(nn.Module):  # a root, which negative numbers don't have
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + 0 * (x[:, :1] + 2.2).sqrt()

    settings = {**SETTINGS, "quiet": False, "save_every": "2 steps", "log_every": 4}
    given = data()
    bad = {int(i) for i in given.splits["train"] if given.raw["x"][i, 0] < -2.2}  # type: ignore[attr-defined]
    assert bad
    model = nn.Sequential(Negative(), net())
    with pytest.raises(UserError, match=r"0 \(Negative\)") as refused:
        gd.train(model, given, out="r", **{**settings, "lr": 1e-9})
    found = json.loads(Path("r/accident.json").read_text())
    assert found["layer"] == "0"
    assert set(found["samples"]) <= bad
    assert found["samples"]
    step = found["step"]
    kept = checkpoint.steps(Path("r/checkpoints"))[-1]
    assert kept < step
    assert f"step {step}" in str(refused.value)
    assert f"The checkpoint of step {kept} is kept" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert f"step {step}" in Path("r/log.txt").read_text()
    assert not Path("r/summary.json").exists()


def test_a_bad_update_is_skipped_and_counted() -> None:
    run = gd.train(net(Broken(4, 6)), data(), out="r", on_nan="skip", **SETTINGS)
    assert run.summary["skipped"] == 3
    assert run.summary["steps"] == 24
    assert all(torch.isfinite(p).all() for p in run.model.parameters())
    assert "skipped" in Path("r/log.txt").read_text()
    with pytest.raises(UserError):
        gd.train(net(Broken(4, 6)), data(), out="s", **SETTINGS)
    ignored = gd.train(net(Broken(4, 6)), data(), out="i", on_nan="ignore", **SETTINGS)
    assert ignored.summary["metrics"]["train"]["loss"] == "nan"


def test_weights_that_are_not_finite_are_never_saved() -> None:
    class Overflow(nn.Module):  # the weights become infinite where no loss is looked at
        def __init__(self) -> None:
            super().__init__()
            self.calls, self.scale = 0, nn.Parameter(torch.ones(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += self.training
            if self.calls == 5 and self.training:
                self.scale.data.fill_(torch.inf)
            return x + 0 * self.scale.detach().clamp(max=1) + 0 * self.scale.clamp(max=0)

    with pytest.raises(UserError):
        gd.train(net(Overflow()), data(), out="r", save_every="1 steps", log_every=100, **SETTINGS)
    for step in checkpoint.steps(Path("r/checkpoints")):
        tensors, _ = read_directory(Path(f"r/checkpoints/{step:08d}"))
        assert all(torch.isfinite(t).all() for t in tensors["model"].values())


def test_the_command_line_names_the_accident_in_one_line(gradus: Callable[..., tuple[int, str, str]]) -> None:
    arguments = ("--epochs", 2, "--optimizer", "sgd", "--lr", "1e30", "--schedule", "constant", "--out", "r")
    status, out, err = gradus("train", "digits", *arguments)
    assert status == 2
    assert err.count("\n") == 1
    assert "learning rate" in err
    assert "looking for where it began" in out
    for language, told in (("en", "Step 2: inf in the output of"), ("zh", "第 2 步")):
        assert gradus("report", "r", "--lang", language)[0] == 0
        page = Path("r/report.html").read_text(encoding="utf-8")
        assert told in page
        assert "--lr find has a range test choose one" in page
    status, _, err = gradus("resume", "r")
    assert status == 2
    assert "learning rate" in err
    status, out, _ = gradus("resume", "r", "--on-nan", "skip")
    assert status == 0
    assert "updates, whose loss or gradient wasn't finite" in out
    assert not Path("r/accident.json").exists()
    assert gradus("report", "r", "--lang", "en")[0] == 0
    assert "updates, whose loss or gradient" in Path("r/report.html").read_text(encoding="utf-8")


def test_nothing_is_left_in_the_background_by_an_interrupt() -> None:
    """A process that is interrupted while a large save is written ends, and leaves a run that is whole."""
    code = """
import os, signal, sys, torch, gradus as gd
from torch import nn
class Big(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls, self.net, self.big = 0, gd.models.MLP(3, 8, 1), nn.Parameter(torch.zeros(900_000))
    def forward(self, x):
        self.calls += self.training
        if self.calls == 7:  # past the three steps that the doctor looks at on a copy
            os.kill(os.getpid(), signal.SIGINT); os.kill(os.getpid(), signal.SIGINT)
        return self.net(x) + 0 * self.big.sum()
torch.manual_seed(0)
x = torch.randn(200, 3)
gd.train(Big(), (x.numpy(), x.sum(1).numpy()), out="r", quiet=True, steps=50, save_every="1 steps")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "stopped at once" in done.stderr
    for step in checkpoint.steps(Path("r/checkpoints")):
        read_directory(Path(f"r/checkpoints/{step:08d}"))
    assert os.listdir("r")
