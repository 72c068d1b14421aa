"""What was seen of a training program: plain values, no judgement. ``watch/`` fills it, ``rules/`` read it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from gradus.doctor.tried import Ceiling, Probe

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Place:
    """A line of the person's own program."""

    file: str
    line: int
    source: str = ""  # the line itself, stripped
    function: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Op:
    """An operation that autograd wrote down: ``softmax``, ``addmm``, …, with the shape of its result."""

    name: str
    shape: Shape | None = None
    dim: int | None = None  # where it has one, as it was given
    scalar: bool = False  # an addition or a product with a plain number


@dataclass(frozen=True)
class Broadcast:
    """A difference whose result is larger than either side: shapes of the prediction's side, and of the result."""

    name: str
    side: Shape
    result: Shape
    other: Shape = ()  # of the target's side, where it was heard


@dataclass
class Summary:
    """Numbers of a tensor, or of many seen one after another."""

    low: float = float("inf")
    high: float = float("-inf")
    mean: float = 0.0
    std: float = 0.0
    seen: int = 0  # tensors
    unfinite: int = 0  # tensors that held NaN or inf


@dataclass
class LossSite:
    """All calls of a loss function from one line, with or without gradient.

    Losses that are sums are divided by the number of what they sum.
    ``first`` is the loss before any update, and None where the first call came later. ``labels`` counts class labels
    (integer targets, or 0 and 1), ``answers`` the classes that had the largest logit, ``recent`` those of the newest
    200 calls. ``run`` is the mean length of runs of the commonest label in the first batch.
    """

    name: str  # cross_entropy, nll_loss, mse_loss, binary_cross_entropy_with_logits, …
    place: Place | None
    gradient: bool
    calls: int = 0
    shape: Shape = ()  # of the prediction, in the first call
    target_shape: Shape = ()
    dtype: str = ""
    target_dtype: str = ""
    unequal_shapes: int = 0  # calls whose shapes differ, of losses that want equal ones
    reduction: str = "mean"
    ignore_index: int = -100
    smoothing: float = 0.0
    weighted: bool = False
    producers: list[Op] = field(default_factory=list)  # of the prediction, the nearest first; changes of form left out
    from_model: bool = False  # the prediction is a model's output itself (or a change of its form)
    first: float | None = None
    values: list[tuple[int, float]] = field(default_factory=list)  # (updates before it, value)
    predicted: Summary = field(default_factory=Summary)
    targets: Summary = field(default_factory=Summary)
    whole_targets: bool = True  # all targets seen are whole numbers
    distinct: set[float] = field(default_factory=set)  # target values, at most 64
    labels: Counter[int] = field(default_factory=Counter)
    answers: Counter[int] = field(default_factory=Counter)
    recent: list[Counter[int]] = field(default_factory=list)
    correct: int = 0
    judged: int = 0  # predictions that were compared with their label
    ignored: int = 0  # targets equal to ignore_index
    batch_labels: list[tuple[int, int]] = field(default_factory=list)  # (distinct labels, rows) of each of 400 batches
    batch_tops: list[int] = field(default_factory=list)  # the commonest label of each of 400 batches
    neighbours: tuple[int, int] = (0, 0)  # pairs of neighbours in a batch: of one label, all
    unfinite: bool = False  # a result wasn't finite
    unfinite_data: str = ""  # targets or inputs: which held NaN or inf when a result wasn't finite for the first time
    rows_sum_to_one: tuple[int, int] = (0, 0)  # float targets of two axes: rows that do, all
    run: float = 0.0
    first_targets: list[float] = field(default_factory=list)  # at most 4,096, flat

    @property
    def classes(self) -> int:
        """Outputs for classes; 0 where the loss isn't one of classes."""
        if self.name not in ("cross_entropy", "nll_loss") or len(self.shape) < 2:
            return 0
        return self.shape[1]

    @property
    def last(self) -> float | None:
        """The mean of the newest tenth of the values (5 at least, 50 at most)."""
        newest = [value for _, value in self.values[-max(5, min(50, len(self.values) // 10)) :]]
        return sum(newest) / len(newest) if newest else None


@dataclass
class BackwardSite:
    """All backward passes that were begun in one line."""

    place: Place | None
    calls: int = 0
    op: str = ""  # that made the tensor it began at, in the first call
    ops: list[str] = field(default_factory=list)  # from there towards the loss function, at most 12
    shape: Shape = ()
    losses: list[str] = field(default_factory=list)  # loss functions whose results it came from
    values: list[tuple[int, float]] = field(default_factory=list)  # (updates before it, value)
    retain: bool = False
    nodes: list[tuple[int, int]] = field(default_factory=list)  # (updates before, operations in the graph)
    broadcasts: list[Broadcast] = field(default_factory=list)
    softmaxes: list[Op] = field(default_factory=list)
    broken: str = ""  # "loss" or "gradient": what was first not finite
    broken_at: int | None = None  # updates before it
    weights_finite: bool = True  # when it broke
    data_finite: bool = True  # when it broke: what the model was given, and what the loader gave
    maker: str = ""  # the operation that first gave what isn't finite, where that could be told
    maker_place: Place | None = None
    norm_values: list[int] = field(default_factory=list)  # least values of a unit that a batch norm had, of each look
    risky: dict[str, float] = field(default_factory=dict)  # log, sqrt, div, … in the graph: the least size that went in
    hand: LossSite | None = None  # a difference squared (mse_loss) or absolute (l1_loss) by hand


@dataclass
class UnitSeen:
    """The outputs of one activation in the graph: relu, sigmoid, tanh, …, named by the layer that feeds it."""

    op: str
    layer: str  # of the parameters just before it, "" where unknown
    units: int = 0
    samples: int = 0  # times it was looked at
    examples: int = 0  # in all looks
    never: int = 0  # units that were 0 for each example each time (relu and alike)
    never_first: int = 0  # and so in the first look
    saturated: float = 0.0  # share of values at the flat ends, in the last look (sigmoid, tanh)
    saturated_first: float = 0.0


@dataclass
class ParameterSeen:
    """One weight tensor: where it is registered, whether it was used, reached, updated, and how large all is."""

    name: str
    shape: Shape
    kind: str = ""  # class of the module that owns it
    model: int | None = None  # index of the model that registers it
    requires_grad: bool = True
    optimizer: int | None = None  # index
    executed: int = 0  # training passes in which its module was called
    executed_without_gradient: int = 0  # such calls under no_grad, within training passes
    reached: int = 0  # looks in which the loss's graph led to it
    looks: int = 0  # looks at such a graph after it was known
    with_gradient: int = 0  # looks before an update that found a gradient that isn't 0
    before_update: int = 0  # looks before an update
    start_std: float = 0.0
    start_norm: float = 0.0
    constant: bool = False  # all values equal at the start (of more than one)
    zero: bool = False
    fan_in: int = 0
    norms: list[tuple[int, float]] = field(default_factory=list)  # (update, norm)
    gradients: list[tuple[int, float]] = field(default_factory=list)  # (update, norm of the gradient)
    changes: list[tuple[int, float]] = field(default_factory=list)  # (update, norm of the update / norm before)
    spreads: list[tuple[int, float]] = field(default_factory=list)  # (update, how unlike its rows are: 0 for copies)
    first_place: Place | None = None
    frozen: int = 0  # looks in which it wanted no gradient
    last_reached: int = -1  # updates before the last look in which the loss's graph led to it
    offered: int = 0  # looks in which what a model returned led to it
    cuts: list[int] = field(default_factory=list)  # the cuts whose tensor led to it
    loaded: bool = False  # by load_state_dict
    gone: bool = False  # no longer registered in its model at the end
    moved: bool | None = None  # its values at the end aren't those of its beginning


@dataclass
class OptimizerSeen:
    """An optimiser and the series of its updates."""

    kind: str
    groups: int = 0
    weights: int = 0
    lr: float = 0.0
    momentum: float = 0.0
    weight_decay: float = 0.0
    decoupled: bool = False  # AdamW and alike
    made: Place | None = None
    place: Place | None = None  # of step()
    steps: int = 0
    zeroed: int = 0  # calls of zero_grad
    zero_place: Place | None = None
    stale: int = 0  # updates by gradients that lie on those of an update before
    thrown: int = 0  # backward passes cleared before any update, of a line that the next update's gradients come from
    cleared: int = 0  # updates whose gradients had been cleared after the backward pass
    empty: int = 0  # updates with no gradient, or only zeros
    accumulated: list[int] = field(default_factory=list)  # backward passes of one line before each of 200 updates
    line: Place | None = None  # of these backward passes
    rates: list[tuple[int, float]] = field(default_factory=list)  # (update, learning rate) where it changed


@dataclass
class SchedulerSeen:
    """A learning-rate schedule: when it was stepped."""

    kind: str
    place: Place | None = None
    steps: int = 0
    updates: int = 0  # of the optimiser, when it was last stepped
    before_optimizer: bool = False  # stepped before the first update
    settings: dict[str, float] = field(default_factory=dict)  # its plain numbers: step_size, gamma, T_max, …
    optimizer: int = 0  # index


@dataclass
class ModelSeen:
    """An outermost module that was called: how, in which mode, on what."""

    kind: str
    weights: int = 0
    place: Place | None = None  # of its first call with gradient
    stochastic: list[str] = field(default_factory=list)  # modules of dropout (p > 0) and batch norm
    norms: list[str] = field(default_factory=list)  # those of batch norm among them
    never_called: list[str] = field(default_factory=list)  # modules with weights that no pass called
    training: int = 0  # passes with gradient
    judging: int = 0  # passes without gradient
    judging_on: int = 0  # of these, with a stochastic module in training mode
    judging_on_place: Place | None = None
    judging_repeats: int = 0  # of these, on the same rows as the pass before: chance averaged on purpose
    not_followed: int = 0  # passes with gradient in evaluation mode that no backward pass followed
    not_followed_place: Place | None = None
    updates_off: int = 0  # updates of its weights after a pass in evaluation mode with all stochastic modules off
    updates_on: int = 0  # updates of its weights after any other pass
    updates_off_place: Place | None = None
    least_rows: int = 0  # of the batch that a batch norm was given in training (0: none)
    small_norms: int = 0  # training passes with a batch norm on 1 or 2 examples
    inputs: Summary = field(default_factory=Summary)  # first tensor argument, training
    shape: Shape = ()
    dtype: str = ""
    features: list[tuple[float, float]] = field(default_factory=list)  # (mean, std) of each, 2-D inputs, ≤ 256
    entry: str = ""  # class of the first layer that a training pass calls: Linear, Conv2d, LayerNorm, …
    entered: Summary = field(default_factory=Summary)  # what went into it
    entered_features: list[tuple[float, float]] = field(default_factory=list)  # its last axis, in the first pass
    integer_rows: list[list[int]] = field(default_factory=list)  # of a first batch of token ids, ≤ 16 × 128
    output_shape: Shape = ()
    mixes: bool | None = None  # probe: whether an answer depends on the other examples of its batch (None: not asked)
    mixes_by: float = 0.0  # how far it moves, in standard deviations of the answers
    mixes_order: float = 0.0  # and when the others only change places
    time_first: bool = False  # it has layers that take (time, batch, …)


@dataclass
class Rows:
    """Which rows a group of passes was given, by a signature of each."""

    gradient: bool
    source: str  # of the loader or the line that gave them
    place: Place | None = None
    signatures: Counter[int] = field(default_factory=Counter)
    model: int = 0
    shape: Shape = ()  # of the first batch
    of: int | None = None  # rows of the whole tensor that the first batch is a part of, where it is one
    text: str = ""  # the program's lines that gave them
    batches: int = 0
    equal_batches: int = 0  # that held just the rows of the batch before
    in_training: int = 0  # distinct rows that training had, too: filled at the end
    inputs: Summary = field(default_factory=Summary)
    features: list[tuple[float, float]] = field(default_factory=list)
    kinds: int = 0  # distinct values in the first batch, at most 64


@dataclass
class Check:
    """One evaluation: passes without gradient of one source, between updates."""

    source: str
    update: int
    loss: float | None = None
    name: str = ""  # of the loss function
    correct: int = 0
    judged: int = 0
    targets: int = 0
    predicted_labels: Counter[int] = field(default_factory=Counter)
    passes: int = 0
    on: int = 0  # passes with dropout or batch norm in training mode
    model: int = 0
    on_training_rows: bool = False  # it measures the training data again: filled at the end

    @property
    def accuracy(self) -> float | None:
        return self.correct / self.judged if self.judged else None


@dataclass
class LoaderSeen:
    """A DataLoader, and what waiting for it cost."""

    sampler: str
    rows: int | None = None
    batch_size: int | None = None
    workers: int = 0
    drop_last: bool = False
    place: Place | None = None  # where it was iterated first
    epochs: int = 0  # iterations begun
    batches: int = 0
    training: int = 0  # batches that a pass with gradient followed
    waited: float = 0.0  # seconds
    busy: float = 0.0  # seconds between getting a batch and asking for the next
    timed: int = 0  # batches whose wait was measured: not the first of an epoch
    shares: int = 0  # of a DistributedSampler: among how many processes it deals the rows
    shuffles: bool = False  # and whether it mixes them
    orders: list[tuple[int, int]] = field(default_factory=list)  # (its epoch, training passes before), of 100 epochs
    alike_workers: bool = False  # probe: two workers draw the same random numbers for an item
    alike_epochs: bool = False  # probe: each epoch draws the same random numbers again


@dataclass
class Replicas:
    """Several processes that train one model: what goes from one to the others."""

    processes: int = 0  # when a model was first trained; 0: none was
    wrapped: bool = False  # in DistributedDataParallel
    sharded: bool = False  # weights that are no whole ones in this process
    averaged: int = 0  # training passes through the wrapper whose gradients are averaged among them
    kept_back: int = 0  # and under no_sync(), which keeps them back
    past: int = 0  # training passes of the wrapper's module, or a part of it, by itself
    place: Place | None = None  # of the first that wasn't averaged
    alone: Place | None = None  # of the first training pass of a model in no wrapper, where there are several processes
    sent: int = 0  # times that the program itself sent something to the others
    compared: int = 0  # updates after which the weights of all were last compared
    apart: float = 0.0  # by how much the norms of some weights differed then, as a share


@dataclass
class Clip:
    """All calls of clip_grad_norm_ or clip_grad_value_ from one line."""

    place: Place | None
    calls: int = 0
    before_backward: int = 0  # nothing to clip: all gradients None or 0
    after_step: int = 0  # gradients that an update had used already
    before_unscale: int = 0  # gradients that a GradScaler had scaled
    limit: float = 0.0


@dataclass
class Load:
    """One load_state_dict with strict=False that left something out."""

    place: Place | None
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    total: int = 0  # names that the model has
    alike: int = 0  # missing names whose shape an unexpected one has, in order


@dataclass
class Cut:
    """A place where a value that leads to weights left autograd: detach, .data, numpy, a copy by torch.tensor."""

    op: str
    place: Place | None
    module: str = ""  # the module in whose forward it happened
    times: int = 0
    after_loss: int = 0  # of these, on a tensor that a loss function had returned: for printing, as it should be


@dataclass
class Kept:
    """Graphs that live on after their backward pass."""

    added: int = 0  # losses that had gone backward and were added to something that wants gradients
    added_place: Place | None = None
    grown: int = 0  # sums of losses that had gone backward, onto a sum of such losses from an earlier update
    grown_place: Place | None = None
    alive: list[tuple[int, int]] = field(default_factory=list)  # (update, losses with a graph still alive)
    place: Place | None = None  # of the loss


@dataclass
class TensorSeen:
    """A tensor that stood on the line of an exception."""

    name: str
    shape: Shape
    dtype: str
    device: str
    low: float | None = None
    high: float | None = None


@dataclass
class Error:
    """The exception that ended the program."""

    kind: str
    message: str
    place: Place | None = None  # the person's innermost line
    module: str = ""  # the innermost torch module that was being called: class name and its attribute path
    module_kind: str = ""
    module_says: str = ""  # its repr, one line
    tensors: list[TensorSeen] = field(default_factory=list)
    given: list[TensorSeen] = field(default_factory=list)  # the tensors that the innermost function of torch was given
    frames: list[Place] = field(default_factory=list)  # the person's own, outermost first
    calls: list[str] = field(default_factory=list)  # names of all functions on the stack, outermost first
    in_worker: bool = False


@dataclass
class Event:
    """One thing that the program did, in order; the first 2,000 are kept."""

    kind: str  # forward, check (without gradient), loss, backward, step, zero, clip, unscale, schedule, batch, load
    index: int = 0  # of the optimiser, model, …
    update: int = 0
    place: Place | None = None


@dataclass
class Signals:
    """All that was seen."""

    program: str = ""
    updates: int = 0
    by_hand: int = 0  # of these, that no optimiser made
    seconds: float = 0.0
    compiled: bool = False
    events: list[Event] = field(default_factory=list)
    losses: list[LossSite] = field(default_factory=list)
    backwards: list[BackwardSite] = field(default_factory=list)
    optimizers: list[OptimizerSeen] = field(default_factory=list)
    schedulers: list[SchedulerSeen] = field(default_factory=list)
    parameters: list[ParameterSeen] = field(default_factory=list)
    models: list[ModelSeen] = field(default_factory=list)
    units: list[UnitSeen] = field(default_factory=list)
    rows: list[Rows] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    loaders: list[LoaderSeen] = field(default_factory=list)
    replicas: Replicas = field(default_factory=Replicas)
    clips: list[Clip] = field(default_factory=list)
    loads: list[Load] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)
    kept: Kept = field(default_factory=Kept)
    error: Error | None = None
    probe: Probe = field(default_factory=Probe)
    ceiling: Ceiling | None = None
    run: dict[str, Any] = field(default_factory=dict)  # of a run of Gradus: task, baseline, metrics, settings
    troubles: list[str] = field(default_factory=list)  # what the observers themselves failed at

    # what many rules ask for

    @property
    def training(self) -> list[LossSite]:
        """The loss functions that were called with gradient, the most called first."""
        return sorted((s for s in self.losses if s.gradient), key=lambda s: -s.calls)

    @property
    def main(self) -> BackwardSite | None:
        """The line that most backward passes were begun in."""
        return max(self.backwards, key=lambda b: b.calls, default=None)

    def of_validation(self) -> list[Check]:
        """The evaluations on rows that training didn't have, in order."""
        return [check for check in self.checks if not check.on_training_rows]
