"""The order in which samples are drawn, as a function of the seed alone.

The order is an endless row: one random permutation of all samples after another. Step ``k`` takes the
next ``global batch`` of it, so the state is one number, the position; any world size sees the same global
batches, and a resume in the middle of an epoch needs nothing else. Reading is a copy out of a memory
map (some hundred thousand samples a second), which is why there are no loader processes.

Shapes: B = micro-batch, C = context length.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from workers.runtime.data.shards import TokenStream


@dataclass(frozen=True)
class Batch:
    """Inputs and the tokens that follow them, both int64 of shape (B, C)."""

    inputs_BC: torch.Tensor
    targets_BC: torch.Tensor


class Sampler:
    """Draws windows of ``context_length`` + 1 tokens, neighbours sharing one token."""

    def __init__(self, stream: TokenStream, *, context_length: int, seed: int) -> None:
        self._stream = stream
        self._context = context_length
        self._seed = seed
        self.num_samples = max(0, (stream.num_tokens - 1) // context_length)
        self._epoch = -1
        self._order: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def draw(self, position: int, count: int) -> Batch:
        """Return the ``count`` samples from ``position`` of the endless row on."""
        return self.batch([self._sample_at(place) for place in range(position, position + count)])

    def batch(self, samples: list[int]) -> Batch:
        """Return the named samples, in this order."""
        windows = np.stack([self._stream.read(sample * self._context, self._context + 1) for sample in samples])
        tokens = torch.from_numpy(windows)
        return Batch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())

    def _sample_at(self, position: int) -> int:
        epoch, place = divmod(position, self.num_samples)
        if epoch != self._epoch:
            self._order = np.random.default_rng([self._seed, epoch]).permutation(self.num_samples)
            self._epoch = epoch
        return int(self._order[place])


def spread(num_samples: int, limit: int) -> list[int]:
    """Choose at most ``limit`` samples, evenly spread over a stream, always the same ones."""
    if num_samples <= limit:
        return list(range(num_samples))
    return [index * num_samples // limit for index in range(limit)]
