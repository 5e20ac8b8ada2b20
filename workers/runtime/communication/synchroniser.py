"""What keeps the replicas of a model together, in the form the training loop takes it.

One step of the loop: backward passes, ``updates`` (an optimizer step for each), ``after_step``. Where replicas may
drift apart, a *meeting* is a step after which all of them hold the same weights again.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
import torch.distributed as dist
from torch import nn

from workers.runtime.communication.flat import average
from workers.runtime.communication.hook import Tensors


class Synchroniser:
    """Gradients are averaged by whoever runs backward (DDP): nothing is left to do."""

    diverges = False
    """True where the ranks' weights and moments differ between meetings: each rank's own are its state."""

    def adopt_weights(self) -> None:
        """Begin anew from the model's weights: those of a checkpoint, which may know nothing of this algorithm."""

    def begin(self, apply: Callable[[int], None], step: int) -> None:
        """Called before the step after ``step``, the first of this attempt. A collective.

        ``apply(n)`` makes the optimizer step of training step n, for algorithms that make it out of ``updates``.
        """

    def updates(self, step: int, loss: torch.Tensor) -> Iterator[None]:
        """Yield once for every optimizer step to make now, with its gradients in place. A collective."""
        yield

    def after_step(self, step: int) -> None:
        """Exchange weights if it is time. A collective."""

    def next_meeting(self, step: int) -> int:
        """Return the first step from ``step`` on that no rank can leave behind before all have begun it."""
        return step

    def ends_a_round(self, step: int) -> bool:
        """Tell whether ranks that trained alone meet after ``step``: the fast wait for all that sets them apart."""
        return False

    def meet(self, step: int) -> None:
        """Wait for the others and take the weights all share after ``step``, where that can be had. A collective."""

    def together(self, step: int) -> AbstractContextManager[None]:
        """Let the model hold the weights that count after ``step``, the same on all ranks. A collective."""
        return nullcontext()

    def mean_loss(self, step: int, loss: torch.Tensor) -> float | None:
        """Return the mean of the ranks' losses, None where asking for it would make them wait for each other."""
        if dist.is_initialized():
            loss = loss.clone()
            dist.all_reduce(loss)
            return float(loss) / dist.get_world_size()
        return float(loss)

    def shared_state(self) -> Tensors:
        """Return live tensors that are the same on all ranks; copying into them restores the algorithm."""
        return {}

    def rank_state(self) -> Tensors:
        """Return live tensors of this rank alone. Another number of ranks starts from their mean."""
        return {}

    def metrics(self) -> dict[str, float]:
        """Return what is worth a curve."""
        return {}

    def close(self) -> None:
        """End what runs in the background; the last call."""


class LocalTraining(Synchroniser):
    """Replicas that train alone between meetings; before those, optionally, in step by averaged gradients."""

    diverges = True

    def __init__(self, model: nn.Module, *, period: int, warmup_steps: int, total_steps: int) -> None:
        self.parameters: Mapping[str, nn.Parameter] = dict(model.named_parameters())
        self._period = period
        self._warmup_steps = warmup_steps
        self._total_steps = total_steps

    def updates(self, step: int, loss: torch.Tensor) -> Iterator[None]:
        """Average the gradients while the start is synchronous."""
        if step <= self._warmup_steps:
            average([parameter.grad for parameter in self.parameters.values() if parameter.grad is not None])
        yield

    def is_meeting(self, step: int) -> bool:
        """Tell whether all ranks hold the same weights after ``step``; they do after the last one."""
        return self.next_meeting(step) == step

    def ends_a_round(self, step: int) -> bool:
        """Tell whether ranks that trained alone meet after ``step``."""
        return self.is_meeting(step) and not self.is_meeting(step - 1)

    def next_meeting(self, step: int) -> int:
        """Return the first meeting from ``step`` on."""
        if step <= self._warmup_steps:
            return step
        rounds = -(-(step - self._warmup_steps) // self._period)
        return max(step, min(self._warmup_steps + rounds * self._period, self._total_steps))

    def mean_loss(self, step: int, loss: torch.Tensor) -> float | None:
        """Return the gang's loss at meetings only."""
        return super().mean_loss(step, loss) if self.is_meeting(step) else None

    @contextmanager
    def together(self, step: int) -> Iterator[None]:
        """Let the model hold the mean of all ranks' weights; each rank has its own back afterwards."""
        if self.is_meeting(step):
            yield
            return
        weights = [parameter.detach() for parameter in self.parameters.values()]
        own = [weight.clone() for weight in weights]
        average(weights)
        try:
            yield
        finally:
            for weight, kept in zip(weights, own, strict=True):
                weight.copy_(kept)
