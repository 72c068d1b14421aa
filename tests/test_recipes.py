"""The rungs reach their targets with their defaults, on real data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gradus import recipes


@pytest.mark.parametrize("way", ["module", "search", "gradient", "autograd"])
def test_line(way: str) -> None:
    summary = recipes.call("line", {"way": way, "quiet": True}).summary
    assert summary["w"] == pytest.approx(2, abs=1e-3)
    assert summary["b"] == pytest.approx(0, abs=1e-3)


def test_line_through_noise_is_the_least_squares_line() -> None:
    settings = {"noise": 0.5, "points": 6, "seed": 3, "quiet": True, "steps": 4000}
    found = [recipes.call("line", {**settings, "way": way}).summary for way in ("module", "gradient", "autograd")]
    x = np.arange(1, 7)
    y = 2 * x + 0.5 * np.random.Generator(np.random.Philox(3)).standard_normal(6)
    w, b = np.polyfit(x, y, 1)
    for summary in found:
        assert (summary["w"], summary["b"]) == (pytest.approx(w, abs=2e-3), pytest.approx(b, abs=2e-2))


def test_logistic_is_calibrated_and_abstains() -> None:
    run = recipes.call("logistic", {"quiet": True})
    test, line = run.metrics["test"], run.summary["baseline"]["logistic regression"]
    assert test["calibration_error"] <= 0.05
    assert test["loss"] <= 0.36  # that of the true probabilities, on these rows, is 0.352
    assert test["accuracy"] == pytest.approx(line["accuracy"], abs=0.01)
    labels = [p["label"] for p in run.predict(np.array([[1.0], [5.0], [9.0]]))]
    assert labels == ["fail", "unsure", "pass"]
    assert test["accuracy_sure"] > test["accuracy"]


@pytest.mark.parametrize(("name", "target"), [("diabetes", 0.76), ("titanic", 0.80)])
def test_tables_by_five_folds(name: str, target: float, real: Callable[[str], Path]) -> None:
    real(name)
    scores = recipes.call(name, {"quiet": True}).summary["cross_validation"]
    assert scores["accuracy"]["mean"] >= target
    assert len(scores["accuracy"]["folds"]) == 5
    assert scores["accuracy"]["mean"] >= scores["baseline"]["logistic regression"]["accuracy"] - 0.01


def test_digits() -> None:
    run = recipes.call("digits", {"quiet": True})
    assert run.metrics["test"]["accuracy"] >= 0.985
    assert run.metrics["test"]["accuracy"] > run.summary["baseline"]["logistic regression"]["accuracy"]


def test_table_on_a_regression(real: Callable[[str], Path]) -> None:
    run = recipes.call("table", {"data": str(real("covid_hw1/covid.train.csv.gz")), "folds": 3, "quiet": True})
    assert run.summary["task"] == "regression"
    scores = run.summary["cross_validation"]
    assert scores["rmse"]["mean"] <= scores["baseline"]["ridge regression"]["rmse"]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ({"steps": 3}, {"lr": 0.003, "epochs": None, "ema": 0.995}),
        ({"steps": 3, "notes": True, "momentum": 0.9}, {"lr": 0.01, "momentum": 0.9, "optimizer": "sgd", "ema": None}),
        ({"steps": 3, "notes": True, "lr": 0.02, "batch_size": 32}, {"lr": 0.02, "batch_size": 32, "momentum": 0.5}),
    ],
    ids=str,
)
def test_what_is_typed_wins_over_the_notes(
    typed: dict[str, object], expected: dict[str, object], real: Callable[[str], Path]
) -> None:
    run = recipes.call("mnist", {"data": str(real("mnist")), "model": "mlp", "quiet": True, **typed})
    assert run.summary["steps"] == 3
    for key, value in expected.items():
        assert run.config["settings"][key]["value"] == value, key


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "target"),
    [({"model": "mlp", "notes": True}, 0.974), ({"model": "mlp"}, 0.983), ({}, 0.992), ({"model": "notes-cnn"}, 0.985)],
    ids=str,
)
def test_mnist(arguments: dict[str, object], target: float, real: Callable[[str], Path]) -> None:
    run = recipes.call("mnist", {"data": str(real("mnist")), "quiet": True, **arguments})
    assert run.metrics["test"]["accuracy"] >= target
