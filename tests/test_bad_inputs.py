"""Every bad input: exit status 2, one clear line on standard error that names what and where, nothing half-written."""

from __future__ import annotations

import gzip
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROWS = "".join(f"{i * 0.37:.2f},{'abc'[i % 3]},{i % 2}\n" for i in range(60))
GOOD = "size,kind,y\n" + ROWS


def lines_changed(number: int, line: str) -> str:
    """The good table with the line of this number (the header is 1) replaced."""
    lines = GOOD.splitlines(keepends=True)
    lines[number - 1] = line + "\n"
    return "".join(lines)


TABLES: dict[str, tuple[str | bytes, list[str]]] = {
    "text in a numeric column": (
        lines_changed(18, "large,a,1"),
        ["row 18", "'size'", "'large'", "--kind size=category"],
    ),
    "one class only": (GOOD.replace(",0\n", ",1\n"), ["'y'", "one class only"]),
    "empty file": ("", ["empty"]),
    "header only": ("size,kind,y\n", ["no row below"]),
    "missing target values": (lines_changed(7, "1.0,a,"), ["row 7", "'y' is empty", "--drop-missing-target"]),
    "too few fields": (lines_changed(31, "1.0"), ["row 31", "1 fields where the first row has 3"]),
    "too many fields": (lines_changed(12, "1.0,a,1,9"), ["row 12", "4 fields where the first row has 3"]),
    "truncated gz": (gzip.compress(GOOD.encode() * 50)[:200], ["gzip", "cut short"]),
    "binary junk": (bytes(range(256)) * 8, ["binary data"]),
    "not UTF-8": (GOOD.encode() + b"1.0,\xff\xfe,1\n", ["line 62", "0xff", "UTF-8"]),
    "every target missing": ("x,y\n" + "1.5,\n" * 20, ["empty in every row"]),
    "too many classes": (
        "x,y\n" + "".join(f"{i % 13 * 1.7},name {i}\n" for i in range(300)),
        ["300 different values", "too many for classes"],
    ),
}


@pytest.mark.parametrize("case", TABLES)
def test_bad_tables(case: str, gradus: Callable[..., tuple[int, str, str]]) -> None:
    content, words = TABLES[case]
    file = Path("bad.csv.gz" if "gz" in case else "bad.csv")
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    refused(gradus("train", "table", "--data", file, "--target", "y"), [str(file), *words])
    assert [p.name for p in Path().iterdir()] == [file.name]


def test_a_good_table_is_not_refused(gradus: Callable[..., tuple[int, str, str]]) -> None:
    Path("good.csv").write_text(GOOD)
    status, out, err = gradus("train", "table", "--data", "good.csv", "--target", "y", "--epochs", 1)
    assert (status, err) == (0, "")
    assert "accuracy" in out


