"""A parameter server with bounded staleness: the stale synchronous parallel model of Ho et al., NeurIPS 2013.

Rank 0 holds the weights and the optimizer and works beside it; every rank pushes its gradients and pulls weights. The
server applies the mean gradient of a step once all ranks' are there, so the optimizer sees the batches of synchronous
training; a rank that has pushed step c may begin c + 1 when the update of step c - staleness has been made. With
staleness 0 that is synchronous training.

The messages are point to point, over gloo and host memory whatever the device: one group and one thread on rank 0 for
each worker. torch.distributed.rpc would do the same through an agent of its own that knows nothing of the group's
timeouts and failures.
"""

import copy
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn

from workers.runtime.communication.flat import pack, unpack, views
from workers.runtime.communication.synchroniser import Synchroniser

_PUSH, _MEET, _LEAVE = 0, 1, 2  # what a worker wants; with its step, the header of a message
_LOSS = 1  # elements of a push beside the gradients
_NOTES = 2  # elements of a reply beside the weights: the version's distance from the step, and its loss


@dataclass
class _Sum:
    """Gradients of one step that are not complete yet."""

    payload: torch.Tensor
    count: int = 1


@dataclass
class Server:
    """The weights, and the order in which gradients move them. Its methods may be called from any thread."""

    weights: list[nn.Parameter]
    world_size: int
    staleness: int
    apply: Callable[[int], None]
    """Make the optimizer step of one training step; the gradients are in place."""
    version: int
    """The newest step whose update has been made."""
    _loss: float = float("nan")
    _sums: dict[int, _Sum] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _failure: BaseException | None = None

    def push(self, step: int, payload: torch.Tensor) -> None:
        """Take a rank's loss and gradients of ``step``; apply every step that is complete."""
        with self._changed:
            total = self._sums.get(step)
            if total is None:
                self._sums[step] = _Sum(payload.clone())
            else:
                total.payload += payload
                total.count += 1
            while (total := self._sums.get(self.version + 1)) is not None and total.count == self.world_size:
                self._update(self._sums.pop(self.version + 1).payload / self.world_size)
            self._changed.notify_all()

    def pull(self, step: int, staleness: int) -> torch.Tensor:
        """Return the notes and the weights, once they are at most ``staleness`` older than ``step``.

        Raises:
            BaseException: what ``fail`` was told, such as the loss of a worker.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._failure is not None or self.version >= step - staleness)
            if self._failure is not None:
                raise self._failure
            notes = torch.tensor([float(step - self.version), self._loss])
            return torch.cat([notes, *(weight.detach().reshape(-1).to("cpu") for weight in self.weights)])

    def fail(self, error: BaseException) -> None:
        """Wake up all that wait; the first failure counts."""
        with self._changed:
            self._failure = self._failure or error
            self._changed.notify_all()

    def _update(self, mean: torch.Tensor) -> None:
        self._loss = float(mean[0])
        for weight, view in zip(self.weights, views(mean[_LOSS:], self.weights), strict=True):
            weight.grad = view.to(weight.device)
        self.apply(self.version + 1)
        self.version += 1


class ParameterServer(Synchroniser):
    """One rank's side of it. On rank 0 ``replica`` works and the model given is the server's."""

    def __init__(self, model: nn.Module, *, staleness: int, timeout: timedelta) -> None:
        self._staleness = staleness
        self._rank, self._world_size = dist.get_rank(), dist.get_world_size()
        self.replica = copy.deepcopy(model) if self._rank == 0 else model
        self._served = list(model.parameters())
        self._weights = list(self.replica.parameters())
        self._size = sum(weight.numel() for weight in self._weights)
        groups = [  # every rank takes part in making every group
            dist.new_group([0, worker], backend="gloo", timeout=timeout) for worker in range(1, self._world_size)
        ]
        self._groups = groups
        self._server: Server | None = None
        self._threads: list[threading.Thread] = []
        self._age = 0.0
        self._mean_loss = float("nan")

    def begin(self, apply: Callable[[int], None], step: int) -> None:
        """Begin to serve, on rank 0, the weights after ``step``; all workers take them. A collective."""
        if self._rank == 0:
            self._server = Server(self._served, self._world_size, self._staleness, apply, version=step)
            for worker, group in enumerate(self._groups, start=1):
                thread = threading.Thread(target=self._serve, args=(worker, group), name=f"serve-{worker}", daemon=True)
                thread.start()
                self._threads.append(thread)
        self.meet(step)

    def updates(self, step: int, loss: torch.Tensor) -> Iterator[None]:
        """Push this step's gradients and pull weights; the server has the optimizer, so nothing is yielded."""
        gradients = [torch.zeros_like(w) if w.grad is None else w.grad for w in self._weights]
        payload = torch.cat([loss.reshape(1), pack(gradients)]).to("cpu")
        for weight in self._weights:
            weight.grad = None
        if self._server is not None:
            self._server.push(step, payload)
        else:
            self._ask(_PUSH, step)
            dist.send(payload, 0, group=self._groups[self._rank - 1])
        self._pull(step, self._staleness)
        yield from ()

    def together(self, step: int) -> AbstractContextManager[None]:
        """Let all models hold the server's weights."""
        self.meet(step)
        return nullcontext()

    def meet(self, step: int) -> None:
        """Wait until the update of ``step`` is made, and take its weights."""
        if self._server is None:
            self._ask(_MEET, step)
        self._pull(step, 0)

    def next_meeting(self, step: int) -> int:
        """No rank begins a step more than ``staleness`` after the one rank 0 is about to begin."""
        return step + self._staleness

    def mean_loss(self, step: int, loss: torch.Tensor) -> float | None:
        """Return the gang's loss in the newest step whose update this rank has seen."""
        return self._mean_loss if math.isfinite(self._mean_loss) else None

    def metrics(self) -> dict[str, float]:
        """Return how many updates this rank's weights lack."""
        return {"staleness": self._age}

    def close(self) -> None:
        """Take leave of the server; rank 0 waits until all workers have."""
        if self._server is None:
            self._ask(_LEAVE, 0)
        for thread in self._threads:
            thread.join()

    def _pull(self, step: int, staleness: int) -> None:
        if self._server is not None:
            reply = self._server.pull(step, staleness)
        else:
            reply = torch.empty(_NOTES + self._size)
            dist.recv(reply, 0, group=self._groups[self._rank - 1])
        self._age, self._mean_loss = reply[:_NOTES].tolist()
        with torch.no_grad():
            unpack(reply[_NOTES:], self._weights)

    def _ask(self, what: int, step: int) -> None:
        dist.send(torch.tensor([what, step]), 0, group=self._groups[self._rank - 1])

    def _serve(self, worker: int, group: dist.ProcessGroup) -> None:
        """Answer one worker until it leaves."""
        assert self._server is not None
        try:
            while True:
                header = torch.empty(2, dtype=torch.int64)
                dist.recv(header, worker, group=group)
                what, step = header.tolist()
                if what == _LEAVE:
                    return
                if what == _PUSH:
                    payload = torch.empty(_LOSS + self._size)
                    dist.recv(payload, worker, group=group)
                    self._server.push(step, payload)
                dist.send(self._server.pull(step, self._staleness if what == _PUSH else 0), worker, group=group)
        except BaseException as error:  # noqa: BLE001  the training thread raises it where it waits next
            self._server.fail(error)
