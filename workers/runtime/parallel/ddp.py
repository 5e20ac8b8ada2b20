"""Data parallelism: every rank holds the model, gradients are averaged while backward runs.

Li et al., arXiv:2006.15704. The communication hook also notes when the last gradient bucket was ready: what
backward still waits from then on is communication that nothing hides.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn
from torch._C._distributed_c10d import GradBucket
from torch.nn.parallel import DistributedDataParallel
from transformers import PreTrainedModel


@dataclass(frozen=True)
class Replicas:
    """The model as the training loop calls it."""

    module: nn.Module
    """Forward of this begins a synchronised pass."""
    model: PreTrainedModel
    """The bare model: validation, checkpoints and export use it."""
    world_size: int

    def without_sync(self) -> AbstractContextManager[object]:
        """Accumulate gradients locally within the block: forward and backward of all but the last pass."""
        if isinstance(self.module, DistributedDataParallel):
            return self.module.no_sync()
        return nullcontext()


def replicate(
    model: PreTrainedModel, *, device: torch.device, world_size: int, on_last_bucket: Callable[[], None]
) -> Replicas:
    """Wrap the model; ``on_last_bucket`` is called in backward when the last bucket's gradients are ready."""
    if world_size == 1:
        return Replicas(model, model, 1)
    wrapped = DistributedDataParallel(
        model,
        device_ids=[device.index] if device.type != "cpu" else None,
        forward_sync_buffers=False,
        gradient_as_bucket_view=True,
    )
    wrapped.register_comm_hook(on_last_bucket, _average)
    _settle_buckets(wrapped, device)
    return Replicas(wrapped, model, world_size)


def _average(on_last_bucket: Callable[[], None], bucket: GradBucket) -> torch.futures.Future[torch.Tensor]:
    if bucket.is_last():
        on_last_bucket()
    gradients = bucket.buffer().div_(dist.get_world_size())
    work = dist.all_reduce(gradients, async_op=True)
    assert work is not None
    averaged: torch.futures.Future[torch.Tensor] = work.get_future().then(_first_tensor)
    return averaged


def _first_tensor(future: torch.futures.Future[list[torch.Tensor]]) -> torch.Tensor:
    return future.value()[0]


def _settle_buckets(wrapped: DistributedDataParallel, device: torch.device) -> None:
    """Run a throwaway pass, after which the buckets have their final order.

    DDP reorders its buckets after its first backward, and with three ranks or more the order of a sum
    depends on where in a bucket a gradient lies. So the first step of a resumed run would differ in the last
    bit from the same step of an unbroken one.
    """
    tokens = torch.zeros((1, 2), dtype=torch.int64, device=device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for _ in range(2):  # the reordering takes place as the second forward begins
            wrapped(input_ids=tokens).logits.sum().backward()
    wrapped.zero_grad(set_to_none=True)
