"""Averages of the weights along the run, which validation and export use in place of the last ones.

EMA: Tarvainen and Valpola, arXiv:1703.01780, section 3; its decay grows with the number of updates at first, or the
initial weights would weigh on short runs. SWA: Izmailov et al., arXiv:1803.05407, algorithm 1; its constant learning
rate is the schedule's business, and decoders have no batch statistics to renew.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from workers.contract.communication import EMA, SWA
from workers.runtime.communication.hook import Tensors
from workers.runtime.optimizer import Parametrised


class WeightAverage:
    """The average of a model's parameters, kept beside them with the same sharding."""

    def __init__(self, model: Parametrised, spec: EMA | SWA, *, total_steps: int) -> None:
        self._spec = spec
        self._total_steps = total_steps
        self._weights = dict(model.named_parameters())
        self._average = {name: weight.detach().clone() for name, weight in self._weights.items()}
        self._count = torch.zeros((), dtype=torch.int64)
        """Weights taken into the average so far."""

    def adopt_weights(self) -> None:
        """Begin anew from the model's weights."""
        with torch.no_grad():
            for name, weight in self._weights.items():
                self._average[name].copy_(weight)

    def after_step(self, step: int) -> None:
        """Take the weights after ``step`` into the average, if it is their turn."""
        share = self._share_of_new(step)
        if share == 0:
            return
        with torch.no_grad():
            for name, weight in self._weights.items():
                self._average[name].lerp_(weight.detach(), share)
        self._count += 1

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the model hold the average; it has its own weights back afterwards."""
        if not self._count:
            yield
            return
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def shared_state(self) -> Tensors:
        """Return the average and its count; copying into them restores it."""
        return {f"average.{name}": weight for name, weight in self._average.items()} | {"average.count": self._count}

    def _share_of_new(self, step: int) -> float:
        spec, count = self._spec, int(self._count)
        if isinstance(spec, EMA):
            return 1 - min(spec.decay, (1 + count) / (10 + count))
        start = int(self._total_steps * spec.start_pct / 100)
        is_turn = step > start and ((step - start) % spec.every_steps == 0 or step == self._total_steps)
        return 1 / (1 + count) if is_turn else 0.0

    @torch.no_grad()
    def _swap(self) -> None:
        for name, weight in self._weights.items():
            own = weight.detach().clone()
            weight.copy_(self._average[name])
            self._average[name].copy_(own)
