"""Gradients in half the bytes: DDP communication hooks that send fp16 or bf16 and add up in it.

Stateless, and overlapped with backward like plain DDP. The mean is taken before the sum: a sum of many fp16
gradients would overflow first. Gloo adds up bf16 itself.
"""

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import GradBucket

from workers.runtime.communication.hook import GradientHook


class CastHook(GradientHook):
    """Averages gradients in ``dtype``."""

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype

    def __call__(self, bucket: GradBucket) -> torch.futures.Future[torch.Tensor]:
        """Begin the average of a bucket; the result replaces its buffer."""
        buffer = bucket.buffer()
        small = buffer.div(dist.get_world_size()).to(self._dtype)
        work = dist.all_reduce(small, async_op=True)
        assert work is not None

        def widen(future: torch.futures.Future[list[torch.Tensor]]) -> torch.Tensor:
            return buffer.copy_(future.value()[0])

        widened: torch.futures.Future[torch.Tensor] = work.get_future().then(widen)
        return widened
