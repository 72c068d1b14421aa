"""The rungs reach their targets with their defaults, on real data."""

from __future__ import annotations

import gzip
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


def test_covid_is_below_ridge_on_the_same_folds(real: Callable[[str], Path]) -> None:
    real("covid_hw1")
    scores = recipes.call("covid", {"quiet": True}).summary["cross_validation"]
    assert scores["rmse"]["mean"] < scores["baseline"]["ridge regression"]["rmse"]
    assert len(scores["rmse"]["folds"]) == 5


def test_covid_keeps_the_features_that_go_most_with_the_target(real: Callable[[str], Path]) -> None:
    """Against scikit-learn's F statistic, which ranks as the correlation does."""
    from sklearn.feature_selection import f_regression

    import gradus as gd
    from gradus.recipes.covid import chosen

    days = gd.data.table(real("covid_hw1/covid.train.csv.gz"), drop=["id"])
    rows = days.splits["train"]
    x, y = days.inputs.numpy()[rows].astype(np.float64), days.targets.numpy()[rows]
    varied = x.std(axis=0) > 1e-6
    strength = np.where(varied, f_regression(np.where(varied, x, np.arange(len(x))[:, None] % 2), y)[0], -1.0)
    assert set(chosen(days, 20)) == set(np.argsort(-strength)[:20].tolist())
    run = recipes.call("covid", {"keep": 20, "epochs": 1, "folds": 0, "quiet": True})
    assert run.summary["parameters"] == 20 * 64 + 64 + 64 + 1 + 20 + 1


@pytest.fixture(scope="module")
def few_digits(real: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first of MNIST's own files, 6,000 to train on and 1,000 to test."""
    source, here = real("mnist"), tmp_path_factory.mktemp("few")
    for split, count in (("train", 6000), ("t10k", 1000)):
        for kind, head, size in (("images-idx3", 16, 784), ("labels-idx1", 8, 1)):
            whole = gzip.decompress((source / f"{split}-{kind}-ubyte.gz").read_bytes())
            told = whole[:4] + count.to_bytes(4, "big") + whole[8:head]
            (here / f"{split}-{kind}-ubyte").write_bytes(told + whole[head : head + count * size])
    return here


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("fashion", {"model": "vgg"}),
        ("mnist", {"model": "inception"}),
        ("mnist", {"model": "residual"}),
    ],
    ids=str,
)
def test_every_model_learns_something_in_a_few_steps(name: str, arguments: dict[str, object], few_digits: Path) -> None:
    settings = {"data": str(few_digits), "steps": 100, "width": 8, "ema": 0.9, "quiet": True, **arguments}
    run = recipes.call(name, settings)
    assert run.metrics["test"]["accuracy"] > 0.5


@pytest.mark.long
def test_photos_from_scratch(real: Callable[[str], Path]) -> None:
    run = recipes.call("photos", {"data": str(real("flowers")), "quiet": True})
    assert run.metrics["test"]["accuracy"] >= 0.75


@pytest.mark.slow
def test_cifar_on_two_classes(real: Callable[[str], Path]) -> None:
    run = recipes.call("cifar", {"data": str(real("cifar2")), "quiet": True})
    assert run.metrics["test"]["accuracy"] >= 0.95


@pytest.mark.slow
def test_fashion_s_code_on_digits(real: Callable[[str], Path]) -> None:
    """Fashion-MNIST itself is not among the test data; digits have its layout, and don't like being mirrored."""
    run = recipes.call("fashion", {"data": str(real("mnist")), "flip": False, "epochs": 2, "quiet": True})
    assert run.metrics["test"]["accuracy"] >= 0.99
    assert run.config["task"]["labels"][9] == "Ankle boot"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "target"),
    [({"model": "mlp", "notes": True}, 0.974), ({"model": "mlp"}, 0.983), ({}, 0.992), ({"model": "notes-cnn"}, 0.985)],
    ids=str,
)
def test_mnist(arguments: dict[str, object], target: float, real: Callable[[str], Path]) -> None:
    run = recipes.call("mnist", {"data": str(real("mnist")), "quiet": True, **arguments})
    assert run.metrics["test"]["accuracy"] >= target
