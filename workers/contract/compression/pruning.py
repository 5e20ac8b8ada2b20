"""Methods that remove weights: one by one, N of every M, or whole heads, channels and blocks."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from workers.contract.base import ContractModel
from workers.contract.compression.layers import MethodSpec


class UnstructuredPattern(ContractModel):
    """Any weight may go."""

    kind: Literal["unstructured"] = "unstructured"
    sparsity: float = Field(0.5, gt=0, lt=1, title="Sparsity", description="Share of the weights that become zero.")


class NMPattern(ContractModel):
    """Of every M neighbours in a row at most N stay (2:4 is what sparse tensor cores take)."""

    kind: Literal["n_m"] = "n_m"
    n: int = Field(2, ge=1, le=64, title="N", description="Weights that stay.")
    m: int = Field(4, ge=2, le=64, title="M", description="Of so many neighbours.")

    @model_validator(mode="after")
    def _removes_something(self) -> "NMPattern":
        if self.n >= self.m:
            raise ValueError(f"{self.n}:{self.m} removes nothing: n must be less than m, such as 2:4")
        return self

    @property
    def sparsity(self) -> float:
        """Share of the weights that become zero."""
        return 1 - self.n / self.m


SparsityPattern = Annotated[UnstructuredPattern | NMPattern, Field(discriminator="kind")]


class MagnitudeSpec(MethodSpec):
    """Remove the smallest weights. Han et al., arXiv:1506.02626; over all layers at once or in each."""

    method: Literal["magnitude"] = "magnitude"
    pattern: SparsityPattern = Field(default_factory=UnstructuredPattern, title="Pattern")
    scope: Literal["layer", "global"] = Field(
        "layer", title="Scope", description="layer: each layer gets the sparsity; global: all of them together."
    )

    @model_validator(mode="after")
    def _neighbours_are_of_one_layer(self) -> "MagnitudeSpec":
        if self.scope == "global" and isinstance(self.pattern, NMPattern):
            raise ValueError("scope=global needs an unstructured pattern: N:M compares neighbours within a row")
        return self


class WandaSpec(MethodSpec):
    """Remove the smallest products of weight and input norm, row by row. Sun et al., arXiv:2306.11695."""

    method: Literal["wanda"] = "wanda"
    pattern: SparsityPattern = Field(default_factory=UnstructuredPattern, title="Pattern")


class SparseGPTSpec(MethodSpec):
    """Remove weights and correct those that stay. Frantar and Alistarh, arXiv:2301.00774."""

    method: Literal["sparsegpt"] = "sparsegpt"
    pattern: SparsityPattern = Field(default_factory=UnstructuredPattern, title="Pattern")
    damping: float = Field(0.01, gt=0, le=1, title="Damping", description="Of the Hessian's mean diagonal.")
    block_size: int = Field(128, ge=1, le=4096, title="Block", description="Columns between two lazy updates.")

    @model_validator(mode="after")
    def _groups_are_whole(self) -> "SparseGPTSpec":
        if isinstance(self.pattern, NMPattern) and self.block_size % self.pattern.m:
            raise ValueError(f"block_size={self.block_size} must be a multiple of m={self.pattern.m}")
        return self


class StructuredSpec(ContractModel):
    """Remove whole heads, MLP channels and blocks, so that the tensors really get smaller.

    Channels and heads by the norm of their weights times that of their inputs (An et al., arXiv:2312.11983, without
    its compensation), blocks by how little they turn the residual stream (Men et al., arXiv:2403.03853).
    """

    method: Literal["structured"] = "structured"
    mlp_ratio: float = Field(0.0, ge=0, lt=1, title="MLP channels", description="Share that is removed, per block.")
    mlp_multiple: int = Field(
        8, ge=1, le=1024, title="MLP multiple", description="The width that stays is a multiple of this."
    )
    kv_groups: int = Field(
        0, ge=0, le=255, title="KV groups", description="Key-value heads removed per block, each with its query heads."
    )
    blocks: int = Field(0, ge=0, le=255, title="Blocks", description="Whole decoder blocks that are removed.")

    @model_validator(mode="after")
    def _removes_something(self) -> "StructuredSpec":
        if not (self.mlp_ratio or self.kv_groups or self.blocks):
            raise ValueError("nothing would be removed: set mlp_ratio, kv_groups or blocks")
        return self


PruningSpec = MagnitudeSpec | WandaSpec | SparseGPTSpec | StructuredSpec
