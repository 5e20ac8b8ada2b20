"""GPTQ: round column by column, and let the columns that follow make up for the rounding.

Frantar et al., arXiv:2210.17323, algorithm 1, symmetric; the scale of a group is taken from its weights when its first
column comes, after all corrections so far. Columns keep their order: a permuted one would need an index on disk.

Shapes: O = output features, I = input features, G = groups, B = columns of a block.
"""

from dataclasses import dataclass

import torch
from torch import nn

from workers.contract.compression.quantization import GPTQSpec
from workers.runtime.compression.integers import scale_of
from workers.runtime.compression.linear import PackedLinear
from workers.runtime.compression.quantization.rtn import check_group
from workers.runtime.compression.registry import register
from workers.runtime.compression.second_order import inverse_factor
from workers.runtime.compression.session import Session
from workers.runtime.compression.statistics import InputStatistics


@dataclass(frozen=True)
class Rounded:
    """Integers and what one of them is worth."""

    q_OI: torch.Tensor
    scale_OG: torch.Tensor


@register(GPTQSpec)
def apply_gptq(session: Session, spec: GPTQSpec) -> None:
    """Quantize block by block; later blocks see what the quantized ones give them."""

    def quantize(linear: nn.Linear, statistics: InputStatistics) -> nn.Module:
        check_group(linear, spec)
        rounded = round_and_correct(linear.weight.detach(), statistics.hessian_II, spec)
        return PackedLinear.of(linear, rounded.q_OI, rounded.scale_OG, bits=spec.bits)

    session.for_each_calibrated(spec.layers, quantize)


def round_and_correct(weight_OI: torch.Tensor, hessian_II: torch.Tensor, spec: GPTQSpec) -> Rounded:
    """Return integers that keep the layer's outputs, with scales in the weight's type."""
    w_OI = weight_OI.float().clone()
    is_pruned_OI = weight_OI == 0  # corrections must not fill in what an earlier step has removed
    in_features = w_OI.shape[1]
    group_size = spec.group_size or in_features
    q_max = 2 ** (spec.bits - 1) - 1
    factor_II = inverse_factor(hessian_II, damping=spec.damping)
    q_OI = torch.zeros_like(w_OI, dtype=torch.int8)
    scales: list[torch.Tensor] = []
    for start in range(0, in_features, spec.block_size):
        stop = min(start + spec.block_size, in_features)
        error_OB = torch.zeros_like(w_OI[:, start:stop])
        for column in range(start, stop):
            if column % group_size == 0:
                group_OK = w_OI[:, column : column + group_size]
                if column + group_size > stop:  # the corrections beyond the block are not written yet
                    group_OK = group_OK.clone()
                    beyond = slice(stop, column + group_size)
                    group_OK[:, stop - column :] -= error_OB @ factor_II[start:stop, beyond]
                scales.append(scale_of(group_OK.abs().amax(dim=1).to(weight_OI.dtype), bits=spec.bits))
            scale_O = scales[-1].float()
            q_O = (w_OI[:, column] / scale_O).round().clamp(-q_max - 1, q_max)
            q_O.masked_fill_(is_pruned_OI[:, column], 0)
            q_OI[:, column] = q_O.to(torch.int8)
            error_O = (w_OI[:, column] - q_O * scale_O) / factor_II[column, column]
            w_OI[:, column:stop] -= error_O[:, None] * factor_II[column, column:stop]
            error_OB[:, column - start] = error_O
        w_OI[:, stop:] -= error_OB @ factor_II[start:stop, stop:]
    return Rounded(q_OI, torch.stack(scales, dim=1))
