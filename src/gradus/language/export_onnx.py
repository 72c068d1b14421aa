"""A model as ONNX, which programs without torch run: any of ``gradus.models`` that answers one tensor with another.

What was written is run by ONNX's own reference on inputs of other sizes, and must answer as the model does.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import io
import json
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gradus.data import Encoder, Tokens
from gradus.data.history import History
from gradus.errors import UserError
from gradus.language.fresh import fresh
from gradus.models import GPT

TOLERANCE = 1e-4  # of an answer, relative to the largest of its kind where that is above 1
LARGEST = 2_000_000_000  # bytes: protobuf ends at 2³¹
_BATCH, _TIME = 3, 7  # sizes that a model is traced with; none of them is a size that a model may have fixed by itself


@dataclass(frozen=True)
class Form:
    """What a model reads.

    Args:
        shape: of one sample; empty where it is a text.
        text: a text, as ids of free length.
        num_tokens: how many ids there are.
        max_length: of the longest text; None: any.
        categories: how many codes each of the last columns of a table has.
    """

    shape: tuple[int, ...]
    text: bool = False
    num_tokens: int = 0
    max_length: int | None = None
    categories: tuple[int, ...] = ()

    def example(self, batch: int, time: int, seed: int = 0) -> Tensor:
        """A made-up input of a size: random numbers, or random ids with padding at the end of the second row."""
        generator = torch.Generator().manual_seed(seed)
        if not self.text:
            numbers = torch.randn(batch, *self.shape, generator=generator)
            for place, codes in enumerate(reversed(self.categories), start=1):
                numbers[:, -place] = torch.randint(codes, (batch,), generator=generator).float()
            return numbers
        ids = torch.randint(4, max(self.num_tokens, 5), (batch, time), generator=generator)
        ids[1:2, time // 2 + 1 :] = 0
        return ids % self.num_tokens


def form_of(model: nn.Module, source: Encoder | Tokens | None) -> Form:
    """What a model reads that a run's encoder, or a tokenizer alone, gives it.

    Raises:
        UserError: where a run doesn't tell.
    """
    needed = [p for p in inspect.signature(model.forward).parameters.values() if p.default is p.empty]
    if len(needed) != 1:
        raise UserError(
            f"{type(model).__name__} is called with {len(needed)} inputs; --to onnx is for models that read one."
        )
    if source is None:
        raise UserError(
            "a run on a dataset of your own doesn't tell what its model reads; call torch.onnx.export yourself."
        )
    column = source if isinstance(source, Tokens) else source.columns[0]
    if isinstance(column, Tokens):
        return Form((), True, column.size, getattr(model, "max_length", None))
    if isinstance(column, History):
        return Form((column.history, len(column.features)))
    if isinstance(source, Encoder) and source.is_table:
        return Form(source.encode(source.raw_rows([{}])).shape[1:], categories=source.categories)
    return Form(tuple(column.shape))  # type: ignore[attr-defined]


def save_onnx(model: nn.Module, form: Form, file: str | Path, *, about: dict[str, Any] | None = None) -> None:
    """Write a model as one ONNX file whose batch, and the length of whose texts, are free; whole or not at all.

    Its input is ``ids`` (batch, time), int64, of a model of texts, else ``inputs`` (batch, …), float32; its output is
    ``outputs``, the logits or values before any reading of them.

    Args:
        about: what is kept in the file's own notes (``metadata_props``), each value as JSON.

    Raises:
        UserError: where a package is missing, a file is there already, or the model can't be written, or doesn't
            answer the same afterwards.
    """
    onnx = _onnx()
    if sum(tensor.numel() * 4 for tensor in model.parameters()) > LARGEST:
        raise UserError(
            "a model of more than 2 GB doesn't fit into one ONNX file; export it with --to hf or --to gguf."
        )
    model = copy.deepcopy(model).float().cpu()
    network = Plain(model).eval()  # itself too: the exporter puts all parts into the mode of the whole afterwards
    with fresh(Path(file)) as place, _quiet(), torch.no_grad():
        try:
            written = (_traced if form.text and _is_recurrent(model) else _exported)(network, form)
        except Exception as error:  # the exporter's own kinds of failure are many
            raise UserError(f"torch.onnx can't write {type(model).__name__}: {_line(error)}") from None
        for key, value in (about or {}).items():
            entry = written.metadata_props.add()
            entry.key, entry.value = key, json.dumps(value, ensure_ascii=False)
        _check(onnx, written, network, form)
        place.write_bytes(written.SerializeToString())


class Plain(nn.Module):
    """A model as a function of one tensor, in which nothing hangs on the size of the batch that it was traced with."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor
        if isinstance(self.model, GPT):  # with a mask, which is right for one token and for many
            out = self.model(x, torch.zeros_like(x))
        elif hasattr(self.model, "begin"):
            out, _ = self.model.read(x, self.model.begin(x.shape[0]))
        else:
            out = self.model(x)
        return out


