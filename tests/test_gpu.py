"""What must also hold on an accelerator: ``pytest -m gpu`` on a machine that has one; skipped elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from faults.cases import CASES
from faults.harness import campaign
from faults.launching import launcher
from test_resume import StopAt
from torch import nn

import gradus as gd
from gradus.data import Colour, Draw, Erase, Flip, Mixup, Noise, Rotate, Shift, keyed_uniform
from gradus.errors import Interrupted

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.accelerator.is_available(), reason="this machine has no accelerator"),
]


def test_chance_is_the_same_on_every_device() -> None:
    device = torch.accelerator.current_accelerator()
    samples = torch.arange(1000)
    assert torch.equal(keyed_uniform(samples, 4, 1, 2), keyed_uniform(samples.to(device), 4, 1, 2).cpu())
    data = gd.data.digits(augment=[Shift(1), Noise(0.1)])
    here = data.batch(samples, Draw(0, 3)).inputs
    there = data.to(device).batch(samples.to(device), Draw(0, 3)).inputs
    assert torch.allclose(here, there.cpu(), atol=1e-4)


def test_digits_are_learnt_on_the_accelerator_found() -> None:
    torch.manual_seed(0)
    data = gd.data.digits(augment=[Shift(1)])
    run = gd.train(gd.models.CNN(data.input_shape, 10), data, epochs=20, lr=4e-3, schedule="one-cycle", quiet=True)
    assert run.summary["device"].startswith(str(torch.accelerator.current_accelerator()))
    assert run.metrics["test"]["accuracy"] > 0.97
    on_cpu = gd.Run(run.path)  # a predictor made there predicts here
    scan = data.raw["x"][:5]  # type: ignore[attr-defined]
    assert [p["label"] for p in on_cpu.predict(scan)] == [p["label"] for p in run.predict(scan)]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_stopped_and_resumed_the_bits_are_the_same(precision: str) -> None:
    data = gd.data.digits(augment=[Shift(1)])
    settings = dict(epochs=2, batch_size=100, ema=0.95, seed=3, quiet=True, precision=precision)

    def weights(stop: int) -> bytes:
        torch.manual_seed(0)
        torch.use_deterministic_algorithms(True, warn_only=True)
        model = nn.Sequential(StopAt(stop), gd.models.MLP(64, 64, 10, dropout=0.3))
        try:
            gd.train(model, data, out=f"{precision}-{stop}", **settings)
        except Interrupted:
            model = nn.Sequential(StopAt(0), gd.models.MLP(64, 64, 10, dropout=0.3))
            gd.resume(f"{precision}-{stop}", model, data)
        return b"".join(p.detach().cpu().numpy().tobytes() for p in model.parameters())

    whole = weights(0)
    assert all(weights(int(stop)) == whole for stop in np.random.default_rng(0).integers(1, 25, 3))


def test_a_run_moves_to_the_cpu_and_goes_on() -> None:
    data = gd.data.digits()
    with pytest.raises(Interrupted):
        gd.train(nn.Sequential(StopAt(5), gd.models.MLP(64, 10)), data, steps=30, out="moved", quiet=True)
    run = gd.resume("moved", nn.Sequential(StopAt(0), gd.models.MLP(64, 10)), data, device="cpu")
    assert run.summary["device"] == "cpu"
    assert run.summary["steps"] == 30


def test_pictures_kept_as_bytes_are_augmented_there_as_here(monkeypatch: pytest.MonkeyPatch) -> None:
    device = torch.accelerator.current_accelerator()
    assert device is not None
    monkeypatch.setattr("gradus.data.dataset.KEEP_BYTES", 0)
    pictures = np.random.default_rng(0).integers(0, 256, (200, 3, 24, 32), dtype=np.uint8)
    augment = [Flip(), Rotate(20, 0.3), Shift(3), Colour(), Erase(0.3), Mixup(0.4)]
    data = gd.data.arrays(pictures, np.arange(200) % 3, augment=augment)
    rows = torch.from_numpy(data.splits["train"])
    for last in (False, True):
        here = data.to(torch.device("cpu"), channels_last=last).batch(rows, Draw(1, 2))
        moved = data.to(device, channels_last=last)
        there = moved.batch(rows.to(moved.place), Draw(1, 2))
        assert there.inputs.device.type == device.type
        assert torch.allclose(there.inputs.cpu(), here.inputs, atol=1e-3)
        assert torch.allclose(there.targets.cpu(), here.targets, atol=1e-5)


def test_the_speed_net_learns_there_by_muon() -> None:
    torch.manual_seed(0)
    colours = np.random.default_rng(0).integers(0, 256, (600, 3, 32, 32), dtype=np.uint8)
    colours[::2, 0] //= 2
    data = gd.data.arrays(colours, np.arange(600) % 2, augment=[Flip()])
    model = gd.models.SpeedNet((3, 32, 32), 1, width=16)
    model.whiten(data.batch(torch.arange(300)).inputs)
    run = gd.train(model, data, optimizer="muon", lr=4e-3, epochs=6, batch_size=100, quiet=True)
    assert run.metrics["test"]["accuracy"] > 0.95


@pytest.mark.parametrize("model", ["lstm", "transformer"])
def test_a_translator_learns_and_writes_there_as_here(model: str) -> None:
    chance = np.random.default_rng(0)
    words = ["one", "two", "three", "four", "five"]
    texts = [" ".join(chance.choice(words, chance.integers(1, 6))) for _ in range(600)]
    data = gd.data.pairs({"a": texts, "b": [text.upper() for text in texts]}, tokens="words", test=0.2)
    torch.manual_seed(0)
    sizes = (data.num_tokens, data.num_outputs)
    options = dict(width=32, layers=1, dropout=0.0)
    net: nn.Module = (
        gd.models.LSTMTranslator(*sizes, **options)  # type: ignore[arg-type]
        if model == "lstm"
        else gd.models.TransformerTranslator(*sizes, heads=4, **options)  # type: ignore[arg-type]
    )
    run = gd.train(net, data, epochs=12, batch_size=32, lr=5e-3, precision="fp32", quiet=True)
    assert run.metrics["test"]["bleu"] > 40
    there = run.predict(["three one two", "four"])
    here = gd.Run(run.path).predict(["three one two", "four"])
    assert [p["text"] for p in there] == [p["text"] for p in here]
    assert np.allclose(there[0]["attention"], here[0]["attention"], atol=1e-2)


def test_a_language_model_and_a_forecaster_learn_there() -> None:
    lines = gd.data.lines(["abcabcabc", "bcabca", "cabcab"] * 40, tokens="characters", valid=0, test=0)
    run = gd.train(gd.models.GPT(lines.num_tokens, width=32, heads=2, layers=1), lines, steps=60, lr=5e-3, quiet=True)
    assert run.metrics["train"]["perplexity"] < 2.5
    assert run.predict(["abc"], temperature=0.0, max_tokens=3)[0]["text"].startswith("abcabc")
    names = gd.data.texts({"text": ["aa ab", "ba bb"] * 60, "label": ["a", "b"] * 60}, tokens="words", test=0, valid=0)
    classifier = gd.models.RecurrentClassifier(names.num_tokens, names.num_outputs, embedding=8, hidden=8)
    assert gd.train(classifier, names, steps=60, lr=1e-2, quiet=True).metrics["train"]["accuracy"] > 0.95


@pytest.mark.parametrize("number", [3, 6], ids=["CNN", "GPT"])
def test_killed_at_any_instant_a_run_there_ends_in_the_same_bits(
    number: int, tmp_path: Path, real: Callable[[str], Path]
) -> None:
    """With deterministic kernels; the process that is killed is a process of its own, as on the CPU."""
    case = CASES[number]
    if case.needs:
        real(case.needs)
    there = replace(case, template=(*case.template, "--device", "cuda", "--deterministic"))
    stories = campaign(there, tmp_path, launcher(), seed=7, kills=20)
    assert [str(story) for story in stories if story.faults] == []
    assert sum(story.killed for story in stories) >= 20


def test_out_of_memory_halves_the_parts_of_a_batch() -> None:
    """A batch of which the attention alone would take 140 GB; in parts it fits."""
    free = torch.cuda.mem_get_info()[0]
    width = int((free / 4 / 64 / 0.6) ** 0.5)  # 64 samples of width × width floats take more than there is

    class Wide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.out = nn.Linear(1, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            big = x.mean(1).view(-1, 1, 1) * torch.ones(1, width, width, device=x.device)
            return self.out(big.mean((1, 2)).unsqueeze(1))

    x = np.random.default_rng(0).normal(size=(128, 3)).astype(np.float32)
    settings = dict(epochs=1, batch_size=64, quiet=True, lr=1e-3)
    run = gd.train(Wide(), gd.data.arrays(x, x.sum(1), valid=0.0, test=0.0), out="r", **settings)
    assert "out of memory" in (run.path / "log.txt").read_text()
    assert run.summary["steps"] == 2
