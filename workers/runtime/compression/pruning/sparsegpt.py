"""SparseGPT: prune column by column, and let the columns that follow make up for what is lost.

Frantar and Alistarh, arXiv:2301.00774, algorithm 1: the mask is chosen per block of columns (per M columns for N:M) by
w^2 / [H^-1]_jj^2; the error of each column is spread over the rest by the inverse Hessian.

Shapes: O = output features, I = input features, B = columns of a block.
"""

import torch
from torch import nn

from workers.contract.compression.pruning import NMPattern, SparseGPTSpec
from workers.runtime.compression.pruning.masks import lowest, lowest_per_row
from workers.runtime.compression.registry import register
from workers.runtime.compression.second_order import inverse_factor
from workers.runtime.compression.session import Session
from workers.runtime.compression.statistics import InputStatistics
from workers.runtime.errors import UserError


@register(SparseGPTSpec)
def apply_sparsegpt(session: Session, spec: SparseGPTSpec) -> None:
    """Prune block by block; later blocks see what the pruned ones give them."""

    def prune(linear: nn.Linear, statistics: InputStatistics) -> nn.Module:
        weight_OI = linear.weight.detach()
        weight_OI.copy_(prune_and_correct(weight_OI.float(), statistics.hessian_II, spec))
        return linear

    session.for_each_calibrated(spec.layers, prune)


def prune_and_correct(w_OI: torch.Tensor, hessian_II: torch.Tensor, spec: SparseGPTSpec) -> torch.Tensor:
    """Return the pruned and corrected weight, fp32.

    Raises:
        UserError: M does not divide the input features.
    """
    in_features = w_OI.shape[1]
    if isinstance(spec.pattern, NMPattern) and in_features % spec.pattern.m:
        raise UserError(f"pattern: m={spec.pattern.m} must divide the layer's {in_features} input features")
    w_OI = w_OI.clone()
    factor_II = inverse_factor(hessian_II, damping=spec.damping)
    for start in range(0, in_features, spec.block_size):
        stop = min(start + spec.block_size, in_features)
        w_OB, factor_BB = w_OI[:, start:stop], factor_II[start:stop, start:stop]
        error_OB = torch.zeros_like(w_OB)
        is_unstructured = not isinstance(spec.pattern, NMPattern)
        mask_OB = torch.zeros_like(w_OB, dtype=torch.bool)
        if is_unstructured:
            mask_OB = lowest(_score(w_OB, factor_BB), spec.pattern.sparsity)
        for column in range(stop - start):
            if isinstance(spec.pattern, NMPattern) and column % spec.pattern.m == 0:
                part = slice(column, column + spec.pattern.m)
                mask_OB[:, part] = lowest_per_row(_score(w_OB[:, part], factor_BB[part, part]), spec.pattern)
            kept_O = w_OB[:, column].masked_fill(mask_OB[:, column], 0)
            error_O = (w_OB[:, column] - kept_O) / factor_BB[column, column]
            w_OB[:, column:] -= error_O[:, None] * factor_BB[column, column:]
            w_OB[:, column] = kept_O  # exactly zero, not nearly
            error_OB[:, column] = error_O
        w_OI[:, stop:] -= error_OB @ factor_II[start:stop, stop:]
    return w_OI


def _score(w_OB: torch.Tensor, factor_BB: torch.Tensor) -> torch.Tensor:
    return w_OB.square() / factor_BB.diagonal().square()
