"""The doctor on runs of Gradus: sabotaged recipes end with the right verdict, healthy ones with none; resumed alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import gradus as gd
from gradus.cli import main
from gradus.doctor import signals
from gradus.doctor.signals import Signals
from gradus.doctor.store import from_json, to_json

SABOTAGED: dict[str, tuple[list[str], set[str]]] = {
    "a rate far too high": (["digits", "--lr", "30"], {"lr-too-high"}),
    "a rate far too high for SGD": (["digits", "--optimizer", "sgd", "--lr", "100", "--clip", "1e9"], {"lr-too-high"}),
    "a rate far too low": (["digits", "--lr", "1e-8"], {"lr-too-low"}),
    "a line that can't get anywhere": (["logistic", "--lr", "1e-9"], {"lr-too-low"}),
    "a decay that is all": (["digits", "--weight-decay", "300"], {"weight-decay-dominates"}),
}


def findings(arguments: list[str], out: Path) -> list[dict[str, Any]]:
    assert main(["train", *arguments, "--out", str(out)]) == 0
    told: list[dict[str, Any]] = json.loads((out / "summary.json").read_text())["findings"]
    return told


@pytest.mark.parametrize("name", SABOTAGED)
def test_a_sabotaged_recipe_is_told(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, codes = SABOTAGED[name]
    found = findings(arguments, tmp_path / "run")
    assert found, "nothing was found"
    assert found[0]["code"] in codes, found
    said = capsys.readouterr().out
    assert found[0]["verdict"] in said
    assert found[0]["change"] in said
    if found[0]["code"].startswith("lr"):  # which the curves show, so that it is told on the way, too
        assert f"[{found[0]['code']}]; to change:" in (tmp_path / "run" / "log.txt").read_text()
    assert main(["doctor", "--lang", "en", str(tmp_path / "run")]) == 1
    assert found[0]["verdict"] in " ".join(capsys.readouterr().err.split())
    assert main(["report", str(tmp_path / "run"), "--lang", "zh"]) == 0
    assert found[0]["zh"]["verdict"] in (tmp_path / "run" / "report.html").read_text()


def test_a_healthy_run_ends_with_no_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert [f for f in findings(["digits"], tmp_path / "run") if f["level"] != "note"] == []
    assert main(["doctor", str(tmp_path / "run")]) == 0
    assert "no fault found" in " ".join(capsys.readouterr().err.split())


def test_a_model_of_ones_own_is_examined(tmp_path: Path) -> None:
    layers = (torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10), torch.nn.Softmax(1))
    model = torch.nn.Sequential(torch.nn.Flatten(), *layers)
    run = gd.train(model, gd.data.digits(), epochs=4, out=str(tmp_path / "run"), quiet=True)
    assert run.summary["findings"][0]["code"] == "softmax-before-cross-entropy"


def test_looking_changes_nothing_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gradus.doctor import run as doctor

    def weights(name: str) -> dict[str, torch.Tensor]:
        torch.manual_seed(3)
        model = torch.nn.Sequential(torch.nn.Flatten(), gd.models.MLP(64, 32, 10, dropout=0.2))
        gd.train(model, gd.data.digits(), epochs=3, out=str(tmp_path / name), quiet=True)
        return model.state_dict()

    looked = weights("with")
    monkeypatch.setattr(doctor, "look_at_start", lambda prepared, settings: Signals())
    monkeypatch.setattr(doctor, "look_at_end", lambda prepared, directory, seen, summary: (seen, doctor.examine(seen)))
    alone = weights("without")
    assert all(torch.equal(looked[key], alone[key]) for key in looked)


numbers = st.floats(allow_nan=False)


@given(
    st.lists(st.tuples(st.integers(0, 10**6), numbers), max_size=5),
    st.dictionaries(st.integers(0, 99), st.integers(1, 99), max_size=5),
    st.sets(numbers, max_size=5),
    st.one_of(st.none(), st.builds(signals.Place, st.text(), st.integers(1, 999), st.text(), st.text())),
)
def test_signals_come_back_from_json(
    values: list[tuple[int, float]], labels: dict[int, int], distinct: set[float], place: signals.Place | None
) -> None:
    from collections import Counter

    from gradus.training.rundir import finite

    site = signals.LossSite(
        "mse_loss", place, True, shape=(3, 4), values=values, labels=Counter(labels), distinct=distinct
    )
    site.producers = [signals.Op("softmax", (2, 3), -1)]
    seen = Signals(losses=[site], kept=signals.Kept(alive=[(1, 2)]), run={"task": "x"})
    again = from_json(Signals, json.loads(json.dumps(finite(to_json(seen)))))
    assert again == seen


def test_what_an_observer_fails_at_is_told_in_the_run_s_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gradus.doctor.watch.models import Models

    def fails(*args: object) -> None:
        raise ZeroDivisionError("an observer's own")

    monkeypatch.delenv("GRADUS_DOCTOR_STRICT", raising=False)
    monkeypatch.setattr(Models, "_begin", fails)
    model = torch.nn.Sequential(torch.nn.Flatten(), gd.models.MLP(64, 32, 10))
    run = gd.train(model, gd.data.digits(), epochs=2, out=str(tmp_path / "run"), quiet=True)
    assert run.summary["metrics"]["test"]
    assert "doctor: ZeroDivisionError: an observer's own" in (tmp_path / "run" / "log.txt").read_text()


def crossed(rows: int = 1200) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(rows, 2, generator=torch.Generator().manual_seed(1))
    return x, (x[:, 0] * x[:, 1] > 0).long()


def test_a_run_whose_model_is_too_small_is_told(tmp_path: Path) -> None:
    """No line parts the quadrants; what the run is told by is tried on copies, as its loss curve can't show it."""
    run = gd.train(torch.nn.Linear(2, 1), crossed(), epochs=30, lr=1e-2, out=str(tmp_path / "run"), quiet=True)
    assert run.summary["findings"][0]["code"] == "model-too-small"
    model = gd.models.MLP(2, 32, 1)
    run = gd.train(model, crossed(), epochs=30, lr=1e-2, out=str(tmp_path / "larger"), quiet=True)
    assert run.summary["metrics"]["test"]["accuracy"] > 0.9
    assert run.summary["findings"] == []


def test_where_there_is_nothing_to_learn_no_model_is_blamed(tmp_path: Path) -> None:
    x, _ = crossed()
    chance = torch.randint(0, 2, (len(x),), generator=torch.Generator().manual_seed(2))
    run = gd.train(gd.models.MLP(2, 32, 1), (x, chance), epochs=30, lr=1e-3, out=str(tmp_path / "run"), quiet=True)
    assert [f["code"] for f in run.summary["findings"] if f["level"] != "note"] == []
