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


class Poison(nn.Module):
    """Gives NaN, or an infinite gradient, where an input is above 100."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        bad = x > 100
        if self.where == "forward":
            return x.masked_fill(bad, np.nan)
        return x + (x * 0).masked_fill(~bad, 1.0).sqrt()  # the root of 0 where it is bad


def poisoned(where: str) -> nn.Sequential:
    torch.manual_seed(0)
    layers = (nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.2), nn.Linear(4, 1))
    with torch.no_grad():
        layers[0].weight.copy_(torch.eye(4))
    return nn.Sequential(layers[0], Poison(where), *layers[1:])


@pytest.mark.parametrize("where", ["forward", "backward"])
@pytest.mark.parametrize("clip", [None, 0.5])
def test_a_step_that_is_not_finite_is_skipped_as_if_its_batch_were_not_there(where: str, clip: float | None) -> None:
    chance = torch.Generator().manual_seed(0)
    batches = [gd.data.Batch(torch.randn(10, 4, generator=chance), torch.randn(10, generator=chance), torch.arange(10))
               for _ in range(12)]  # fmt: skip
    bad = {2, 3, 4, 8, 11}
    for k in bad:
        batches[k].inputs[5, 1] = 200.0
    model = poisoned(where)
    state = TrainState(model, torch.optim.AdamW(model.parameters(), lr=0.01), 12, seed=3, average=Average(model, 0.9))
    step = supervised(gd.tasks.Regression(), lr=0.01, clip=clip, on_nan="skip")
    twin = poisoned(where)  # the same in plain torch
    optimizer = torch.optim.AdamW(twin.parameters(), lr=0.01)
    average = [p.detach().clone() for p in twin.parameters()]
    for k, batch in enumerate(batches):
        outcome = step(state, batch)
        state.step += 1
        if k in bad:
            assert (float(outcome.loss_sum), outcome.count) == (0.0, 0)
            continue
        torch.manual_seed(gd.data.mix(3, k))
        loss = nn.functional.mse_loss(twin(batch.inputs)[:, 0], batch.targets, reduction="sum")
        assert torch.equal(outcome.loss_sum, loss)
        optimizer.zero_grad()
        loss.backward(torch.tensor(1 / 10))
        if clip is not None:
            nn.utils.clip_grad_norm_(twin.parameters(), clip)
        optimizer.step()
        decay = min(0.9, (1 + k) / (10 + k))
        average = [a.lerp(p.detach(), 1 - decay) for a, p in zip(average, twin.parameters(), strict=True)]
    pairs = zip(model.state_dict().values(), twin.state_dict().values(), strict=True)  # running means among them
    assert all(torch.equal(a, b) for a, b in pairs)
    assert state.average is not None
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(state.average.weights, average, strict=True))
    assert state.skipped == 5
    what = "the loss" if where == "forward" else "the gradient"
    assert state.notices == [
        f"step 3: {what} isn't finite; the update is skipped",
        f"step 4: {what} isn't finite; the update is skipped, 2 by now",
        f"step 9: {what} isn't finite; the update is skipped, 4 by now",
    ]


def test_without_skipping_nothing_is_hidden_and_lbfgs_cannot_skip() -> None:
    batch = gd.data.Batch(torch.full((4, 4), 200.0), torch.ones(4), torch.arange(4))
    model = poisoned("forward")
    state = TrainState(model, torch.optim.SGD(model.parameters(), lr=0.1), 9)
    assert torch.isnan(supervised(gd.tasks.Regression(), lr=0.1)(state, batch).loss_sum)
    assert not all(p.isfinite().all() for p in model.parameters())
    assert (state.skipped, state.notices) == (0, [])
    state.optimizer = torch.optim.LBFGS(model.parameters())
    with pytest.raises(UserError, match=r"no 'skp'.*'skip'"):
        supervised(gd.tasks.Regression(), lr=0.1, on_nan="skp")
    with pytest.raises(UserError, match="lbfgs takes several gradients a step"):
        supervised(gd.tasks.Regression(), lr=0.1, on_nan="skip")(state, batch)


class Alone:
    """A world of one process that computes half of each batch, and doubles what it came to."""

    rank = 0
    losses: list[float | None]

    def combine(
        self, state: TrainState, parameters: list[nn.Parameter], loss: torch.Tensor | None, count: int
    ) -> tuple:  # type: ignore[type-arg]
        self.losses.append(None if loss is None else float(loss))
        for p in parameters:
            p.grad = None if p.grad is None else 2 * p.grad / max(2 * count, 1)
        return torch.zeros(()) if loss is None else 2 * loss, 2 * count


def test_of_several_processes_the_unscaled_sums_are_added_up() -> None:
    torch.manual_seed(0)
    half = gd.data.Batch(torch.randn(6, 3), torch.randn(6), torch.arange(6))
    whole = gd.data.Batch(torch.cat([half.inputs] * 2), torch.cat([half.targets] * 2), torch.arange(12))  # type: ignore[list-item]
    model = gd.models.MLP(3, 4, 1)
    twin = copy.deepcopy(model)
    for parts, clip in ((1, None), (4, 0.1)):
        state = TrainState(model, torch.optim.SGD(model.parameters(), lr=0.1), 9, parts=parts)
        state.world = Alone()  # type: ignore[assignment]
        state.world.losses = []  # type: ignore[union-attr]
        plain = TrainState(twin, torch.optim.SGD(twin.parameters(), lr=0.1), 9)
        mine = supervised(gd.tasks.Regression(), lr=0.1, clip=clip)(state, half)
        expected = supervised(gd.tasks.Regression(), lr=0.1, clip=clip)(plain, whole)
        assert mine.count == expected.count == 12
        assert float(mine.loss_sum) == pytest.approx(float(expected.loss_sum))
        assert all(torch.allclose(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))
    calls = []
    model.register_forward_hook(lambda *_: calls.append(1))
    nothing = gd.data.Batch(torch.empty(0, 3), torch.empty(0), torch.empty(0, dtype=torch.int64))
    outcome = supervised(gd.tasks.Regression(), lr=0.1)(state, nothing)
    assert (calls, state.world.losses[-1], outcome.count) == ([], None, 0)  # type: ignore[union-attr]


def test_each_process_has_its_own_chance_and_the_first_that_of_one_alone() -> None:
    from gradus.training.step import seed_step

    seed_step(5, 7, CPU)
    alone = torch.rand(4)
    torch.manual_seed(gd.data.mix(5, 7))
    assert torch.equal(alone, torch.rand(4))
    seed_step(5, 7, CPU, rank=1)
    second = torch.rand(4)
    torch.manual_seed(gd.data.mix(5, 7, 1))
    assert torch.equal(second, torch.rand(4))
    assert not torch.equal(alone, second)
