"""What an ``evaluate`` job reports."""

from typing import Literal

from pydantic import Field

from workers.contract.base import ContractModel


class Hardware(ContractModel):
    """What the figures were measured on."""

    device: Literal["cpu", "cuda"]
    name: str
    cores: int = Field(ge=1)
    """Of the CPU that the rank may use."""
    threads: int = Field(ge=1)
    """Of the CPU that the rank used."""


class Measurement(ContractModel):
    """One metric of the catalogue."""

    metric: str
    value: float
    """Over repeats the median; over samples the mean, of perplexity the exponential of the mean loss."""
    spread: float | None = Field(None, ge=0)
    """Over repeats the interquartile range; over samples the standard error of the value. None for what is counted."""
    unit: str = ""
    num_values: int = Field(1, ge=1)
    """Repeats or samples behind it."""
    dtype: str
    """Of the arithmetic."""


class EvaluationResult(ContractModel):
    """All figures of one job."""

    kind: Literal["evaluate"] = "evaluate"
    measurements: tuple[Measurement, ...]
    hardware: Hardware
    duration_s: float = Field(ge=0)
