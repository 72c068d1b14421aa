"""What a person sees while a run goes on: one live line in a terminal, plain lines now and then elsewhere."""

from __future__ import annotations

import time
import unicodedata
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn
from rich.text import Text

from gradus.training.loop import Observer
from gradus.training.observers import MetricsLog
from gradus.training.state import TrainState
from gradus.training.world import rank

_console: list[Console] = []


def console() -> Console:
    """Where everything for a person's eyes goes: standard output, unless ``use_stderr`` was called.

    Of several processes that train together only rank 0 is seen.
    """
    if not _console:
        _console.append(Console(highlight=False, soft_wrap=True, quiet=rank() > 0))
    return _console[0]


def use_stderr() -> None:
    """Send what is for a person's eyes to standard error: standard output is taken by a program's answer."""
    _console[:] = [Console(highlight=False, soft_wrap=True, stderr=True, quiet=rank() > 0)]


def tell(label: str, text: str) -> None:
    """One labelled line, as in ``device     cpu (no accelerator found) [--device]``."""
    console().print(Text.assemble((f"{label:<11}", "bold cyan"), printable(text)))


def printable(text: str) -> str:
    """A text without what would steer a terminal: control characters, but a line's end, as the sign for a lost one."""
    if text.isprintable():
        return text
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs") else "\ufffd" for c in text)


class Show(Observer):
    """The live line: bar, step, loss, newest check, samples or tokens per second, time left.

    It is drawn four times a second from what was logged already, and never asks the device for anything.

    Args:
        tokens: of a sample, where all have as many; 1: samples are counted.
    """

    def __init__(self, log: MetricsLog, batches_per_epoch: int, primary: str, tokens: int = 1) -> None:
        self.log, self.batches_per_epoch, self.primary, self.tokens = log, batches_per_epoch, primary, tokens
        self.checked_text = ""
        self.live = console().is_terminal
        self.interval = 0.25 if self.live else 5.0
        self.progress: Progress | None = None

    def start(self, state: TrainState) -> None:
        self.begun, self.begun_step, self.begun_samples = time.monotonic(), state.step, state.samples
        self.next = self.begun + (0.0 if self.live else 2.0)
        self.shown_step = -1
        if self.live:
            self.progress = Progress(
                TextColumn("[bold cyan]training  [/]"),
                BarColumn(bar_width=24),
                _Words(),
                console=console(),
                auto_refresh=False,  # no thread: it would take its time from training
                transient=True,
            )
            self.progress.start()
            self.task = self.progress.add_task("", total=state.total_steps, completed=state.step, words="")

    def step(self, state: TrainState) -> None:
        now = time.monotonic()
        if now >= self.next:
            self.next = now + self.interval
            self._show(state, now)

    def checked(self, state: TrainState, metrics: dict[str, float]) -> None:
        shown = next(name for name in (self.primary, "perplexity", "loss") if name in metrics)
        self.checked_text = f"  valid {shown} {metrics[shown]:.4g}"

    def end(self, state: TrainState) -> None:
        self.close()
        if self.shown_step != state.step and state.step > self.begun_step:
            words = self._words(state, time.monotonic())
            if state.stop is not None:
                words += f"  stopped: {state.stop}"
            console().print(Text.assemble((f"{'trained':<11}", "bold cyan"), words))

    def close(self) -> None:
        if self.progress is not None:
            self.progress.stop()
            self.progress = None

    def _show(self, state: TrainState, now: float) -> None:
        words = self._words(state, now)
        if self.progress is not None:
            self.progress.update(self.task, completed=state.step, words=words, refresh=True)
        else:
            self.shown_step = state.step
            console().print(Text.assemble((f"{'training':<11}", "bold cyan"), words))

    def _words(self, state: TrainState, now: float) -> str:
        seconds = max(now - self.begun, 1e-9)
        done, left = state.step - self.begun_step, state.total_steps - state.step
        loss = f"  loss {self.log.last['loss']:.4g}" if self.log.last else ""
        rate = self.tokens * (state.samples - self.begun_samples) / seconds
        going = done and left and state.stop is None
        remaining = f"  {clock_time(left * seconds / done)} left" if going else ""
        return (
            f"step {state.step:,}/{state.total_steps:,}  epoch {state.step / self.batches_per_epoch:.1f}"
            f"{loss}{self.checked_text}  {rate:,.0f} {'tokens' if self.tokens > 1 else 'samples'}/s"
            f"{remaining}"
        )


class _Words(ProgressColumn):
    max_refresh = 0.0

    def render(self, task: Any) -> Text:
        return Text(task.fields["words"])


def clock_time(seconds: float) -> str:
    """Seconds as "0:07", "12:30" or "1:02:05"."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
