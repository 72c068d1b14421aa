"""Several processes train as one: the same order, gradients and losses, whatever their number; none is left alone.

The processes are real ones, connected over this machine's network; what they do stands in world_script.py.
"""

from __future__ import annotations

import copy
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import world_script as script
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import gradus as gd
from gradus.data.tokens import IGNORE
from gradus.errors import Interrupted, UserError
from gradus.training import machine
from gradus.training.loop import batches_of
from gradus.training.world import World

SIZES = (2, 4)
Found = dict[int, list[dict[str, Any]]]  # what each process found, by how many they were


def start(task: str, size: int, where: Path) -> list[subprocess.Popen[str]]:
    """Processes that know of one another as torchrun's do."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {**os.environ, "OMP_NUM_THREADS": "1", "WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size)}
    common |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GRADUS_CACHE": str(where / "cache")}
    return [
        subprocess.Popen(
            [sys.executable, script.__file__, task],
            cwd=where,
            env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]


def ends(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """Exit status, standard output and error of each; all end by themselves."""
    try:
        return [(p.wait(100), *p.communicate()) for p in processes]
    finally:
        for process in processes:
            process.kill()


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Found]:
    """Where runs of 1, 2 and 4 processes lie, and some that went from 2 to 1 to 4; what 2 and 4 processes found."""
    where = tmp_path_factory.mktemp("several")
    found = {2: together(2, where)}
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(where)
        for kind in ("mlp", "gru"):
            script.train(kind, f"{kind}-1")
            with pytest.raises(Interrupted):
                script.train(kind, f"elastic-{kind}", script.Ends(script.terminate, 12, 0))
    found[4] = together(4, where)
    return where, found


def together(size: int, where: Path) -> list[dict[str, Any]]:
    for status, _, error in ends(start("look", size, where)):
        assert status == 0, error
        assert error == ""
    return [torch.load(where / f"found-{size}-{rank}.pt", weights_only=True) for rank in range(size)]


@pytest.fixture
def found(several: tuple[Path, Found]) -> Found:
    return several[1]


@pytest.fixture
def where(several: tuple[Path, Found]) -> Path:
    return several[0]


@given(st.integers(1, 40), st.integers(1, 9))
@settings(max_examples=200, deadline=None)
def test_shares_are_the_batch_and_as_equal_as_can_be(samples: int, size: int) -> None:
    batch = torch.randperm(samples) + 100
    shares = [World(rank, size).share(batch) for rank in range(size)]
    assert sorted(torch.cat(shares).tolist()) == sorted(batch.tolist())
    counts = [len(share) for share in shares]
    assert counts == sorted(counts, reverse=True)
    held = [count for count in counts if count]
    assert max(held) - min(held) <= 1
    assert samples == 1 or min(held) > 1  # batch normalisation can do nothing with one sample
    assert len(held) == size or max(held) <= 3


@pytest.mark.parametrize("name", ["mlp", "tokens", "workers"])
def test_any_number_of_processes_sees_the_same_global_order(found: Found, name: str) -> None:
    if name == "workers":
        data = gd.data.as_dataset([(torch.tensor([float(i)]), i % 3) for i in range(script.SAMPLES)])
        order, first, last = script.order_of(data, 3), 4, 8
    else:
        order, first, last = script.order_of(script.cases()[name][0], 7), 0, 10
    for size in SIZES:
        for place, k in enumerate(range(first, last)):
            shares = [one["indices"][name][place] for one in found[size]]
            assert sorted(torch.cat(shares).tolist()) == sorted(order.indices(k).tolist())
            assert [s.tolist() for s in shares] == [
                World(r, size).share(order.indices(k)).tolist() for r in range(size)
            ]


@pytest.mark.parametrize("name", ["mlp", "sometimes", "tokens"])
def test_the_gradient_is_that_of_bare_torch_for_the_global_batch(found: Found, name: str) -> None:
    data, model, _ = script.cases()[name]
    batches = batches_of(data, script.order_of(data, 7))
    sizes = set()
    for k in range(5):
        batch = batches(k)
        sizes.add(len(batch.indices))
        model.zero_grad()
        outputs = model(batch.inputs)
        nn.functional.cross_entropy(outputs.flatten(0, -2), batch.targets.flatten(), ignore_index=IGNORE).backward()
        bare = torch.cat([dense(p).flatten() for p in model.parameters()])
        assert bare.abs().max() > 1e-3
        for size in SIZES:
            for one in found[size]:
                gradient = one["gradients"][name][k]
                assert torch.allclose(gradient, bare, rtol=0, atol=1e-12)
                assert torch.equal(gradient, found[size][0]["gradients"][name][k])  # to the bit in all of them
    assert sizes == {7, 1}


def dense(parameter: nn.Parameter) -> Tensor:
    if parameter.grad is None:
        return torch.zeros_like(parameter)
    return parameter.grad.to_dense() if parameter.grad.is_sparse else parameter.grad


def test_a_part_that_is_used_by_one_process_alone_is_among_the_cases() -> None:
    """Else the test above would show less than it says."""
    data, _, _ = script.cases()["sometimes"]
    batches = batches_of(data, script.order_of(data, 7))
    rows = [batches(k).inputs[:, 0] > 1.2 for k in range(5)]
    used = [[bool(share.any()) for share in (World(r, 2).share(row) for r in range(2))] for row in rows]
    assert any(sum(one) == 1 for one in used)
    assert any(sum(one) == 0 for one in used)


def test_buffers_stay_equal_and_running_statistics_are_the_mean_over_the_processes(found: Found) -> None:
    for size in SIZES:
        first = found[size][0]["buffers"]
        for one in found[size][1:]:
            for name, value in one["buffers"].items():
                assert torch.equal(value, first[name]), name
        # by hand: two steps on the whole batches, each share through a copy of the batch normalisation
        torch.manual_seed(0)
        model = nn.Sequential(script.Remembers(), nn.Linear(3, 4), nn.BatchNorm1d(4))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        data = script.numbers()
        batches = batches_of(data, script.order_of(data, 7))
        norm = model[2]
        for k in range(2):
            batch = batches(k)
            optimizer.zero_grad()
            means, variances, loss = torch.zeros(4), torch.zeros(4), torch.zeros(())
            for rank in range(size):
                rows = World(rank, size).share(torch.arange(7))
                twin = copy.deepcopy(norm)
                twin.weight, twin.bias = norm.weight, norm.bias
                outputs = twin(model[1](batch.inputs[rows]))
                loss = loss + nn.functional.cross_entropy(outputs, batch.targets[rows], reduction="sum") / 7
                means += twin.running_mean * len(rows) / 7
                variances += twin.running_var * len(rows) / 7
                if rank == 0:
                    last = batch.inputs[rows].sum(0)
            loss.backward()
            optimizer.step()
            norm.running_mean.copy_(means)
            norm.running_var.copy_(variances)
        assert torch.allclose(first["2.running_mean"], means, atol=1e-6)
        assert torch.allclose(first["2.running_var"], variances, atol=1e-6)
        assert torch.allclose(first["1.weight"], model[1].weight, atol=1e-6)
        assert torch.equal(first["0.last"], last)
        assert first["0.calls"] == first["2.num_batches_tracked"] == 2
        assert first["0.constant"].tolist() == [True, False]


def test_what_one_process_says_all_hear(found: Found) -> None:
    for size in SIZES:
        for one in found[size]:
            assert one["told"] == ["rank 0", {"rank": 0}]
            assert one["any"] == [True, False]
            assert one["refused"] == "the disk is full"
            assert one["stopped"] == ("SIGUSR1", 3)  # asked after the second step, agreed on in the third


def log_of(run: Path, key: str) -> dict[int, Any]:
    """The values under a key in metrics.jsonl by step; each step stands there once."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    found = [(line["step"], line[key]) for line in lines if key in line]
    assert len({step for step, _ in found}) == len(found)
    return dict(found)


