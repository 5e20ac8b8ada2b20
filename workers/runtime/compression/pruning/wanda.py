"""Wanda: weights whose product with the norm of their input is smallest go, row by row.

Sun et al., arXiv:2306.11695, section 3: score |W_ij| * ||X_j||_2, compared per output. Nothing is updated.
"""

from torch import nn

from workers.contract.compression.pruning import WandaSpec
from workers.runtime.compression.pruning.masks import lowest_per_row
from workers.runtime.compression.registry import register
from workers.runtime.compression.session import Session
from workers.runtime.compression.statistics import InputStatistics


@register(WandaSpec)
def apply_wanda(session: Session, spec: WandaSpec) -> None:
    """Prune block by block; later blocks see what the pruned ones give them."""

    def prune(linear: nn.Linear, statistics: InputStatistics) -> nn.Module:
        weight_OI = linear.weight.detach()
        score_OI = weight_OI.float().abs() * statistics.rms_I
        weight_OI.masked_fill_(lowest_per_row(score_OI, spec.pattern), 0)
        return linear

    session.for_each_calibrated(spec.layers, prune)
