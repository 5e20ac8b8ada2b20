"""Delayed update: each step's gradients are averaged while the next step computes, and applied after it.

Li et al., Pipe-SGD, arXiv:1811.03619, algorithm 1 with a pipeline of two: the gradient of step t, taken at the weights
of step t, moves those of step t + 1. The first step moves nothing, the last one twice, so a run of T steps makes T
updates.
"""

from collections.abc import Iterator

import torch
import torch.distributed as dist
from torch import nn

from workers.runtime.communication.flat import CHUNK_ELEMENTS, chunks, pack, views
from workers.runtime.communication.hook import Tensors
from workers.runtime.communication.synchroniser import Synchroniser


class DelayedUpdate(Synchroniser):
    """Holds the gradients that are on their way."""

    def __init__(self, model: nn.Module, *, total_steps: int) -> None:
        parameters = dict(model.named_parameters())
        self._parameters = list(parameters.values())
        self._total_steps = total_steps
        self._chunks = list(chunks(list(parameters.values()), CHUNK_ELEMENTS))
        self._flats = [pack(chunk).detach().zero_() for chunk in self._chunks]
        self._works: list[dist.Work] = []
        self._is_pending = torch.zeros((), dtype=torch.int64)
        names: dict[torch.Tensor, str] = {parameter: name for name, parameter in parameters.items()}
        self._state = {
            f"delayed.gradient.{names[parameter]}": view
            for chunk, flat in zip(self._chunks, self._flats, strict=True)
            for parameter, view in zip(chunk, views(flat, chunk), strict=True)
        }

    def updates(self, step: int, loss: torch.Tensor) -> Iterator[None]:
        """Send this step's gradients; yield with those of the step before, and after the last step with its own."""
        fresh = [pack([_gradient(parameter) for parameter in chunk]) for chunk in self._chunks]
        for parameter in self._parameters:
            parameter.grad = None
        if self._is_pending:
            self._arrive()
            yield
        self._send(fresh)
        if step == self._total_steps:
            self._arrive()
            yield

    def _send(self, fresh: list[torch.Tensor]) -> None:
        world_size = dist.get_world_size()
        for flat, values in zip(self._flats, fresh, strict=True):
            torch.div(values, world_size, out=flat)
            work = dist.all_reduce(flat, async_op=True)
            assert work is not None
            self._works.append(work)
        self._is_pending.fill_(1)

    def _arrive(self) -> None:
        """Put the averaged gradients where the optimizer looks for them."""
        self._wait()
        for chunk, flat in zip(self._chunks, self._flats, strict=True):
            for parameter, view in zip(chunk, views(flat, chunk), strict=True):
                parameter.grad = view
        self._is_pending.zero_()

    def _wait(self) -> None:
        for work in self._works:
            work.wait()
        self._works = []

    def next_meeting(self, step: int) -> int:
        """A rank waits for the others' gradients of ``step`` only at the end of the next one."""
        return step + 1

    def shared_state(self) -> Tensors:
        """Return the averaged gradients not yet applied; waits for them."""
        self._wait()
        return self._state | {"delayed.is_pending": self._is_pending}

    def metrics(self) -> dict[str, float]:
        """Return the age of the gradients applied."""
        return {"staleness": 1.0}


def _gradient(parameter: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
