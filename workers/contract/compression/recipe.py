"""The job itself: the recipe, in an order that makes sense."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from workers.contract.base import ContractModel
from workers.contract.compression.layers import CalibrationSpec
from workers.contract.compression.low_rank import LowRankSpec
from workers.contract.compression.pruning import MagnitudeSpec, SparseGPTSpec, StructuredSpec, WandaSpec
from workers.contract.compression.quantization import (
    AWQSpec,
    CastSpec,
    GPTQSpec,
    Int8DynamicSpec,
    RTNSpec,
    SmoothQuantSpec,
)

# A new method is one more member here; a test asserts that each has a function in workers.runtime.compression.
AnyStep = (
    MagnitudeSpec
    | WandaSpec
    | SparseGPTSpec
    | StructuredSpec
    | LowRankSpec
    | CastSpec
    | RTNSpec
    | GPTQSpec
    | AWQSpec
    | SmoothQuantSpec
    | Int8DynamicSpec
)
RecipeStep = Annotated[AnyStep, Field(discriminator="method")]

_NEEDS_DATA = (WandaSpec, SparseGPTSpec, StructuredSpec, GPTQSpec, AWQSpec, SmoothQuantSpec)

# What each step leaves behind, and what cannot follow on it.
_STAGES: dict[type[AnyStep], str] = {
    StructuredSpec: "structured pruning",
    LowRankSpec: "low rank",
    MagnitudeSpec: "pruning",
    WandaSpec: "pruning",
    SparseGPTSpec: "pruning",
    CastSpec: "cast",
    RTNSpec: "quantization",
    GPTQSpec: "quantization",
    AWQSpec: "quantization",
    SmoothQuantSpec: "quantization",
    Int8DynamicSpec: "quantization",
}
_CANNOT_FOLLOW: dict[tuple[str, str], str] = {
    ("quantization", "structured pruning"): "integers cannot be cut any more",
    ("quantization", "low rank"): "integers cannot be factored",
    ("quantization", "pruning"): "the scales were chosen for the weights that pruning removes",
    ("quantization", "cast"): "the rounding was done for the wider type",
    ("low rank", "structured pruning"): "the factors have no channels of their own to remove",
    ("pruning", "low rank"): "factoring fills the zeros in again",
}


class CompressSpec(ContractModel):
    """Make a model version smaller: prune, factor, quantize."""

    kind: Literal["compress"] = "compress"
    version: Literal[1] = 1
    model: str = Field(
        min_length=1,
        max_length=1024,
        title="Model version",
        description="A registry version such as `tiny-llama_v3`; a local directory when run without a control plane.",
    )
    recipe: tuple[RecipeStep, ...] = Field(
        min_length=1, max_length=16, title="Recipe", description="Methods, applied in this order."
    )
    calibration: CalibrationSpec | None = Field(
        None, title="Calibration", description="Needed by methods that look at activations, and by the scan."
    )
    sensitivity_scan: bool = Field(
        default=False,
        title="Sensitivity scan",
        description="First compress each layer alone, and rank them by what that costs on the calibration samples.",
    )
    output_model: str | None = Field(
        None,
        pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$",
        title="Output model",
        description="Name in the registry; the input's own model when empty. Versions count up: `<name>_v2`, ...",
    )

    @model_validator(mode="after")
    def _order_makes_sense(self) -> "CompressSpec":
        for later, step in enumerate(self.recipe):
            for earlier, before in enumerate(self.recipe[:later]):
                reason = _CANNOT_FOLLOW.get((_STAGES[type(before)], _STAGES[type(step)]))
                if reason is not None:
                    raise ValueError(
                        f"recipe.{later} ({step.method}) cannot follow recipe.{earlier} ({before.method}): {reason}"
                    )
        return self

    @model_validator(mode="after")
    def _data_is_there(self) -> "CompressSpec":
        if self.calibration is not None:
            return self
        needy = [f"recipe.{n} ({step.method})" for n, step in enumerate(self.recipe) if isinstance(step, _NEEDS_DATA)]
        if needy:
            raise ValueError(f"{needy[0]} needs calibration: name a dataset")
        if self.sensitivity_scan:
            raise ValueError("sensitivity_scan needs calibration: name a dataset")
        return self
