"""A run that was stopped at any step and resumed ends in the same bits as one that wasn't; checkpoints are whole."""

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
from torch import nn

import gradus as gd
from gradus.data import Shift
from gradus.errors import Interrupted, UserError
from gradus.training import OPTIMIZERS, TrainState, checkpoint, read_directory, whole, write_directory
from gradus.training.state import pack, unpack


class StopAt(nn.Module):
    """Gives its input on, and sends this process a signal in the training step of a given number."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.left = step

    def __deepcopy__(self, memo: dict[int, Any]) -> nn.Module:
        return nn.Identity()  # the doctor looks at the first steps on a copy: no step of the run

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGTERM)
        return x


def digits() -> tuple[gd.data.Dataset, Callable[[], nn.Module], dict[str, Any]]:
    data = gd.data.digits(augment=[Shift(1)])
    settings = dict(epochs=2, batch_size=100, ema=0.95, schedule="one-cycle", lr=3e-3, layout="channels_last")
    return data, lambda: gd.models.CNN((1, 8, 8), 10, width=4, dropout=0.3), settings


def titanic(file: Path) -> tuple[gd.data.Dataset, Callable[[], nn.Module], dict[str, Any]]:
    data = gd.data.table(file, "Survived", categories="code")
    settings = dict(epochs=4, batch_size=50, accumulate=3, schedule="one-cycle", lr=1e-2, patience=2, clip=1.0)
    build = lambda: gd.models.MLP(data.num_inputs, 16, 1, dropout=0.2, categories=data.categories)  # noqa: E731
    return data, build, settings


@pytest.mark.parametrize("case", ["digits", "titanic"])
def test_stopped_and_resumed_twenty_times_the_bits_are_the_same(case: str, real: Callable[[str], Path]) -> None:
    data, build, settings = digits() if case == "digits" else titanic(real("titanic/train.csv"))
    torch.manual_seed(1)
    first = build()
    begin = {k: v.clone() for k, v in first.state_dict().items()}
    whole = gd.train(first, data, seed=7, quiet=True, out="whole", **settings)
    steps = whole.summary["steps"]
    expected = (whole.path / "predictor/model.safetensors").read_bytes()
    stops = np.random.default_rng(0).integers(1, steps, 20)
    for number, stop in enumerate(stops.tolist()):
        model = build()
        model.load_state_dict(begin)
        with pytest.raises(Interrupted, match=f"gradus resume run{number}"):
            parts = settings.get("accumulate", 1)  # a step runs the model so many times
            gd.train(
                nn.Sequential(StopAt(stop * parts), model), data, seed=7, quiet=True, out=f"run{number}", **settings
            )
        assert checkpoint.steps(Path(f"run{number}/checkpoints"))[-1] == stop
        torch.manual_seed(stop)
        fresh = build()  # of other weights: all that counts comes from the checkpoint
        run = gd.resume(f"run{number}", nn.Sequential(StopAt(0), fresh), data)
        assert run.summary["steps"] == steps
        assert run.summary["resumed"] == [stop]
        tensors, _ = read_directory(run.path / "predictor")
        plain = {name.removeprefix("1."): t for name, t in tensors["model"].items()}
        write_directory(Path("plain"), {"model": plain}, {})
        assert Path("plain/model.safetensors").read_bytes() == expected, f"stopped at step {stop} of {steps}"
        assert log_of(run.path) == log_of(whole.path)


def log_of(path: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl without the seconds."""
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_optimiser_is_restored_to_the_bit(name: str, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(60, 3))
    data = gd.data.arrays(x, x.sum(1), valid=0.0, test=0.0)

    def weights(stop: int | None) -> list[bytes]:
        torch.manual_seed(0)
        model = nn.Sequential(StopAt(stop or 0), gd.models.MLP(3, 4, 1))
        out = f"{name}-{stop}"
        try:
            gd.train(model, data, optimizer=name, lr=0.01, steps=8, batch_size=20, quiet=True, out=out)
        except Interrupted:
            model = nn.Sequential(StopAt(0), gd.models.MLP(3, 4, 1))
            gd.resume(out, model, data)
        return [p.detach().numpy().tobytes() for p in model.parameters()]

    assert weights(None) == weights(4 if name != "lbfgs" else 7)


def test_the_command_line_is_interrupted_or_killed_and_resumed(tmp_path: Path) -> None:
    train = [sys.executable, "-m", "gradus", "train", "digits", "--epochs", "8", "--save-every", "10 steps"]
    subprocess.run([*train, "--out", "whole"], check=True, capture_output=True)
    expected = (tmp_path / "whole/predictor/model.safetensors").read_bytes()
    for ask in (signal.SIGINT, signal.SIGKILL):
        out = tmp_path / ask.name
        command = [*train, "--out", ask.name]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while checkpoint.steps(out / "checkpoints")[-1:] in ([], [0]):
            time.sleep(0.01)
            assert process.poll() is None, process.communicate()
        process.send_signal(ask)
        _, err = process.communicate(timeout=60)
        if ask == signal.SIGINT:
            assert process.returncode == 130, err
            assert err.strip().endswith("go on with: gradus resume SIGINT")
        resume = [sys.executable, "-m", "gradus", "resume", ask.name, "--json"]
        done = subprocess.run(resume, capture_output=True, text=True, check=True)
        assert json.loads(done.stdout)["resumed"][0] > 0
        assert (out / "predictor/model.safetensors").read_bytes() == expected
        assert log_of(out) == log_of(tmp_path / "whole")
    again = subprocess.run(resume, capture_output=True, text=True, check=True)
    assert "finished already" in again.stderr


