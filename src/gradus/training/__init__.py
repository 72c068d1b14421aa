"""Step 4, loop: order, state, step, loop, checkpoints, run directory, observers; each usable on its own."""

from gradus.training.checkpoint import load_newest, save, steps
from gradus.training.evaluate import evaluate
from gradus.training.loop import Observer, batches_of, run
from gradus.training.optim import OPTIMIZERS, lr_factor, make_optimizer
from gradus.training.predictor import Predictor
from gradus.training.prepare import Prepared, prepare
from gradus.training.result import Run
from gradus.training.rundir import RunDirectory
from gradus.training.settings import Settings
from gradus.training.state import Average, TrainState
from gradus.training.step import Outcome, Step, supervised
from gradus.training.triggers import Every, Trigger
from gradus.training.whole import read_directory, write_directory

__all__ = [
    "OPTIMIZERS",
    "Average",
    "Every",
    "Observer",
    "Outcome",
    "Predictor",
    "Prepared",
    "Run",
    "RunDirectory",
    "Settings",
    "Step",
    "TrainState",
    "Trigger",
    "batches_of",
    "evaluate",
    "load_newest",
    "lr_factor",
    "make_optimizer",
    "prepare",
    "read_directory",
    "run",
    "save",
    "steps",
    "supervised",
    "write_directory",
]
