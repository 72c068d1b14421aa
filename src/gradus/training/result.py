"""A run, opened: what it came to, and its predictor; what ``gd.train`` gives and ``gd.Run(path)`` finds again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from gradus.data import Dataset
from gradus.data.chats import chats_like
from gradus.data.history import History
from gradus.data.known_texts import labelled_like, lines_like, pairs_like
from gradus.data.series import series_like
from gradus.data.table import labelled, rows_of
from gradus.data.tokens import Tokens
from gradus.errors import UserError
from gradus.tasks import Answers, NextToken, Prediction, Preference, SequenceToSequence
from gradus.training.evaluate import evaluate
from gradus.training.predictor import Predictor
from gradus.training.rundir import RunDirectory


class Run:
    """A finished or unfinished run: its directory, what it came to, and its predictor.

    Args:
        path: the run's directory.
        model: the module to load the weights into, where it isn't one of ``gd.models``.
        data: the dataset it was trained on, for ``test``.
        opened: whether it was only opened, so that nothing may be added to it.

    Raises:
        UserError: where the path is no run.
    """

    def __init__(
        self, path: str | Path, *, model: nn.Module | None = None, data: Dataset | None = None, opened: bool = False
    ) -> None:
        self.directory = RunDirectory.open(path)
        self.path = self.directory.path
        self.config = self.directory.config()
        self._model, self._data, self.opened = model, data, opened
        self._predictor: Predictor | None = None

    @property
    def summary(self) -> dict[str, Any]:
        """What ``summary.json`` holds.

        Raises:
            UserError: where the run isn't finished.
        """
        summary = self.directory.summary()
        if summary is None:
            raise UserError(f"{self.path}: not finished yet. Go on with: gradus resume {self.path}")
        return summary

    @property
    def metrics(self) -> dict[str, dict[str, float]]:
        """Metrics by split."""
        metrics: dict[str, dict[str, float]] = self.summary["metrics"]
        return metrics

    @property
    def predictor(self) -> Predictor:
        """Weights and preprocessing, loaded on first use."""
        if self._predictor is None:
            assert self.summary  # says so where the run isn't finished
            if self.config["task"] is None:
                raise UserError(f"{self.path}: holds a vocabulary, and no model that could answer.")
            self._predictor = Predictor.load(self.directory.predictor, self._model)
        return self._predictor

    @property
    def model(self) -> nn.Module:
        """The trained module."""
        return self.predictor.model

    def predict(self, rows: Sequence[Any] | np.ndarray, **decoding: Any) -> list[Prediction]:
        """Raw input in, meaning out: dicts by column name for a table, arrays for pictures, texts.

        Args:
            decoding: fields of ``gd.tasks.Decoding``, for a model that writes: ``beam=5``, ``temperature=0.8``, …
        """
        return self.predictor.predict(rows, **decoding)

    def test(self, data: Dataset | None = None) -> dict[str, float]:
        """Loss and metrics on rows that training never saw: the test split of the run's data, or of other data.

        Other data are read with the run's preprocessing, not with statistics of their own.
        """
        data = data or self._data
        if data is None:
            return self.metrics["test"]
        if len(data.splits["test"]) == 0:
            raise UserError(f"{data.name}: has no test split; there are no rows that training never saw.")
        data, rows, predictor = self.as_it_reads(data), data.splits["test"], self.predictor
        task, model, precision = predictor.task, predictor.model.eval(), predictor.precision
        measured = evaluate(model, data, rows, task, device=predictor.device, precision=precision)
        return {**measured, **task.written(model, data, rows)}

    def as_it_reads(self, data: Dataset | None = None) -> Dataset:
        """The run's own data, or others, with its preprocessing and on its device.

        Raises:
            UserError: where it was opened without its data.
        """
        data = data or self._data
        if data is None:
            raise UserError(f"{self.path}: opened without its data; give them: gd.Run(path, data=…).")
        if self.predictor.encoder is not None:
            data = data.encoded_by(self.predictor.encoder)
        return data.to(self.predictor.device)

    @property
    def reads_tables(self) -> bool:
        """Whether its input is rows of named columns."""
        encoder = self.predictor.encoder
        return encoder is not None and (encoder.is_table or isinstance(encoder.columns[0], History))

    @property
    def reads_texts(self) -> bool:
        """Whether its input is a text."""
        encoder = self.predictor.encoder
        return encoder is not None and isinstance(encoder.columns[0], Tokens)

    @property
    def text_columns(self) -> list[str]:
        """The columns that its recipe was told to read the text from; empty where it chose by looking."""
        asked = self.config["arguments"].get("text", ())
        return [asked] if isinstance(asked, str) else list(asked)

    def test_texts(self, path: str | Path) -> dict[str, float]:
        """Loss and metrics on all texts of a file, read with the run's vocabulary and labels.

        Raises:
            UserError: for a file that can't be read, or a label that the run doesn't know.
        """
        encoder, task, path = self.predictor.encoder, self.predictor.task, Path(path)
        assert encoder is not None
        arguments = self.config["arguments"]
        if isinstance(task, SequenceToSequence):
            return self.test(pairs_like(path, encoder, reverse=bool(arguments.get("reverse"))))
        if isinstance(task, Answers) and not isinstance(task, Preference):
            return self.test(chats_like(path, encoder, length=int(self.predictor.model.max_length)))  # type: ignore[arg-type]
        if isinstance(task, NextToken):
            return self.test(lines_like(path, encoder))
        if not encoder.target.labels:
            raise UserError(f"{path}: a run for {task.name} can't be measured on a file; open it in Python.")
        return self.test(labelled_like(path, encoder, self.text_columns, arguments.get("target")))

    def table_rows(self, source: Any) -> list[Any]:
        """The rows of a table file or data frame, with the columns that the run reads."""
        assert self.predictor.encoder is not None
        return rows_of(source, self.predictor.encoder)

    def test_table(self, source: Any) -> dict[str, float]:
        """Loss and metrics on all rows of a table file or data frame, which must hold the target."""
        predictor = self.predictor
        assert predictor.encoder is not None
        if isinstance(predictor.encoder.columns[0], History):
            return self.test(series_like(source, predictor.encoder))
        inputs, targets = labelled(source, predictor.encoder)
        return predictor.measure(inputs, targets)

    def note(self, **values: Any) -> None:
        """Add values to the summary, as a cross-validation does; nothing where the run was only opened."""
        if self.opened:
            return
        self.directory.write_summary({**self.summary, **values})

    def figure(self, name: str, title: str, note: str, data: Sequence[Any], layout: Mapping[str, Any]) -> None:
        """Add a picture to the run, for its report; nothing where the run was only opened.

        Args:
            name: of the file; the report shows the pictures in the order of their names.
            note: a sentence or two below the title: what is seen, and how to read it.
            data: plotly's traces as plain dicts; arrays may stand in them as they are.
            layout: plotly's layout as a plain dict.

        Raises:
            UserError: where it can't be written.
        """
        if self.opened:
            return
        try:
            figure = {"title": title, "note": note, "data": list(data), "layout": dict(layout)}
            self.directory.write_figure(name, figure)
        except OSError as error:
            raise UserError(f"{self.path}: the picture '{name}' can't be written: {error.strerror}.") from None

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"
