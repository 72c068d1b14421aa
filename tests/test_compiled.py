"""Training with compiled blocks: the same model by the same arithmetic but for rounding, and never lost either."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import gradus as gd
from gradus.training.engine import Compiled, choose_engine
from gradus.training.state import TrainState
from gradus.training.step import supervised

V, ROWS, LENGTH = 50, 4, 32
COMPILER = pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler here (g++)")


def model_of(dropout: float = 0.0) -> gd.models.GPT:
    torch.manual_seed(0)
    return gd.models.GPT(V, width=32, heads=2, layers=2, max_length=LENGTH, dropout=dropout)


def batch_of(rows: int = ROWS) -> gd.data.Batch:
    ids = torch.randint(0, V, (rows, LENGTH + 1), generator=torch.Generator().manual_seed(rows))
    return gd.data.Batch(ids[:, :-1].clone(), ids[:, 1:].clone(), torch.arange(rows), rows * LENGTH)


@COMPILER
@pytest.mark.long
def test_compiled_steps_are_the_eager_ones_and_leave_the_model_as_it_was() -> None:
    task, ends = gd.tasks.NextToken(V), []
    for compiled in (False, True):
        model = model_of()
        kernels = Compiled(model, batch_of())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
        state = TrainState(model, optimizer, total_steps=4)
        step = supervised(task, lr=0.3, within=kernels.on if compiled else None)
        losses = []
        for rows in (ROWS, ROWS, 3, ROWS):  # one is an epoch's last
            losses.append(float(step(state, batch_of(rows)).loss_sum))
            state.step += 1
        assert not any("forward" in vars(block) for block in model.blocks)
        ends.append((losses, model.state_dict()))
    (eager, weights), (compiled_losses, compiled_weights) = ends
    assert compiled_losses == pytest.approx(eager, rel=1e-5)
    for key, value in weights.items():
        assert torch.allclose(compiled_weights[key], value, rtol=1e-4, atol=1e-5), key


@COMPILER
@pytest.mark.long
def test_a_compiled_run_that_is_stopped_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("".join(f"{n} and {n + 1} are {2 * n + 1}.\n" for n in range(400)))

    def run(out: str, steps: int | None = None) -> gd.Run:
        data = gd.data.corpus(text, tokens="characters", length=LENGTH)
        torch.manual_seed(0)
        model = gd.models.GPT(data.num_tokens, width=32, heads=2, layers=2, max_length=LENGTH, dropout=0.1)
        settings: dict[str, Any] = dict(steps=12, batch_size=16, engine="compiled", quiet=True, save_every="3 steps")
        if steps is not None:
            with pytest.raises(StoppedError):
                gd.train(model, data, Stopping(data.num_tokens, steps), out=str(tmp_path / out), **settings)
        return gd.train(model, data, out=str(tmp_path / out), resume="auto", **settings)

    whole, parted = run("whole"), run("parted", steps=7)
    assert whole.summary["engine"] == parted.summary["engine"] == "compiled"
    for key, value in whole.model.state_dict().items():
        assert torch.equal(parted.model.state_dict()[key], value), key


class StoppedError(Exception):
    pass


class Stopping(gd.tasks.NextToken):
    """The same task, whose training breaks off."""

    def __init__(self, num_tokens: int, after: int) -> None:
        super().__init__(num_tokens)
        object.__setattr__(self, "left", after)

    def loss_of(self, model: Any, batch: Any) -> torch.Tensor:
        object.__setattr__(self, "left", self.left - 1)  # type: ignore[has-type]
        if self.left < 0:
            raise StoppedError
        return super().loss_of(model, batch)


@pytest.mark.parametrize(
    ("asked", "steps", "minutes", "words"),
    [("auto", 3, None, "short"), ("auto", None, 1.0, "short"), ("eager", None, None, "asked for")],
)
def test_a_short_training_is_not_compiled(asked: str, steps: int, minutes: float, words: str) -> None:
    found = choose_engine(asked, model_of(), gd.tasks.NextToken(V), batch_of(), "fp32", steps, minutes)
    assert found.value == "eager"
    assert words in found.reason


def test_what_has_no_blocks_is_not_compiled(tmp_path: Path) -> None:
    data = (torch.rand(8, 3), torch.rand(8, 1))
    with pytest.raises(gd.UserError, match="engine: of a MLP nothing is compiled"):
        gd.train(gd.models.MLP(3, 4, 1), data, epochs=1, engine="compiled", quiet=True, out=str(tmp_path / "run"))
    run = gd.train(gd.models.MLP(3, 4, 1), data, epochs=1, quiet=True, out=str(tmp_path / "run"))
    assert run.summary["engine"] == "eager"


def test_where_compiling_fails_it_goes_on_eagerly(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **kwargs: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            raise OSError("no g++")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    found = choose_engine("auto", model_of(), gd.tasks.NextToken(V), batch_of(), "fp32", None, None)
    assert found.value == "eager"
    assert "can't be compiled" in found.reason
