"""Every floating point tensor in 16 bits, rounded to nearest even. Kalamkar et al., arXiv:1905.12322 (bf16)."""

import torch
from torch import nn

from workers.contract.compression.layers import LayerSelection
from workers.contract.compression.quantization import CastSpec
from workers.runtime.compression.registry import register
from workers.runtime.compression.session import Session
from workers.runtime.errors import UserError

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@register(CastSpec)
def apply_cast(session: Session, spec: CastSpec) -> None:
    """Cast the linear layers one by one, for the report, then whatever is left.

    Raises:
        UserError: a weight is too large for fp16.
    """
    dtype = _DTYPES[spec.dtype]
    largest = torch.finfo(dtype).max
    for name, parameter in session.model.named_parameters():
        if float(parameter.detach().abs().max()) > largest:
            raise UserError(f"dtype: {name} has weights beyond {largest:g}, the largest number of {spec.dtype}")

    def cast(linear: nn.Linear) -> nn.Module:
        for parameter in linear.parameters():
            parameter.data = parameter.data.to(dtype)
        return linear

    session.for_each_linear(LayerSelection(), cast)
    for parameter in session.model.parameters():  # buffers such as rotary frequencies stay: no file holds them
        parameter.data = parameter.data.to(dtype)
    session.model.config.dtype = dtype
