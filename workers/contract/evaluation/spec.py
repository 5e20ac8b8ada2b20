"""The job itself: what is measured, on what, and how."""

from typing import Any, Literal

from pydantic import Field, model_validator

from workers.contract.base import ContractModel
from workers.contract.evaluation.metrics import METRICS, NEED_DATASET, NEED_REFERENCE, Measure
from workers.contract.training import Precision

_SAMPLING = ("num_samples", "length", "validation_pct", "precision", "seed")


class GenerationTiming(ContractModel):
    """How speed is measured: the same prompts of random tokens for every version, greedy decoding with a KV cache."""

    prompt_tokens: int = Field(64, ge=1, le=131_072, title="Prompt", description="Tokens.")
    new_tokens: int = Field(32, ge=2, le=131_072, title="New tokens", description="Generated after each prompt.")
    warmup: int = Field(1, ge=0, le=100, title="Warm-up", description="Rounds that are not counted.")
    repeats: int = Field(5, ge=1, le=1000, title="Repeats", description="Rounds; their median and spread count.")


class EvaluateSpec(ContractModel):
    """Measure a model version: quality, agreement with another version, speed, size."""

    kind: Literal["evaluate"] = "evaluate"
    version: Literal[1] = 1
    model: str = Field(
        min_length=1,
        max_length=1024,
        title="Model version",
        description="A registry version such as `tiny-llama_v3`; a local directory when run without a control plane.",
    )
    dataset: str | None = Field(
        None,
        min_length=1,
        max_length=1024,
        title="Dataset",
        description="A dataset name, or `name@3` for one version. Needed for all but speed and size.",
    )
    reference: str | None = Field(
        None,
        min_length=1,
        max_length=1024,
        title="Reference",
        description="The version to compare with; empty means the one that this was made from, if there is one.",
    )
    measure: tuple[Measure, ...] = Field(
        (), max_length=len(Measure), title="Measure", description="Empty means all that is possible."
    )
    num_samples: int = Field(
        64, ge=1, le=1_000_000, title="Samples", description="At most; drawn evenly from the dataset by the seed."
    )
    length: int = Field(256, ge=8, le=131_072, title="Sample length", description="Tokens.")
    batch_size: int = Field(8, ge=1, le=4096, title="Batch", description="Samples that are scored at once.")
    validation_pct: float = Field(
        0.0,
        ge=0,
        le=50,
        title="Held-out share",
        description="Score only what training with this `validation_pct` holds out, in percent; 0 means everything.",
    )
    precision: Precision = Field(
        Precision.FP32,
        title="Precision",
        description="Of scoring. Speed is measured in the form in which it is stored.",
    )
    generation: GenerationTiming = Field(default_factory=GenerationTiming, title="Generation")
    seed: int = Field(1234, ge=0, le=2**63 - 1, title="Seed", description="Draws samples and prompts.")

    @model_validator(mode="after")
    def _data_is_there(self) -> "EvaluateSpec":
        if self.dataset is None:
            needy = [measure for measure in self.measure if measure in NEED_DATASET]
            if needy:
                raise ValueError(f"measure: {needy[0]} needs a dataset: name one")
            if self.reference is not None:
                raise ValueError("reference: comparing with it needs a dataset: name one")
        if self.reference is not None and self.measure and not NEED_REFERENCE & set(self.measure):
            raise ValueError("reference: nothing in measure compares with it: add agreement, or leave it out")
        return self

    @model_validator(mode="after")
    def _each_once(self) -> "EvaluateSpec":
        if len(set(self.measure)) < len(self.measure):
            raise ValueError("measure: name each once")
        return self


def protocol_of(spec: EvaluateSpec, metric: str) -> dict[str, Any]:
    """Return the settings that a metric's value depends on: two values are comparable when these are equal.

    Raises:
        KeyError: there is no such metric.
    """
    document = spec.model_dump(mode="json")
    kind = METRICS[metric]
    if kind.needs_dataset:
        return {name: document[name] for name in _SAMPLING}
    if kind.measure is Measure.GENERATION:
        return {name: document["generation"][name] for name in ("prompt_tokens", "new_tokens")}
    return {}
