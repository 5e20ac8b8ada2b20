"""The ``train`` job: what to train, on what, how. Forms and REST validation render from these models."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, model_validator

from workers.contract.base import ContractModel
from workers.contract.communication import EveryStep, NoAveraging, WeightAveraging
from workers.contract.distribution import (
    Degrees,
    DistributionError,
    DistributionSpec,
    ModelShape,
    check_combination,
    check_communication,
    check_model,
    pipeline_chunks,
    resolve_degrees,
)
from workers.contract.model_source import DistilledModel, LlamaConfig, ModelSource


class BPETokenizer(ContractModel):
    """Train a byte-level BPE tokenizer on the training documents."""

    source: Literal["bpe"] = "bpe"
    vocab_size: int = Field(2048, ge=257, le=262_144, title="Vocabulary", description="Tokens, special ones included.")


class ModelTokenizer(ContractModel):
    """Use the tokenizer that comes with the pretrained model."""

    source: Literal["model"] = "model"


TokenizerSource = Annotated[BPETokenizer | ModelTokenizer, Field(discriminator="source")]


class DataSpec(ContractModel):
    """Which documents, and how they become samples."""

    dataset: str = Field(
        min_length=1,
        max_length=1024,
        title="Dataset",
        description="A dataset name, or `name@3` for one version; a local directory or file without a control plane.",
    )
    context_length: int = Field(256, ge=8, le=131_072, title="Context", description="Tokens in a sample.")
    validation_pct: float = Field(
        2.0, ge=0, le=50, title="Validation share", description="Documents held out, in percent; 0 holds out none."
    )
    validation_max_samples: int = Field(
        256, ge=1, le=65_536, title="Validation samples", description="At most this many are scored each time."
    )


class AdamWSpec(ContractModel):
    """Decoupled weight decay. Loshchilov and Hutter, arXiv:1711.05101, algorithm 2."""

    kind: Literal["adamw"] = "adamw"
    learning_rate: float = Field(
        4e-3, gt=0, le=1, title="Peak learning rate", description="Of AdamW, after the warm-up."
    )
    weight_decay: float = Field(0.1, ge=0, le=1, title="Weight decay", description="On matrices only.")
    beta1: float = Field(0.9, ge=0, lt=1, title="Beta 1", description="Decay of the gradient's mean.")
    beta2: float = Field(0.95, ge=0, lt=1, title="Beta 2", description="Decay of the squared gradient's mean.")
    eps: float = Field(
        1e-8, gt=0, le=1, title="Epsilon", description="Added to the root of the squared gradient's mean."
    )
    max_grad_norm: float = Field(
        1.0, ge=0, title="Gradient clipping", description="Largest global norm; 0 never clips."
    )
    weight_averaging: WeightAveraging = Field(
        default_factory=NoAveraging, title="Weight averaging", description="Which weights are validated and exported."
    )


class CosineSchedule(ContractModel):
    """Linear warm-up, then a cosine down to a share of the peak. Loshchilov and Hutter, arXiv:1608.03983."""

    kind: Literal["cosine"] = "cosine"
    warmup_steps: int = Field(50, ge=0, title="Warm-up", description="Steps.")
    final_ratio: float = Field(0.1, ge=0, le=1, title="Final share", description="Of the peak learning rate.")


class WSDSchedule(ContractModel):
    """Warm-up, stable, decay (linear). Hu et al., MiniCPM, arXiv:2404.06395, section 4."""

    kind: Literal["wsd"] = "wsd"
    warmup_steps: int = Field(50, ge=0, title="Warm-up", description="Steps.")
    decay_ratio: float = Field(0.2, ge=0, le=1, title="Decay share", description="Of all steps, at the end.")
    final_ratio: float = Field(0.0, ge=0, le=1, title="Final share", description="Of the peak learning rate.")


Schedule = Annotated[CosineSchedule | WSDSchedule, Field(discriminator="kind")]


class Precision(StrEnum):
    """Arithmetic of the forward and backward pass."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"


class CheckpointSpec(ContractModel):
    """When to save, and what to keep."""

    every_steps: int = Field(200, ge=1, title="Save every", description="Steps. The last step is always saved.")
    keep_last: int = Field(
        2, ge=1, le=100, title="Keep last", description="Newest checkpoints that stay; the best one stays beside them."
    )
    keep_best: bool = Field(default=True, title="Keep best", description="By validation loss.")