def test_a_run_that_is_killed_before_its_first_save_begins_with_its_own_weights(tmp_path: Path) -> None:
    code = """
import os, gradus as gd
data = gd.data.digits()
class Killed(gd.models.MLP):
    def forward(self, x):
        if self.training and os.path.exists("r/metrics.jsonl") and os.path.getsize("r/metrics.jsonl"):
            os.kill(os.getpid(), 9)
        return super().forward(x)
gd.train(Killed(64, 8, 10), data, steps=50, out="r", quiet=True)
"""
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    model = gd.models.MLP(64, 8, 10)
    tensors, _ = read_directory(tmp_path / "r/checkpoints/00000000")
    data = gd.data.digits()
    run = gd.resume("r", model, data)
    assert run.summary["resumed"] == [0]
    begun = gd.models.MLP(64, 8, 10)
    begun.load_state_dict(tensors["model"])
    gd.train(begun, data, steps=50, quiet=True)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), begun.parameters(), strict=True))


def test_the_newest_checkpoint_that_verifies_is_taken(tmp_path: Path) -> None:
    model = gd.models.MLP(3, 4, 1)
    state = TrainState(model, torch.optim.AdamW(model.parameters()), total_steps=9)
    for step in (1, 2, 3):
        state.step = step
        nn.init.constant_(model.layers[0].weight, step)  # type: ignore[arg-type]
        checkpoint.save(tmp_path, state, keep=3)
    assert checkpoint.steps(tmp_path) == [1, 2, 3]
    weights = tmp_path / "00000003/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
    (tmp_path / "00000002/MANIFEST.json").unlink()
    told = checkpoint.load_newest(tmp_path, state)
    assert state.step == 1
    assert float(model.layers[0].weight.detach()[0, 0]) == 1  # type: ignore[union-attr, operator]
    assert len(told) == 2
    assert "checkpoint 3 passed over" in told[0]
    (tmp_path / "00000001/state.json").write_text("{}")
    with pytest.raises(UserError, match="no checkpoint that is whole"):
        checkpoint.load_newest(tmp_path, state)


def test_a_save_that_fails_leaves_the_old_checkpoint_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_directory(tmp_path / "a", {"model": {"w": torch.ones(3)}}, {"x": 1})

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(whole.os, "write", full)
        write_directory(tmp_path / "a", {"model": {"w": torch.zeros(3)}}, {"x": 2})
    tensors, values = read_directory(tmp_path / "a")
    assert values == {"x": 1}
    assert torch.equal(tensors["model"]["w"], torch.ones(3))
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_files_in_the_place_of_directories_are_no_hindrance(tmp_path: Path) -> None:
    for name in ("a", ".a.partial", ".a.old"):
        (tmp_path / name).write_text("not a directory")
    write_directory(tmp_path / "a", {}, {"x": 3})
    assert read_directory(tmp_path / "a")[1] == {"x": 3}
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_tied_and_odd_tensors_survive(tmp_path: Path) -> None:
    base = torch.arange(12.0).view(3, 4)
    given = {"a": base, "tied": base, "part": base[1:], "turned": base.t(), "one": torch.tensor(5), "none": base[:0]}
    write_directory(tmp_path / "d", {"t": given}, {})
    found = read_directory(tmp_path / "d")[0]["t"]
    assert found.keys() == given.keys()
    assert all(torch.equal(found[name], given[name]) for name in given)


def test_optimiser_states_survive_packing() -> None:
    nest = {0: {"step": torch.tensor(3.0), "old": [torch.ones(2), None], "n": 5, "x": 0.1 + 0.2}, 1: {}}
    packed, tensors = pack(nest)
    again = unpack(json.loads(json.dumps(packed)), tensors)
    assert again[0]["x"] == nest[0]["x"]
    assert again[0]["old"][1] is None
    assert torch.equal(again[0]["old"][0], torch.ones(2))
    assert list(again) == [0, 1]


def test_resuming_with_other_data_or_another_model_is_refused() -> None:
    x = np.random.default_rng(0).normal(size=(60, 3))
    data = gd.data.arrays(x, x.sum(1))
    with pytest.raises(Interrupted):
        gd.train(nn.Sequential(StopAt(3), gd.models.Linear(3, 1)), data, steps=9, quiet=True, out="r")
    with pytest.raises(UserError, match="the data are not those"):
        gd.resume("r", gd.models.Linear(3, 1), gd.data.arrays(x + 1, x.sum(1)))
    with pytest.raises(UserError, match="of another model"):
        gd.resume("r", gd.models.MLP(3, 2, 1), data)
    with pytest.raises(UserError, match="not finished yet"):
        gd.Run("r").predict([x[0]])