def _onnx() -> Any:
    try:
        import onnx
        import onnxscript  # noqa: F401 - what torch.onnx writes with
    except ImportError as error:
        raise UserError(
            f"{error.name} isn't installed, which ONNX files need. Install it: pip install 'gradus[export]'."
        ) from None
    return onnx


def _exported(network: nn.Module, form: Form) -> Any:
    """By torch's own reading of the program, as a ModelProto."""
    free: dict[int, Any] = {0: torch.export.Dim("batch")}
    if form.text:
        free[1] = torch.export.Dim("time", min=1, max=form.max_length)
    program = torch.onnx.export(
        network,
        (form.example(_BATCH, min(_TIME, form.max_length or _TIME)),),
        dynamo=True,
        dynamic_shapes=(free,),
        input_names=[_name(form)],
        output_names=["outputs"],
        verbose=False,
    )
    assert program is not None
    return program.model_proto


def _traced(network: nn.Module, form: Form) -> Any:
    """By following one call: the newer way writes recurrent layers out step by step, for one length only."""
    import onnx

    file: Any = io.BytesIO()
    torch.onnx.export(
        network,
        (form.example(_BATCH, _TIME),),
        file,
        dynamo=False,
        dynamic_axes={_name(form): {0: "batch", **({1: "time"} if form.text else {})}},
        input_names=[_name(form)],
        output_names=["outputs"],
    )
    return onnx.load_model_from_string(file.getvalue())


def _check(onnx: Any, written: Any, network: nn.Module, form: Form) -> None:
    """Run what was written on inputs of other sizes than it was traced with.

    Raises:
        UserError: where it doesn't answer as the model does.
    """
    from onnx.reference import ReferenceEvaluator

    name = type(network.model).__name__
    onnx.checker.check_model(written)
    sizes = written.graph.input[0].type.tensor_type.shape.dim
    if not all(size.dim_param for size in sizes[: 1 + form.text]):
        raise UserError(f"torch.onnx wrote {name} so that it answers one size of input only.")
    evaluator: Any = ReferenceEvaluator(written)
    longest = form.max_length or _TIME + 4
    for batch, time in ((1, 1), (2, min(_TIME + 4, longest))):
        example = form.example(batch, time, seed=1)
        wanted = network(example).numpy()
        try:
            given = evaluator.run(None, {_name(form): example.numpy()})[0]
        except Exception as error:
            raise UserError(
                f"torch.onnx wrote {name} so that it answers one size of input only: {_line(error)}"
            ) from None
        gap = float(np.abs(given - wanted).max()) / max(1.0, float(np.abs(wanted).max()))
        if given.shape != wanted.shape or not gap <= TOLERANCE:
            raise UserError(f"torch.onnx wrote {name} so that it answers otherwise than the model, by {gap:.2g}.")


def _name(form: Form) -> str:
    return "ids" if form.text else "inputs"


def _is_recurrent(model: nn.Module) -> bool:
    return any(isinstance(module, nn.RNNBase) for module in model.modules())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No warnings and notes of the exporter's, which are for its makers."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _line(error: BaseException) -> str:
    """The first line of what went wrong at the bottom of a chain of exceptions."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return f"{text[:200].rstrip('.')}."