@pytest.mark.parametrize("kind", ["mlp", "gru"])
def test_the_loss_curve_is_the_same_for_any_number_of_processes(where: Path, kind: str) -> None:
    losses = log_of(where / f"{kind}-1", "loss")
    assert list(losses) == list(range(1, 37))
    assert np.mean(list(losses.values())[-5:]) < 0.95 * np.mean(list(losses.values())[:5])
    for run in (f"{kind}-2", f"{kind}-4", f"elastic-{kind}"):
        again = log_of(where / run, "loss")
        assert list(again) == list(losses)
        assert list(again.values()) == pytest.approx(list(losses.values()), rel=2e-5)
        norms, others = (list(log_of(where / name, "grad_norm").values()) for name in (f"{kind}-1", run))
        assert others == pytest.approx(norms, rel=1e-3)
        checks, valid = (log_of(where / name, "valid") for name in (f"{kind}-1", run))
        assert list(checks) == list(valid) == [8, 16, 24, 32, 36]
        assert [v["loss"] for v in valid.values()] == pytest.approx([v["loss"] for v in checks.values()], rel=1e-4)
        one, several = (json.loads((where / name / "summary.json").read_text()) for name in (f"{kind}-1", run))
        assert several["metrics"]["test"]["loss"] == pytest.approx(one["metrics"]["test"]["loss"], rel=1e-4)
        assert several["samples"] == one["samples"]


