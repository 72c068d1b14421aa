"""The command line as a person and a program use it: help, lists, JSON, predictions, pictures."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

Gradus = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("code", ["import gradus", "from gradus.cli import main; main(['--help'])",
                                  "from gradus.cli import main; main(['list'])"])  # fmt: skip
def test_nothing_heavy_is_imported_until_it_is_used(code: str) -> None:
    check = f"import sys; {code}; assert not {{'torch', 'sklearn', 'polars', 'scipy'}} & set(sys.modules), 'heavy'"
    subprocess.run([sys.executable, "-c", check], check=True, capture_output=True)


def test_list_shows_every_rung(gradus: Gradus) -> None:
    status, out, _ = gradus("list")
    assert status == 0
    rungs = json.loads(gradus("list", "--json")[1])
    names = "line curve logistic diabetes titanic table covid digits mnist fashion photos cifar hello names news "
    names += "sentiment forecast translate poems tokenizer gpt instruct prefer"
    assert [r["name"] for r in rungs] == names.split()
    assert [r["number"] for r in rungs] == [*range(1, 20), 30, 31, 32, 33]
    assert all(r["name"] in out and r["target"] in out for r in rungs)


def test_help_of_a_recipe_shows_its_settings_with_types_and_defaults(gradus: Gradus) -> None:
    status, out, _ = gradus("train", "digits", "--help")
    assert status == 0
    words = " ".join(out.split())
    assert "--width INTEGER channels of the first convolutions [default: 24]" in words
    assert "--epochs INTEGER" in words
    assert "--seed INTEGER" in words
    assert "--precision TEXT" in words
    assert "--resume [never|auto]" in words
    assert "[cnn|mlp|notes-cnn|residual|inception|vgg]" in gradus("train", "mnist", "--help")[1]


def test_json_is_all_there_is_on_standard_output(gradus: Gradus) -> None:
    status, out, err = gradus("train", "digits", "--epochs", 1, "--json", "--out", "r")
    assert status == 0
    summary = json.loads(out)
    assert summary == json.loads(Path("r/summary.json").read_text())
    keys = (
        "recipe task run device precision engine parameters steps samples seconds samples_per_second metrics baseline "
        "findings versions resumed"
    )
    assert set(keys.split()) <= set(summary)
    assert set(summary["seconds"]) == {"total", "train", "validate", "data_wait", "save", "compile"}
    assert set(summary["metrics"]) == {"train", "valid", "test"}
    assert "[--device]" in err
    assert {p.name for p in Path("r").iterdir()} == {
        "config.json", "metrics.jsonl", "summary.json", "checkpoints", "predictor", "evidence", "log.txt",
        "doctor.json",
    }  # fmt: skip
    config = json.loads(Path("r/config.json").read_text())
    assert config["settings"]["epochs"] == {"value": 1, "from": "command line"}
    assert config["settings"]["lr"]["from"] == "recipe"
    assert config["settings"]["clip"]["from"] == "default"
    assert json.loads(gradus("test", "r", "--json")[1]) == pytest.approx(summary["metrics"]["test"], abs=1e-6)


def test_a_typed_budget_replaces_the_recipe_s(gradus: Gradus) -> None:
    assert json.loads(gradus("train", "digits", "--steps", 3, "--json")[1])["steps"] == 3
    timed = json.loads(gradus("train", "digits", "--minutes", "0.02", "--json")[1])
    assert timed["seconds"]["total"] < 3


def test_runs_are_listed_with_what_they_came_to(gradus: Gradus) -> None:
    assert "no runs" in gradus("runs")[1]
    assert gradus("train", "line", "--steps", 5)[0] == 0
    assert gradus("train", "line", "--steps", 5)[0] == 0
    runs = json.loads(gradus("runs", "--json")[1])
    assert len(runs) == 2
    assert all(run["recipe"] == "line" and "rmse" in run["result"] for run in runs)
    assert runs[0]["run"] in gradus("runs")[1]


def test_tables_are_predicted_from_everything_a_person_has(gradus: Gradus, real: Callable[[str], Path]) -> None:
    file = real("titanic/train.csv")
    assert gradus("train", "table", "--data", file, "--target", "Survived", "--epochs", 3, "--out", "r")[0] == 0
    one = {"Sex": "female", "Age": 29, "Pclass": 1}
    by_json = json.loads(gradus("predict", "r", json.dumps(one), "--json")[1])
    by_name = json.loads(gradus("predict", "r", "Sex=female", "Age=29", "Pclass=1", "--json")[1])
    assert by_json == by_name
    assert by_json[0]["label"] == "1"
    assert sum(by_json[0]["probabilities"].values()) == pytest.approx(1)
    of_file = json.loads(gradus("predict", "r", file, "--json")[1])
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert len(of_file) == len(rows) == 891
    Path("rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows[:5]))
    del rows[0]["PassengerId"]
    some = json.loads(gradus("predict", "r", json.dumps(rows[0]), "--json")[1])
    assert some[0]["probabilities"] == pytest.approx(of_file[0]["probabilities"], abs=1e-6)
    tested = json.loads(gradus("test", "r", "--data", file, "--json")[1])
    right = np.mean([p["label"] == row["Survived"] for p, row in zip(of_file, rows, strict=True)])
    assert tested["accuracy"] == pytest.approx(right)
    assert "female" in gradus("predict", "r", "Sex=female")[1]


def test_a_picture_is_predicted_whatever_its_size_and_ink(gradus: Gradus) -> None:
    from PIL import Image
    from sklearn.datasets import load_digits

    assert gradus("train", "digits", "--epochs", 6, "--out", "r")[0] == 0
    scans = load_digits()
    for digit in range(10):
        scan = scans.images[digit] / 16 * 255
        picture = Image.fromarray(scan.astype(np.uint8)).resize((64, 64), Image.Resampling.NEAREST)
        picture.save(f"{digit}.png")
        Image.eval(picture, lambda v: 255 - v).convert("RGB").save(f"{digit}-ink.png")
        np.save(f"{digit}.npy", scans.images[digit][None])
    files = [f"{d}{end}" for d in range(10) for end in (".png", "-ink.png", ".npy")]
    answers = json.loads(gradus("predict", "r", *files, "--json")[1])
    for digit in range(10):
        light, dark, array = answers[3 * digit : 3 * digit + 3]
        assert light["label"] == dark["label"] == array["label"]
        assert light["probabilities"] == pytest.approx(array["probabilities"], abs=0.05)
    assert np.mean([answers[3 * d]["label"] == str(d) for d in range(10)]) >= 0.8
    assert "inverted to be like the training pictures [--no-invert]" in gradus("predict", "r", "3-ink.png")[1]


def test_a_run_that_is_finished_is_left_as_it_is(gradus: Gradus) -> None:
    gradus("train", "line", "--steps", 5, "--out", "r")
    before = (Path("r/predictor/model.safetensors").read_bytes(), Path("r/summary.json").read_text())
    assert gradus("resume", "r")[0] == 0
    assert (Path("r/predictor/model.safetensors").read_bytes(), Path("r/summary.json").read_text()) == before


def test_early_stopping_takes_the_best_weights(gradus: Gradus, real: Callable[[str], Path]) -> None:
    data = real("titanic/train.csv")
    arguments = ("--data", data, "--target", "Survived", "--lr", "0.03", "--patience", 4, "--epochs", 200, "--out", "r")
    summary = json.loads(gradus("train", "table", *arguments, "--json")[1])
    assert summary["stopped"] == "no gain in 4 checks"
    checks = [json.loads(line) for line in Path("r/metrics.jsonl").read_text().splitlines()]
    losses = [line["valid"]["loss"] for line in checks if "valid" in line]
    assert summary["metrics"]["valid"]["loss"] == pytest.approx(min(losses), rel=1e-5)
    assert len(losses) - 1 - int(np.argmin(losses)) == 4
