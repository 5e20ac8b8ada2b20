"""PowerSGD: gradients as products of two thin matrices. Vogels et al., arXiv:1905.13727.

Algorithm 1 (one step of power iteration, warm-started) with the error feedback of algorithm 2; the optimizer's own
momentum takes the place of the paper's. Matrices too small to gain and all vectors are averaged whole.
Shapes: M is a gradient as a matrix (n, m); Q (m, r) and P (n, r) travel; r = rank.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn
from torch._C._distributed_c10d import GradBucket

from workers.contract.communication import PowerSGDCompression
from workers.runtime.communication.flat import pack, unpack
from workers.runtime.communication.hook import GradientHook, Tensors, average_bucket, done


@dataclass(frozen=True)
class _LowRank:
    """What one matrix keeps between steps."""

    name: str
    error_NM: torch.Tensor
    """What this rank's gradients had that the approximations sent so far had not."""
    q_MR: torch.Tensor
    """The last right factor, the same on all ranks: the next iteration's start."""


class PowerSGDHook(GradientHook):
    """Averages gradients in rank-``spec.rank`` form after ``spec.start_step`` steps."""

    def __init__(self, parameters: Mapping[str, nn.Parameter], spec: PowerSGDCompression, *, seed: int) -> None:
        self._spec = spec
        generator = torch.Generator().manual_seed(seed)
        self._matrices: dict[torch.Tensor, _LowRank] = {}
        for name, parameter in parameters.items():
            rows = parameter.shape[0] if parameter.ndim else 1
            columns = parameter.numel() // rows
            if parameter.ndim >= 2 and (rows + columns) * spec.rank < parameter.numel():
                q_MR = torch.randn(columns, spec.rank, generator=generator)
                error_NM = torch.zeros(rows, columns, device=parameter.device)
                self._matrices[parameter] = _LowRank(name, error_NM, q_MR.to(parameter.device))

    def __call__(self, bucket: GradBucket) -> torch.futures.Future[torch.Tensor]:
        """Average a bucket: two collectives, the first of which also takes what is not compressed."""
        if self.step <= self._spec.start_step:
            return average_bucket(bucket)
        pairs = list(zip(bucket.parameters(), bucket.gradients(), strict=True))
        low = [(self._matrices[parameter], grad) for parameter, grad in pairs if parameter in self._matrices]
        whole = [grad for parameter, grad in pairs if parameter not in self._matrices]
        with torch.no_grad():
            self._exchange(low, whole)
        return done(bucket.buffer())

    def _exchange(self, low: list[tuple[_LowRank, torch.Tensor]], whole: list[torch.Tensor]) -> None:
        for matrix, grad in low:
            matrix.error_NM.add_(grad.view_as(matrix.error_NM))  # M: the gradient and what is owed
        left = [matrix.error_NM @ matrix.q_MR for matrix, _ in low]
        _average([*left, *whole])
        left = [torch.linalg.qr(p_NR).Q for p_NR in left]  # the same bits in, so the same out, on every rank
        for (matrix, _), p_NR in zip(low, left, strict=True):
            torch.mm(matrix.error_NM.t(), p_NR, out=matrix.q_MR)
        _average([matrix.q_MR for matrix, _ in low])
        for (matrix, grad), p_NR in zip(low, left, strict=True):
            approximation_NM = p_NR @ matrix.q_MR.t()
            matrix.error_NM.sub_(approximation_NM)
            grad.copy_(approximation_NM.view_as(grad))

    def shared_state(self) -> Tensors:
        """Return the right factors."""
        return {f"powersgd.q.{matrix.name}": matrix.q_MR for matrix in self._matrices.values()}

    def rank_state(self) -> Tensors:
        """Return the residuals."""
        return {f"powersgd.error.{matrix.name}": matrix.error_NM for matrix in self._matrices.values()}


def _average(tensors: list[torch.Tensor]) -> None:
    """Replace the tensors by their means in one collective, however many there are."""
    if tensors:
        flat = pack(tensors)
        dist.all_reduce(flat)
        unpack(flat.div_(dist.get_world_size()), tensors)
