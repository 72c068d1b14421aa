"""Direct preference optimisation (Rafailov et al. 2023): answers that are preferred become likelier than others are.

The loss of a pair is −log σ(β · ((πc − πr) − (ρc − ρr))), where π are the log-probabilities of the chosen and the
rejected answer by the model that learns, and ρ those by the frozen reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.data.chat_pairs import PairRows
from gradus.data.dataset import Batch, Dataset
from gradus.data.tokens import IGNORE
from gradus.errors import UserError
from gradus.tasks.answers import Answers, answered, right_by_kind
from gradus.tasks.task import Task


@dataclass(frozen=True)
class Preference(Answers):
    """Which of two answers the model prefers, as against the reference.

    Targets are of ``PairRows``, (batch, 3, time): ids, signs, and what the reference says.

    Args:
        beta: how strongly the model is held to the reference: large, and it may differ little.
    """

    name: ClassVar[str] = "preference"
    primary: ClassVar[str] = "accuracy"
    higher_is_better: ClassVar[bool] = True
    beta: float = 0.1

    def __post_init__(self) -> None:
        if not self.beta > 0:
            raise UserError(f"beta: {self.beta} is not a number above 0.")

    def loss_of(self, model: nn.Module, batch: Batch) -> Tensor:
        return Task.loss_of(self, model, batch)

    def loss_sum(self, outputs: Tensor, targets: Tensor) -> Tensor:
        rewards = self.rewards(outputs, targets)
        return -F.logsigmoid(rewards[:, 0] - rewards[:, 1]).sum()

    def num_targets(self, targets: Tensor) -> int:
        return len(targets)

    def rewards(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """β times the log-probability of the chosen and of the rejected answer over the reference's, (batch, 2).

        Shapes: logits (batch, time, num_tokens), targets (batch, 3, time).
        """
        ids, signs, reference = targets.unbind(1)
        said = -F.cross_entropy(
            outputs.flatten(0, 1), ids.long().flatten(), ignore_index=IGNORE, reduction="none"
        ).view_as(reference)
        over = said - reference
        return self.beta * torch.stack([(over * (signs == sign)).sum(1) for sign in (1, -1)], dim=1)

    def keep(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The rewards of each pair, (batch, 2); of the targets nothing more is needed, (batch,)."""
        return self.rewards(outputs, targets).double(), targets[:, 0, 0]

    def scores(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        loss = -F.logsigmoid(outputs[:, 0] - outputs[:, 1]).mean()
        return {"loss": float(loss.detach()), **self.metrics(outputs, targets)}

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """How often the chosen answer has gained more than the rejected one, and how much more, from kept rewards."""
        chosen, rejected = outputs.unbind(1)
        return {
            "accuracy": float((chosen > rejected).double().mean()),
            "margin": float((chosen - rejected).mean()),
            "reward_chosen": float(chosen.mean()),
            "reward_rejected": float(rejected.mean()),
        }

    def check(self, outputs: Tensor, targets: Tensor) -> None:
        wanted = (targets.shape[0], targets.shape[2], self.num_tokens)
        if tuple(outputs.shape) != wanted:
            raise UserError(f"the model's output has shape {tuple(outputs.shape)}, but {self.name} needs {wanted}.")

    def written(self, model: nn.Module, data: Dataset, rows: np.ndarray) -> dict[str, float]:
        """The share of right answers to questions of the test, kind by kind, where there are any."""
        if not isinstance(data, PairRows) or not data.questions:
            return {}
        found = answered(model, data.tokens, [lesson.question for lesson in data.questions], self.usual)
        return right_by_kind(data.questions, [said for said, _ in found])


@torch.inference_mode()
def reference_of(model: nn.Module, data: PairRows, *, rows: int = 16) -> np.ndarray:
    """What a model says of both answers of every pair: log-probabilities, float64 (pairs, 2).

    The model is left as it was; dropout has no say.
    """
    task, training = Preference(data.num_outputs, beta=1.0), model.training
    model.eval()
    device = next(model.parameters()).device
    order = np.argsort(data.source.lengths, kind="stable")
    found = np.zeros((len(data), 2))
    for begin in range(0, len(order), rows):
        some = order[begin : begin + rows]
        batch = data.batch(torch.from_numpy(some)).to(device)
        targets = batch.targets.clone()
        targets[:, 2] = 0
        found[some] = task.rewards(model(*batch.all_inputs).float(), targets).double().cpu().numpy()
    model.train(training)
    return found
