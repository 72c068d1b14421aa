"""Scripts of two processes, started by torchrun: whether what one learns reaches the other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = """
import contextlib, sys
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

how = sys.argv[1]
dist.init_process_group("gloo")
torch.manual_seed(0)
x = torch.randn(512, 10)
y = (x[:, :3].sum(1) > 0).long()
net = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 2))
model = net if how == "alone" else DistributedDataParallel(net)
sampler = DistributedSampler(TensorDataset(x, y))
loader = DataLoader(sampler.dataset, batch_size=32, sampler=sampler)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(8):
    sampler.set_epoch(0 if how == "epoch" else epoch)
    for k, (rows, labels) in enumerate(loader):
        keep = how == "kept" or (how == "good" and k % 2 == 0)
        with model.no_sync() if keep else contextlib.nullcontext():
            said = model.module(rows) if how == "past" else model(rows)
            loss = nn.functional.cross_entropy(said, labels)
            (loss / (2 if how == "good" else 1)).backward()
        if how != "good" or k % 2:
            if how == "rates":
                optimizer.param_groups[0]["lr"] = 0.1 * (1 + dist.get_rank())
            optimizer.step()
            optimizer.zero_grad()
    with torch.no_grad():
        getattr(model, "module", model)(x[:100])
    if dist.get_rank() == 0:
        print(f"loss {loss.item()!r}", file=sys.stderr)
if how == "fails" and dist.get_rank() == 1:
    net(torch.randn(3, 11))
dist.destroy_process_group()
"""


def _two(tmp_path: Path, *command: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "train.py").write_text(SCRIPT)
    start = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    return subprocess.run(
        [*start, *command], cwd=tmp_path, capture_output=True, text=True, timeout=180, env=environment
    )


def _found(tmp_path: Path, how: str) -> dict[str, Any]:
    ended = _two(tmp_path, "-m", "gradus", "doctor", "--json", "train.py", how)
    assert ended.returncode == 0, ended.stderr
    lines = [line for line in ended.stdout.splitlines() if line.startswith("{")]
    assert len(lines) == 1  # one of the two tells
    said: dict[str, Any] = json.loads(lines[0])
    return said


def test_a_module_called_past_its_wrapper_is_named(tmp_path: Path) -> None:
    (finding,) = _found(tmp_path, "past")["findings"]
    assert (finding["code"], finding["level"]) == ("replicas-apart", "fault")
    assert "64 training passes called the module inside" in finding["evidence"]
    assert "weights of the processes differ by" in finding["evidence"]


def test_accumulation_is_left_in_peace_and_computes_the_same(tmp_path: Path) -> None:
    said = _two(tmp_path, "-m", "gradus", "doctor", "train.py", "good")
    assert "no fault found" in said.stderr
    bare = _two(tmp_path, "train.py", "good")
    losses = [[line for line in run.stderr.splitlines() if line.startswith("loss")] for run in (said, bare)]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "code", "words"),
    [
        ("kept", "replicas-apart", "within no_sync()"),
        ("alone", "replicas-apart", "dealt among 2 processes"),
        ("rates", "replicas-apart", "and yet the weights differ"),
        ("epoch", "sampler-epoch-not-set", "8 times, each time as its epoch 0"),
    ],
)
def test_what_keeps_processes_apart_is_named(tmp_path: Path, how: str, code: str, words: str) -> None:
    (finding,) = _found(tmp_path, how)["findings"]
    assert (finding["code"], finding["level"]) == (code, "fault")
    assert words in finding["evidence"]


@pytest.mark.slow
def test_an_error_in_the_second_process_is_told_by_it(tmp_path: Path) -> None:
    ended = _two(tmp_path, "-m", "gradus", "doctor", "train.py", "fails")
    assert ended.returncode != 0
    assert "[error-shape]" in ended.stderr
