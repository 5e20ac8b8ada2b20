"""Data parallelism: every rank holds the model, gradients are averaged while backward runs.

Li et al., arXiv:2006.15704. The communication hook also notes when the last gradient bucket was ready: what
backward still waits from then on is communication that nothing hides.

A model that another axis splits is averaged in one go after backward instead: torch's wrapper takes neither
DTensors nor a pipeline's stages.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
import torch.distributed as dist
from torch import nn
from torch._C._distributed_c10d import GradBucket
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from workers.contract.distribution import FSDP
from workers.runtime.communication.hook import average_bucket
from workers.runtime.optimizer import Parametrised
from workers.runtime.parallel.assembly import Assembly, GradientSync
from workers.runtime.parallel.extension import BucketHook

_BUCKET_ELEMENTS = 25 * 2**20 // 4


def replicate(assembly: Assembly) -> None:
    """Average the gradients over ``dp_replicate``, for ``ddp`` and ``zero1``."""
    is_fsdp = isinstance(assembly.spec.distribution.data_parallel, FSDP)
    if is_fsdp or assembly.mesh.degrees.dp_replicate == 1 or not assembly.synchronises:
        return
    if assembly.is_decomposed:
        assembly.sync = AfterBackward(assembly.parts, assembly.mesh.group("dp_replicate"))
        return
    wrapped = DistributedDataParallel(
        assembly.model,
        device_ids=[assembly.device.index] if assembly.device.type != "cpu" else None,
        forward_sync_buffers=False,
        gradient_as_bucket_view=True,
    )
    hooks = [hook for extension in assembly.extensions if (hook := extension.bucket_hook()) is not None]
    average = hooks[0] if hooks else average_bucket
    wrapped.register_comm_hook((assembly.on_last_bucket, average), _reduce)
    _settle_buckets(wrapped, assembly.device)
    assembly.entry = wrapped
    assembly.sync = Buckets(wrapped)


class Buckets(GradientSync):
    """Torch's own: bucket by bucket, beside backward."""

    def __init__(self, wrapped: DistributedDataParallel) -> None:
        self._wrapped = wrapped

    def accumulating(self) -> AbstractContextManager[object]:
        """Leave gradients local within the block."""
        return self._wrapped.no_sync()


class AfterBackward(GradientSync):
    """Sums all gradients when backward is done, a flat bucket at a time."""

    def __init__(self, parts: Parametrised, group: dist.ProcessGroup) -> None:
        self._parts = parts
        self._group = group

    def finish(self) -> None:
        """Make sure that every rank has the mean gradient."""
        bucket: list[torch.Tensor] = []
        for parameter in self._parts.parameters():
            if parameter.grad is not None:
                bucket.append(local_tensor(parameter.grad))
            if sum(gradient.numel() for gradient in bucket) >= _BUCKET_ELEMENTS:
                self._average(bucket)
                bucket = []
        if bucket:
            self._average(bucket)

    def _average(self, gradients: list[torch.Tensor]) -> None:
        flat = torch.cat([gradient.flatten() for gradient in gradients]).div_(self._group.size())
        dist.all_reduce(flat, group=self._group)
        for gradient, mean in zip(gradients, torch.split(flat, [each.numel() for each in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))


def local_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """Return what this rank holds of a tensor, sharing its memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _reduce(state: tuple[Callable[[], None], BucketHook], bucket: GradBucket) -> torch.futures.Future[torch.Tensor]:
    on_last_bucket, average = state
    if bucket.is_last():
        on_last_bucket()
    return average(bucket)


def _settle_buckets(wrapped: nn.Module, device: torch.device) -> None:
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
