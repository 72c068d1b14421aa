"""The page ``docs/never-lost.md``: its loop survives kill -9 at any instant, its flags and files exist."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_readme import skeleton

import gradus as gd
from gradus.training import Settings
from gradus.training.whole import read_directory

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "never-lost.md"

# Runs the page's loop again and again, each time in a process of its own, which it kills. All that takes long to import
# is imported once, here; no tensor is computed before the fork, so each process begins as a fresh one does.
KILLER = """
import os, random, signal, sys, time
import sklearn.datasets, torch, gradus as gd
from gradus.training import TrainState, checkpoint, whole
import torch._dynamo  # which the first step of an optimiser would import

chance = random.Random(0)

class Killing:  # the system's calls, of which the n-th is not survived: before it, or after half of it
    def __init__(self, left, half):
        self.left, self.half = left, half
    def __getattr__(self, name):
        real = getattr(os, name)
        if name not in ("mkdir", "open", "write", "fsync", "close", "rename", "unlink", "rmdir", "listdir"):
            return real
        def call(*arguments):
            self.left -= 1
            if self.left == 0:
                if self.half and name == "write":
                    os.write(arguments[0], arguments[1][: len(arguments[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments)
        return call

def run(code, seconds=None, calls=None, half=False):
    child = os.fork()
    if child == 0:
        if calls is not None:
            whole.os = Killing(calls, half)
        try:
            exec(code, {"__name__": "__main__"})
        except BaseException:
            import traceback; traceback.print_exc(); os._exit(1)
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -9), status
    return status == -9

root = os.getcwd()
for name, kills in zip(sys.argv[1::2], map(int, sys.argv[2::2])):
    code = compile(open(f"{root}/{name}.py").read(), name, "exec")
    os.makedirs(f"{root}/{name}/whole"), os.chdir(f"{root}/{name}/whole")
    begun = time.perf_counter()
    assert not run(code)
    seconds, killed = time.perf_counter() - begun, 0
    os.mkdir("../killed"), os.chdir("../killed")
    for number in range(kills):
        if number % 2:
            killed += run(code, calls=chance.randint(10, 60), half=chance.random() < 0.3)
        else:
            killed += run(code, seconds=chance.uniform(0, seconds / 3))
    assert not run(code)
    print(killed)
"""

# Each takes one habit of the page away, for the comparison of bits must be able to fail.
BROKEN = {
    "without_seed": {"torch.manual_seed(state.step)": "pass"},
    "without_order": {
        "torch.manual_seed(state.step)": "pass",
        "order.indices(state.step)": "torch.randperm(1797)[:32]",
    },
    "without_weights": {"checkpoint.load_newest(directory, state)": "state.step = checkpoint.steps(directory)[-1]"},
}


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def the_loop() -> str:
    return next(block for block in blocks("python") if "while state.step" in block)


@pytest.fixture(scope="module")
def loops(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int]]:
    """The page's loop and broken ones, each run whole and killed again and again; how many kills found it alive."""
    root = tmp_path_factory.mktemp("loops")
    (root / "page.py").write_text(the_loop())
    for name, changes in BROKEN.items():
        loop = the_loop().replace("600", "120").replace("% 50", "% 20")
        for part, other in changes.items():
            assert part in loop
            loop = loop.replace(part, other)
        (root / f"{name}.py").write_text(loop)
    names = ["page", *BROKEN]
    command = [sys.executable, "-c", KILLER, "page", "16", *(word for name in BROKEN for word in (name, "4"))]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300, env=alone)
    assert done.returncode == 0, done.stderr
    return root, dict(zip(names, map(int, done.stdout.split()), strict=True))


def bits(loop: Path, step: int) -> dict[str, Any]:
    """The last checkpoint of a loop: a sum of each file of tensors, and its values.

    Without the generators of Python and NumPy, which the loop neither seeds nor draws from.
    """
    last = sorted((loop / "checkpoints").iterdir())[-1]
    assert last.name == f"{step:08d}"
    sums = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in last.glob("*.safetensors")}
    values = json.loads((last / "state.json").read_text())
    return {**sums, **{key: value for key, value in values.items() if not key.endswith("_random")}}


def test_the_loop_of_the_page_has_thirty_lines_and_no_step_of_ours() -> None:
    loop = the_loop()
    assert len(loop.splitlines()) <= 30
    assert max(map(len, loop.splitlines())) <= 120
    assert "supervised" not in loop
    assert "gd.train(" not in loop


def test_the_loop_of_the_page_survives_kill_9(loops: tuple[Path, dict[str, int]]) -> None:
    root, killed = loops
    assert killed["page"] >= 4
    assert bits(root / "page/killed", 600) == bits(root / "page/whole", 600)
    left = root / "page/killed/checkpoints"
    names = sorted(path.name for path in left.iterdir())
    # A kill between the last save and its tidying leaves one more, which the next save would remove: whole, as all are.
    assert names in (["00000550", "00000600"], ["00000500", "00000550", "00000600"])
    for name in names:
        read_directory(left / name)


@pytest.mark.parametrize("name", BROKEN)
def test_a_loop_that_lacks_one_of_its_habits_ends_in_other_bits(name: str, loops: tuple[Path, dict[str, int]]) -> None:
    root, killed = loops
    assert killed[name] > 0
    ends = [bits(root / name / way, 120)["model.safetensors"] for way in ("killed", "whole")]
    assert ends[0] != ends[1]


def test_the_scripts_of_the_page_parse() -> None:
    assert len(blocks("bash")) == 4
    for script in blocks("bash"):
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    for code in blocks("python"):
        compile(code, "page", "exec")


def test_the_flags_and_files_of_the_page_are_there() -> None:
    page = PAGE.read_text(encoding="utf-8")
    known = {"--" + name.replace("_", "-") for name in Settings.__dataclass_fields__} | {
        "--nproc-per-node",
        "--max-restarts",
    }
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", "\n".join(blocks("bash")))) | set(
        re.findall(r"`(--[a-z][a-z-]+)`", page)
    ) <= known | {"--time", "--signal", "--requeue", "--open-mode"}
    defaults = Settings()
    assert (defaults.save_every, defaults.keep, defaults.keep_best, defaults.on_nan) == ("30 s", 2, False, "stop")
    assert all(f"| `{word}` |" in page for word in ("stop", "skip", "ignore"))
    data = gd.data.digits()
    model = gd.models.MLP(64, 8, 10)
    gd.train(model, data, steps=20, ema=0.9, patience=3, valid_every="5 steps", quiet=True, out="run")
    newest = Path("run/checkpoints/00000020")
    listed = re.findall(r"^  (\S+\.\w+) ", blocks("text")[0], re.MULTILINE)
    assert sorted(listed) == sorted(path.name for path in newest.iterdir())
    tensors, _ = read_directory(newest)
    assert set(tensors) == {"model", "optimizer", "average", "best"}
    assert json.loads((newest / "MANIFEST.json").read_text())["state.json"].keys() == {"bytes", "xxh3_128"}


def test_the_chinese_page_is_a_faithful_twin() -> None:
    english, chinese = skeleton("docs/never-lost.md"), skeleton("docs/never-lost.zh-CN.md")
    for part, found in english.items():
        if part == "inline":  # the two languages may name the same things in another order
            assert sorted(found) == sorted(chinese[part]), part
        else:
            assert found == chinese[part], part
    assert len(english["code"]) == 7
