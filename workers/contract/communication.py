"""How the replicas of a model stay together: what they exchange, how often, and which weights count at the end.

These are the ways that trade exactness for fewer bytes or less waiting. Each says what it does to training, and
what it cannot do (``refusal``); what no method can be combined with is refused by ``distribution``.
"""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from workers.contract.base import ContractModel


class Method(ContractModel):
    """What all methods have."""

    keeps_replicas_alike: ClassVar[bool] = True
    """False where the weights of the ranks differ between two exchanges."""

    def refusal(self, *, world_size: int, steps: int) -> str | None:
        """Return why a run of so many ranks and steps cannot use the method; None when it can."""
        return None


class EveryStep(Method):
    """Whole gradients are averaged in every step: all replicas are always the same."""

    kind: Literal["every_step"] = "every_step"


class FP16Compression(Method):
    """Gradients travel in fp16: half the bytes; values beyond 65504 overflow."""

    kind: Literal["fp16"] = "fp16"


class BF16Compression(Method):
    """Gradients travel in bf16: half the bytes, fp32's range, eight bits of precision."""

    kind: Literal["bf16"] = "bf16"


class PowerSGDCompression(Method):
    """Low-rank gradients with error feedback. Vogels et al., arXiv:1905.13727, algorithms 1 and 2."""

    kind: Literal["powersgd"] = "powersgd"
    rank: int = Field(4, ge=1, le=256, title="Rank", description="Of each matrix' approximation; more is more exact.")
    start_step: int = Field(
        10, ge=0, title="Start", description="Steps that send whole gradients first, while these change fast."
    )

    def refusal(self, *, world_size: int, steps: int) -> str | None:
        """Refuse a start that never comes."""
        if self.start_step >= steps:
            return f"start_step={self.start_step} leaves none of the {steps} steps to compress"
        return None


class TopKCompression(Method):
    """Only the largest entries of each gradient. Stich et al., arXiv:1809.07599; Lin et al., arXiv:1712.01887."""

    kind: Literal["topk"] = "topk"
    ratio: float = Field(0.01, gt=0, le=1, title="Share kept", description="Entries sent of each tensor, 0 to 1.")
    error_feedback: bool = Field(
        default=True, title="Error feedback", description="Add what was not sent to the next step's gradient."
    )


class LocalSGD(Method):
    """Replicas train alone and average their weights now and then. Stich, arXiv:1805.09767."""

    keeps_replicas_alike: ClassVar[bool] = False

    kind: Literal["local_sgd"] = "local_sgd"
    period: int = Field(8, ge=1, le=100_000, title="Period", description="Steps between two averages.")
    warmup_steps: int = Field(
        0,
        ge=0,
        title="Synchronous start",
        description="Steps with averaged gradients first (post-local SGD, arXiv:1808.07217).",
    )

    def refusal(self, *, world_size: int, steps: int) -> str | None:
        """Refuse a period longer than what there is to train alone."""
        return _too_long("period", self.period, steps, self.warmup_steps)


class HierarchicalAveraging(Method):
    """Average often within a group, seldom over all. Lin et al., arXiv:1808.07217, hierarchical local SGD."""

    keeps_replicas_alike: ClassVar[bool] = False

    kind: Literal["hierarchical"] = "hierarchical"
    period: int = Field(4, ge=1, le=100_000, title="Group period", description="Steps between averages in a group.")
    global_period: int = Field(
        16, ge=1, le=100_000, title="Global period", description="Steps between averages over all; a multiple."
    )
    group_size: int | None = Field(
        None, ge=1, title="Group", description="Neighbouring ranks in a group; empty means those of one node."
    )
    warmup_steps: int = Field(0, ge=0, title="Synchronous start", description="Steps with averaged gradients first.")

    @model_validator(mode="after")
    def _periods_nest(self) -> "HierarchicalAveraging":
        if self.global_period % self.period:
            raise ValueError(f"global_period={self.global_period} must be a multiple of period={self.period}")
        return self

    def refusal(self, *, world_size: int, steps: int) -> str | None:
        """Refuse groups that are not equal, or that are nobody or everybody."""
        size = self.group_size
        if size is not None and (world_size % size or size in {1, world_size}):
            return f"group_size={size} must divide the job's {world_size} ranks into several groups of several ranks"
        return _too_long("global_period", self.global_period, steps, self.warmup_steps)


class DeltaDtype(StrEnum):
    """How an outer delta travels."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


class DiLoCo(Method):
    """Many inner steps alone, then one outer Nesterov step on the mean change. Douillard et al., arXiv:2311.08105."""

    keeps_replicas_alike: ClassVar[bool] = False

    kind: Literal["diloco"] = "diloco"
    inner_steps: int = Field(50, ge=1, le=100_000, title="Inner steps", description="Steps between two outer steps.")
    outer_learning_rate: float = Field(
        0.7, gt=0, le=10, title="Outer learning rate", description="Of the Nesterov step on the mean change."
    )
    outer_momentum: float = Field(0.9, ge=0, lt=1, title="Outer momentum", description="Nesterov; 0 means none.")
    delta_dtype: DeltaDtype = Field(DeltaDtype.FP32, title="Delta", description="Type in which the change travels.")
    error_feedback: bool = Field(
        default=True, title="Error feedback", description="Add what rounding lost to the next change; not with fp32."
    )

    def refusal(self, *, world_size: int, steps: int) -> str | None:
        """Refuse a round longer than the run."""
        return _too_long("inner_steps", self.inner_steps, steps, 0)


class DelayedUpdate(Method):
    """Gradients are applied one step late and travel meanwhile. Li et al., Pipe-SGD, arXiv:1811.03619."""

    kind: Literal["delayed"] = "delayed"


class ParameterServer(Method):
    """Workers push gradients to rank 0 and pull weights of bounded age. Ho et al., SSP, NeurIPS 2013."""

    keeps_replicas_alike: ClassVar[bool] = False

    kind: Literal["parameter_server"] = "parameter_server"
    staleness: int = Field(
        2, ge=0, le=1000, title="Staleness", description="Steps a rank may be ahead of the slowest; 0 is synchronous."
    )


Communication = Annotated[
    EveryStep
    | FP16Compression
    | BF16Compression
    | PowerSGDCompression
    | TopKCompression
    | LocalSGD
    | HierarchicalAveraging
    | DiLoCo
    | DelayedUpdate
    | ParameterServer,
    Field(discriminator="kind"),
]


def _too_long(name: str, period: int, steps: int, warmup_steps: int) -> str | None:
    if period <= steps - warmup_steps:
        return None
    warmup = f" less warmup_steps={warmup_steps}" if warmup_steps else ""
    return f"{name}={period} is longer than the run's {steps} steps{warmup}: the ranks would meet only at its end"


class NoAveraging(ContractModel):
    """The last weights count."""

    kind: Literal["none"] = "none"


class EMA(ContractModel):
    """An exponential moving average of the weights counts. Polyak and Juditsky, 1992; Tarvainen, arXiv:1703.01780."""

    kind: Literal["ema"] = "ema"
    decay: float = Field(0.999, gt=0, lt=1, title="Decay", description="Share of the old average kept in each step.")


class SWA(ContractModel):
    """The plain mean of weights along the run's end counts. Izmailov et al., arXiv:1803.05407, algorithm 1."""

    kind: Literal["swa"] = "swa"
    start_pct: float = Field(75.0, ge=0, lt=100, title="Start", description="Percent of all steps done before.")
    every_steps: int = Field(10, ge=1, title="Every", description="Steps between two weights of the mean.")


WeightAveraging = Annotated[NoAveraging | EMA | SWA, Field(discriminator="kind")]
