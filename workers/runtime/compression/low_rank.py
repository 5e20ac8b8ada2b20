"""Low rank: a layer becomes two thin ones, by truncated singular value decomposition.

Eckart and Young, Psychometrika 1 (1936): the nearest matrix of a rank; for networks Denton et al., arXiv:1404.0736,
section 3. Needs no data.

Shapes: O = output features, I = input features, R = rank.
"""

import torch
from torch import nn

from workers.contract.compression.low_rank import LowRankSpec
from workers.runtime.compression.linear import LowRankLinear
from workers.runtime.compression.registry import register
from workers.runtime.compression.session import Session


@register(LowRankSpec)
def apply_low_rank(session: Session, spec: LowRankSpec) -> None:
    """Factor every selected layer that gets smaller by it."""
    session.for_each_linear(spec.layers, lambda linear: factor_linear(linear, spec))


def factor_linear(linear: nn.Linear, spec: LowRankSpec) -> nn.Module:
    """Return the factored layer, or the layer itself where R (I + O) is not less than I O."""
    weight_OI = linear.weight.detach()
    left_OS, values_S, right_SI = torch.linalg.svd(weight_OI.float(), full_matrices=False)
    rank = choose_rank(values_S, spec)
    num_rows, num_columns = weight_OI.shape
    if rank * (num_rows + num_columns) >= num_rows * num_columns:
        return linear
    root_R = values_S[:rank].sqrt()  # both factors get the same share, so that neither is hard to quantize
    down_RI = (root_R[:, None] * right_SI[:rank]).to(weight_OI.dtype)
    up_OR = (left_OS[:, :rank] * root_R).to(weight_OI.dtype)
    return LowRankLinear(down_RI.contiguous(), up_OR.contiguous(), linear.bias)


def choose_rank(values_S: torch.Tensor, spec: LowRankSpec) -> int:
    """Return the spec's rank, or the least one that keeps its share of the squared singular values (descending)."""
    if spec.rank is not None:
        return min(spec.rank, values_S.numel())
    assert spec.energy is not None
    energy_S = values_S.double().square().cumsum(dim=0)
    return int((energy_S < spec.energy * energy_S[-1]).sum()) + 1
