"""What the terminal says of a run: every choice before it, and at its end the result beside its baselines."""

from __future__ import annotations

import math
from typing import Any

from gradus.models import Layer
from gradus.reports import vocabulary
from gradus.tasks import TASKS
from gradus.training import checkpoint, vocabulary_run
from gradus.training.prepare import Prepared
from gradus.training.progress import tell
from gradus.training.result import Run
from gradus.training.rundir import RunDirectory
from gradus.training.settings import Settings

CHATS = ("answers", "lessons", "preference")  # tasks after which one can talk with the model


def introduce(prepared: Prepared, settings: Settings, directory: RunDirectory) -> None:
    """Every choice that was made for the person, once, with its reason and its flag."""
    data, model, task = prepared.data, prepared.state.model, prepared.task
    parameters = sum(p.numel() for p in model.parameters())
    tell("data", data.describe())
    for note in data.notes:
        tell("", note)
    tell("model", f"{type(model).__name__}, {parameters:,} parameters")
    for line in layer_lines(prepared.layers):
        tell("", line)
    classes = f" of {len(data.labels)} classes" if data.labels else ""
    tell("objective", f"{task.name}{classes}: {data.target.reason}" if data.target.reason else task.name)
    for key in ("device", "precision", "engine", "layout", "workers"):
        if key in prepared.chosen:
            tell(key, f"{prepared.chosen[key].value} ({prepared.chosen[key].reason}) [--{key}]")
    if "processes" in prepared.chosen:
        tell("processes", f"{prepared.chosen['processes'].value} ({prepared.chosen['processes'].reason})")
    if "batches" in prepared.chosen:
        tell("batches", f"{prepared.chosen['batches'].value} ({prepared.chosen['batches'].reason})")
    if "lr" in prepared.chosen:
        tell("lr", f"{prepared.chosen['lr'].value} ({prepared.chosen['lr'].reason}) [--lr]")
    lr = prepared.state.optimizer.param_groups[0]["lr"]
    tell(
        "optimiser",
        f"{settings.optimizer}, learning rate {lr:g}, {settings.schedule} schedule, batch {settings.batch_size}",
    )
    if "muon" in prepared.chosen:
        tell("", f"its matrices made orthogonal in {prepared.chosen['muon'].value} ({prepared.chosen['muon'].reason})")
    tell("budget", f"{prepared.state.total_steps:,} steps ({prepared.chosen['budget'].reason})")
    size = checkpoint.size_of(prepared.state)
    told = f"about {size / 1e6:,.0f} MB each" if size > 5e5 else "less than a megabyte each"
    tell(
        "saving",
        f"every {settings.save_every}, the newest {settings.keep} checkpoints kept, {told} [--save-every, --keep]",
    )
    tell("run", str(directory.path))


def layer_lines(layers: list[Layer]) -> list[str]:
    """A model's parts, a line each: name, kind, output shape, parameters; none where there is only one."""
    if len(layers) < 2:
        return []
    cells = [(r.name, r.kind, "×".join(map(str, r.shape)) or "1", f"{r.parameters:,}") for r in layers]
    name, kind, shape, count = (max(len(row[i]) for row in cells) for i in range(4))
    return [f"{a:<{name}}  {b:<{kind}}  {c:<{shape}}  {d:>{count}}" for a, b, c, d in cells]


def conclude(run: Run) -> None:
    """The result beside its baselines, where the run is, and what to type next."""
    summary = run.summary
    if summary["task"] == vocabulary_run.TASK:
        for label, line in vocabulary.lines(run):
            tell(label, line)
        return
    primary = summary["primary"]
    split = "test" if "test" in summary["metrics"] else "valid" if "valid" in summary["metrics"] else "train"
    metrics = summary["metrics"][split]
    others = ", ".join(f"{name} {_figure(value)}" for name, value in metrics.items() if name != primary)
    tell(split, f"{primary} {_figure(metrics[primary])}  ({others})")
    for name, scores in summary["baseline"].items():
        tell("", f"{_figure(scores[primary])} {name}")
    if split == "test" and all(finding.get("level") == "note" for finding in summary["findings"]):  # else why is known
        for line in against_the_line(summary, summary["rows"]["test"]):
            tell("", line)
    seconds = summary["seconds"]
    parts = ", ".join(
        f"{key.replace('_', ' ')} {seconds[key]:.1f}" for key in ("train", "validate", "data_wait", "save")
    )
    if "best" in summary["weights"]:
        tell("weights", summary["weights"])
    if summary.get("skipped"):
        tell("skipped", f"{summary['skipped']:,} of {summary['steps']:,} updates, whose loss or gradient wasn't finite")
    for finding in summary["findings"]:
        tell("verdict", f"{finding['verdict']}  [{finding['code']}]")
        tell("", f"measured: {finding['evidence']}")
        tell("", f"cause: {finding['cause']}")
        tell("", f"change: {finding['change']}")
    tell("time", f"{seconds['total']:.1f} s ({parts}); {summary['samples_per_second']:,.0f} samples/s")
    tell("run", str(run.path))
    ask = f"gradus chat {run.path}" if summary["task"] in CHATS else f"gradus predict {run.path} INPUT"
    tell("next", f"gradus report {run.path}   ·   {ask}   ·   gradus test {run.path}")


def against_the_line(summary: dict[str, Any], num_rows: int) -> list[str]:
    """Why a result is below the linear model's, where it is: chance, overfitting or underfitting."""
    primary = summary["primary"]
    ours, train = summary["metrics"]["test"], summary["metrics"]["train"]
    higher = TASKS[summary["task"]].higher_is_better
    lines: list[str] = []
    if primary not in train:  # of what a model writes: it is measured on one split only
        return lines
    for name, scores in summary["baseline"].items():
        share, known = float(ours[primary]), float(train[primary])
        behind = (float(scores[primary]) - share) * (1 if higher else -1)
        if not ("regression" in name or "linear" in name) or not behind > 0:
            continue
        error = math.sqrt(share * (1 - share) / num_rows) if higher else share / math.sqrt(2 * num_rows)
        if behind < 2 * error:
            why = f"by less than {num_rows:,} test rows can tell (one standard error is {error:.2g})"
        elif (known - share) * (1 if higher else -1) > behind:
            why = f"the model has learnt its training rows by heart ({primary} {known:.4g} there): "
            why += "train it less, with fewer --epochs or more --weight-decay"
        else:
            why = f"the model hasn't learnt its training rows yet ({primary} {known:.4g} there): "
            why += "train it longer, with more --epochs or a higher --lr"
        lines.append(f"below the {name}: {why}")
    return lines


def _figure(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4f}"
