"""Losses against torch, metrics against scikit-learn, decoding and baselines against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics as reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

import gradus as gd
from gradus.errors import UserError
from gradus.tasks import metrics


@given(st.integers(2, 200), st.integers(2, 6), st.integers(0, 10_000), st.booleans())
@settings(max_examples=60, deadline=None)
def test_class_metrics_agree_with_scikit_learn(rows: int, classes: int, seed: int, ties: bool) -> None:
    chance = np.random.default_rng(seed)
    true = chance.integers(0, classes, rows)
    scores = chance.normal(size=(rows, classes))
    scores = np.round(scores) if ties else scores
    predicted = scores.argmax(1)
    t, p, s = torch.from_numpy(true), torch.from_numpy(predicted), torch.from_numpy(scores)
    assert metrics.accuracy(p, t) == pytest.approx(reference.accuracy_score(true, predicted))
    assert metrics.f1_macro(p, t) == pytest.approx(reference.f1_score(true, predicted, average="macro"))
    for c in range(classes):
        area = metrics.auroc(s[:, c], t == c)
        if 0 < (true == c).sum() < rows:
            assert area == pytest.approx(reference.roc_auc_score(true == c, scores[:, c]))
        else:
            assert np.isnan(area)
    if len(np.unique(true)) == classes and classes > 2:
        probabilities = torch.softmax(s, 1)
        expected = reference.roc_auc_score(true, probabilities.numpy(), multi_class="ovr", labels=range(classes))
        assert metrics.auroc_macro(probabilities, t) == pytest.approx(expected)


@given(st.integers(2, 200), st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_regression_metrics_agree_with_scikit_learn(rows: int, seed: int) -> None:
    chance = np.random.default_rng(seed)
    true, predicted = chance.normal(5, 3, rows), chance.normal(5, 3, rows)
    found = metrics.regression(torch.from_numpy(predicted), torch.from_numpy(true))
    assert found["rmse"] == pytest.approx(reference.root_mean_squared_error(true, predicted))
    assert found["mae"] == pytest.approx(reference.mean_absolute_error(true, predicted))
    assert found["r2"] == pytest.approx(reference.r2_score(true, predicted))


def test_calibration_error_is_zero_for_true_probabilities() -> None:
    chance = np.random.default_rng(0)
    p = chance.uniform(size=200_000)
    happened = torch.from_numpy(chance.uniform(size=200_000) < p)
    assert metrics.calibration_error(torch.from_numpy(p), happened) < 0.01
    assert metrics.calibration_error(torch.full((1000,), 0.9), torch.arange(1000) % 2 == 0) == pytest.approx(0.4)


def test_losses_are_sums_of_torch_s_means() -> None:
    torch.manual_seed(0)
    outputs, numbers = torch.randn(7, 1), torch.randn(7)
    assert gd.tasks.Regression().loss_sum(outputs, numbers) / 7 == pytest.approx(F.mse_loss(outputs[:, 0], numbers))
    flags = torch.tensor([0.0, 1, 1, 0, 1, 0, 0])
    mean = F.binary_cross_entropy_with_logits(outputs[:, 0], flags)
    assert gd.tasks.Binary().loss_sum(outputs, flags) / 7 == pytest.approx(mean)
    logits, classes = torch.randn(7, 3), torch.tensor([0, 1, 2, 0, 1, 2, 0])
    assert gd.tasks.MultiClass(("a", "b", "c")).loss_sum(logits, classes) / 7 == pytest.approx(
        F.cross_entropy(logits, classes)
    )


def test_balanced_weights_count_each_class_the_same() -> None:
    y = np.array([0] * 80 + [1] * 15 + [2] * 5)
    data = gd.data.arrays(np.random.default_rng(0).normal(size=(100, 2)), y, valid=0.0, test=0.0)
    task = gd.tasks.for_target(data, balance=True)
    assert isinstance(task, gd.tasks.MultiClass)
    weights = np.array(task.weights)
    assert weights[y].mean() == pytest.approx(1)
    assert [(y == c).sum() * weights[c] for c in range(3)] == pytest.approx([100 / 3] * 3)
    logits = torch.randn(100, 3)
    by_torch = F.cross_entropy(logits, torch.from_numpy(y), torch.tensor(task.weights), reduction="sum")
    assert task.loss_sum(logits, torch.from_numpy(y)) == pytest.approx(by_torch)


def test_an_answer_inside_the_band_is_unsure() -> None:
    task = gd.tasks.Binary(labels=("fail", "pass"), unsure=(0.4, 0.6))
    logits = torch.logit(torch.tensor([[0.1], [0.45], [0.55], [0.9]]))
    assert [p["label"] for p in task.decode(logits)] == ["fail", "unsure", "unsure", "pass"]
    assert task.decode(logits)[3]["probabilities"]["pass"] == pytest.approx(0.9)
    found = task.metrics(logits, torch.tensor([0.0, 1, 0, 1]))
    assert found["coverage"] == 0.5
    assert found["accuracy_sure"] == 1.0
    many = gd.tasks.MultiClass(("a", "b", "c"), unsure=0.5)
    assert [p["label"] for p in many.decode(torch.tensor([[5.0, 0, 0], [0.1, 0, 0]]))] == ["a", "unsure"]


def test_numbers_come_back_in_their_own_units() -> None:
    task = gd.tasks.Regression(mean=100.0, std=10.0)
    assert task.decode(torch.tensor([[0.5]])) == [{"value": pytest.approx(105.0)}]
    assert task.metrics(torch.tensor([[0.5], [0.0]]), torch.zeros(2))["mae"] == pytest.approx(2.5)


def test_baselines_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_breast_cancer
    from sklearn.dummy import DummyClassifier
    from sklearn.linear_model import LogisticRegression

    x, y = load_breast_cancer(return_X_y=True)
    data = gd.data.arrays(x, y, normalise=True, seed=1)
    found = gd.tasks.baselines(gd.tasks.for_target(data), data)
    train, test = data.splits["train"], data.splits["test"]
    mean, std = x[train].mean(0), x[train].std(0)
    model = LogisticRegression(max_iter=1000).fit((x[train] - mean) / std, y[train])
    assert found["logistic regression"]["accuracy"] == pytest.approx(model.score((x[test] - mean) / std, y[test]))
    dummy = DummyClassifier().fit(x[train], y[train])
    assert found["most frequent class"]["accuracy"] == pytest.approx(dummy.score(x[test], y[test]))


def test_outputs_that_would_broadcast_are_refused() -> None:
    with pytest.raises(UserError, match=r"\(8, 3\).*needs \(8, 1\)"):
        gd.tasks.Regression().check(torch.zeros(8, 3), torch.zeros(8))
    gd.tasks.Regression().check(torch.zeros(8), torch.zeros(8))
    gd.tasks.Regression().check(torch.zeros(8, 1), torch.zeros(8))


def test_a_classifier_that_diverged_shows_nan_and_goes_on() -> None:
    outputs = torch.full((6, 3), float("nan"))
    scores = gd.tasks.MultiClass(3).metrics(outputs, torch.tensor([0, 1, 2, 0, 1, 2]))
    assert math.isnan(scores["calibration_error"])
    x = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    run = gd.train(
        gd.models.MLP(4, 8, 3), (x, np.arange(60) % 3), optimizer="sgd", lr=1e30, epochs=3, quiet=True, on_nan="ignore"
    )
    assert run.summary["metrics"]["test"]["loss"] == "nan"
