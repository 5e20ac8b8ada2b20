"""Forward and backward on ranks that each run the whole depth of the model."""

from collections.abc import Callable, Iterable
from contextlib import nullcontext

import torch

from workers.runtime.data.sampler import Batch
from workers.runtime.model import token_loss
from workers.runtime.parallel.assembly import Assembly


def run_whole(assembly: Assembly) -> None:
    """Call the whole model once for each accumulated batch, unless something else was put in place."""
    if assembly.passes is None:
        assembly.passes = WholePasses(assembly)


class WholePasses:
    """One forward and one backward for each batch of a step."""

    def __init__(self, assembly: Assembly) -> None:
        self._assembly = assembly
        self._count = assembly.spec.gradient_accumulation
        self._logits = _caller(assembly)

    def forward_backward(self, batches: Iterable[Batch]) -> torch.Tensor:
        """Add a step's gradients to the parameters; return this data rank's mean loss, detached."""
        assembly = self._assembly
        loss = torch.zeros((), device=assembly.device)
        for index, batch in enumerate(batches):
            is_last = index == self._count - 1
            with assembly.around_step(), nullcontext() if is_last else assembly.sync.accumulating():
                loss += self._pass(batch)
        assembly.sync.finish()
        return loss

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> torch.Tensor:
        """Return the mean loss without gradients; the same on all ranks that share the batch."""
        with self._assembly.around_step():
            loss = self._loss(batch)
        self._assembly.sync.settle()
        return loss

    def _pass(self, batch: Batch) -> torch.Tensor:
        timer = self._assembly.timer
        timer.begin()
        loss = self.training_loss(batch) / self._count
        timer.end("forward_time_s")
        loss.backward()  # type: ignore[no-untyped-call]
        timer.end_backward()
        return loss.detach()

    def training_loss(self, batch: Batch) -> torch.Tensor:
        """Return what is minimised: the mean loss of a batch, a scalar."""
        return self._loss(batch)

    def _loss(self, batch: Batch) -> torch.Tensor:
        assembly = self._assembly
        with autocast(assembly):
            logits_BCV = self._logits(batch.inputs_BC)
            return (assembly.loss or token_loss)(logits_BCV, batch.targets_BC)


def autocast(assembly: Assembly) -> torch.autocast:
    """Return the context in which forward runs."""
    return torch.autocast(assembly.device.type, assembly.dtype, enabled=assembly.dtype is not torch.float32)


def _caller(assembly: Assembly) -> Callable[[torch.Tensor], torch.Tensor]:
    if assembly.is_decomposed:
        (part,) = assembly.parts.modules
        return part
    module = assembly.entry or assembly.model

    def call(inputs_BC: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = module(input_ids=inputs_BC, use_cache=False).logits
        return logits

    return call
