"""Whoever reads the samples, and however often a run was stopped: the same order, the same chance, the same bits."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_resume import StopAt, log_of
from torch import nn

import gradus as gd
from gradus.data.workers import read_ahead
from gradus.errors import Interrupted, UserError
from gradus.training.loop import batches_of


class Noisy:
    """Pictures of a person's own, each read with chance from three generators."""

    def __init__(self, size: int = 90) -> None:
        self.size = size
        self.targets = [i % 3 for i in range(size)]

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        shade = random.random() + float(np.random.normal()) + torch.rand(()).item()
        return torch.full((1, 8, 8), float(i % 3)) + 0.1 * shade, i % 3


def model() -> nn.Module:
    torch.manual_seed(5)
    return gd.models.CNN((1, 8, 8), 3, width=4)


def settings(workers: int) -> dict[str, Any]:
    return dict(epochs=3, batch_size=16, lr=1e-3, seed=3, workers=workers, quiet=True, layout="contiguous")


def test_batches_are_the_same_for_any_number_of_workers() -> None:
    data = gd.data.wrap(Noisy(), labels=3)
    order = gd.data.Order(data.splits["train"], 16, seed=3)
    plain = [batches_of(data, order)(k) for k in range(12)]
    for workers in (1, 3):
        data.workers = workers
        batches = batches_of(data, order, 12)
        for begin in (0, 5):  # from the start, and as a resumed run asks for them
            for k in range(begin, 12):
                batch = batches(k)
                assert torch.equal(batch.indices, plain[k].indices)
                assert torch.equal(batch.inputs, plain[k].inputs)
                assert torch.equal(batch.targets, plain[k].targets)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_runs_end_in_the_same_bits_for_any_number_of_workers_and_after_resume(workers: int) -> None:
    data = gd.data.wrap(Noisy(), labels=3)
    whole = gd.train(model(), data, out="whole", **settings(0))
    expected = {k: v.clone() for k, v in whole.model.state_dict().items()}
    steps = whole.summary["steps"]
    run = gd.train(model(), data, out="direct", **settings(workers))
    assert all(torch.equal(v, expected[k]) for k, v in run.model.state_dict().items())
    assert log_of(run.path) == log_of(whole.path)
    stop = 2 + 3 * workers
    assert stop < steps
    with pytest.raises(Interrupted):
        gd.train(nn.Sequential(StopAt(stop), model()), data, out="stopped", **settings(workers))
    resumed = gd.resume("stopped", nn.Sequential(StopAt(0), model()), gd.data.wrap(Noisy(), labels=3))
    assert resumed.summary["resumed"] == [stop]
    weights = {k.removeprefix("1."): v for k, v in resumed.model.state_dict().items()}
    assert all(torch.equal(v, expected[k]) for k, v in weights.items())
    assert log_of(resumed.path) == log_of(whole.path)


def test_pictures_train_to_the_same_bits_whoever_decoded_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    monkeypatch.setattr("gradus.data.decode.FEW", 0)
    for i in range(90):
        place = Path("pics") / "abc"[i % 3]
        place.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 255, (12, 12, 3)) // (1 + i % 3)
        Image.fromarray(pixels.astype(np.uint8)).save(place / f"{i}.png")
    seen = []
    for workers in (0, 1, 3):
        monkeypatch.setenv("GRADUS_CACHE", str(Path(f"cache{workers}").resolve()))
        data = gd.data.pictures(
            "pics", size=12, workers=workers, augment=[gd.data.Flip(), gd.data.Rotate(10), gd.data.Mixup(0.3)]
        )
        torch.manual_seed(0)
        net = gd.models.ResNet((3, 12, 12), 3, width=4, blocks=(1, 1))
        run = gd.train(net, data, out=f"r{workers}", **{**settings(workers), "layout": "channels_last"})
        seen.append([v.clone() for v in run.model.state_dict().values()])
    for other in seen[1:]:
        assert all(torch.equal(a, b) for a, b in zip(seen[0], other, strict=True))


def test_slow_samples_are_read_by_other_processes_and_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    import time

    class Slow(Noisy):
        def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
            time.sleep(0.002)
            return super().__getitem__(i)

    run = gd.train(model(), gd.data.wrap(Slow(), labels=3), steps=2, batch_size=16)
    told = run.config["chosen"]["workers"]
    assert int(told["value"]) >= 1
    assert "a batch is read in" in told["reason"]
    assert "[--workers]" in capsys.readouterr().out


class Faulty(Noisy):
    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault

    def __getitem__(self, i: int) -> Any:
        if i == 40 and torch.utils.data.get_worker_info() is not None:
            if self.fault == "killed":
                os.kill(os.getpid(), 9)
            if self.fault == "no pair":
                return torch.zeros(1, 8, 8)
            raise ZeroDivisionError("a bug of the person's own")
        return super().__getitem__(i)


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ("killed", UserError, "a process that reads samples died"),
        ("no pair", UserError, "sample 40 is a Tensor, not a pair"),
        ("bug", ZeroDivisionError, "a bug of the person's own"),
    ],
)
def test_faults_in_another_process_are_told(fault: str, kind: type[Exception], words: str) -> None:
    data = gd.data.wrap(Faulty(fault), labels=3)
    requests = [(torch.arange(k, k + 10), gd.data.Draw(0, 0)) for k in range(0, 90, 10)]
    with pytest.raises(kind, match=words):
        list(read_ahead(data, requests, 2))
