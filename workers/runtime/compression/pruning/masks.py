"""Which weights go, given a score for each: the lowest ones, per group of the pattern.

Shapes: R = rows that are compared within themselves, C = their columns.
"""

import torch

from workers.contract.compression.pruning import NMPattern, SparsityPattern
from workers.runtime.errors import UserError


def lowest_per_row(score_RC: torch.Tensor, pattern: SparsityPattern) -> torch.Tensor:
    """Return a mask of what goes: exactly floor(sparsity * C) of each row, or M - N of every M neighbours.

    Raises:
        UserError: M does not divide the row.
    """
    num_rows, num_columns = score_RC.shape
    if isinstance(pattern, NMPattern):
        if num_columns % pattern.m:
            raise UserError(f"pattern: m={pattern.m} must divide the layer's {num_columns} input features")
        groups = score_RC.reshape(-1, pattern.m)
        return _lowest(groups, pattern.m - pattern.n).view(num_rows, num_columns)
    return _lowest(score_RC, int(pattern.sparsity * num_columns))


def lowest(score: torch.Tensor, sparsity: float) -> torch.Tensor:
    """Return a mask of exactly floor(sparsity * size) elements of the tensor."""
    flat = score.reshape(1, -1)
    return _lowest(flat, int(sparsity * flat.shape[1])).view_as(score)


def _lowest(score_RC: torch.Tensor, count: int) -> torch.Tensor:
    """Mask the ``count`` lowest of each row; by sorting, since a threshold would take ties along."""
    mask_RC = torch.zeros_like(score_RC, dtype=torch.bool)
    if count:
        mask_RC.scatter_(1, score_RC.topk(count, dim=1, largest=False, sorted=False).indices, value=True)
    return mask_RC
