"""A step of writing on a GPU as a captured graph: launching its hundreds of kernels takes longer than they do."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gradus.language.rows import Decoder

WARM_UP = 2  # steps before a capture: libraries make their workspaces then


@dataclass(frozen=True)
class Graph:
    """A captured step: what it reads, (2, rows) of tokens and of how many each row has; what it gives, (rows, size)."""

    graph: torch.cuda.CUDAGraph
    inputs: Tensor
    logits: Tensor


class CapturedSteps:
    """Steps of one token a row, captured once for each number of rows and of places, in powers of two."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self._graphs: dict[tuple[int, int], Graph] = {}
        self._cache: Tensor | None = None  # that the graphs write to

    def __call__(self, tokens: list[int], lengths: list[int], cache: Tensor, room: int) -> Tensor:
        """The logits after a token of each of the first rows, (rows, size).

        Args:
            lengths: how many tokens all rows of the cache have. A graph may also write to rows after those asked for:
                at the place of their next token, where nobody looks before that is entered.
            room: places of the cache that are looked at.
        """
        rows, places = _power(len(tokens)), _power(room)
        fill = rows - len(tokens)
        starts = (lengths + [0] * fill)[:rows]
        given = torch.tensor([tokens + [0] * fill, starts])
        if cache is not self._cache:  # it has grown
            self._graphs, self._cache = {}, cache
        if (rows, places) not in self._graphs:
            self._graphs[rows, places] = self._captured(given.to(cache.device), cache[:rows], places)
        step = self._graphs[rows, places]
        step.inputs.copy_(given)
        step.graph.replay()
        return step.logits[: len(tokens)]

    def _captured(self, inputs: Tensor, cache: Tensor, places: int) -> Graph:
        def step() -> Tensor:
            features = self.decoder.read_at(inputs[0, :, None], inputs[1], cache, places)
            return self.decoder.head(features[:, 0])

        stream = torch.cuda.Stream(cache.device)
        stream.wait_stream(torch.cuda.current_stream(cache.device))
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):  # each enters the same keys and values again
                step()
        torch.cuda.current_stream(cache.device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            logits = step()
        return Graph(graph, inputs, logits)


def _power(number: int) -> int:
    """The least power of two that is not below a number."""
    return 1 << (number - 1).bit_length()
