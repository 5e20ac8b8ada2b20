"""DiLoCo: many inner steps alone, then one outer step on the mean change. Douillard et al., arXiv:2311.08105.

Algorithm 1: the inner optimizer is the run's AdamW, whose moments each rank keeps; the outer one is SGD with Nesterov
momentum (Sutskever et al., 2013, as in torch.optim.SGD), whose gradient is the mean of start minus end over the ranks.
A run whose steps the inner steps do not divide ends with a shorter round.
"""

import torch
from torch import nn

from workers.contract.communication import DeltaDtype, DiLoCo
from workers.runtime.communication.flat import chunks, pack, unpack, views
from workers.runtime.communication.hook import Tensors
from workers.runtime.communication.outer_delta import average_delta
from workers.runtime.communication.synchroniser import LocalTraining


class OuterOptimizer(LocalTraining):
    """Keeps the outer weights, their momentum, and each rank's rounding residual."""

    def __init__(self, model: nn.Module, spec: DiLoCo, *, total_steps: int) -> None:
        super().__init__(model, period=spec.inner_steps, warmup_steps=0, total_steps=total_steps)
        self._spec = spec
        self._outer = {name: weight.detach().clone() for name, weight in self.parameters.items()}
        self._momentum = {name: torch.zeros_like(weight) for name, weight in self._outer.items()}
        rounds = spec.error_feedback and spec.delta_dtype is not DeltaDtype.FP32
        self._residual = {name: torch.zeros_like(weight) for name, weight in self._outer.items()} if rounds else {}

    def adopt_weights(self) -> None:
        """Take the model's weights for the outer ones."""
        with torch.no_grad():
            for name, weight in self._outer.items():
                weight.copy_(self.parameters[name])

    def after_step(self, step: int) -> None:
        """Make the outer step at a meeting; all ranks go on from the outer weights."""
        if not self.is_meeting(step):
            return
        with torch.no_grad():
            by_weight = {id(weight): name for name, weight in self._outer.items()}
            for chunk in chunks(list(self._outer.values())):
                self._outer_step([by_weight[id(weight)] for weight in chunk])

    def _outer_step(self, names: list[str]) -> None:
        spec = self._spec
        outer = [self._outer[name] for name in names]
        inner = [self.parameters[name].detach() for name in names]
        residuals = [self._residual[name] for name in names] if self._residual else []
        residual = pack(residuals) if residuals else None
        mean = average_delta(pack(outer).sub_(pack(inner)), residual, spec.delta_dtype)
        if residual is not None:
            unpack(residual, residuals)
        for name, weight, own, gradient in zip(names, outer, inner, views(mean, outer), strict=True):
            momentum = self._momentum[name].mul_(spec.outer_momentum).add_(gradient)
            change = gradient.add(momentum, alpha=spec.outer_momentum)
            weight.sub_(change, alpha=spec.outer_learning_rate)
            own.copy_(weight)

    def shared_state(self) -> Tensors:
        """Return the outer weights and momentum."""
        return {f"diloco.outer.{name}": weight for name, weight in self._outer.items()} | {
            f"diloco.momentum.{name}": momentum for name, momentum in self._momentum.items()
        }

    def rank_state(self) -> Tensors:
        """Return the residuals."""
        return {f"diloco.residual.{name}": residual for name, residual in self._residual.items()}
