"""Damaged files: the newest checkpoint that is whole is used, the log says why, and nothing wrong is ever loaded."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import gradus as gd
from faults.cases import KEPT
from faults.harness import Truth, differences, digest, newest, request, tail
from faults.launching import launcher
from gradus.errors import UserError
from gradus.training import TrainState, checkpoint
from gradus.training.prepare import prepare
from gradus.training.settings import Settings

Chance = np.random.Generator
Damage = Callable[[Path, Chance], None]


def truncate(file: Path, chance: Chance) -> None:
    file.write_bytes(file.read_bytes()[: int(chance.integers(0, file.stat().st_size))])


def empty(file: Path, chance: Chance) -> None:
    file.write_bytes(b"")


def zero(file: Path, chance: Chance) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def zero_a_block(file: Path, chance: Chance) -> None:
    data = bytearray(file.read_bytes())
    start = int(chance.integers(0, len(data)))
    data[start : start + 512] = bytes(len(data[start : start + 512]))
    file.write_bytes(data)


def flip(file: Path, chance: Chance) -> None:
    data = bytearray(file.read_bytes())
    data[int(chance.integers(0, len(data)))] ^= 1 << int(chance.integers(0, 8))
    file.write_bytes(data)


def append(file: Path, chance: Chance) -> None:
    file.write_bytes(file.read_bytes() + chance.bytes(int(chance.integers(1, 40))))


def scramble(file: Path, chance: Chance) -> None:
    file.write_bytes(chance.bytes(file.stat().st_size))


def delete(file: Path, chance: Chance) -> None:
    file.unlink()


def take_an_older_one(file: Path, chance: Chance) -> None:
    older = sorted(file.parents[1].glob(f"[0-9]*/{file.name}"))[0]
    file.write_bytes(older.read_bytes())


def make_a_directory_of_it(file: Path, chance: Chance) -> None:
    file.unlink()
    file.mkdir()


DAMAGES: list[Damage] = [
    truncate, empty, zero, zero_a_block, flip, append, scramble, delete, take_an_older_one, make_a_directory_of_it,
]  # fmt: skip
FILES = ["MANIFEST.json", "average.safetensors", "best.safetensors", "model.safetensors", "optimizer.safetensors"]
FILES += ["state.json"]


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    return Truth.of(KEPT, tmp_path_factory.mktemp("corruption") / "truth", launcher())


@pytest.fixture(scope="module")
def unfinished(truth: Truth, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was killed before its last save, with four checkpoints."""
    here = tmp_path_factory.mktemp("unfinished")
    last = f"{truth.digest['summary']['steps']:08d}"
    aim = {"place": last, "skip": 0, "call": 0, "what": "kill"}
    assert launcher().run(request(KEPT, here, aims=[aim])).status == -9
    assert len(checkpoint.steps(here / "run/checkpoints")) == 4
    assert sorted(file.name for file in (here / f"run/checkpoints/{newest(here / 'run'):08d}").iterdir()) == FILES
    return here


@cache
def digits() -> gd.data.Dataset:
    return gd.data.digits(valid=0.05)


def fresh() -> TrainState:
    """A state of the same shape, of other weights."""
    data = digits()
    model = gd.models.CNN(data.input_shape, data.num_outputs, width=4)
    return prepare(model, data, None, Settings(ema=0.98, keep_best=True, layout="channels_last", epochs=2)).state


def fingerprint(state: TrainState) -> str:
    """A hash of all that a state holds."""
    files, value = state.save_to()
    digest = hashlib.sha256(json.dumps(value, sort_keys=True).encode())
    for file in sorted(files):
        for name in sorted(files[file]):
            digest.update(f"{file} {name}".encode() + files[file][name].detach().contiguous().numpy().tobytes())
    return digest.hexdigest()


def contents(directory: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in directory.iterdir() if file.is_file()}


def test_a_hundred_random_corruptions_load_what_is_whole_or_nothing(unfinished: Path, tmp_path: Path) -> None:
    there = unfinished / "run/checkpoints"
    steps = checkpoint.steps(there)
    whole: dict[int, str] = {}
    for step in steps:  # the true states, one by one
        shutil.copytree(there / f"{step:08d}", tmp_path / f"only{step}/{step:08d}")
        state = fresh()
        assert checkpoint.load_newest(tmp_path / f"only{step}", state) == []
        for name, tensor in load_file(there / f"{step:08d}/model.safetensors").items():
            assert torch.equal(state.model.state_dict()[name], tensor)
        assert state.step == step
        whole[step] = fingerprint(state)
    assert len(set(whole.values())) == 4
    for seed in range(100):
        chance = np.random.default_rng(seed)
        here = tmp_path / str(seed)
        shutil.copytree(there, here)
        told = []
        for _ in range(int(chance.integers(1, 5))):
            step = steps[-int(chance.choice([1, 1, 1, 2, 2, 3, 4]))]
            file = here / f"{step:08d}/{chance.choice(FILES)}"
            damage = DAMAGES[int(chance.integers(0, len(DAMAGES)))]
            if file.is_file() and file.stat().st_size:
                damage(file, chance)
                told.append(f"{damage.__name__} {step} {file.name}")
        intact = [step for step in steps if contents(there / f"{step:08d}") == contents(here / f"{step:08d}")]
        state = fresh()
        words = f"seed {seed}: {told}"
        if not intact:
            with pytest.raises(UserError, match=r"no checkpoint that is whole.*\.$"):
                checkpoint.load_newest(here, state)
            continue
        lines = checkpoint.load_newest(here, state)
        assert state.step == max(intact), words
        assert fingerprint(state) == whole[state.step], words
        assert [line.split(" passed over: ")[0] for line in lines] == [
            f"checkpoint {step}" for step in reversed(steps) if step > state.step
        ], words


