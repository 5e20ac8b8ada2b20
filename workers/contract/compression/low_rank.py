"""Factoring: a linear layer becomes two thin ones."""

from typing import Literal

from pydantic import Field, model_validator

from workers.contract.compression.layers import MethodSpec


class LowRankSpec(MethodSpec):
    """Truncated singular value decomposition. Eckart and Young 1936; for networks Denton et al., arXiv:1404.0736.

    A layer that would not get smaller is left as it is.
    """

    method: Literal["low_rank"] = "low_rank"
    rank: int | None = Field(None, ge=1, le=65_536, title="Rank", description="Of each layer.")
    energy: float | None = Field(
        None, gt=0, lt=1, title="Energy", description="The least rank that keeps this share of the squared weights."
    )

    @model_validator(mode="after")
    def _one_target(self) -> "LowRankSpec":
        if (self.rank is None) == (self.energy is None):
            raise ValueError("set either rank or energy")
        return self
