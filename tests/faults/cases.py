"""What is trained while it is killed, a second or so each with a save every few steps; and what a run came to.

A case is a command line of gradus, or a function here that calls ``gd.train`` as a person's own script does.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradus.training import Run

SAVES = ("--save-every", "5 steps")
RESUMABLE = ("gradus", "few", "tuned")  # what ``gradus resume`` goes on with, too
TITANIC = ("--data", "{data}/titanic/train.csv", "--folds", "0", "--hidden", "16")


@dataclass(frozen=True)
class Case:
    """A training to be killed.

    Args:
        template: ``gradus …`` without its --out and --resume, or the name of a function here; ``{data}`` is where real
            data lie.
        needs: the file of real data that it reads.
        pace: seconds to wait after each step, so that there is time for saves between them.
    """

    name: str
    template: tuple[str, ...]
    needs: str = ""
    pace: float = 0.004

    @property
    def command(self) -> tuple[str, ...]:
        return tuple(word.format(data=os.environ.get("GRADUS_DATA", "")) for word in self.template)


WORKERS = Case("CNN: a torch dataset that draws at random, two workers", ("cnn_with_workers", "run"))
CASES = [
    Case(
        "tabular MLP: dropout, one-cycle",
        ("gradus", "train", "titanic", *TITANIC, "--epochs", "6", *SAVES),
        "titanic/train.csv",
    ),
    Case(
        "tabular MLP: accumulation, clipping, best weights kept",
        (
            "gradus", "train", "titanic", *TITANIC, "--epochs", "5", "--accumulate", "3", "--clip", "1",
            "--schedule", "cosine", "--keep-best", "--valid-every", "7 steps", *SAVES,
        ),
        "titanic/train.csv",
    ),
    Case(
        "tabular MLP: Muon, EMA, patience",
        (
            "gradus", "train", "titanic", *TITANIC, "--epochs", "20", "--optimizer", "muon", "--lr", "0.05",
            "--schedule", "constant", "--ema", "0.9", "--patience", "3", "--valid-every", "10 steps", "--keep", "3",
            *SAVES,
        ),
        "titanic/train.csv",
    ),
    Case(
        "CNN: augmentation, EMA, one-cycle",
        ("gradus", "train", "digits", "--width", "8", "--epochs", "3", "--batch-size", "50", *SAVES),
    ),
    WORKERS,
    Case(
        "GRU: names of unequal length, dropout",
        (
            "few", "names/names_train.csv.gz", "9", "name,language",
            "names", "--embedding", "16", "--hidden", "32", "--epochs", "4", *SAVES,
        ),
        "names/names_train.csv.gz",
    ),
    Case(
        "GPT: poems, and samples of its own while it learns",
        (
            "few", "poems/wujue.txt.gz", "100", "",
            "poems", "--model", "gpt", "--width", "32", "--epochs", "4", "--valid-every", "10 steps",
            "--batch-size", "16", "--dropout", "0.1", *SAVES,
        ),
        "poems/wujue.txt.gz",
    ),
    Case(
        "GPT: instruct, samples of its answers, dropout, Muon",
        (
            "tuned", "instruct", "--lessons", "300", "--questions", "7", "--steps", "40", "--batch-size", "4",
            "--valid-every", "2 times", *SAVES,
        ),
    ),
    Case(
        "GPT: instruct by LoRA, EMA, best weights kept",
        (
            "tuned", "instruct", "--lora", "4", "--lessons", "300", "--questions", "7", "--steps", "40",
            "--batch-size", "4", "--ema", "0.9", "--keep-best", "--optimizer", "adamw", "--valid-every", "2 times",
            *SAVES,
        ),
    ),
    Case(
        "GPT: preference (DPO), clipping, accumulation",
        (
            "tuned", "prefer", "--pairs", "160", "--questions", "7", "--batch-size", "8", "--accumulate", "2",
            "--lr", "1e-3", "--epochs", "2", "--valid-every", "2 times", *SAVES,
        ),
    ),
]  # fmt: skip
PRETRAINED = Case(
    "GPT: a text of tokens, Muon, the vocabulary's loss in pieces",
    (
        "few", "poems/wujue.txt.gz", "8", "",
        "gpt", "--vocabulary", "1024", "--depth", "1", "--batch-size", "8", "--steps", "16", "--dropout", "0.1",
        "--valid-every", "2 times", *SAVES,
    ),
    "poems/wujue.txt.gz",
)  # fmt: skip
KEPT = Case(
    "CNN: four checkpoints kept, with all that one can hold",
    (
        "gradus", "train", "digits", "--width", "4", "--epochs", "2", "--keep", "4", "--keep-best",
        "--valid-every", "6 steps", *SAVES,
    ),
)  # fmt: skip
TINY = Case("tiny: a net of 41 weights, one checkpoint kept", ("tiny", "run"))


def by_name(name: str) -> Case:
    return next(case for case in [*CASES, PRETRAINED, KEPT, TINY] if case.name == name)


def cnn_with_workers(out: str) -> Run:
    """Pictures made and turned about by a torch dataset, in two processes that read ahead."""
    import numpy as np
    import torch
    from torch.utils.data import Dataset

    import gradus as gd

    class Noisy(Dataset[tuple[torch.Tensor, int]]):
        def __init__(self) -> None:
            self.pictures = np.random.default_rng(0).normal(size=(600, 1, 8, 8)).astype(np.float32)
            self.classes = (self.pictures.mean((1, 2, 3)) > 0).astype(np.int64) + (self.pictures[:, 0, 0, 0] > 0)

        def __len__(self) -> int:
            return len(self.pictures)

        def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
            picture = torch.from_numpy(self.pictures[index]) + 0.1 * torch.randn(1, 8, 8)
            if np.random.random() < 0.5:
                picture = picture.flip(2)
            return picture, int(self.classes[index])

    torch.manual_seed(3)
    model = gd.models.CNN((1, 8, 8), 3, width=4, dropout=0.2)
    settings: dict[str, Any] = dict(
        epochs=3, batch_size=32, ema=0.9, schedule="one-cycle", lr=3e-3, workers=2, layout="contiguous"
    )
    return gd.train(model, Noisy(), out=out, resume="auto", save_every="5 steps", **settings)


def few(source: str, every: str, header: str, recipe: str, *arguments: str) -> None:
    """``gradus train RECIPE`` on every n-th line of a file of the real data."""
    from gradus.cli import main

    file = Path("few.csv" if header else "few.txt")
    if not file.exists():
        with gzip.open(Path(os.environ["GRADUS_DATA"]) / source, "rt", encoding="utf-8") as lines:
            kept = lines.read().splitlines()[:: int(every)]
        partial = Path(f"few-{os.getpid()}")
        partial.write_text("\n".join([*([header] if header else []), *kept]) + "\n", encoding="utf-8")
        partial.replace(file)
    raise SystemExit(main(["train", recipe, "--data", str(file), *arguments, "--out", "run", "--resume", "auto"]))


def tuned(recipe: str, *arguments: str) -> None:
    """``gradus train RECIPE`` of a small model with fresh weights, which is gone as soon as the run has begun."""
    from small_base import make_base

    from gradus.cli import main

    base = Path("base")
    if Path("run/config.json").exists():
        shutil.rmtree(base, ignore_errors=True)
    elif not (base / "config.json").exists():
        make_base(base, dropout=0.1)
    given = ["train", recipe, "--base", str(base.resolve()), *arguments]
    raise SystemExit(main([*given, "--out", "run", "--resume", "auto"]))


def tiny(out: str) -> Run:
    """The least that is a run, and the least that is kept of it: a net of 41 weights, one checkpoint."""
    import numpy as np
    import torch

    import gradus as gd

    x = np.random.default_rng(0).normal(size=(60, 3))
    torch.manual_seed(0)
    model = gd.models.MLP(3, 8, 1, dropout=0.2)
    settings: dict[str, Any] = dict(steps=30, batch_size=16, lr=0.01, ema=0.9, save_every="3 steps", keep=1)
    return gd.train(model, gd.data.arrays(x, x.sum(1)), out=out, resume="auto", **settings)


def digest(name: str, out: str, answer: str) -> None:
    """Write down, as JSON, what a finished run came to: all that must equal an uninterrupted one."""
    import torch

    from gradus import recipes
    from gradus.training import Predictor
    from gradus.training.evaluate import outputs_of

    path, case = Path(out), by_name(name)
    again = case.template[0] in RESUMABLE
    run = recipes.reopen(path, resume="open") if again else globals()[case.template[0]](out)
    data, predictor = run._data, Predictor.load(path / "predictor", run._model)
    assert data is not None
    outputs, _ = outputs_of(
        predictor.model.eval(), data, data.splits["test"], predictor.task, device=torch.device("cpu")
    )
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    places = [(line["step"], "valid" in line) for line in lines]
    value = {
        "weights": _sha256((path / "predictor/model.safetensors").read_bytes()),
        "metrics.jsonl": [{key: part for key, part in line.items() if key != "seconds"} for line in lines],
        "samples.jsonl": _sha256((path / "samples.jsonl").read_bytes()) if (path / "samples.jsonl").exists() else None,
        "steps told twice": sorted({place for place in places if places.count(place) > 1}),
        "test predictions": _sha256(outputs.contiguous().numpy().tobytes()),
        "evidence": {file.name: _sha256(file.read_bytes()) for file in sorted((path / "evidence").iterdir())},
        "summary": {
            key: part
            for key, part in run.summary.items()
            if key not in ("seconds", "samples_per_second", "resumed", "run")
        },
        "left over": sorted(
            str(file.relative_to(path))
            for file in path.rglob("*")
            if file.name.endswith((".partial", ".old")) or (file.name.startswith(".") and file.is_dir())
        ),
    }
    Path(answer).write_text(json.dumps(value))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
