"""Magnitude pruning: the smallest weights go. Han et al., arXiv:1506.02626, section 3. Needs no data."""

import torch
from torch import nn

from workers.contract.compression.pruning import MagnitudeSpec, NMPattern
from workers.runtime.compression.architecture import select_linears
from workers.runtime.compression.pruning.masks import lowest, lowest_per_row
from workers.runtime.compression.registry import register
from workers.runtime.compression.session import Session


@register(MagnitudeSpec)
def apply_magnitude(session: Session, spec: MagnitudeSpec) -> None:
    """Prune each layer by itself, or all at one threshold."""
    threshold = _global_threshold(session, spec) if spec.scope == "global" else None

    def prune(linear: nn.Linear) -> nn.Module:
        weight_OI = linear.weight.detach()
        if threshold is not None:
            mask_OI = weight_OI.abs() <= threshold
        elif isinstance(spec.pattern, NMPattern):
            mask_OI = lowest_per_row(weight_OI.abs(), spec.pattern)
        else:
            mask_OI = lowest(weight_OI.abs(), spec.pattern.sparsity)
        weight_OI.masked_fill_(mask_OI, 0)
        return linear

    session.for_each_linear(spec.layers, prune)


def _global_threshold(session: Session, spec: MagnitudeSpec) -> float:
    """Return the magnitude of the last weight that goes; equal ones go with it."""
    magnitudes = torch.cat(
        [layer.module.weight.detach().abs().flatten() for layer in select_linears(session.model, spec.layers)]
    )
    count = int(spec.pattern.sparsity * magnitudes.numel())
    return float(magnitudes.kthvalue(count).values) if count else -1.0
