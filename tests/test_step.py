"""The step: the same gradient in any number of parts, every optimiser, schedules and averages against references."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import gradus as gd
from gradus.errors import UserError
from gradus.training import OPTIMIZERS, Settings, TrainState, lr_factor, make_optimizer, supervised
from gradus.training.state import Average

CPU = torch.device("cpu")


def gradients(task: gd.tasks.Task, batch: gd.data.Batch, accumulate: int, clip: float | None = None) -> torch.Tensor:
    """The gradient of one step, read off the change that plain gradient descent of rate 1 makes."""
    torch.manual_seed(0)
    model = gd.models.MLP(batch.inputs.shape[1], 16, task.num_outputs)
    before = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    state = TrainState(model, torch.optim.SGD(model.parameters(), lr=1.0), total_steps=10)
    supervised(task, lr=1.0, accumulate=accumulate, clip=clip)(state, batch)
    return before - nn.utils.parameters_to_vector(model.parameters()).detach()


@given(st.integers(1, 33), st.sampled_from(["regression", "binary", "multiclass", "weighted"]))
@settings(max_examples=40, deadline=None)
def test_accumulation_gives_the_same_gradient(size: int, kind: str) -> None:
    torch.manual_seed(size)
    targets = {"regression": torch.randn(size), "binary": torch.randint(0, 2, (size,)).float()}
    task: gd.tasks.Task = {
        "regression": gd.tasks.Regression(),
        "binary": gd.tasks.Binary(),
        "multiclass": gd.tasks.MultiClass(("a", "b", "c")),
        "weighted": gd.tasks.MultiClass(("a", "b", "c"), weights=(0.2, 1.0, 3.0), label_smoothing=0.1),
    }[kind]
    batch = gd.data.Batch(torch.randn(size, 5), targets.get(kind, torch.randint(0, 3, (size,))), torch.arange(size))
    whole = gradients(task, batch, 1)
    for parts in (2, 4):
        assert torch.allclose(gradients(task, batch, parts), whole, rtol=1e-4, atol=1e-6)


def test_the_gradient_is_that_of_torch_s_mean_loss() -> None:
    torch.manual_seed(1)
    x, y = torch.randn(20, 5), torch.randint(0, 3, (20,))
    mine = gradients(gd.tasks.MultiClass(("a", "b", "c")), gd.data.Batch(x, y, torch.arange(20)), 4)
    torch.manual_seed(0)
    model = gd.models.MLP(5, 16, 3)
    nn.functional.cross_entropy(model(x), y).backward()
    expected = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    assert torch.allclose(mine, expected, rtol=1e-4, atol=1e-6)
    clipped = gradients(gd.tasks.MultiClass(("a", "b", "c")), gd.data.Batch(x, y, torch.arange(20)), 2, clip=0.01)
    assert clipped.norm() == pytest.approx(0.01, rel=1e-3)


def test_a_run_of_accumulated_steps_with_a_short_last_batch_follows_the_plain_one() -> None:
    chance = np.random.default_rng(0)
    x, y = chance.normal(size=(103, 4)), chance.integers(0, 3, 103)  # 103 = 3 · 32 + 7
    weights = []
    for accumulate in (1, 2, 4):
        torch.manual_seed(0)
        model = gd.models.MLP(4, 8, 3)
        data = gd.data.arrays(x, y, valid=0.0, test=0.0)
        gd.train(model, data, epochs=3, batch_size=32, accumulate=accumulate, lr=0.01, quiet=True)
        weights.append(nn.utils.parameters_to_vector(model.parameters()).detach())
    assert torch.allclose(weights[0], weights[1], atol=1e-5)
    assert torch.allclose(weights[0], weights[2], atol=1e-5)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_optimiser_lowers_the_loss(name: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(200, 3)
    y = x @ torch.tensor([1.0, -2.0, 0.5]) + 0.3
    data = gd.data.arrays(x, y, valid=0.0, test=0.0)
    model = gd.models.Linear(3, 1)
    before = ((model(x)[:, 0] - y) ** 2).mean().item()
    run = gd.train(model, data, optimizer=name, epochs=5, batch_size=50, quiet=True)
    assert run.metrics["train"]["loss"] < before


def test_optimisers_are_fused_and_refuse_what_they_do_not_take() -> None:
    model = gd.models.Linear(3, 1)
    optimizer = make_optimizer(model.parameters(), "adamw", CPU, lr=0.1)
    assert optimizer.param_groups[0]["fused"]
    assert optimizer.param_groups[0]["lr"] == 0.1
    with pytest.raises(UserError, match="adam takes no momentum"):
        make_optimizer(model.parameters(), "adam", CPU, momentum=0.9)
    with pytest.raises(UserError, match=r"no 'adamm'.*'adam'"):
        Settings(optimizer="adamm")


def test_schedules_against_torch_s() -> None:
    weight = nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50)
    for step in range(50):
        assert lr_factor("cosine", step, 50) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-6)
        optimizer.step()
        theirs.step()
    optimizer = torch.optim.SGD([weight], lr=1.0, momentum=0.9)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1.0, total_steps=101, pct_start=0.3, final_div_factor=1e4 / 25
    )
    for step in range(101):
        assert lr_factor("one-cycle", step, 101) == pytest.approx(
            optimizer.param_groups[0]["lr"], abs=0.03
        )  # torch's peak is a step earlier
        optimizer.step()
        if step < 100:
            cycle.step()
    assert [lr_factor("constant", s, 10, 0.5) for s in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])
    assert lr_factor("linear", 9, 10) == pytest.approx(0.1)


def test_the_average_is_torch_s_moving_average() -> None:
    torch.manual_seed(0)
    model = gd.models.MLP(3, 4, 1)
    average = Average(model, 0.9)
    theirs = torch.optim.swa_utils.AveragedModel(
        copy.deepcopy(model),
        avg_fn=lambda old, new, n: old + (1 - min(0.9, (1 + int(n) - 1) / (10 + int(n) - 1))) * (new - old),
    )
    theirs.n_averaged += 1  # it holds the first weights already
    for step in range(30):
        for p in model.parameters():
            p.data += torch.randn_like(p)
        average.update(step)
        theirs.update_parameters(model)
    expected = list(theirs.module.parameters())
    assert all(torch.allclose(mine, other, atol=1e-5) for mine, other in zip(average.weights, expected, strict=True))
    live = [p.detach().clone() for p in model.parameters()]
    average.swap()
    assert all(torch.allclose(p, e, atol=1e-5) for p, e in zip(model.parameters(), expected, strict=True))
    average.swap()
    assert all(torch.equal(p, e) for p, e in zip(model.parameters(), live, strict=True))


def test_chance_within_a_step_depends_on_seed_and_step_alone() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Dropout(0.5), gd.models.Linear(50, 1))
    batch = gd.data.Batch(torch.ones(4, 50), torch.ones(4), torch.arange(4))
    losses = []
    for disturbed in (False, True):
        twin = copy.deepcopy(model)
        state = TrainState(twin, torch.optim.SGD(twin.parameters(), lr=0.0), total_steps=9, step=5, seed=3)
        if disturbed:
            torch.rand(1000)
        losses.append(float(supervised(gd.tasks.Regression(), lr=0.0)(state, batch).loss_sum))
    assert losses[0] == losses[1]


def test_linear_regression_converges_to_scikit_learn_s_coefficients() -> None:
    from sklearn.datasets import load_diabetes
    from sklearn.linear_model import LinearRegression

    x, y = load_diabetes(return_X_y=True)
    x, y = x / x.std(0), (y - y.mean()) / y.std()
    model = gd.models.Linear(10, 1)
    data = gd.data.arrays(x, y, valid=0.0, test=0.0)
    gd.train(model, data, optimizer="lbfgs", steps=60, batch_size=len(x), quiet=True)
    expected = LinearRegression().fit(x, y)
    assert model.linear.weight.detach().numpy()[0] == pytest.approx(expected.coef_, abs=2e-3)
    assert float(model.linear.bias.detach()) == pytest.approx(expected.intercept_, abs=2e-3)


def test_logistic_regression_converges_to_scikit_learn_s_coefficients() -> None:
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    x, y = load_iris(return_X_y=True)
    x, y = x[50:], y[50:] - 1  # two classes that no line parts
    x = (x - x.mean(0)) / x.std(0)
    model = gd.models.Linear(4, 1)
    data = gd.data.arrays(x, y, valid=0.0, test=0.0)
    gd.train(model, data, optimizer="lbfgs", steps=100, batch_size=100, quiet=True)
    expected = LogisticRegression(C=np.inf, max_iter=10_000, tol=1e-10).fit(x, y)
    assert model.linear.weight.detach().numpy() == pytest.approx(expected.coef_, rel=0.02)
    assert model.linear.bias.detach().numpy() == pytest.approx(expected.intercept_, rel=0.02)
