"""Tables: kinds inferred and overridden, statistics of the training rows only, every source, real files."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

import gradus as gd
from gradus.data.columns import Category, Number, Text
from gradus.data.encoder import Encoder
from gradus.errors import UserError


def column(data: gd.data.MemoryDataset, name: str) -> object:
    return next(c for c in data.encoder.columns if c.name == name)


def test_titanic_is_read_as_a_person_would(real: Callable[[str], Path]) -> None:
    data = gd.data.table(real("titanic/train.csv"), "Survived")
    kinds = {c.name: c.kind for c in data.encoder.columns}
    assert kinds == {
        "Pclass": "number", "Name": "text", "Sex": "category", "Age": "number", "SibSp": "number", "Parch": "number",
        "Ticket": "text", "Fare": "number", "Cabin": "text", "Embarked": "category",
    }  # fmt: skip
    assert data.labels == ("0", "1")
    assert len(data) == 891
    assert any("PassengerId (a running number)" in note for note in data.notes)
    name = column(data, "Name")
    assert isinstance(name, Text)
    assert {"mr", "mrs", "miss", "master"} <= set(name.words)


def test_statistics_come_from_the_training_rows_only(real: Callable[[str], Path]) -> None:
    data = gd.data.table(real("titanic/train.csv"), "Survived", seed=4)
    frame = pd.read_csv(real("titanic/train.csv")).iloc[data.splits["train"]]
    fare, age = column(data, "Fare"), column(data, "Age")
    assert isinstance(fare, Number)
    assert isinstance(age, Number)
    assert fare.mean == pytest.approx(frame.Fare.mean())
    assert fare.std == pytest.approx(frame.Fare.std(ddof=0))
    assert age.mean == pytest.approx(frame.Age.mean())
    assert age.flag_missing
    other = data.fold(0, 5, seed=4)
    assert column(other, "Fare") != fare  # fitted anew


def test_every_source_of_the_same_rows_gives_the_same_inputs(tmp_path: Path) -> None:
    frame = pl.DataFrame({"size": [1.5, 2.0, None, 4.25] * 10, "kind": ["a", "b", "b", None] * 10, "y": [0, 1] * 20})
    frame.write_csv(tmp_path / "t.csv")
    frame.write_csv(tmp_path / "t.tsv", separator="\t")
    frame.write_parquet(tmp_path / "t.parquet")
    with gzip.open(tmp_path / "t.csv.gz", "wb") as file:
        file.write((tmp_path / "t.csv").read_bytes())
    pandas = pd.DataFrame({c: frame[c].to_list() for c in frame.columns})
    sources = [tmp_path / n for n in ("t.csv", "t.tsv", "t.parquet", "t.csv.gz")]
    inputs = [gd.data.table(s, "y").inputs for s in (*sources, frame, pandas, frame.to_dict(as_series=False))]
    assert all(torch.equal(inputs[0], other) for other in inputs[1:])
    assert inputs[0].shape == (40, 2 + 3)  # size and its missing flag; levels a, b and one for all else


def test_kinds_and_drop_override(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("grade,note,y\n" + "".join(f"{i % 3},{i % 7},{i % 2}\n" for i in range(60)))
    data = gd.data.table(file, "y", kinds={"grade": "category"}, drop=["note"])
    assert [(c.name, c.kind) for c in data.encoder.columns] == [("grade", "category")]


def test_codes_come_last_and_unseen_levels_are_code_zero(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("kind,size,y\n" + "".join(f"{'abc'[i % 3]},{i * 0.37},{i % 2}\n" for i in range(60)))
    data = gd.data.table(file, "y", categories="code")
    assert data.categories == (4,)
    codes = data.inputs[:, -1]
    assert set(codes.tolist()) == {1.0, 2.0, 3.0}
    raw = data.encoder.raw_rows([{"kind": "never seen", "size": 1.0}, {"size": 2.0}])
    assert data.encoder.encode(raw)[:, -1].tolist() == [0.0, 0.0]


def test_the_target_is_read_as_what_it_is(tmp_path: Path) -> None:
    def target_of(values: list[object]) -> tuple[str, int]:
        frame = {"x": np.linspace(0, 1, len(values)) ** 2, "y": values}
        data = gd.data.table(frame, "y")
        return gd.tasks.for_target(data).name, data.num_outputs

    assert target_of([0, 1] * 20) == ("binary", 1)
    assert target_of([0.5, 1.5] * 20) == ("binary", 1)
    assert target_of(["yes", "no"] * 20) == ("binary", 1)
    assert target_of(["a", "b", "c", "d"] * 10) == ("multiclass", 4)
    assert target_of(list(range(5)) * 30) == ("multiclass", 5)
    assert target_of([i * 0.7 for i in range(40)]) == ("regression", 1)
    assert target_of(list(range(100))) == ("regression", 1)


def test_files_as_splits(tmp_path: Path) -> None:
    for name, rows in (("train", 30), ("valid", 8), ("test", 12)):
        text = "".join(f"{i * 0.9},{i % 2}\n" for i in range(rows))
        (tmp_path / f"{name}.csv").write_text("x,y\n" + text)
    data = gd.data.table(tmp_path / "train.csv", "y", valid=tmp_path / "valid.csv", test=tmp_path / "test.csv")
    assert {k: len(v) for k, v in data.splits.items()} == {"train": 30, "valid": 8, "test": 12}
    assert data.splits["test"].tolist() == list(range(38, 50))
    (tmp_path / "test.csv").write_text("x,y\n1.0,0\noops,1\n" + "3.0,1\n" * 20)
    with pytest.raises(UserError, match=r"test\.csv, row 3, column 'x': 'oops' is not a number"):
        gd.data.table(tmp_path / "train.csv", "y", test=tmp_path / "test.csv")


def test_headerless_and_repeated_names(tmp_path: Path) -> None:
    (tmp_path / "bare.csv").write_text("".join(f"{i * 0.5},{i * i},{i % 2}\n" for i in range(30)))
    data = gd.data.table(tmp_path / "bare.csv")
    assert [c.name for c in data.encoder.columns] == ["column_1", "column_2"]
    assert len(data) == 30
    (tmp_path / "twice.csv").write_text("a,a,a_2,y\n" + "".join(f"{i},{i * i},{-i * 3},{i % 2}\n" for i in range(15)))
    names = [c.name for c in gd.data.table(tmp_path / "twice.csv", "y").encoder.columns]
    assert len(set(names)) == 3


def test_quoted_fields_with_separators_and_newlines_are_one_field(tmp_path: Path) -> None:
    rows = "".join(f'"a, b\nc {i % 2}",{i * 0.3},{i % 2}\n' for i in range(30))
    (tmp_path / "t.csv").write_text("note,x,y\n" + rows)
    data = gd.data.table(tmp_path / "t.csv", "y")
    assert len(data) == 30


def test_the_encoder_survives_json(real: Callable[[str], Path]) -> None:
    import json

    data = gd.data.table(real("titanic/train.csv"), "Survived", categories="code")
    again = Encoder.from_json(json.loads(json.dumps(data.encoder.to_json())))
    assert again == data.encoder
    assert (again.encode(data.raw) == data.encoder.encode(data.raw)).all()
    sex = column(data, "Sex")
    assert isinstance(sex, Category)
    assert sex.size == 3


def test_digits_and_idx(real: Callable[[str], Path]) -> None:
    from sklearn.datasets import load_digits

    digits = gd.data.digits()
    assert digits.input_shape == (1, 8, 8)
    scans = load_digits()
    restored = digits.inputs * digits.encoder.columns[0].std + digits.encoder.columns[0].mean  # type: ignore[attr-defined]
    assert np.allclose(restored[:, 0].numpy() * 16, scans.images, atol=1e-4)
    images = gd.data.read_idx(real("mnist/t10k-images-idx3-ubyte.gz"))
    labels = gd.data.read_idx(real("mnist/t10k-labels-idx1-ubyte.gz"))
    assert images.shape == (10_000, 28, 28)
    assert np.bincount(labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