def test_a_run_of_two_goes_on_as_one_and_then_as_four(where: Path, found: Found) -> None:
    for kind in ("mlp", "gru"):
        assert all("stopped and saved" in one[kind] for one in found[2])  # one process was asked, all stopped
        config = json.loads((where / f"elastic-{kind}" / "config.json").read_text())
        first, second = config["resumed"]
        assert 12 <= first <= 13  # the other process hears of it with the next gradient
        assert second == first + 12
        losses = {one[kind] for one in found[4]}
        assert len(losses) == 1  # each process can read what the run came to
    assert json.loads((where / "mlp-4" / "config.json").read_text())["chosen"]["processes"]["value"] == "4"


def test_what_one_process_finds_wrong_is_told_to_all_and_they_go_on(found: Found) -> None:
    for one in (one for size in SIZES for one in found[size]):
        assert one["unfit"].startswith("the model can't read a batch of inputs of shape")
        assert "not every process was given the same data" in one["differs"]


@pytest.mark.parametrize("how", ["kill", "raise"])
def test_where_a_process_dies_the_others_end_with_a_line(how: str, tmp_path: Path) -> None:
    first, dead_one, last = ends(start(how, 3, tmp_path))
    assert dead_one[0] == (2 if how == "raise" else -9)
    assert dead_one[2] == ("rank 1: sample 7 can't be read\n" if how == "raise" else "")
    for rank, (status, _, error) in ((0, first), (2, last)):
        assert status == 2
        assert error == f"rank {rank}: another process of the job has ended; this one ends with it\n"


def test_torchrun_starts_a_killed_job_again_and_it_ends_in_the_same_bits(where: Path, tmp_path: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GRADUS_CACHE": str(where / "cache")}
    command = [*torchrun, "--max-restarts", "1", script.__file__, "killed-once"]
    job = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100)
    assert job.returncode == 0, job.stderr
    assert sorted(job.stdout.splitlines()) == ["rank 0 ended at step 36", "rank 1 ended at step 36"]
    again, whole = tmp_path / "restarted", where / "whole"
    assert len(json.loads((again / "config.json").read_text())["resumed"]) == 1
    assert log_of(again, "loss") == log_of(whole, "loss")
    names = sorted(str(p.relative_to(whole)) for p in (whole / "predictor").glob("*.safetensors"))
    assert names
    for name in names:
        assert (again / name).read_bytes() == (whole / name).read_bytes()


def test_each_process_has_an_accelerator_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    monkeypatch.setattr(machine, "name_of", lambda device: "a GPU")
    assert machine.choose_device("auto")[0] == torch.device("cuda:0")
    for key, value in (("WORLD_SIZE", "2"), ("RANK", "1"), ("LOCAL_RANK", "1"), ("LOCAL_WORLD_SIZE", "2")):
        monkeypatch.setenv(key, value)
    assert machine.choose_device("auto")[0] == torch.device("cuda:1")
    assert machine.choose_device("cuda:0")[0] == torch.device("cuda:1")  # as a run of one process noted it
    assert machine.choose_device("cpu")[0] == torch.device("cpu")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    with pytest.raises(UserError, match=r"3 processes on this machine, and 2 of cuda\. Start 2"):
        machine.choose_device("auto")
