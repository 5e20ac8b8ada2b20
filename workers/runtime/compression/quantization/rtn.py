"""Round to nearest, symmetric. Nagel et al., arXiv:2106.08295, section 2. Needs no data.

The baseline that GPTQ and AWQ must beat.
"""

from torch import nn

from workers.contract.compression.quantization import RTNSpec, WeightOnlySpec
from workers.runtime.compression.integers import group_scales, round_to
from workers.runtime.compression.linear import PackedLinear
from workers.runtime.compression.registry import register
from workers.runtime.compression.session import Session
from workers.runtime.errors import UserError


@register(RTNSpec)
def apply_rtn(session: Session, spec: RTNSpec) -> None:
    """Quantize every selected layer."""
    session.for_each_linear(spec.layers, lambda linear: round_linear(linear, spec))


def round_linear(linear: nn.Linear, spec: WeightOnlySpec) -> PackedLinear:
    """Return the layer with its weight rounded to nearest.

    Raises:
        UserError: the group size does not divide its input features.
    """
    check_group(linear, spec)
    weight_OI = linear.weight.detach()
    scale_OG = group_scales(weight_OI, bits=spec.bits, group_size=spec.group_size)
    return PackedLinear.of(linear, round_to(weight_OI, scale_OG, bits=spec.bits), scale_OG, bits=spec.bits)


def check_group(linear: nn.Linear, spec: WeightOnlySpec) -> None:
    """Refuse a layer that the groups do not fill.

    Raises:
        UserError: the group size does not divide its input features.
    """
    if spec.group_size and linear.in_features % spec.group_size:
        raise UserError(
            f"group_size: {spec.group_size} must divide the {linear.in_features} input features of every layer"
        )
