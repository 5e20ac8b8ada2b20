"""Top-k sparsification: each rank sends only the largest entries of each gradient, with their places.

Stich et al., Sparsified SGD with memory, arXiv:1809.07599, algorithm 1: what was not sent is added to the next
gradient. Lin et al., Deep Gradient Compression, arXiv:1712.01887, section 3; its momentum correction belongs to SGD
with momentum and is left out, as the optimizer here is Adam.
"""

from collections.abc import Mapping

import torch
import torch.distributed as dist
from torch import nn
from torch._C._distributed_c10d import GradBucket

from workers.contract.communication import TopKCompression
from workers.runtime.communication.flat import unpack
from workers.runtime.communication.hook import GradientHook, Tensors, average_bucket, done


class TopKHook(GradientHook):
    """Averages the entries that some rank holds for large."""

    def __init__(self, parameters: Mapping[str, nn.Parameter], spec: TopKCompression) -> None:
        self._spec = spec
        self._names: dict[torch.Tensor, str] = {parameter: name for name, parameter in parameters.items()}
        kept = self._names if spec.error_feedback else {}
        self._residuals = {parameter: torch.zeros_like(parameter, requires_grad=False) for parameter in kept}

    def __call__(self, bucket: GradBucket) -> torch.futures.Future[torch.Tensor]:
        """Average a bucket: one all-gather of the values, one of their places."""
        if self.step == 0:
            return average_bucket(bucket)
        with torch.no_grad():
            self._exchange(bucket)
        return done(bucket.buffer())

    def _exchange(self, bucket: GradBucket) -> None:
        values, places = [], []
        offset = 0  # of the tensor among the bucket's gradients, laid end to end
        gradients = bucket.gradients()
        for parameter, grad in zip(bucket.parameters(), gradients, strict=True):
            owed = grad
            if self._spec.error_feedback:
                owed = self._residuals[parameter].add_(grad)
            flat = owed.view(-1)
            kept = max(1, round(self._spec.ratio * flat.numel()))
            chosen = flat.abs().topk(kept, sorted=False).indices
            values.append(flat[chosen])
            flat[chosen] = 0
            places.append(chosen + offset)
            offset += flat.numel()
        total = _gather_and_sum(torch.cat(values), torch.cat(places), offset)
        unpack(total.div_(dist.get_world_size()), gradients)

    def rank_state(self) -> Tensors:
        """Return the residuals."""
        return {f"topk.error.{self._names[parameter]}": residual for parameter, residual in self._residuals.items()}


def _gather_and_sum(values: torch.Tensor, places: torch.Tensor, length: int) -> torch.Tensor:
    """Return the dense sum of all ranks' entries. A collective."""
    world_size = dist.get_world_size()
    all_values = values.new_empty(world_size, values.numel())
    all_places = torch.empty(world_size, places.numel(), dtype=torch.int32, device=places.device)
    dist.all_gather_into_tensor(all_values.view(-1), values)
    dist.all_gather_into_tensor(all_places.view(-1), places.to(torch.int32))
    total = values.new_zeros(length)
    for rank_values, rank_places in zip(all_values, all_places, strict=True):
        total[rank_places.long()] += rank_values  # no place twice within a rank: rank by rank the sum has one order
    return total
