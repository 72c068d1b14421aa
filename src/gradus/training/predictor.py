"""A predictor: weights and preprocessing together, raw input in, meaning out. What ``predictor/`` of a run holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gradus import models, tasks
from gradus.data import Encoder
from gradus.data.columns import Raw
from gradus.data.history import History
from gradus.errors import UserError
from gradus.tasks import Prediction, Task
from gradus.training.state import pack, split_state, unpack
from gradus.training.step import autocast
from gradus.training.whole import read_directory, write_directory


@dataclass
class Predictor:
    """A trained model with what it needs to read raw input and to say what its output means.

    ``encoder`` is None for a model trained on a person's own torch dataset: its inputs are tensors already.
    """

    model: nn.Module
    task: Task
    encoder: Encoder | None
    precision: str = "fp32"

    @property
    def device(self) -> torch.device:
        parameter = next(self.model.parameters(), None)
        return parameter.device if parameter is not None else torch.device("cpu")

    def predict(self, rows: Sequence[Any] | np.ndarray, **decoding: Any) -> list[Prediction]:
        """What the model says of raw rows: dicts by column name for a table, arrays for pictures and arrays, texts.

        Args:
            decoding: fields of ``gd.tasks.Decoding``, for a model that writes: ``beam=5``, ``temperature=0.8``, …
        """
        if decoding and not self.task.writes:
            raise UserError(f"{', '.join(decoding)}: for a model that writes, and this one is for {self.task.name}.")
        if self.encoder is None:
            if len(rows) == 0:
                raise UserError("nothing to predict: give at least one row.")
            return self.decode(torch.stack([torch.as_tensor(row) for row in rows]))
        return self.predict_raw(self.encoder.raw_rows(rows), **decoding)

    def predict_raw(self, raw: Raw, **decoding: Any) -> list[Prediction]:
        """What the model says of raw columns."""
        assert self.encoder is not None
        inputs = torch.from_numpy(self.encoder.encode(raw))
        if not self.task.writes:
            predictions = self.decode(inputs)
            column = self.encoder.columns[0]
            if isinstance(column, History):
                column.add_times(raw, predictions)
            return predictions
        self.model.eval()
        chosen = self.task.decoding(**decoding)
        with torch.inference_mode(), autocast(self.device, self.precision):
            return self.task.write(self.model, inputs.to(self.device), self.encoder, chosen)

    def decode(self, inputs: Tensor) -> list[Prediction]:
        """What the model says of inputs as it reads them, (rows, …)."""
        return self.task.decode(self.outputs(inputs))

    def measure(self, inputs: Tensor, targets: Tensor) -> dict[str, float]:
        """Loss and metrics on inputs and targets as the model and the task read them."""
        return self.task.scores(*self.task.keep(self.outputs(inputs), targets))

    @torch.inference_mode()
    def outputs(self, inputs: Tensor, size: int = 512) -> Tensor:
        """The model's outputs in float32 on the CPU, (rows, …)."""
        self.model.eval()
        out = []
        for part in torch.split(inputs, size):
            with autocast(self.device, self.precision):
                out.append(self.model(part.to(self.device)).float().cpu())
        return torch.cat(out)

    def save(self, path: Path) -> None:
        """Write the predictor as a directory, whole or not at all."""
        weights, beside = split_state(self.model)
        extra, tensors = pack(beside)
        spec = {
            "task": self.task.to_json(),
            "model": models.describe(self.model),
            "encoder": None if self.encoder is None else self.encoder.to_json(),
            "precision": self.precision,
            "extra": extra,
        }
        files = {"model": weights, **({"extra": tensors} if tensors else {})}
        write_directory(path, files, {"predictor": spec})

    @classmethod
    def load(cls, path: Path, model: nn.Module | None = None) -> Predictor:
        """Read a predictor.

        Args:
            model: the module to put the weights into, where it isn't one of ``gradus.models``.

        Raises:
            UserError: where the directory is not whole, or the model is neither given nor one of ours.
        """
        tensors, values = read_directory(path)
        spec = values["predictor"]
        if model is None and spec["model"] is None:
            raise UserError(
                f"{path}: the model is a class of your own, which only your code can make. "
                "Open the run in Python: gd.Run(path, model=YourModel(...))."
            )
        model = models.merge_lora(model) if model is not None else models.build(spec["model"])
        try:
            model.load_state_dict(tensors["model"] | unpack(spec["extra"], tensors.get("extra", {})))
        except RuntimeError as error:
            raise UserError(f"{path}: the weights don't fit the model: {str(error).splitlines()[-1].strip()}") from None
        encoder = None if spec["encoder"] is None else Encoder.from_json(spec["encoder"])
        return cls(model, tasks.from_json(spec["task"]), encoder, spec["precision"])
