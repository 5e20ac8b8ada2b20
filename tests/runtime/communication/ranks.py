"""What each rank does in these tests: the toy problem under an algorithm, as the training loop would run it."""

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from tests.runtime.communication import toy
from workers.runtime.communication.hook import GradientHook
from workers.runtime.communication.synchroniser import Synchroniser


def train_with_hook(hook: GradientHook, module: nn.Module, steps: int = toy.STEPS) -> torch.Tensor:
    """Train under DDP with a communication hook."""
    wrapped = DistributedDataParallel(module, gradient_as_bucket_view=True)
    wrapped.register_comm_hook(hook, type(hook).__call__)
    optimizer = toy.sgd(module)
    for step in range(1, steps + 1):
        hook.step = step
        optimizer.zero_grad()
        toy.loss(wrapped, dist.get_rank(), step).backward()
        optimizer.step()
    return toy.weights(module)


def train_with(
    synchroniser: Synchroniser, module: nn.Module, *, first: int = 1, last: int = toy.STEPS
) -> list[torch.Tensor]:
    """Train with a synchroniser; return the weights after each step."""
    optimizer = toy.sgd(module)
    trail = []
    for step in range(first, last + 1):
        optimizer.zero_grad()
        loss = toy.loss(module, dist.get_rank(), step)
        loss.backward()
        for _ in synchroniser.updates(step, loss.detach()):
            optimizer.step()
        synchroniser.after_step(step)
        trail.append(toy.weights(module))
    return trail
