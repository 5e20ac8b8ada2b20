"""AWQ: channels that see large activations are scaled up before rounding, so that they lose less.

Lin et al., arXiv:2306.00978, section 3.2: s = mean(|x|)^a, with a from a grid, by the error of the layers' outputs; the
producer of the channels takes the inverse. Weights are then rounded to nearest. Clipping (section 3.3 of the code's
search) is left out.

Shapes: O = output features, I = input features.
"""

import torch

from workers.contract.compression.quantization import AWQSpec
from workers.runtime.compression.architecture import linears_of
from workers.runtime.compression.integers import group_scales, round_to, to_real
from workers.runtime.compression.quantization.rtn import check_group, round_linear
from workers.runtime.compression.quantization.scaling import LINEAR_GROUPS, NORM_GROUPS, ScaledBlock
from workers.runtime.compression.registry import register
from workers.runtime.compression.session import Session
from workers.runtime.compression.statistics import InputStatistics, output_error


@register(AWQSpec)
def apply_awq(session: Session, spec: AWQSpec) -> None:
    """Scale and round block by block; later blocks see what the rounded ones give them."""
    chosen = session.inside_blocks(spec.layers)
    for layer in chosen:
        check_group(layer.module, spec)
    walk = session.walk()
    done = 0
    for block in walk:
        layers = linears_of(block, chosen)
        scaled = ScaledBlock.of(session, block, layers, walk.collect(block, layers))
        for group in (*NORM_GROUPS, *LINEAR_GROUPS):
            scaled.scale(group, lambda weights, known: best_scale(weights, known, spec))
        for path, layer in scaled.layers.items():
            session.on_progress(done / len(chosen))
            scaled.put(session, path, round_linear(layer.module, spec))
            done += 1


def best_scale(weights: list[torch.Tensor], statistics: InputStatistics, spec: AWQSpec) -> torch.Tensor:
    """Return the scale (I) of the grid with the least output error; exponent 0, which scales nothing, is in it."""
    mean_I = statistics.abs_mean_I.clamp_min(1e-6)
    best_error, best_I = float("inf"), torch.ones_like(mean_I)
    for point in range(spec.num_grid_points):
        scale_I = mean_I.pow(point / spec.num_grid_points)
        scale_I = scale_I / (scale_I.max() * scale_I.min()).sqrt()
        error = sum(output_error(w_OI, _rounded(w_OI * scale_I, spec) / scale_I, statistics) ** 2 for w_OI in weights)
        if error < best_error:
            best_error, best_I = error, scale_I
    return best_I


def _rounded(w_OI: torch.Tensor, spec: AWQSpec) -> torch.Tensor:
    scale_OG = group_scales(w_OI, bits=spec.bits, group_size=spec.group_size)
    return to_real(round_to(w_OI, scale_OG, bits=spec.bits), scale_OG)