def damaged_and_resumed(unfinished: Path, truth: Truth, here: Path, name: str, damage: Damage) -> None:
    shutil.copytree(unfinished, here)
    step = newest(here / "run")
    damage(here / f"run/checkpoints/{step:08d}/{name}", np.random.default_rng(5))
    before = checkpoint.steps(here / "run/checkpoints")[-2]
    (here / "output.txt").unlink()
    assert launcher().run(request(KEPT, here)).status == 0, tail(here)
    for told in ("output.txt", "run/log.txt"):
        text = " ".join((here / told).read_text().split())
        assert f"checkpoint {step} passed over: run/checkpoints/{step:08d}" in text, told
        assert name in text, told
    assert f"resumed at step {before}" in (here / "run/log.txt").read_text()
    assert differences(truth.digest, digest(KEPT, here, launcher())) == []


@pytest.mark.parametrize(
    ("name", "damage"),
    [(FILES[number % 6], damage) for number, damage in enumerate(DAMAGES) if damage is not take_an_older_one]
    + [("model.safetensors", take_an_older_one)],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_the_one_before_a_damaged_one_is_used(
    name: str, damage: Damage, unfinished: Path, truth: Truth, tmp_path: Path
) -> None:
    damaged_and_resumed(unfinished, truth, tmp_path / "here", name, damage)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_each_file_damaged_in_each_way(name: str, unfinished: Path, truth: Truth, tmp_path: Path) -> None:
    for damage in DAMAGES:
        if damage is not take_an_older_one:  # its best weights may be the same
            damaged_and_resumed(unfinished, truth, tmp_path / damage.__name__, name, damage)


def test_where_all_checkpoints_are_damaged_one_line_says_so_and_nothing_is_lost(
    unfinished: Path, truth: Truth, tmp_path: Path
) -> None:
    here = tmp_path / "here"
    shutil.copytree(unfinished, here)
    originals = {file: file.read_bytes() for file in here.glob("run/checkpoints/*/model.safetensors")}
    for file in originals:
        truncate(file, np.random.default_rng(0))
    (here / "output.txt").unlink()
    assert launcher().run(request(KEPT, here)).status == 2
    line = tail(here, 1)
    assert "no checkpoint that is whole" in line
    assert "model.safetensors" in line
    assert "Traceback" not in (here / "output.txt").read_text()
    for file, data in originals.items():  # a copy was found on another disk
        file.write_bytes(data)
    assert launcher().run(request(KEPT, here)).status == 0, tail(here)
    assert differences(truth.digest, digest(KEPT, here, launcher())) == []


def test_another_file_among_those_of_a_checkpoint_is_not_taken_for_a_part_of_it(
    unfinished: Path, truth: Truth, tmp_path: Path
) -> None:
    here = tmp_path / "here"
    shutil.copytree(unfinished, here)
    folder = here / "run/checkpoints"
    (folder / ".DS_Store").write_bytes(b"\0\1")  # what file managers and network disks leave about
    (folder / ".nfs000001").write_bytes(b"")
    (folder / "notes").mkdir()
    (folder / "99999999").write_text("no directory")
    assert launcher().run(request(KEPT, here)).status == 0, tail(here)
    assert "could not be saved" not in (here / "run/log.txt").read_text()
    found = digest(KEPT, here, launcher())
    assert differences(truth.digest, found) == []


@pytest.mark.slow
@pytest.mark.parametrize("finished", [False, True], ids=["unfinished", "finished"])
def test_any_other_file_of_a_run_damaged_gives_a_whole_run_or_one_line(
    finished: bool, unfinished: Path, truth: Truth, tmp_path: Path
) -> None:
    there = unfinished
    if finished:
        there = tmp_path / "finished"
        shutil.copytree(unfinished, there)
        assert launcher().run(request(KEPT, there)).status == 0
    for seed in range(40):
        chance = np.random.default_rng(seed)
        here = tmp_path / str(seed)
        shutil.copytree(there, here)
        files = sorted(file for file in (here / "run").rglob("*") if file.is_file() and file.stat().st_size)
        files = [file for file in files if "checkpoints" not in file.parts]
        file = files[int(chance.integers(0, len(files)))]
        damage = DAMAGES[int(chance.integers(0, 8))]
        damage(file, chance)
        for command in (request(KEPT, here).command, ("gradus", "resume", "run"), ("gradus", "test", "run")):
            (here / "output.txt").unlink()
            asked = request(KEPT, here)
            asked.command = command
            ended = launcher().run(asked)
            words = f"seed {seed}: {damage.__name__} {file.relative_to(here)}: {command}: {tail(here)}"
            assert ended.status in (0, 2), words
            assert "Traceback" not in (here / "output.txt").read_text(), words
