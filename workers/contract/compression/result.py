"""What a ``compress`` job says about each layer."""

from typing import Literal

from pydantic import Field

from workers.contract.base import ContractModel


class LayerReport(ContractModel):
    """One layer after one step. Sizes are of its stored tensors."""

    step: int = Field(ge=0)
    """Index in the recipe."""
    layer: str
    method: str
    error: float
    """Relative: the Frobenius norm of the change over that of what was there; of the layer's outputs on the calibration
    samples where the method sees them, else of its weights."""
    error_of: Literal["outputs", "weights"]
    bytes_before: int = Field(ge=0)
    bytes_after: int = Field(ge=0)
    sparsity: float = Field(0.0, ge=0, le=1)
    """Share of zeros among its weights."""


class LayerSensitivity(ContractModel):
    """What compressing one layer alone costs."""

    layer: str
    loss_increase: float
    """Nats per token on the calibration samples."""


class CompressionResult(ContractModel):
    """All layers, and the model as a whole."""

    kind: Literal["compress"] = "compress"
    layers: tuple[LayerReport, ...] = ()
    sensitivity: tuple[LayerSensitivity, ...] = ()
    """Most sensitive first; empty when no scan was asked for."""
    bytes_before: int = Field(ge=0)
    """Of all tensors of the model."""
    bytes_after: int = Field(ge=0)
    parameters_before: int = Field(ge=0)
    parameters_after: int = Field(ge=0)
    peak_memory_bytes: int = Field(0, ge=0)
    """Of the process while it compressed, above what it held before the model was loaded."""
    duration_s: float = Field(ge=0)
