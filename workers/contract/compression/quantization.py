"""Methods that store weights, or compute, in fewer bits. All are symmetric: zero stays zero."""

from typing import Literal

from pydantic import Field

from workers.contract.base import ContractModel
from workers.contract.compression.layers import MethodSpec


class WeightOnlySpec(MethodSpec):
    """Weights as integers with one scale per group; activations stay as they are."""

    bits: Literal[4, 8] = Field(4, title="Bits", description="Of each weight on disk.")
    group_size: int = Field(
        32, ge=0, le=16_384, title="Group", description="Weights of a row that share a scale; 0 means the whole row."
    )


class RTNSpec(WeightOnlySpec):
    """Round to nearest. Nagel et al., arXiv:2106.08295, section 2; needs no data."""

    method: Literal["rtn"] = "rtn"


class GPTQSpec(WeightOnlySpec):
    """Round column by column and correct the columns that follow. Frantar et al., arXiv:2210.17323."""

    method: Literal["gptq"] = "gptq"
    damping: float = Field(0.01, gt=0, le=1, title="Damping", description="Of the Hessian's mean diagonal.")
    block_size: int = Field(128, ge=1, le=4096, title="Block", description="Columns between two lazy updates.")


class AWQSpec(WeightOnlySpec):
    """Scale channels up that matter before rounding, and their producer down. Lin et al., arXiv:2306.00978."""

    method: Literal["awq"] = "awq"
    num_grid_points: int = Field(20, ge=2, le=200, title="Grid", description="Exponents tried in [0, 1].")


class SmoothQuantSpec(MethodSpec):
    """8-bit weights and activations, outliers moved into the weights. Xiao et al., arXiv:2211.10438."""

    method: Literal["smoothquant"] = "smoothquant"
    alpha: float = Field(
        0.5, ge=0, le=1, title="Alpha", description="How much of the difficulty moves: 0 none, 1 all of it."
    )


class Int8DynamicSpec(MethodSpec):
    """8-bit weights, and activations rounded to 8 bits per token as they come; needs no data."""

    method: Literal["int8_dynamic"] = "int8_dynamic"


class CastSpec(ContractModel):
    """Store every tensor in 16 bits."""

    method: Literal["cast"] = "cast"
    dtype: Literal["bf16", "fp16"] = Field(
        "bf16", title="Type", description="Of all weights; bf16 keeps the range of fp32, fp16 more digits."
    )


QuantizationSpec = RTNSpec | GPTQSpec | AWQSpec | SmoothQuantSpec | Int8DynamicSpec
