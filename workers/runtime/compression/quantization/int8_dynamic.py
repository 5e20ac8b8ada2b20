"""8-bit weights per row and 8-bit activations per token, rounded as they come. Needs no data.

Dettmers et al., arXiv:2208.07339, section 2.1 (vector-wise quantization), without its outlier decomposition.
"""

from workers.contract.compression.quantization import Int8DynamicSpec
from workers.runtime.compression.linear import Int8Linear
from workers.runtime.compression.registry import register
from workers.runtime.compression.session import Session


@register(Int8DynamicSpec)
def apply_int8_dynamic(session: Session, spec: Int8DynamicSpec) -> None:
    """Quantize every selected layer."""
    session.for_each_linear(spec.layers, Int8Linear.of)
