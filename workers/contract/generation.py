"""The ``generate`` job: a completion from a model version, on a warm rank."""

from typing import Literal

from pydantic import Field

from workers.contract.base import ContractModel


class GenerateSpec(ContractModel):
    """Sample completions of a prompt."""

    kind: Literal["generate"] = "generate"
    version: Literal[1] = 1
    model: str = Field(
        min_length=1,
        max_length=1024,
        title="Model version",
        description="A registry version such as `tiny-llama_v3`; a local directory when run without a control plane.",
    )
    prompt: str = Field(min_length=1, max_length=65_536, title="Prompt", description="Text to go on from.")
    max_new_tokens: int = Field(64, ge=1, le=8192, title="New tokens", description="At most this many.")
    temperature: float = Field(0.8, ge=0, le=10, title="Temperature", description="0 takes the likeliest token.")
    top_p: float = Field(
        0.95,
        gt=0,
        le=1,
        title="Top-p",
        description="Draw among the likeliest tokens that hold this share of the probability.",
    )
    num_samples: int = Field(1, ge=1, le=64, title="Samples", description="Completions of the prompt.")
    seed: int = Field(
        1234,
        ge=0,
        le=2**63 - 1,
        title="Seed",
        description="Draws the tokens: the same seed gives the same completions.",
    )
