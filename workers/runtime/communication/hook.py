"""What DDP calls with each bucket of gradients, in the form our algorithms take.

A hook with state keys it by parameter: DDP may cut its buckets differently, the checkpoint may not. A hook that
needs several collectives runs them one after another in the autograd thread. torch's own PowerSGD chains them in
the futures' callbacks, where two ranks may issue them in different orders; gloo then fails now and then.
"""

from abc import ABC, abstractmethod

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import GradBucket

Tensors = dict[str, torch.Tensor]


class GradientHook(ABC):
    """Replaces the all-reduce of DDP's gradients."""

    step = 0
    """The step whose gradients come; 0 while DDP settles its buckets, whose gradients mean nothing."""

    @abstractmethod
    def __call__(self, bucket: GradBucket) -> torch.futures.Future[torch.Tensor]:
        """Average a bucket over the ranks; the future's tensor is the bucket's buffer."""

    def shared_state(self) -> Tensors:
        """Return live tensors that are the same on all ranks; copying into them restores the hook."""
        return {}

    def rank_state(self) -> Tensors:
        """Return live tensors that differ from rank to rank. Their mean is what the ranks owe together."""
        return {}


def average_bucket(bucket: GradBucket) -> torch.futures.Future[torch.Tensor]:
    """Begin the plain average of a bucket in its own type."""
    buffer = bucket.buffer().div_(dist.get_world_size())
    work = dist.all_reduce(buffer, async_op=True)
    assert work is not None
    averaged: torch.futures.Future[torch.Tensor] = work.get_future().then(_first_tensor)
    return averaged


def done(buffer: torch.Tensor) -> torch.futures.Future[torch.Tensor]:
    """Return a future that holds ``buffer`` already."""
    devices: list[int | str | torch.device] = [buffer.device] if buffer.device.type != "cpu" else []
    future: torch.futures.Future[torch.Tensor] = torch.futures.Future(devices=devices)
    future.set_result(buffer)
    return future


def _first_tensor(future: torch.futures.Future[list[torch.Tensor]]) -> torch.Tensor:
    return future.value()[0]
