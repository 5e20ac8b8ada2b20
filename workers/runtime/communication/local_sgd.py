"""Local SGD: replicas train alone and average their weights now and then. Stich, arXiv:1805.09767, algorithm 1.

With a synchronous start it is post-local SGD, with groups that average more often than all ranks hierarchical local
SGD: Lin et al., arXiv:1808.07217, sections 3 and 5. Only weights are averaged; Adam's moments stay each rank's own.
"""

import torch.distributed as dist
from torch import nn

from workers.contract.communication import HierarchicalAveraging, LocalSGD
from workers.runtime.communication.flat import average
from workers.runtime.communication.synchroniser import LocalTraining


class PeriodicAveraging(LocalTraining):
    """Averages the weights over all ranks every ``spec.period`` steps and after the last one."""

    def __init__(self, model: nn.Module, spec: LocalSGD, *, total_steps: int) -> None:
        super().__init__(model, period=spec.period, warmup_steps=spec.warmup_steps, total_steps=total_steps)

    def after_step(self, step: int) -> None:
        """Average at a meeting."""
        if step > self._warmup_steps and self.is_meeting(step):
            self._average(None)

    def _average(self, group: dist.ProcessGroup | None) -> None:
        average([parameter.detach() for parameter in self.parameters.values()], group)


class HierarchicalPeriodicAveraging(PeriodicAveraging):
    """Averages within a group every ``spec.period`` steps, over all ranks every ``spec.global_period``."""

    def __init__(
        self, model: nn.Module, spec: HierarchicalAveraging, *, group: dist.ProcessGroup | None, total_steps: int
    ) -> None:
        everywhere = LocalSGD(period=spec.global_period, warmup_steps=spec.warmup_steps)
        super().__init__(model, everywhere, total_steps=total_steps)
        self._group = group
        self._group_period = spec.period

    def after_step(self, step: int) -> None:
        """Average over all at a meeting, else within the group when it is time."""
        if step <= self._warmup_steps or self.is_meeting(step):
            super().after_step(step)
        elif (step - self._warmup_steps) % self._group_period == 0:
            self._average(self._group)


def make_groups(group_size: int) -> dist.ProcessGroup | None:
    """Return this rank's group of ``group_size`` neighbours. A collective.

    Raises:
        ValueError: the size does not divide the world size.
    """
    world_size, rank = dist.get_world_size(), dist.get_rank()
    if world_size % group_size:
        raise ValueError(f"group_size={group_size} must divide the world size {world_size}")
    own = None
    for first in range(0, world_size, group_size):  # every rank takes part in making every group
        group = dist.new_group(list(range(first, first + group_size)))
        if first <= rank < first + group_size:
            own = group
    return own
