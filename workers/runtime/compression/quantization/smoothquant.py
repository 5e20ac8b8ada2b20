"""SmoothQuant: outliers of the activations are moved into the weights, then both are rounded to 8 bits.

Xiao et al., arXiv:2211.10438, section 4, equation 4: s_j = max|X_j|^a / max|W_j|^(1-a), absorbed by the norms before
the attention and the MLP; activations are rounded per token as they come (the paper's O1 level).

Shapes: O = output features, I = input features.
"""

import torch

from workers.contract.compression.quantization import SmoothQuantSpec
from workers.runtime.compression.architecture import linears_of
from workers.runtime.compression.linear import Int8Linear
from workers.runtime.compression.quantization.scaling import NORM_GROUPS, ScaledBlock
from workers.runtime.compression.registry import register
from workers.runtime.compression.session import Session
from workers.runtime.compression.statistics import InputStatistics

_LEAST = 1e-5


@register(SmoothQuantSpec)
def apply_smoothquant(session: Session, spec: SmoothQuantSpec) -> None:
    """Smooth and round block by block; later blocks see what the rounded ones give them."""
    chosen = session.inside_blocks(spec.layers)
    walk = session.walk()
    done = 0
    for block in walk:
        layers = linears_of(block, chosen)
        scaled = ScaledBlock.of(session, block, layers, walk.collect(block, layers))
        for group in NORM_GROUPS:
            scaled.scale(group, lambda weights, known: smoothing(weights, known, alpha=spec.alpha))
        for path, layer in scaled.layers.items():
            session.on_progress(done / len(chosen))
            scaled.put(session, path, Int8Linear.of(layer.module))
            done += 1


def smoothing(weights: list[torch.Tensor], statistics: InputStatistics, *, alpha: float) -> torch.Tensor:
    """Return the scale (I) by which the weights are multiplied and the activations divided."""
    weight_max_I = torch.stack([w_OI.abs().amax(dim=0) for w_OI in weights]).amax(dim=0).clamp_min(_LEAST)
    scale_I = statistics.abs_max_I.clamp_min(_LEAST).pow(alpha) / weight_max_I.pow(1 - alpha)
    return scale_I.clamp_min(_LEAST)