class TrainSpec(ContractModel):
    """Train a causal language model on several ranks."""

    kind: Literal["train"] = "train"
    version: Literal[1] = 1
    model: ModelSource = Field(default_factory=LlamaConfig, title="Model")
    tokenizer: TokenizerSource = Field(default_factory=BPETokenizer, title="Tokenizer")
    data: DataSpec = Field(title="Data")
    steps: int = Field(500, ge=1, le=100_000_000, title="Steps", description="Optimizer steps.")
    micro_batch_size: int = Field(8, ge=1, le=65_536, title="Micro-batch", description="Samples per rank and pass.")
    gradient_accumulation: int = Field(1, ge=1, le=65_536, title="Accumulation", description="Passes per step.")
    optimizer: AdamWSpec = Field(default_factory=AdamWSpec, title="Optimizer")
    schedule: Schedule = Field(default_factory=CosineSchedule, title="Learning rate schedule")
    precision: Precision = Field(Precision.AUTO, title="Precision", description="auto: bf16 where the hardware has it.")
    activation_checkpointing: bool = Field(
        default=False,
        title="Activation checkpointing",
        description="Compute activations again in backward: less memory, about a third more time.",
    )
    distribution: DistributionSpec = Field(
        default_factory=DistributionSpec, title="Distribution", description="How the ranks share model and data."
    )
    checkpoint: CheckpointSpec = Field(default_factory=CheckpointSpec, title="Checkpoints")
    report_every_steps: int = Field(1, ge=1, title="Report every", description="Steps between two points of a curve.")
    validate_every_steps: int = Field(100, ge=1, title="Validate every", description="Steps.")
    seed: int = Field(
        1234,
        ge=0,
        le=2**63 - 1,
        title="Seed",
        description="Of weights, order of samples and dropout: the same seed gives the same losses.",
    )
    output_model: str | None = Field(
        None,
        pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$",
        title="Output model",
        description="Name in the registry; the job's name when empty. Versions count up: `<name>_v1`, `_v2`, ...",
    )

    @model_validator(mode="after")
    def _tokenizer_has_a_source(self) -> "TrainSpec":
        if self.tokenizer.source == "model" and self.model.source == "config":
            raise ValueError(
                "tokenizer.source=model needs model.source=pretrained: a model built from a config has none"
            )
        if self.tokenizer.source != "model" and self.model.source == "distilled":
            raise ValueError(
                "model.source=distilled needs tokenizer.source=model: student and teacher must share the vocabulary"
            )
        return self

    @model_validator(mode="after")
    def _averages_what_all_ranks_hold(self) -> "TrainSpec":
        method = self.distribution.communication
        if not isinstance(self.optimizer.weight_averaging, NoAveraging) and not method.keeps_replicas_alike:
            raise ValueError(
                f"optimizer.weight_averaging={self.optimizer.weight_averaging.kind} needs weights that all ranks "
                f"share, which distribution.communication={method.kind} has not in every step; drop one of the two"
            )
        return self


def check_distribution(spec: TrainSpec, *, world_size: int, shape: ModelShape | None = None) -> Degrees:
    """Check the distribution against the ranks and, where it is known, the model; return the mesh's degrees.

    ``shape`` is of a pretrained model; that of a model built from a config is in the spec.

    Raises:
        DistributionError: naming the field, with the arithmetic.
    """
    distribution = spec.distribution
    degrees = resolve_degrees(distribution, world_size)
    if isinstance(spec.model, DistilledModel) and degrees.tp * degrees.pp > 1:
        raise DistributionError(
            "mesh",
            f"a student learns from whole logits, which tp={degrees.tp} and pp={degrees.pp} split; use "
            "data_parallel.kind=fsdp for what does not fit on one rank",
        )
    if isinstance(spec.model, DistilledModel) and not isinstance(distribution.communication, EveryStep):
        raise DistributionError(
            "communication",
            "a student and its projection learn in step on all ranks, which "
            f"{distribution.communication.kind} does not keep; use communication.kind=every_step",
        )
    if isinstance(spec.model, LlamaConfig):
        config = spec.model
        shape = ModelShape("llama", config.num_layers, config.num_heads, config.num_kv_heads or config.num_heads)
    if shape is not None:
        check_model(distribution, shape)
    chunks = pipeline_chunks(distribution, spec.micro_batch_size) if degrees.pp > 1 else 1
    check_combination(distribution, degrees, num_chunks=chunks * spec.gradient_accumulation)
    check_communication(distribution, degrees, steps=spec.steps)
    return degrees
