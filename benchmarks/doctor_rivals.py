"""The packages that ``benchmarks/doctor.py`` compares with: how each is attached to a script that doesn't know of it.

They are read from a folder of their own, so that the project's torch is used and none of them is among its
requirements: ``pip install --target FOLDER --no-deps mldoct torch-audit torchmortem neuraldbg psutil``. ``run`` runs a
script in a forked process under one of them. Those that hook into training are attached to the first outermost module
that is called with gradients and has weights of an optimizer, just before that call (or, if there is none until the
first step of an optimizer, to the first that was called with gradients), and to that optimizer; after each of its
steps their API for a step is called, as their READMEs ask, with the loss that went backward last. Their reports are
collected when the script has ended, with an exception or without.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import os
import pickle
import random
import re
import runpy
import signal
import sys
import tempfile
import time
import traceback
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.loss import _Loss
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook, register_optimizer_step_pre_hook

SECONDS = 120  # after them a script is stopped, and what was reported until then counts


@dataclass(frozen=True)
class Kind:
    """A kind of message: what it says, whose fair name it is, and whether it counts as an alarm."""

    says: str
    codes: tuple[str, ...] = ()
    alarm: bool = True


def _kind(says: str, codes: str = "", alarm: bool = True) -> Kind:
    return Kind(says, tuple(codes.split()), alarm)


KINDS: dict[str, dict[str, Kind]] = {
    "mldoct": {
        "check missing_zero_grad": _kind("backward() without zero_grad()", "zero-grad-missing zero-grad-misplaced"),
        "check double_softmax": _kind("double softmax", "softmax-before-cross-entropy softmax-over-batch"),
        "check missing_eval": _kind("no_grad() without eval()", "evaluating-in-train-mode"),
        "check oom_leak": _kind("a raw loss is accumulated", "loss-keeps-graph losses-kept"),
        "check syntax_error": _kind("syntax error"),
        "check cpu_bottleneck": _kind("num_workers=0", "waits-for-data", alarm=False),
        "check missing_clip": _kind("no gradient clipping", "exploding-gradient", alarm=False),
        "watch nan_inf": _kind("NaN or Inf printed", "nan-made nan-in-data lr-too-high exploding-gradient"),
        "watch exploded": _kind(
            "loss above 10000", "lr-too-high exploding-gradient initial-loss-high inputs-not-scaled nan-made"
        ),
        "watch early_stop": _kind("validation loss no longer falls", "overfitting", alarm=False),
    },
    "torch-audit": {
        "TA000": _kind("a validator of its own crashed", alarm=False),
        "TA100": _kind("NaN or Inf in weights or gradients", "nan-made nan-in-data lr-too-high exploding-gradient"),
        "TA102": _kind(
            "gradient norm above 100", "exploding-gradient lr-too-high inputs-not-scaled initial-loss-high init-scale"
        ),
        "TA103": _kind(
            "a gradient is all zero",
            "dead-relu gradient-cut vanishing-gradient saturated-units softmax-of-one output-out-of-reach "
            "constant-init module-never-used",
            alarm=False,
        ),
        "TA104": _kind(
            "no gradients at the step", "zero-grad-misplaced gradient-cut error-no-grad optimizer-holds-old-parameters"
        ),
        "TA105": _kind("over 90 % of activations are zero", "dead-relu"),
        "TA300": _kind("input on another device", "error-device"),
        "TA301": _kind("inputs above 50", "inputs-not-scaled"),
        "TA302": _kind("inputs without variance", "inputs-not-scaled"),
        "TA303": _kind("inputs look like NHWC", "examples-mixed"),
        "TA304": _kind("batch below 8 with BatchNorm", "tiny-batch-norm"),
        "TA305": _kind("negative integers as input", "error-label-range padding-in-loss"),
        "TA405": _kind("filters of zeros", "constant-init"),
        "TA500": _kind("a layer is never called", "module-never-used"),
        "TA501": _kind("BatchNorm called more than once in a pass"),
    },
    "torchmortem": {
        "Vanishing gradients detected": _kind("as named", "vanishing-gradient saturated-units"),
        "Exploding gradients detected": _kind(
            "as named", "exploding-gradient lr-too-high initial-loss-high init-scale inputs-not-scaled"
        ),
        "Gradient stalling": _kind(
            "a layer's gradient stays at zero",
            "gradient-cut vanishing-gradient dead-relu module-never-used softmax-of-one output-out-of-reach "
            "zero-grad-misplaced saturated-units",
        ),
        "High gradient noise (low SNR)": _kind("as named"),
        "Training divergence detected": _kind("the loss rises", "lr-too-high exploding-gradient zero-grad-missing"),
        "Loss plateau detected": _kind(
            "the loss stands still", "lr-too-low optimisation-stuck softmax-of-one output-out-of-reach same-batch"
        ),
        "Catapult phase detected": _kind("a spike of the early loss", "lr-too-high", alarm=False),
        "Edge of stability regime detected": _kind("as named", "lr-too-high", alarm=False),
        "Rank collapse": _kind("activations of low rank", "constant-init model-too-small examples-mixed"),
        "Dead units": _kind("over half of a layer's outputs are zero", "dead-relu"),
        "Activation saturation": _kind("over half of a layer's outputs lie beyond 0.95", "saturated-units"),
        "Update ratio too low": _kind(
            "a weight hardly changes",
            "lr-too-low parameter-not-in-optimizer optimizer-holds-old-parameters gradient-cut vanishing-gradient "
            "module-never-used scheduler-per-batch clip-misplaced",
        ),
        "Update ratio too high": _kind("a weight changes too fast", "lr-too-high initial-loss-high exploding-gradient"),
        "Weight norm explosion": _kind("as named", "lr-too-high exploding-gradient zero-grad-missing"),
        "Stagnant weight norms": _kind(
            "as named",
            "lr-too-low parameter-not-in-optimizer optimizer-holds-old-parameters gradient-cut scheduler-per-batch",
        ),
        "Inter-layer weight norm imbalance": _kind("as named", "init-scale initial-loss-high"),
        "insight gradient_starvation": _kind("gradients vanish, units die", "vanishing-gradient dead-relu"),
        "insight instability_feedback_loop": _kind("gradients and weights explode", "exploding-gradient lr-too-high"),
        "insight representation_bottleneck": _kind("low rank holds the loss up", "model-too-small constant-init"),
        "insight curvature_traps": _kind("stuck at the edge of stability", "lr-too-low lr-too-high optimisation-stuck"),
    },
    "neuraldbg": {
        "gradient_vanishing": _kind(
            "gradient norm below 1e-6",
            "vanishing-gradient gradient-cut softmax-of-one output-out-of-reach dead-relu saturated-units",
        ),
        "gradient_saturated": _kind("gradient norm below 1e-4", "vanishing-gradient saturated-units"),
        "gradient_exploding": _kind(
            "gradient norm above 1000", "exploding-gradient lr-too-high initial-loss-high init-scale inputs-not-scaled"
        ),
        "activation_dead": _kind("over 90 % of units are zero", "dead-relu constant-init"),
        "activation_saturated": _kind("over half of the values lie beyond 0.95", "saturated-units"),
        "activation_anomalous": _kind("NaN or Inf in activations", "nan-made nan-in-data"),
        "optimizer_loss_plateau": _kind(
            "the loss stands still", "lr-too-low optimisation-stuck softmax-of-one output-out-of-reach same-batch"
        ),
        "optimizer_loss_spike": _kind("the loss jumps tenfold", "lr-too-high exploding-gradient"),
        "optimizer_diverging": _kind("the loss is NaN or Inf", "nan-made nan-in-data lr-too-high exploding-gradient"),
        "data_nan_detected": _kind("NaN in a layer's input", "nan-in-data nan-made"),
        "data_inf_detected": _kind("Inf in a layer's input", "nan-in-data nan-made"),
        "data_distribution_shift": _kind(
            "a layer's input or output shifts", "split-mismatch not-shuffled inputs-not-scaled training-in-eval-mode"
        ),
    },
}
"""The kinds of messages of each package; generous in doubt."""


@dataclass
class Said:
    """What a package said of a script."""

    kinds: list[str] = field(default_factory=list)
    attached: bool = False
    ended: str = ""  # "" well, else the exception
    trouble: str = ""  # of the package itself
    seconds: float = 0.0


class Tool:
    """A package, and how it is attached; this one only runs the script."""

    package = module = how = off = ""

    def load(self) -> None:
        self.api: Any = importlib.import_module(self.module)

    def attach(self, model: nn.Module, optimizer: Optimizer) -> None:
        """Before the first pass."""

    def step(self, loss: float | None) -> None:
        """After a step of the optimizer."""

    def report(self, path: Path, printed: str, error: BaseException | None) -> list[str]:
        """The kinds of all messages, in order."""
        return []


class MlDoct(Tool):
    package, module = "mldoct", "mldoctor.linter"
    how = (
        "It is no hook, but a reader of source and log. The functions behind its commands are called: `check` on the "
        "file, and `watch` on all that the script printed (its own loop over the lines, given them as those of its "
        "process). `diagnose` needs a CSV file of train_loss, val_loss and grad_norm, which none of the scripts "
        "writes: not applied."
    )
    off = "num_workers, clipping, early stopping to save costs: not counted as alarms"
    panels = (
        ("INSTABILITY DETECTED", "nan_inf"), ("Loss value exploded", "exploded"), ("EARLY STOPPING", "early_stop"),
    )  # fmt: skip

    def load(self) -> None:
        super().load()
        self.watchdog: Any = importlib.import_module("mldoctor.watchdog")

    def report(self, path: Path, printed: str, error: BaseException | None) -> list[str]:
        from rich.console import Console

        found = [f"check {issue['type']}" for issue in self.api.lint_script(str(path))[0]]
        lines = io.StringIO(printed)
        process = types.SimpleNamespace(stdout=lines, terminate=lambda: None, wait=lambda: 0, returncode=0)
        self.watchdog.subprocess = types.SimpleNamespace(Popen=lambda *a, **k: process, PIPE=-1, STDOUT=-2)
        told = io.StringIO()
        self.watchdog.console = Console(file=told, width=300)
        self.watchdog.run_watchdog(str(path))
        return found + [f"watch {name}" for words, name in self.panels if words in told.getvalue()]


class TorchAudit(Tool):
    package, module = "torch-audit", "torch_audit"
    how = "`autopatch(model, optimizer=…, every_n_steps=1)`, all other settings as they come; `finish()` at the end."
    ignored = ("TA200", "TA201", "TA202", "TA203", "TA400", "TA401", "TA402", "TA403", "TA404")
    off = (
        "its rules of speed and style (TA200 to TA203: alignment, memory layout, GPU, AMP; TA400 to TA404: needless "
        "bias, AdamW, weight decay of biases and embeddings, even kernels) by `ignore_rules`; TA103, of its level "
        "INFO, and TA000, its own crashes, are not counted as alarms"
    )

    def attach(self, model: nn.Module, optimizer: Optimizer) -> None:
        self.auditor: Any = self.api.autopatch(
            model, optimizer=optimizer, every_n_steps=1, ignore_rules=set(self.ignored)
        )

    def report(self, path: Path, printed: str, error: BaseException | None) -> list[str]:
        return [finding.rule_id for finding in self.auditor.finish().findings]


class Torchmortem(Tool):
    package, module = "torchmortem", "torchmortem"
    how = (
        "`Autopsy(model, optimizer=…)` with its default sampling, attached; `step(loss=…)` after each step; the "
        "findings and insights of its report at the end."
    )
    off = "findings of its lowest level, INFO, are not counted as alarms"

    def attach(self, model: nn.Module, optimizer: Optimizer) -> None:
        self.autopsy: Any = self.api.Autopsy(model, optimizer=optimizer)
        self.autopsy.attach()

    def step(self, loss: float | None) -> None:
        self.autopsy.step(**({} if loss is None else {"loss": loss}))

    def report(self, path: Path, printed: str, error: BaseException | None) -> list[str]:
        self.autopsy.detach(is_complete=error is None)
        report = self.autopsy.get_report()
        found = [re.sub(r" in \S*$", "", finding.title) for finding in report.findings]
        return [f"insight {insight.rule_name}" for insight in report.insights] + found


class NeuralDbg(Tool):
    package, module = "neuraldbg", "neuraldbg"
    how = (
        "`NeuralDbg(model)` is entered; its step number is set and `record_loss` called at each step. Without its "
        "proprietary engine `explain_failure()`, as its README calls it, finds nothing or lists all events; what "
        "counts is its own summary of failures (`first_failure_step`, which its exported package holds, too): the "
        "unhealthy states that were seen, the first one first."
    )

    def attach(self, model: nn.Module, optimizer: Optimizer) -> None:
        at, folder = os.getcwd(), tempfile.mkdtemp(prefix="doctor_rivals_")
        os.chdir(folder)  # it makes a folder of its own where it is made
        try:
            self.dbg: Any = self.api.NeuralDbg(model)
        finally:
            os.chdir(at)
        self.dbg.disk_cache.cache_dir = Path(folder) / "artifacts" / "tensor_cache"
        self.dbg.__enter__()

    def step(self, loss: float | None) -> None:
        if loss is not None:
            self.dbg.record_loss(loss)
        self.dbg.step_iteration()

    def report(self, path: Path, printed: str, error: BaseException | None) -> list[str]:
        self.dbg.__exit__(None, None, None)
        first: dict[str, int] = self.dbg.first_failure_step
        for made in (self.dbg.disk_cache.cache_dir, *self.dbg.disk_cache.cache_dir.parents[:2]):
            with contextlib.suppress(OSError):
                made.rmdir()
        return sorted(first, key=lambda kind: first[kind])


TOOLS: dict[str, type[Tool]] = {tool.package: tool for tool in (MlDoct, TorchAudit, Torchmortem, NeuralDbg)}


class Driver:
    """Finds the model and the optimizer of a script, and calls a tool at its steps."""

    def __init__(self, tool: Tool) -> None:
        self.tool = tool
        self.depth = 0
        self.optimizers: list[Optimizer] = []
        self.called: list[nn.Module] = []  # outermost, with gradients, before anything is attached
        self.optimizer: Optimizer | None = None  # that the tool is attached with
        self.loss: float | None = None
        self.call: Callable[..., Any] = nn.Module.__call__
        setattr(nn.Module, "__call__", self._calling(self.call))  # noqa: B010
        made: Callable[..., None] = Optimizer.__init__
        backward: Callable[..., None] = Tensor.backward

        @functools.wraps(made)
        def init(me: Optimizer, *args: Any, **kwargs: Any) -> None:
            made(me, *args, **kwargs)
            self.optimizers.append(me)

        @functools.wraps(backward)
        def goes_backward(me: Tensor, *args: Any, **kwargs: Any) -> None:
            self.loss = float(me.detach().double().mean())
            backward(me, *args, **kwargs)

        setattr(Optimizer, "__init__", init)  # noqa: B010
        setattr(Tensor, "backward", goes_backward)  # noqa: B010
        register_optimizer_step_pre_hook(lambda optimizer, args, kwargs: self._before_step(optimizer))
        register_optimizer_step_post_hook(lambda optimizer, args, kwargs: self._after_step(optimizer))

    def _calling(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            if self.depth == 0 and self.optimizer is None and torch.is_grad_enabled() and not isinstance(module, _Loss):
                self._meet(module)
            self.depth += 1
            try:
                return original(module, *args, **kwargs)
            finally:
                self.depth -= 1

        return call

    def _meet(self, module: nn.Module) -> None:
        weights = {id(weight) for weight in module.parameters() if weight.requires_grad}
        if not weights:
            return
        for optimizer in self.optimizers:
            if any(id(weight) in weights for group in optimizer.param_groups for weight in group["params"]):
                self._attach(module, optimizer)
                return
        self.called.append(module)

    def _attach(self, module: nn.Module, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        setattr(nn.Module, "__call__", self.call)  # noqa: B010
        self.tool.attach(module, optimizer)

    def _before_step(self, optimizer: Optimizer) -> None:
        if self.optimizer is None and self.called:
            self._attach(self.called[0], optimizer)

    def _after_step(self, optimizer: Optimizer) -> None:
        if optimizer is self.optimizer:
            self.tool.step(self.loss)


def run(name: str, folder: Path, path: Path, seed: int) -> Said:
    """Run a script in a forked process, on one thread, under a package."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            said = _child(TOOLS[name](), folder, path, seed)
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(pickle.dumps(said))
        finally:
            os._exit(0)
    os.close(writing)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
    signal.alarm(SECONDS + 60)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    signal.alarm(0)
    return pickle.loads(told) if told else Said(ended="killed")


