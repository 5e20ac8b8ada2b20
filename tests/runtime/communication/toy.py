"""A problem small enough to follow every replica in one process."""

from collections.abc import Callable

import torch
from torch import nn

STEPS = 12
RATE = 0.2


def model() -> nn.Sequential:
    """The same initial weights each time."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 4))


def sgd(module: nn.Module) -> torch.optim.Optimizer:
    """Plain SGD: its updates are linear in the gradient."""
    return torch.optim.SGD(module.parameters(), lr=RATE)


def loss(module: nn.Module, rank: int, step: int) -> torch.Tensor:
    """Mean squared error of a rank's batch of a step; the ranks' batches differ."""
    generator = torch.Generator().manual_seed(1000 * rank + step)
    inputs = torch.randn(8, 12, generator=generator)
    targets = torch.stack([inputs[:, 0] * inputs[:, 1], inputs[:, 2], inputs.sum(dim=1).sin(), inputs[:, 3].abs()], 1)
    return nn.functional.mse_loss(module(inputs), targets)


def gradients(module: nn.Module, rank: int, step: int) -> list[torch.Tensor]:
    """Gradients of a rank's batch, not applied."""
    return list(torch.autograd.grad(loss(module, rank, step), list(module.parameters())))


def weights(module: nn.Module) -> torch.Tensor:
    """All weights in one vector."""
    return nn.utils.parameters_to_vector(module.parameters()).detach().clone()


def apply(module: nn.Module, optimizer: torch.optim.Optimizer, grads: list[torch.Tensor]) -> None:
    """One optimizer step with the given gradients."""
    for parameter, grad in zip(module.parameters(), grads, strict=True):
        parameter.grad = grad.clone()
    optimizer.step()


def mean(lists: list[list[torch.Tensor]]) -> list[torch.Tensor]:
    """Entry by entry the mean of the ranks' tensors."""
    return [torch.stack(entry).mean(dim=0) for entry in zip(*lists, strict=True)]


def synchronous(
    world_size: int,
    *,
    steps: int = STEPS,
    make: Callable[[nn.Module], torch.optim.Optimizer] = sgd,
    combine: Callable[[int, list[list[torch.Tensor]]], list[torch.Tensor]] = lambda step, grads: mean(grads),
) -> torch.Tensor:
    """Weights after training with the ranks' gradients combined in every step: the definition of data parallelism."""
    module = model()
    optimizer = make(module)
    for step in range(1, steps + 1):
        apply(module, optimizer, combine(step, [gradients(module, rank, step) for rank in range(world_size)]))
    return weights(module)


def held_out(vector: torch.Tensor) -> float:
    """Loss of the weights on batches that nobody trains on."""
    module = model()
    nn.utils.vector_to_parameters(vector, module.parameters())
    with torch.no_grad():
        return sum(float(loss(module, 999, step)) for step in range(20)) / 20
