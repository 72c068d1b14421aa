"""Models as ONNX, run by onnxruntime: the same answers for batches and texts of any size."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import gradus as gd
from gradus.errors import UserError
from gradus.language.export_onnx import Form, save_onnx
from gradus.models import CNN, GPT, MLP, BagOfEmbeddings, CharacterModel, RecurrentClassifier, SumOf

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
Command = Callable[..., tuple[int, str, str]]


def answers(file: str | Path, inputs: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(file)
    return np.asarray(session.run(None, {session.get_inputs()[0].name: inputs})[0])


TEXTS = Form((), text=True, num_tokens=30)
CASES: dict[str, tuple[Callable[[], nn.Module], Form]] = {
    "gpt": (
        lambda: GPT(30, 32, 4, 1, max_length=24, kv_heads=2, head_width=12),
        Form((), text=True, num_tokens=30, max_length=24),
    ),
    "mlp": (lambda: MLP(5, 8, 3), Form((5,))),
    "bag": (lambda: BagOfEmbeddings(30, 2, bigrams=50), TEXTS),
    "lstm": (lambda: RecurrentClassifier(30, 3, 8, 8, cell="lstm", pooling="mean", dropout=0.5), TEXTS),
    "gru that writes": (lambda: CharacterModel(30, 8, 12, dropout=0.5), TEXTS),
}


@pytest.mark.parametrize("case", CASES)
def test_onnxruntime_answers_as_the_model_does_whatever_the_size(case: str) -> None:
    make, form = CASES[case]
    torch.manual_seed(4)
    model = make().eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(std=0.4)
    save_onnx(model, form, "model.onnx", about={"gradus.note": "注"})
    assert not model.training
    for batch, time in ((1, 1), (1, 24), (5, 9), (3, 2)):
        inputs = form.example(batch, time, seed=9)
        with torch.no_grad():
            wanted = model(inputs).numpy()
        given = answers("model.onnx", inputs.numpy())
        assert given.shape == wanted.shape
        assert wanted.std() > 1e-3
        np.testing.assert_allclose(given, wanted, atol=1e-4 * max(1, np.abs(wanted).max()), rtol=0)
    notes = onnxruntime.InferenceSession("model.onnx").get_modelmeta().custom_metadata_map
    assert json.loads(notes["gradus.note"]) == "注"


class Dice(nn.Module):
    """Answers otherwise each time, so that no file can answer as it does."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.rand_like(x)


@pytest.mark.parametrize(
    ("model", "form", "told"),
    [
        (SumOf("relu", 4), Form((1,)), "SumOf so that it answers one size of input only"),
        (Dice(), Form((3,)), "Dice so that it answers otherwise than the model"),
    ],
    ids=["sum", "dice"],
)
def test_what_cannot_be_written_is_told_and_leaves_nothing(model: nn.Module, form: Form, told: str) -> None:
    with pytest.raises(UserError, match=told) as caught:
        save_onnx(model, form, "out.onnx")
    assert "\n" not in str(caught.value)
    assert not list(Path().iterdir())


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UserError, match=r"onnxscript isn't installed.*pip install 'gradus\[export\]'"):
        save_onnx(MLP(5, 8, 3), Form((5,)), "out.onnx")


def test_runs_of_all_kinds_from_the_command_line(gradus: Command) -> None:
    def trained(model: nn.Module, data: Any, out: str) -> gd.Run:
        return gd.train(model, data, gd.tasks.for_target(data), steps=2, out=out, quiet=True)

    digits = gd.data.digits()
    rows = torch.as_tensor(digits.splits["test"][:4])
    pictures = digits.batch(rows).inputs
    run = trained(CNN(pictures.shape[1:], 10, width=4), digits, "pictures")
    status, out, _ = gradus("export", "pictures", "--to", "onnx")
    assert status == 0
    assert "inputs (batch, 1, 8, 8), float32" in out
    given = answers("exports/pictures.onnx", pictures.numpy())
    np.testing.assert_allclose(given, run.predictor.outputs(pictures).numpy(), atol=1e-4)

    Path("rows.csv").write_text("age,sex,y\n" + "".join(f"{n * 7 % 40},{'mf'[n % 2]},{n % 3 > 0}\n" for n in range(60)))
    table = gd.data.table("rows.csv", target="y", categories="code")
    run = trained(MLP(table.num_inputs, 4, table.num_outputs, categories=table.categories), table, "rows")
    assert gradus("export", "rows", "--to", "onnx", "--out", "rows.onnx")[0] == 0
    assert run.predictor.encoder is not None
    inputs = run.predictor.encoder.encode(run.predictor.encoder.raw_rows([{"age": 3, "sex": "m"}, {}]))
    np.testing.assert_allclose(
        answers("rows.onnx", inputs), run.predictor.outputs(torch.from_numpy(inputs)).numpy(), atol=1e-4
    )
    notes = onnxruntime.InferenceSession("rows.onnx").get_modelmeta().custom_metadata_map
    assert [column["name"] for column in json.loads(notes["gradus.encoder"])["columns"]] == ["age", "sex"]

    for arguments, told in (
        (["rows", "--to", "onnx", "--type", "f16"], "--to onnx stores weights as f32"),
        (["rows", "--to", "onnx", "--out", "rows.onnx"], "rows.onnx: is there already"),
    ):
        status, out, err = gradus("export", *arguments)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert told in err
