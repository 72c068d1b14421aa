"""What no model can do better, beside decision trees that are grown until each leaf holds equal rows only."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_diabetes
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from gradus.cli import main
from gradus.doctor.ceiling import LEAST, of_rows


@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(1, 3), st.integers(30, 120))
@settings(max_examples=40, deadline=None)
def test_classes_are_told_as_well_as_a_full_tree_tells_them(seed: int, values: int, columns: int, rows: int) -> None:
    chance = np.random.default_rng(seed)
    x, y = chance.integers(0, values, (rows, columns)), chance.integers(0, 3, rows)
    found = of_rows(torch.tensor(x, dtype=torch.float32), torch.tensor(y))
    _, counts = np.unique(x, axis=0, return_counts=True)
    alike = int(counts[counts > 1].sum())
    if alike < LEAST:
        assert found is None
        return
    assert found is not None
    assert (found.rows, found.alike) == (rows, alike)
    assert found.classes == pytest.approx(DecisionTreeClassifier().fit(x, y).score(x, y))
    assert found.numbers is None


def test_numbers_are_told_as_well_as_a_full_tree_tells_them() -> None:
    table = load_diabetes()
    x, y = np.round(table.data[:, 1:3] * 60), table.target  # sex, and the body mass index in steps
    found = of_rows(torch.tensor(x), torch.tensor(y)[:, None])
    assert found is not None
    _, group, counts = np.unique(x, axis=0, return_inverse=True, return_counts=True)
    twins = counts[group.reshape(-1)] > 1
    x, y = x[twins], y[twins]
    tree = DecisionTreeRegressor().fit(x, y)
    within = ((y - tree.predict(x)) ** 2).sum() / (len(y) - (counts > 1).sum())
    assert found.alike == twins.sum() < len(table.target)
    assert found.numbers == pytest.approx(1 - within / y.var(ddof=1))
    assert 0.2 < found.numbers < 0.8


def test_noise_of_a_known_size_is_found_again() -> None:
    chance = np.random.default_rng(0)
    x = chance.integers(0, 50, 20_000)
    y = x / np.std(x) + 0.5 * chance.standard_normal(20_000)  # four fifths of the variance are the line's
    found = of_rows(torch.tensor(x, dtype=torch.float32)[:, None], torch.tensor(y))
    assert found is not None
    assert found.numbers == pytest.approx(0.8, abs=0.01)


def test_a_run_of_few_columns_tells_its_ceiling(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chance = np.random.default_rng(1)
    x = chance.integers(0, 3, (400, 2))
    y = (x.sum(1) > 2) ^ (chance.random(400) < 0.2)
    file = tmp_path / "rows.csv"
    file.write_text(
        "a,b,label\n" + "".join(f"{a},{b},{'yes' if t else 'no'}\n" for (a, b), t in zip(x, y, strict=True))
    )
    arguments = ["train", "table", "--data", str(file), "--target", "label", "--kind", "a=category", "--kind"]
    assert main([*arguments, "b=category", "--out", str(tmp_path / "run"), "--steps", "60"]) == 0
    kept = json.loads((tmp_path / "run" / "doctor.json").read_text())["end"]["ceiling"]
    assert 0.7 < kept["classes"] < 0.9
    capsys.readouterr()
    assert main(["doctor", str(tmp_path / "run")]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert f"at most {kept['classes']:.3f} of these rows can be right" in said
