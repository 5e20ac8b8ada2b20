"""Linear layers in smaller forms. Their tensors have the names and shapes in which they are stored.

``PackedLinear`` and ``Int8Linear`` are compressed-tensors' ``pack-quantized`` and ``int-quantized`` layouts, which
transformers and vLLM load; ``LowRankLinear`` is our own.

Shapes: O = output features, I = input features, G = groups, W = words of a row, T = tokens, R = rank.
"""

from abc import ABC, abstractmethod

import torch
from torch import nn

from workers.runtime.compression.integers import group_scales, pack, round_to, scale_of, to_real, unpack

_INT_MM_ROWS = 32  # CUDA's integer kernel wants more than 16 rows, a multiple of 8


class CompressedLinear(nn.Module, ABC):
    """A layer in a smaller form."""

    @abstractmethod
    def dense_weight(self) -> torch.Tensor:
        """Return the weight it stands for, shape (O, I)."""


class PackedLinear(CompressedLinear):
    """Weights of 4 or 8 bits in 32-bit words, one scale per group; the product is taken in the activations' type."""

    def __init__(self, words_OW: torch.Tensor, scale_OG: torch.Tensor, *, in_features: int, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.in_features = in_features
        self.register_buffer("weight_packed", words_OW)
        self.register_buffer("weight_scale", scale_OG)
        self.register_buffer("weight_shape", torch.tensor([words_OW.shape[0], in_features]))
        self.bias: nn.Parameter | None = None
        self.weight_packed: torch.Tensor
        self.weight_scale: torch.Tensor

    @classmethod
    def of(cls, linear: nn.Linear, q_OI: torch.Tensor, scale_OG: torch.Tensor, *, bits: int) -> "PackedLinear":
        """Take a dense layer's place with these integers."""
        module = cls(pack(q_OI, bits=bits), scale_OG, in_features=q_OI.shape[1], bits=bits)
        module.bias = linear.bias
        return module

    @property
    def group_size(self) -> int:
        """Weights that share a scale; 0 when a whole row does."""
        num_groups = self.weight_scale.shape[1]
        return self.in_features // num_groups if num_groups > 1 else 0

    def dense_weight(self) -> torch.Tensor:
        """Return the weight it stands for, shape (O, I)."""
        return to_real(unpack(self.weight_packed, bits=self.bits, in_features=self.in_features), self.weight_scale)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Multiply by the unpacked weight."""
        return nn.functional.linear(inputs, self.dense_weight().to(inputs.dtype), self.bias)


class Int8Linear(CompressedLinear):
    """8-bit weights with one scale a row; activations are rounded per token, and integers are multiplied."""

    def __init__(self, q_OI: torch.Tensor, scale_O1: torch.Tensor) -> None:
        super().__init__()
        self.in_features = q_OI.shape[1]
        self.register_buffer("weight", q_OI)
        self.register_buffer("weight_scale", scale_O1)
        self.bias: nn.Parameter | None = None
        self.weight: torch.Tensor
        self.weight_scale: torch.Tensor

    @classmethod
    def of(cls, linear: nn.Linear) -> "Int8Linear":
        """Round a dense layer's weight row by row, and take its place."""
        weight_OI = linear.weight.detach()
        scale_O1 = group_scales(weight_OI, bits=8, group_size=0)
        module = cls(round_to(weight_OI, scale_O1, bits=8), scale_O1)
        module.bias = linear.bias
        return module

    def dense_weight(self) -> torch.Tensor:
        """Return the weight it stands for, shape (O, I)."""
        return to_real(self.weight, self.weight_scale)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Round the tokens, multiply integers into 32 bits, and scale back."""
        x_TI = inputs.reshape(-1, self.in_features)
        scale_T1 = scale_of(x_TI.float().abs().amax(dim=1, keepdim=True), bits=8)
        q_TI = (x_TI.float() / scale_T1).round().clamp(-128, 127).to(torch.int8)
        y_TO = _int_product(q_TI, self.weight) * scale_T1 * self.weight_scale.float().T
        if self.bias is not None:
            y_TO = y_TO + self.bias
        return y_TO.to(inputs.dtype).view(*inputs.shape[:-1], -1)


class LowRankLinear(CompressedLinear):
    """Two thin layers in place of one: R (I + O) weights instead of I O."""

    def __init__(self, down_RI: torch.Tensor, up_OR: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        super().__init__()
        rank, in_features = down_RI.shape
        down = nn.Linear(in_features, rank, bias=False, device="meta")
        up = nn.Linear(rank, up_OR.shape[0], bias=bias is not None, device="meta")
        down.weight, up.weight = nn.Parameter(down_RI), nn.Parameter(up_OR)
        if bias is not None:
            up.bias = nn.Parameter(bias.detach())
        self.down: nn.Module = down
        self.up: nn.Module = up

    def dense_weight(self) -> torch.Tensor:
        """Return the weight it stands for, shape (O, I)."""
        return effective_weight(self.up) @ effective_weight(self.down)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Multiply by both."""
        outputs: torch.Tensor = self.up(self.down(inputs))
        return outputs


def effective_weight(module: nn.Module) -> torch.Tensor:
    """Return the weight of a layer in whatever form, shape (O, I)."""
    weight = module.dense_weight() if isinstance(module, CompressedLinear) else module.weight
    assert isinstance(weight, torch.Tensor)
    return weight.detach()


def dense_linear(module: CompressedLinear) -> nn.Linear:
    """Return a plain layer with the weight that a smaller form stands for."""
    weight_OI = module.dense_weight()
    bias = module.up.bias if isinstance(module, LowRankLinear) else module.bias
    linear = nn.Linear(weight_OI.shape[1], weight_OI.shape[0], bias=bias is not None, device="meta")
    linear.weight = nn.Parameter(weight_OI.detach())
    if bias is not None:
        assert isinstance(bias, torch.Tensor)
        linear.bias = nn.Parameter(bias.detach())
    return linear


def _int_product(q_TI: torch.Tensor, q_OI: torch.Tensor) -> torch.Tensor:
    """Return the fp32 product of two int8 matrices, summed in 32 bits."""
    num_rows = q_TI.shape[0]
    if q_TI.device.type == "cuda" and (num_rows <= 16 or num_rows % 8):
        q_TI = nn.functional.pad(q_TI, (0, 0, 0, -num_rows % _INT_MM_ROWS))
    return torch._int_mm(q_TI, q_OI.T)[:num_rows].float()
