"""A disk that is full, read-only, failing or gone: training goes on or ends with one line, and what was saved stays."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import gradus as gd
from faults.cases import KEPT
from faults.forks import Calls
from faults.harness import Truth, at_gate, differences, digest, newest, request, tail
from faults.launching import launcher
from gradus.training import TrainState, checkpoint, read_directory, whole, write_directory

OUT = "disk/run"
Mount = Callable[..., None]


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    return Truth.of(KEPT, tmp_path_factory.mktemp("disk") / "truth", launcher())


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four megabytes."""
    path = tmp_path / "disk"
    path.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=4m", "tmpfs", str(path)):
        yield path


@contextlib.contextmanager
def mounted(*words: str) -> Iterator[None]:
    """Something mounted, its place being the last word; skips where that isn't allowed."""
    try:
        done = subprocess.run(["mount", *words], capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"file systems can't be mounted here: {error}")
    if done.returncode:
        pytest.skip(f"file systems can't be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", words[-1]], check=True)


@contextlib.contextmanager
def read_only(path: Path) -> Iterator[None]:
    with mounted("--bind", str(path), str(path)):
        subprocess.run(["mount", "-o", "remount,bind,ro", str(path)], check=True)
        yield


def fill(disk: Path, leave: int) -> None:
    """Fill a file system but for so many bytes."""
    with (disk / "filler").open("wb", buffering=0) as file:
        while (room := shutil.disk_usage(disk).free - leave) >= 4096:
            file.write(bytes(room // 4096 * 4096))


def checkpoints_are_whole(run: Path) -> list[int]:
    found = checkpoint.steps(run / "checkpoints")
    for step in found:
        read_directory(run / f"checkpoints/{step:08d}")
    return found


def until(told: Callable[[], object]) -> None:
    """Wait half a minute at most for something to come true."""
    end = time.monotonic() + 30
    while not told():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("leave", [60_000, 0], ids=["no room for a checkpoint", "no room at all"])
def test_a_disk_that_is_full_for_a_while(leave: int, disk: Path, truth: Truth, tmp_path: Path) -> None:
    run = tmp_path / OUT
    launcher().start(request(KEPT, tmp_path, OUT, gates=[8, 12, 25, 32]))
    with at_gate(tmp_path, 8):
        until(lambda: newest(run) == 5)  # so that the next one can begin as soon as it is due
    with at_gate(tmp_path, 12):
        until(lambda: newest(run) == 10)
        fill(disk, leave)
    with at_gate(tmp_path, 25):
        assert checkpoints_are_whole(run)[-1] == 10
        assert list((run / "checkpoints").glob(".*.partial")) == []
        (disk / "filler").unlink()
    with at_gate(tmp_path, 32):
        until(lambda: newest(run) >= 25)
        checkpoints_are_whole(run)
    assert launcher().wait().status == 0, tail(tmp_path)
    for told in ("output.txt", *([f"{OUT}/log.txt"] if leave else [])):
        text = (tmp_path / told).read_text()
        assert "the checkpoint could not be saved (No space left on device)" in text
        assert text.count("could not be saved") < 6
    assert differences(truth.digest, digest(KEPT, tmp_path, launcher(), OUT)) == []


def test_a_disk_that_is_full_to_the_end_ends_the_run_in_one_line(disk: Path, truth: Truth, tmp_path: Path) -> None:
    run = tmp_path / OUT
    launcher().start(request(KEPT, tmp_path, OUT, gates=[8, 12]))
    with at_gate(tmp_path, 8):
        until(lambda: newest(run) == 5)  # so that the next one can begin as soon as it is due
    with at_gate(tmp_path, 12):
        until(lambda: newest(run) == 10)
        fill(disk, 20_000)
    assert launcher().wait().status == 2
    assert "No space left on device" in tail(tmp_path, 1)
    assert "Make room" in tail(tmp_path, 1)
    assert "Traceback" not in (tmp_path / "output.txt").read_text()
    assert checkpoints_are_whole(run)[-1] == 10
    assert not (run / "summary.json").exists()
    (disk / "filler").unlink()
    assert launcher().run(request(KEPT, tmp_path, OUT)).status == 0, tail(tmp_path)
    assert differences(truth.digest, digest(KEPT, tmp_path, launcher(), OUT)) == []


def test_asked_to_stop_on_a_full_disk_a_run_does_not_say_that_it_was_saved(
    disk: Path, truth: Truth, tmp_path: Path
) -> None:
    run = tmp_path / OUT
    pid = launcher().start(request(KEPT, tmp_path, OUT, gates=[8, 12]))
    with at_gate(tmp_path, 8):
        until(lambda: newest(run) == 5)  # so that the next one can begin as soon as it is due
    with at_gate(tmp_path, 12):
        until(lambda: newest(run) == 10)
        fill(disk, 20_000)
        os.kill(pid, signal.SIGTERM)
    assert launcher().wait().status == 130
    assert "stopped and saved" not in tail(tmp_path)
    assert "gradus resume" in tail(tmp_path, 1)
    (disk / "filler").unlink()
    assert launcher().run(request(KEPT, tmp_path, OUT)).status == 0, tail(tmp_path)
    assert differences(truth.digest, digest(KEPT, tmp_path, launcher(), OUT)) == []


def test_a_run_that_will_not_fit_is_refused_before_it_begins(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    with mounted("-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path / "disk")):
        assert launcher().run(request(KEPT, tmp_path, OUT)).status == 2
        assert "no space: the run needs about" in tail(tmp_path, 1)
        assert list((tmp_path / "disk").iterdir()) == []


def test_a_directory_of_checkpoints_that_is_read_only_for_a_while(disk: Path, truth: Truth, tmp_path: Path) -> None:
    run = tmp_path / OUT
    launcher().start(request(KEPT, tmp_path, OUT, gates=[8, 12, 25, 32]))
    with at_gate(tmp_path, 8):
        until(lambda: newest(run) == 5)  # so that the next one can begin as soon as it is due
    with at_gate(tmp_path, 12):
        until(lambda: newest(run) == 10)
        shut = contextlib.ExitStack()
        shut.enter_context(read_only(run / "checkpoints"))
    with shut, at_gate(tmp_path, 25):
        assert checkpoints_are_whole(run)[-1] == 10
        assert "could not be saved (Read-only file system)" in (run / "log.txt").read_text()
    with at_gate(tmp_path, 32):
        pass
    assert launcher().wait().status == 0, tail(tmp_path)
    assert differences(truth.digest, digest(KEPT, tmp_path, launcher(), OUT)) == []


def test_a_run_that_is_read_only_to_the_end_is_gone_on_with_when_it_no_longer_is(
    disk: Path, truth: Truth, tmp_path: Path
) -> None:
    run = tmp_path / OUT
    launcher().start(request(KEPT, tmp_path, OUT, gates=[8, 12]))
    with contextlib.ExitStack() as shut:
        with at_gate(tmp_path, 8):
            until(lambda: newest(run) == 5)
        with at_gate(tmp_path, 12):
            until(lambda: newest(run) == 10)
            shut.enter_context(read_only(run))
        assert launcher().wait().status == 2, tail(tmp_path)
        assert "Read-only file system" in tail(tmp_path, 1)
        assert "Traceback" not in (tmp_path / "output.txt").read_text()
        for command in (request(KEPT, tmp_path, OUT), request(KEPT, tmp_path, "disk/run/other")):
            assert launcher().run(command).status == 2, tail(tmp_path)
            assert "Traceback" not in (tmp_path / "output.txt").read_text()
    assert checkpoints_are_whole(run)[-1] == 10
    assert launcher().run(request(KEPT, tmp_path, OUT)).status == 0, tail(tmp_path)
    assert differences(truth.digest, digest(KEPT, tmp_path, launcher(), OUT)) == []


@pytest.mark.parametrize("gone", [OUT, "disk", f"{OUT}/checkpoints"])
@pytest.mark.parametrize("step", [12, 44], ids=["in the midst", "at the end"])
def test_a_directory_that_is_removed_under_the_run(gone: str, step: int, truth: Truth, tmp_path: Path) -> None:
    launcher().start(request(KEPT, tmp_path, OUT, gates=[step]))
    with at_gate(tmp_path, step):
        shutil.rmtree(tmp_path / gone, ignore_errors=True)  # a file may appear while it is removed
        shutil.rmtree(tmp_path / gone, ignore_errors=True)
    ended = launcher().wait()
    assert ended.status == 0, tail(tmp_path)
    assert differences(truth.digest, digest(KEPT, tmp_path, launcher(), OUT)) == []


def test_a_file_in_the_place_of_the_run_ends_it_in_one_line(tmp_path: Path) -> None:
    launcher().start(request(KEPT, tmp_path, OUT, gates=[12]))
    with at_gate(tmp_path, 12):
        shutil.rmtree(tmp_path / OUT, ignore_errors=True)
        shutil.rmtree(tmp_path / OUT, ignore_errors=True)
        (tmp_path / OUT).write_text("mine")
    assert launcher().wait().status == 2, tail(tmp_path)
    assert "Traceback" not in (tmp_path / "output.txt").read_text()
    assert "can't be written" in tail(tmp_path, 1)
    assert (tmp_path / OUT).read_text() == "mine"


@pytest.mark.parametrize("error", ["EIO", "ENOSPC", "EROFS"])
def test_single_calls_that_fail_in_one_save_after_another(error: str, truth: Truth, tmp_path: Path) -> None:
    aims = [
        {"place": "checkpoint", "skip": save, "call": call, "what": error}
        for save, call in enumerate([3, 4, 5, 12, 22, 30, 31, 33, 34], start=1)
    ]
    assert launcher().run(request(KEPT, tmp_path, aims=aims)).status == 0, tail(tmp_path)
    assert os.strerror({"EIO": 5, "ENOSPC": 28, "EROFS": 30}[error]) in (tmp_path / "run/log.txt").read_text()
    assert differences(truth.digest, digest(KEPT, tmp_path, launcher())) == []


def state_at(step: int) -> TrainState:
    torch.manual_seed(step)
    model = gd.models.MLP(3, 4, 1)
    state = TrainState(model, torch.optim.AdamW(model.parameters()), total_steps=9, step=step)
    nn.init.constant_(model.layers[0].weight, step)  # type: ignore[arg-type]
    return state


def loaded(directory: Path) -> float:
    state = state_at(0)
    checkpoint.load_newest(directory, state)
    weight = float(state.model.layers[0].weight.detach()[0, 0])  # type: ignore[union-attr, index]
    assert weight == state.step
    return weight


def failing(patch: pytest.MonkeyPatch, call: int, what: str = "EIO") -> None:
    patch.setattr(whole, "os", Calls([{"place": "*", "skip": 0, "call": call, "what": what}], None, 0.0))


def test_whichever_call_of_a_save_fails_the_older_checkpoint_is_kept_and_the_next_save_succeeds(tmp_path: Path) -> None:
    refused = 0
    for call in range(60):
        here = tmp_path / str(call)
        for step in (1, 2):
            checkpoint.save(here, state_at(step))
        with pytest.MonkeyPatch.context() as patch:
            failing(patch, call)
            try:
                checkpoint.save(here, state_at(3))
            except OSError:
                refused += 1
            assert loaded(here) in (2, 3)
            assert len(checkpoint.steps(here)) >= 2
        checkpoint.save(here, state_at(4))
        assert loaded(here) == 4
        assert sorted(file.name for file in here.iterdir())[0].startswith("0"), f"call {call} leaves something over"
        assert checkpoint.steps(here)[-1] == 4
    assert refused > 15


def test_whichever_call_fails_a_directory_that_is_replaced_is_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    for call in range(40):
        path = tmp_path / str(call) / "predictor"
        path.parent.mkdir()
        write_directory(path, {"model": {"w": torch.zeros(3)}}, {"version": 1})
        with pytest.MonkeyPatch.context() as patch:
            failing(patch, call)
            with contextlib.suppress(OSError):
                write_directory(path, {"model": {"w": torch.ones(3)}}, {"version": 2})
        tensors, values = read_directory(path)
        assert float(tensors["model"]["w"][0]) == values["version"] - 1, f"call {call}"


def test_whichever_call_fails_a_json_file_is_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    for call in range(9):
        path = tmp_path / f"{call}.json"
        whole.write_json(path, {"version": 1})
        with pytest.MonkeyPatch.context() as patch:
            failing(patch, call)
            with contextlib.suppress(OSError):
                whole.write_json(path, {"version": 2})
        assert path.read_text() in ('{\n "version": 1\n}\n', '{\n "version": 2\n}\n'), f"call {call}"


@pytest.mark.parametrize("size", [10_000, (1 << 20) - 25, 1 << 20, 2_500_000])
def test_a_disk_that_takes_a_third_of_what_it_is_given_gets_all_of_it(size: int, tmp_path: Path) -> None:
    """Below, about and beyond the chunks of four megabytes that large files are written in."""
    tensors = {"model": {"w": torch.arange(float(size)), "none": torch.empty(0), "one": torch.tensor(7)}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whole, "os", Calls([{"place": "*", "skip": 0, "call": "each", "what": "short"}], None, 0.0))
        write_directory(tmp_path / "d", tensors, {"words": "x" * 5000})
    found, values = read_directory(tmp_path / "d")
    assert values == {"words": "x" * 5000}
    plain = load_file(tmp_path / "d/model.safetensors")
    for name, tensor in tensors["model"].items():
        assert torch.equal(found["model"][name], tensor)
        assert torch.equal(plain[name], tensor)


@pytest.mark.parametrize("error", ["EIO", "ENOSPC", "EINVAL"])
def test_whichever_call_fails_a_large_file_is_refused_or_right(error: str, tmp_path: Path) -> None:
    """EINVAL is what a file system answers that won't have its cache passed by: then it is written through it."""
    tensors = {"model": {"w": torch.arange(2_500_000.0)}}
    written = 0
    for call in range(2, 12):
        path = tmp_path / str(call)
        with pytest.MonkeyPatch.context() as patch:
            failing(patch, call, error)
            with contextlib.suppress(OSError):
                write_directory(path, tensors, {})
        assert not (tmp_path / f".{call}.partial").exists()
        if path.exists():
            assert torch.equal(read_directory(path)[0]["model"]["w"], tensors["model"]["w"])
            shutil.rmtree(path)
            written += 1
    assert written in ((0, 2) if error == "EINVAL" else (0,))  # none where the cache can't be passed by