class TooSlowError(BaseException):
    """Raised in a script when its time is over."""


def _stop(*_: Any) -> None:
    raise TooSlowError


def _child(tool: Tool, folder: Path, path: Path, seed: int) -> Said:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    random.seed()
    sys.path.append(str(folder))
    sys.argv, sys.path[0:0] = [str(path), str(seed)], [str(path.parent)]
    os.chdir(path.parent)
    said, out = Said(), io.StringIO()
    error: BaseException | None = None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            tool.load()
        except Exception as fault:
            return Said(trouble=f"not loaded: {type(fault).__name__}: {fault}"[:300])
        begun = time.perf_counter()
        driver = None if isinstance(tool, MlDoct) else Driver(tool)
        signal.signal(signal.SIGALRM, _stop)
        signal.alarm(SECONDS)
        try:
            runpy.run_path(str(path), run_name="__main__")
        except SystemExit:
            pass
        except BaseException as fault:
            error = fault
            said.ended = f"{type(fault).__name__}: {fault}"[:300]
            traceback.print_exc()
        signal.alarm(0)
        said.attached = driver is None or driver.optimizer is not None
        if said.attached:
            try:
                said.kinds = list(dict.fromkeys(tool.report(path, out.getvalue(), error)))
            except Exception as fault:
                said.trouble = f"{type(fault).__name__}: {fault}"[:300]
        said.seconds = time.perf_counter() - begun
    return said
