"""The data order is a function, not a state: which samples are in batch k depends on (seed, k) alone.

Workers, prefetching and interruptions cannot change it, and the data cursor of a checkpoint is one integer.
Every number here comes from a counter-based generator or a hash, so none of them depends on what was drawn before.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_MASK = (1 << 64) - 1
POOL = 200  # batches that are sorted by length together: more wastes less, fewer leaves more to chance
_BATCHES = 0xBA7C  # what a permutation is for: keeps the streams of chance apart


def mix(*numbers: int) -> int:
    """A 64-bit hash of some integers (SplitMix64, Steele, Lea and Flood 2014): the key of one stream of chance."""
    state = 0
    for number in numbers:
        state = (state + number + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state


def permutation(n: int, *key: int) -> np.ndarray:
    """The n positions in the order that the key gives them, as int64 (n,).

    It sorts the raw output of the Philox generator, a stream that NumPy promises never to change, rather than call
    a shuffle, whose algorithm may change between releases.
    """
    raw = np.random.Philox(key=mix(*key)).random_raw(n)
    return np.argsort(raw, kind="stable")


class Order:
    """Which samples are in global batch k, for any k, in any order of asking.

    Each epoch visits every sample once; the last batch of an epoch is short where the batch size doesn't divide the
    number of samples. Where one batch holds everything the order has no meaning and is left alone.

    With lengths, the samples of a batch are of like length: the permuted epoch is cut into pools of ``POOL`` batches,
    each pool is sorted by length (samples of one length stay permuted) and cut into batches, and the batches are
    permuted. So it is still a function of (seed, k), and every sample still comes once an epoch.

    Args:
        samples: the ids to draw from, (num_samples,), usually the training split of a dataset.
        batch_size: samples in a global batch.
        seed: with the epoch, the key of the permutation.
        shuffle: False gives the samples in their own order every epoch.
        device: where the index tensors are wanted.
        lengths: of each of the samples, (num_samples,) or (num_samples, parts), the first part counting most.
    """

    def __init__(
        self,
        samples: np.ndarray,
        batch_size: int,
        *,
        seed: int,
        shuffle: bool = True,
        device: torch.device | str = "cpu",
        lengths: np.ndarray | None = None,
    ) -> None:
        assert batch_size >= 1
        assert len(samples) >= 1
        self.samples = np.asarray(samples, dtype=np.int64)
        self.batch_size = min(batch_size, len(samples))
        self.seed = seed
        self.device = torch.device(device)
        self.shuffle = shuffle and self.batch_size < len(samples)
        self.batches_per_epoch = -(-len(samples) // self.batch_size)
        self.lengths = None if lengths is None else lengths.reshape(len(samples), -1)
        self._epoch: int | None = None  # the epoch whose batches are cut already: a cache, nothing depends on it
        self._batches: tuple[Tensor, ...] = ()

    def epoch(self, k: int) -> int:
        """The epoch that batch k belongs to, from 0."""
        return k // self.batches_per_epoch

    def indices(self, k: int) -> Tensor:
        """The ids of the samples in batch k, int64 (batch,), on the device."""
        epoch, position = divmod(k, self.batches_per_epoch)
        if epoch != self._epoch:
            self._cut(epoch)
        return self._batches[position]

    def padding(self, *, sorted_by_length: bool = True) -> float:
        """The share of the first epoch's batches that is padding, where each is as long as its longest sample.

        Args:
            sorted_by_length: False tells what it would be without the pools.
        """
        if self.lengths is None:
            return 0.0
        places = self._places(0, sorted_by_length)
        starts = np.arange(0, len(places), self.batch_size)
        sizes = np.diff(np.append(starts, len(places)))
        longest = np.maximum.reduceat(self.lengths[places], starts, axis=0)
        return float(1 - self.lengths.sum() / max((longest * sizes[:, None]).sum(), 1))

    def _cut(self, epoch: int) -> None:
        if not self.shuffle and self._epoch is not None:  # every epoch is cut alike
            self._epoch = epoch
            return
        ids = self.samples[self._places(epoch, True)] if self.shuffle else self.samples
        batches = torch.split(torch.from_numpy(ids).to(self.device), self.batch_size)
        if self.shuffle and self.lengths is not None:
            batches = tuple(batches[b] for b in permutation(len(batches), self.seed, epoch, _BATCHES))
        self._batches, self._epoch = batches, epoch

    def _places(self, epoch: int, sorted_by_length: bool) -> np.ndarray:
        """The positions in ``samples`` one batch after the other, before the batches are permuted."""
        places = permutation(len(self.samples), self.seed, epoch)
        if self.lengths is None or not sorted_by_length:
            return places
        pool = np.arange(len(places)) // (POOL * self.batch_size)
        first, *others = self.lengths[places].T
        turn = np.where(first % 2, -1, 1)  # there and back again: where the first length changes the others don't jump
        return places[np.lexsort((*(turn * other for other in others[::-1]), first, pool))]


def keyed_uniform(samples: Tensor, width: int, *key: int) -> Tensor:
    """Uniform numbers in [0, 1) for each sample, float32 (batch, width), a function of (key, sample) alone.

    Computed on the samples' device by hashing, so that augmentation needs no generator state and gives the same
    numbers wherever, whenever and in whatever company a sample is drawn. The hash is the 32-bit finaliser of
    MurmurHash3 (Appleby 2011) on int64 lanes, applied to the sample's id and then to the column.
    """
    low, high = mix(*key) & 0xFFFFFFFF, mix(*key) >> 32
    lanes = torch.arange(width, device=samples.device, dtype=torch.int64)
    hashed = _murmur((samples ^ (samples >> 32)) & 0xFFFFFFFF ^ low)
    hashed = _murmur((hashed[:, None] + lanes[None, :] * 0x9E3779B1 + high) & 0xFFFFFFFF)
    return (hashed >> 8).to(torch.float32) * (1.0 / (1 << 24))


def _murmur(x: Tensor) -> Tensor:
    x = x ^ (x >> 16)
    x = (x * 0x85EBCA6B) & 0xFFFFFFFF
    x = x ^ (x >> 13)
    x = (x * 0xC2B2AE35) & 0xFFFFFFFF
    return x ^ (x >> 16)
