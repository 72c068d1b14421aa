"""Several processes that train one model together, as torchrun starts them: each computes its share of every batch.

All that they say to one another goes through here. After each step their weights are equal to the bit, so that the
checkpoints of rank 0 are everyone's, and any number of processes can go on from them.
"""

from __future__ import annotations

import atexit
import contextlib
import datetime
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase

from gradus.errors import UserError

if TYPE_CHECKING:
    from gradus.training.state import TrainState

Answer = TypeVar("Answer")
Place = tuple[nn.Module, str]  # of a buffer

MEETING = datetime.timedelta(minutes=30)  # that the processes wait for each other at the start
PATIENCE = datetime.timedelta(days=1)  # with a process that lives: one that died is noticed by its connection
_LOST = re.compile("connection|timed? ?out|socket|pipe|peer", re.IGNORECASE)  # in what gloo says of a lost process


def join() -> World | None:
    """The processes that torchrun started together, of which this is one; None where it is alone.

    They are connected once, and stay so until this process ends: a program may train several times.

    Raises:
        UserError: where they don't meet.
    """
    if not {"RANK", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys() or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return None
    if not dist.is_initialized():
        try:
            store, number, size = next(rendezvous("env://", timeout=MEETING))
            attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")  # the store still has the dead ones' addresses
            store = PrefixStore(attempt, store)
            kinds = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
            dist.init_process_group(kinds, store=store, rank=number, world_size=size, timeout=PATIENCE)
        except (RuntimeError, ValueError) as error:
            place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
            raise UserError(f"the processes of the job don't meet at {place}: {str(error).splitlines()[0]}") from error
        atexit.register(dist.destroy_process_group)
    elif "gloo" not in str(dist.get_backend_config()):
        raise UserError(
            "the program has connected its processes for GPUs alone; leave that to Gradus, or have it call "
            "init_process_group('cpu:gloo,cuda:nccl')."
        )
    return World(dist.get_rank(), dist.get_world_size())


def rank() -> int:
    """Which of several processes this one is; 0 where it is alone."""
    return int(os.environ.get("RANK", "0")) if int(os.environ.get("WORLD_SIZE", "1")) > 1 else 0


def normalises(model: nn.Module) -> bool:
    """Whether a model has batch normalisation, which sees the samples of one process alone."""
    return any(isinstance(module, _BatchNorm) for module in model.modules())


def here() -> tuple[int, int]:
    """Which of the job's processes on this machine this one is, and how many they are; (0, 1) where it is alone."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    return int(os.environ.get("LOCAL_RANK", rank())), int(os.environ.get("LOCAL_WORLD_SIZE", size)) if size > 1 else 1


def leads(world: World | None) -> bool:
    """Whether this process is the one that measures, tells and writes."""
    return world is None or world.rank == 0


def once(world: World | None, make: Callable[[], Answer]) -> Answer:
    """The answer of a function that is called once, in whatever number of processes."""
    return make() if world is None else world.once(make)


class Gone(UserError):  # noqa: N818 - what has happened, as Interrupted says it
    """Another process of the job has ended, so that this one can't go on; why, the other one tells."""

    def __init__(self) -> None:
        super().__init__("another process of the job has ended; this one ends with it")


class World:
    """The processes that train together. Each method but ``share`` is called by all of them, in the same order.

    ``samples`` is how many the newest global batch has, of which this process may hold a part.
    """

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size
        self.samples = 0
        self._model: nn.Module | None = None  # whose buffers lie where:
        self._means: list[Place] = []
        self._others: list[Place] = []
        self._seen: list[tuple[Tensor, int]] = []  # the others, and how often each had been written to

    def share(self, indices: Tensor) -> Tensor:
        """This process's samples of a global batch (batch,): every ``size``-th one from its rank on.

        Of a small batch the last processes have none, so that no other has a single one, of which batch normalisation
        could make nothing.
        """
        parts = min(self.size, max(1, len(indices) // 2))
        return indices[self.rank :: parts] if self.rank < parts else indices[:0]

    def same(self, value: Any, source: int = 0) -> Any:
        """The value that one of them calls it with, on all of them."""
        box = [value]
        with _connected():
            dist.broadcast_object_list(box, src=source, device=torch.device("cpu"))
        return box[0]

    def once(self, make: Callable[[], Answer]) -> Answer:
        """Call a function on rank 0 alone, and give its answer to all.

        Raises:
            UserError: on all of them, where the function raises it.
        """
        if self.rank > 0:
            told: tuple[Answer, str | None] = self.same(None)
            if told[1] is not None:
                raise UserError(told[1])
            return told[0]
        try:
            answer = make()
        except UserError as error:
            self.same((None, str(error)))
            raise
        self.same((answer, None))
        return answer

    def any(self, flag: bool) -> bool:
        """Whether a flag is set in any of them."""
        flags = torch.tensor([int(flag)])
        with _connected():
            dist.all_reduce(flags)
        return bool(flags)

    def spread(self, state: TrainState) -> None:
        """Give all of them the state of rank 0: weights, buffers, optimiser, average, best, counters."""
        files, value = state.save_to() if self.rank == 0 else ({}, {})
        forms = {file: [(name, t.shape, t.dtype) for name, t in tensors.items()] for file, tensors in files.items()}
        value, forms = self.same((value, forms))
        got: dict[str, dict[str, Tensor]] = {file: {} for file in forms}
        for file, name, shape, dtype in ((file, *form) for file, those in forms.items() for form in those):
            tensor = files[file][name].detach().cpu().contiguous() if files else torch.empty(shape, dtype=dtype)
            if tensor.numel():
                with _connected():
                    dist.broadcast(tensor.reshape(-1).view(torch.uint8), src=0)  # whatever their type
            got[file][name] = tensor
        if self.rank > 0:
            state.load_from(got, value)

    @torch.no_grad()
    def combine(
        self, state: TrainState, parameters: Iterable[nn.Parameter], loss_sum: Tensor | None, count: int
    ) -> tuple[Tensor, int]:
        """Turn the gradients of the shares' loss sums into that of the global batch's mean loss, on all of them.

        To be called after the backward pass. A parameter that none of them has a gradient for keeps none. The running
        statistics of batch normalisation become the mean over the processes, weighted by their counts; another buffer
        that the step wrote to becomes that of rank 0. Where one of them was asked to stop, all get ``state.stop``.

        Args:
            loss_sum: the loss summed over this process's targets, a scalar; None where it has no samples.
            count: how many targets these are.

        Returns:
            The loss summed over the targets of the global batch, and how many they are.

        Raises:
            Gone: where another process has ended.
        """
        trained = [p for p in parameters if p.requires_grad]
        means, others = self._buffers(state.model)
        flags = [0] * self.size + [p.grad is not None for p in trained] + self._written(others)
        flags[self.rank] = state.asked is not None
        control = torch.tensor([count, *flags])
        sums = _Flat([_gradient(p) for p in trained] + [mean * count for mean in means] + [_loss(loss_sum, trained)])
        with _connected():
            for work in [dist.all_reduce(control, async_op=True), *sums.add_up()]:
                work.wait()
        sizes = [1, self.size, len(trained), len(others)]
        (total,), asked, present, written = (part.tolist() for part in control.split(sizes))
        *added, loss = sums.parts()
        for parameter, value, there in zip(trained, added, present, strict=False):
            if there:
                if parameter.grad is None or parameter.grad.is_sparse:
                    parameter.grad = torch.empty_like(parameter)
                torch.div(value, max(total, 1), out=parameter.grad)
        for mean, value in zip(means, added[len(trained) :], strict=True):
            torch.div(value, max(total, 1), out=mean)
        self._follow([buffer for buffer, times in zip(others, written, strict=True) if times])
        self._seen = [(buffer, buffer._version) for buffer in others]
        if any(asked):
            first = next(number for number, wants in enumerate(asked) if wants)
            state.stop = self.same(state.asked, source=first)
        return loss.clone(), total

    def _buffers(self, model: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
        """The running means and variances of a model, and its other buffers."""
        if self._model is not model:
            self._model, self._means, self._others, self._seen = model, [], [], []
            for module in model.modules():
                for name, buffer in module._buffers.items():
                    if buffer is not None:
                        running = isinstance(module, _NormBase) and name.startswith("running_")
                        (self._means if running else self._others).append((module, name))
        return [getattr(*place) for place in self._means], [getattr(*place) for place in self._others]

    def _written(self, buffers: Sequence[Tensor]) -> list[bool]:
        """Which buffers were written to, or are others, since the last step; at first all may have been."""
        if not self._seen:
            return [True] * len(buffers)
        return [b is not seen or b._version > times for b, (seen, times) in zip(buffers, self._seen, strict=True)]

    def _follow(self, buffers: Sequence[Tensor]) -> None:
        """Make buffers those of rank 0."""
        if buffers:
            flat = _Flat(buffers)
            flat.from_first()
            for buffer, value in zip(buffers, flat.parts(), strict=True):
                buffer.copy_(value)


class _Flat:
    """Tensors as one run of memory for each of their types, so that one message carries many; on the CPU or a GPU."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.tensors = tensors
        self.places: dict[torch.dtype, list[int]] = {}
        for place, tensor in enumerate(tensors):
            self.places.setdefault(tensor.dtype, []).append(place)
        runs = [torch.cat([tensors[place].reshape(-1) for place in places]) for places in self.places.values()]
        self.runs = [run if run.is_cuda else run.cpu() for run in runs]

    def add_up(self) -> list[dist.Work]:
        """Begin to make each run the sum over all processes."""
        return [dist.all_reduce(run, async_op=True) for run in self.runs]

    def from_first(self) -> None:
        """Make each run that of rank 0."""
        with _connected():
            for run in self.runs:
                dist.broadcast(run, src=0)

    def parts(self) -> list[Tensor]:
        """The tensors again, in their order, device and shape."""
        found: dict[int, Tensor] = {}
        for run, places in zip(self.runs, self.places.values(), strict=True):
            tensors = [self.tensors[place] for place in places]
            cuts = run.to(tensors[0].device).split([tensor.numel() for tensor in tensors])
            found |= {place: cut.view(t.shape) for place, t, cut in zip(places, tensors, cuts, strict=True)}
        return [found[place] for place in range(len(found))]


def _gradient(parameter: nn.Parameter) -> Tensor:
    """A parameter's gradient, dense; zeros where it has none."""
    if parameter.grad is None:
        return torch.zeros_like(parameter)
    return parameter.grad.to_dense() if parameter.grad.is_sparse else parameter.grad


def _loss(loss_sum: Tensor | None, trained: Sequence[nn.Parameter]) -> Tensor:
    """A loss of the same type in every process, whether it has samples or not."""
    precise = any(p.dtype == torch.float64 for p in trained)
    loss = torch.zeros((), dtype=torch.float64 if precise else torch.float32, device=trained[0].device)
    return loss if loss_sum is None else loss.copy_(loss_sum)


@contextlib.contextmanager
def _connected() -> Iterator[None]:
    """Within it the others are spoken to.

    Raises:
        Gone: where one of them is there no more.
    """
    try:
        yield
    except RuntimeError as error:
        if _LOST.search(str(error)):
            raise Gone from error
        raise