COMMANDS: dict[str, tuple[list[str], list[str]]] = {
    "missing file": (["train", "table", "--data", "nothere.csv"], ["nothere.csv", "no such file"]),
    "wrong column": (["train", "table", "--data", "good.csv", "--target", "yy"], ["no column 'yy'", "'y'"]),
    "no table": (["train", "table"], ["--data"]),
    "wrong kind": (["train", "table", "--data", "good.csv", "--kind", "size=numbr"], ["'size'", "'number'"]),
    "kind of no column": (["train", "table", "--data", "good.csv", "--drop", "sise"], ["'sise'", "'size'"]),
    "unknown flag": (["train", "digits", "--epcohs", "3"], ["--epcohs", "--epochs"]),
    "unknown recipe": (["train", "digist"], ["no recipe 'digist'", "'digits'"]),
    "unknown command": (["trian", "digits"], ["no command 'trian'", "'train'"]),
    "negative budget": (["train", "digits", "--epochs", "-3"], ["epochs", "-3"]),
    "budget that is no number": (["train", "digits", "--minutes", "soon"], ["--minutes", "'soon'"]),
    "infinite budget": (["train", "digits", "--minutes", "inf"], ["minutes", "inf"]),
    "learning rate of nothing": (["train", "digits", "--lr", "0"], ["lr", "above 0"]),
    "unknown optimiser": (["train", "digits", "--optimizer", "adm"], ["'adm'", "'adam'"]),
    "unknown schedule": (["train", "digits", "--schedule", "onecycle"], ["'one-cycle'"]),
    "no interval": (["train", "digits", "--save-every", "often"], ["save_every", "'often'", "30 s"]),
    "momentum that is not taken": (["train", "digits", "--momentum", "0.5"], ["adamw takes no momentum"]),
    "directory for a file": (["train", "table", "--data", "folder"], ["folder", "a directory"]),
    "a run that is not one": (["predict", "folder", "x=1"], ["folder", "not a run"]),
    "a run that is not there": (["resume", "runs/none"], ["runs/none", "no such run"]),
    "a device that is not there": (["train", "digits", "--device", "cuda:7"], ["'cuda:7' isn't there", "cpu"]),
    "no device at all": (["train", "digits", "--device", "abacus"], ["'abacus' isn't there"]),
    "data that are not there": (["train", "mnist", "--data", "nowhere"], ["nowhere", "no such directory"]),
    "an out that is not empty": (["train", "digits", "--out", "folder"], ["folder", "isn't an empty directory"]),
    "an out below a file": (["train", "digits", "--out", "good.csv/run"], ["good.csv/run", "can't be made"]),
    "runs below nothing": (["runs", "nowhere"], ["nowhere"]),
    "idx cut short": (["train", "mnist", "--data", "idx"], ["idx", "header tells"]),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_bad_commands(case: str, gradus: Callable[..., tuple[int, str, str]]) -> None:
    Path("good.csv").write_text(GOOD)
    Path("folder").mkdir()
    Path("folder/file").write_text("")
    Path("idx").mkdir()
    Path("idx/train-images-idx3-ubyte").write_bytes(
        bytes([0, 0, 8, 3, 0, 0, 0, 9, 0, 0, 0, 28, 0, 0, 0, 28]) + b"x" * 99
    )
    before = sorted(str(p) for p in Path().rglob("*"))
    arguments, words = COMMANDS[case]
    refused(gradus(*arguments), words)
    assert sorted(str(p) for p in Path().rglob("*")) == before


def refused(answer: tuple[int, str, str], words: list[str]) -> None:
    status, out, err = answer
    assert status == 2, err
    assert out == ""
    assert err.startswith("gradus: ")
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    for word in words:
        assert word in err, err


def test_bad_inputs_to_a_run(gradus: Callable[..., tuple[int, str, str]]) -> None:
    Path("good.csv").write_text(GOOD)
    assert gradus("train", "table", "--data", "good.csv", "--epochs", 1, "--out", "r")[0] == 0
    before = sorted((str(p), p.stat().st_size) for p in Path("r").rglob("*"))
    refused(gradus("predict", "r"), ["nothing to predict", "size=…"])
    refused(gradus("predict", "r", "sise=1"), ["'sise'", "'size'"])
    refused(gradus("predict", "r", "size=big"), ["row 1", "'size'", "'big' is not a number"])
    refused(gradus("predict", "r", "nothere.csv"), ["nothere.csv", "no such file"])
    refused(gradus("predict", "r", '{"size": 1'), ["not JSON"])
    Path("other.csv").write_text("size,y\n1,0\n")
    refused(gradus("predict", "r", "other.csv"), ["other.csv", "no column 'kind'"])
    refused(gradus("test", "r", "--data", "other.csv"), ["no column 'kind'"])
    Path("new.csv").write_text("size,kind,y\n1,a,0\n2,b,7\n")
    refused(gradus("test", "r", "--data", "new.csv"), ["new.csv, row 3", "'7' is no class"])
    refused(gradus("train", "digits", "--out", "r"), ["holds a run already", "gradus resume r"])
    Path("photo.png").write_bytes(b"no picture")
    refused(gradus("predict", "r", "photo.png"), ["photo.png", "doesn't read pictures"])
    assert sorted((str(p), p.stat().st_size) for p in Path("r").rglob("*")) == before
    (Path("r") / "predictor/model.safetensors").write_bytes(b"junk")
    refused(gradus("predict", "r", "size=1"), ["model.safetensors", "missing or damaged"])


def test_no_space_left_is_told_before_training(
    gradus: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1_000_000))
    refused(gradus("train", "digits", "--epochs", 1), ["no space", "1 MB are free"])
    assert list(Path().iterdir()) == []


def test_a_disk_that_fills_up_is_told_in_one_line(tmp_path: Path) -> None:
    """A limit on the size of files makes the checkpoint's own write fail, inside the save."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))

    command = [sys.executable, "-m", "gradus", "train", "digits", "--epochs", "1", "--out", "r", "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("gradus: r: can't be written: File too large")
    left = [p.name for p in (tmp_path / "r").rglob("*")]
    assert not any("partial" in name or name.endswith(".safetensors") for name in left)
