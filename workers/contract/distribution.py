"""How the ranks of a job share its model and its data: the device mesh, and what is done along its axes.

Mesh axes, outermost first: ``pp`` pipeline stages, ``dp_replicate`` whole copies, ``dp_shard`` sharded copies, ``tp``
tensor parallel. Ranks that differ only in ``pp`` or ``tp`` work on the same samples. The arithmetic below is the same
at submit, where it refuses, and in the ranks, where it builds the mesh.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from workers.contract.base import ContractModel
from workers.contract.communication import Communication, EveryStep


class MeshSpec(ContractModel):
    """Degrees of the axes; their product is the number of ranks."""

    dp_replicate: int | None = Field(
        None,
        ge=1,
        le=65_536,
        title="Replicas",
        description="Copies of the model on different samples; empty: what the other degrees leave.",
    )
    dp_shard: int | None = Field(
        None,
        ge=1,
        le=65_536,
        title="Shards",
        description="Ranks over which FSDP shards a copy; empty: all that the other degrees leave.",
    )
    tp: int = Field(1, ge=1, le=1024, title="Tensor parallel", description="Ranks that split every layer.")
    pp: int = Field(1, ge=1, le=1024, title="Pipeline parallel", description="Ranks that split the depth.")


class DDP(ContractModel):
    """Every rank holds all; gradients are averaged while backward runs. Li et al., arXiv:2006.15704."""

    kind: Literal["ddp"] = "ddp"


class ZeRO1(ContractModel):
    """As DDP, but each rank keeps the optimizer state of a share. Rajbhandari et al., arXiv:1910.02054."""

    kind: Literal["zero1"] = "zero1"


class ReduceDType(StrEnum):
    """Arithmetic in which gradients are summed over ranks."""

    FP32 = "fp32"
    BF16 = "bf16"


class FSDP(ContractModel):
    """Weights, gradients and optimizer state are sharded. Zhao et al., arXiv:2304.11277."""

    kind: Literal["fsdp"] = "fsdp"
    reshard_after_forward: bool = Field(
        default=True,
        title="Reshard after forward",
        description="Free gathered weights after forward: less memory, one more all-gather.",
    )
    reduce_dtype: ReduceDType = Field(
        ReduceDType.FP32, title="Gradient reduction", description="bf16 halves its traffic and rounds."
    )
    cpu_offload: bool = Field(
        default=False, title="Offload to the host", description="Weights and optimizer live in host memory."
    )


DataParallel = Annotated[DDP | ZeRO1 | FSDP, Field(discriminator="kind")]


class TensorParallel(ContractModel):
    """Options of the ``tp`` axis."""

    sequence_parallel: bool = Field(
        default=False,
        title="Sequence parallel",
        description="Norms and residuals are split along the context too: less memory, the same traffic.",
    )
    loss_parallel: bool = Field(
        default=False, title="Loss parallel", description="The logits stay split along the vocabulary in the loss."
    )


class PipelineSchedule(StrEnum):
    """In which order stages and micro-batches are worked off."""

    GPIPE = "gpipe"
    ONE_F_ONE_B = "1f1b"
    INTERLEAVED_1F1B = "interleaved_1f1b"
    ZERO_BUBBLE = "zero_bubble"


class PipelineParallel(ContractModel):
    """Options of the ``pp`` axis."""

    schedule: PipelineSchedule = Field(PipelineSchedule.ONE_F_ONE_B, title="Schedule")
    micro_batches: int | None = Field(
        None,
        ge=1,
        le=65_536,
        title="Pipeline micro-batches",
        description="Into how many parts each micro-batch is cut; empty: as many as there are stages.",
    )
    stages_per_rank: int | None = Field(
        None,
        ge=1,
        le=64,
        title="Stages per rank",
        description="Of the interleaved and zero-bubble schedules; empty: 2 there, 1 elsewhere.",
    )

    @property
    def is_looped(self) -> bool:
        """True when a rank holds several stages."""
        return self.schedule in {PipelineSchedule.INTERLEAVED_1F1B, PipelineSchedule.ZERO_BUBBLE}

    @property
    def num_stages_per_rank(self) -> int:
        """Stages on each rank, the default resolved."""
        return self.stages_per_rank or (2 if self.is_looped else 1)


class DistributionSpec(ContractModel):
    """One way of using many ranks."""

    mesh: MeshSpec = Field(default_factory=MeshSpec, title="Mesh")
    data_parallel: DataParallel = Field(default_factory=DDP, title="Data parallel")
    tensor_parallel: TensorParallel = Field(default_factory=TensorParallel, title="Tensor parallel")
    pipeline: PipelineParallel = Field(default_factory=PipelineParallel, title="Pipeline")
    communication: Communication = Field(
        default_factory=EveryStep, title="Communication", description="What the replicas exchange, and how often."
    )


class DistributionError(ValueError):
    """The distribution does not fit the ranks or the model; ``field`` is the path below the spec."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = f"distribution.{field}"


@dataclass(frozen=True)
class Degrees:
    """The mesh with every degree resolved."""

    pp: int
    dp_replicate: int
    dp_shard: int
    tp: int

    @property
    def dp(self) -> int:
        """Ranks that see different samples."""
        return self.dp_replicate * self.dp_shard

    @property
    def world_size(self) -> int:
        """All ranks."""
        return self.pp * self.dp * self.tp


@dataclass(frozen=True)
class ModelShape:
    """What of a model decides how it may be split."""

    family: str
    """``model_type`` of its Hugging Face config."""
    num_layers: int
    num_heads: int
    num_kv_heads: int


# Families whose decoder workers.runtime.parallel.plans knows how to split; a test compares the two.
SPLITTABLE_FAMILIES = ("llama", "mistral", "qwen2", "qwen3")


def shape_of_config(config: Mapping[str, Any]) -> ModelShape:
    """Return the shape that a Hugging Face ``config.json`` describes; what it does not name counts as 1.

    Raises:
        DistributionError: a number in it is none.
    """
    try:
        heads = int(config.get("num_attention_heads") or 1)
        return ModelShape(
            family=str(config.get("model_type")),
            num_layers=int(config.get("num_hidden_layers") or 1),
            num_heads=heads,
            num_kv_heads=int(config.get("num_key_value_heads") or heads),
        )
    except (TypeError, ValueError) as error:
        raise DistributionError("mesh", f"the model's config.json cannot be read: {error}") from error


def resolve_degrees(spec: DistributionSpec, world_size: int) -> Degrees:
    """Fill in the empty degrees.

    Raises:
        DistributionError: they do not multiply to ``world_size``.
    """
    mesh = spec.mesh
    is_sharded = isinstance(spec.data_parallel, FSDP)
    if mesh.dp_shard not in {None, 1} and not is_sharded:
        raise DistributionError(
            "mesh.dp_shard",
            f"dp_shard={mesh.dp_shard} shards the model, which data_parallel.kind={spec.data_parallel.kind} does not; "
            "use data_parallel.kind=fsdp, or dp_replicate",
        )
    model = mesh.tp * mesh.pp
    if world_size % model:
        raise DistributionError(
            "mesh", f"tp={mesh.tp} x pp={mesh.pp} = {model} does not divide the job's {world_size} ranks"
        )
    dp = world_size // model
    if is_sharded:
        replicate, shard = _share(dp, mesh.dp_replicate, mesh.dp_shard)
    else:
        replicate, shard = mesh.dp_replicate or dp, 1
    degrees = Degrees(pp=mesh.pp, dp_replicate=replicate, dp_shard=shard, tp=mesh.tp)
    if degrees.world_size != world_size:
        raise DistributionError(
            "mesh",
            f"dp_replicate={replicate} x dp_shard={shard} x tp={mesh.tp} x pp={mesh.pp} = {degrees.world_size}, "
            f"but the job has {world_size} ranks (nodes x slots_per_node)",
        )
    return degrees


def _share(dp: int, replicate: int | None, shard: int | None) -> tuple[int, int]:
    """Split the data-parallel ranks; what is named is kept, whether it divides or not."""
    if shard is None:
        return replicate or 1, max(1, dp // (replicate or 1))
    return replicate or max(1, dp // shard), shard


def pipeline_chunks(spec: DistributionSpec, micro_batch_size: int) -> int:
    """Return into how many parts the pipeline cuts one micro-batch.

    Raises:
        DistributionError: they are not equal parts.
    """
    chunks = spec.pipeline.micro_batches or min(spec.mesh.pp, micro_batch_size)
    if micro_batch_size % chunks:
        raise DistributionError(
            "pipeline.micro_batches",
            f"micro_batch_size={micro_batch_size} cannot be cut into {chunks} equal parts",
        )
    return chunks


def check_model(spec: DistributionSpec, shape: ModelShape) -> None:
    """Check that the axes can split this model.

    Raises:
        DistributionError: with the arithmetic, or the name of a family that has no plan.
    """
    mesh = spec.mesh
    if mesh.tp * mesh.pp == 1:
        return
    if shape.family not in SPLITTABLE_FAMILIES:
        raise DistributionError(
            "mesh",
            f"there is no plan for splitting a model of family {shape.family!r} along tp or pp; "
            f"possible: {', '.join(SPLITTABLE_FAMILIES)}. Use data_parallel.kind=fsdp, which shards any family",
        )
    for name, heads in (("attention heads", shape.num_heads), ("key-value heads", shape.num_kv_heads)):
        if heads % mesh.tp:
            raise DistributionError("mesh.tp", f"tp={mesh.tp} does not divide the model's {heads} {name}")
    stages = mesh.pp * spec.pipeline.num_stages_per_rank
    if stages > shape.num_layers and mesh.pp > 1:
        raise DistributionError(
            "mesh.pp",
            f"pp={mesh.pp} x {spec.pipeline.num_stages_per_rank} stages per rank = {stages} stages, "
            f"but the model has only {shape.num_layers} layers",
        )


def check_combination(spec: DistributionSpec, degrees: Degrees, *, num_chunks: int) -> None:
    """Check what does not work together; ``num_chunks`` pipeline micro-batches make a step.

    Raises:
        DistributionError: with the reason and what to use instead.
    """
    options, pipeline = spec.tensor_parallel, spec.pipeline
    if degrees.tp == 1 and (options.sequence_parallel or options.loss_parallel):
        raise DistributionError("tensor_parallel", "sequence_parallel and loss_parallel need mesh.tp of at least 2")
    if degrees.tp > 1 and isinstance(spec.data_parallel, ZeRO1):
        raise DistributionError(
            "data_parallel",
            "zero1 gives whole parameters to owners and cannot own those that tp splits; "
            "use fsdp with reshard_after_forward=false",
        )
    if isinstance(spec.data_parallel, FSDP) and spec.data_parallel.cpu_offload and degrees.dp == 1:
        raise DistributionError("data_parallel.cpu_offload", "fsdp has nothing to offload on one data-parallel rank")
    if degrees.pp == 1:
        return
    if pipeline.is_looped and pipeline.num_stages_per_rank == 1:
        raise DistributionError("pipeline.stages_per_rank", f"{pipeline.schedule} needs at least 2 stages per rank")
    if not pipeline.is_looped and pipeline.num_stages_per_rank > 1:
        raise DistributionError("pipeline.stages_per_rank", f"{pipeline.schedule} has 1 stage per rank")
    if pipeline.schedule is not PipelineSchedule.GPIPE and num_chunks < degrees.pp:
        raise DistributionError(
            "pipeline.micro_batches",
            f"{pipeline.schedule} needs at least pp={degrees.pp} micro-batches a step, "
            f"micro-batches x gradient_accumulation gives {num_chunks}",
        )
    if pipeline.is_looped and num_chunks % degrees.pp:
        raise DistributionError(
            "pipeline.micro_batches",
            f"{pipeline.schedule} needs a multiple of pp={degrees.pp} micro-batches a step, not {num_chunks}",
        )


def check_communication(spec: DistributionSpec, degrees: Degrees, *, steps: int) -> None:
    """Check that the replicas can stay together in the way that is asked for.

    Raises:
        DistributionError: with the reason and what to use instead.
    """
    method = spec.communication
    if isinstance(method, EveryStep):
        return
    if degrees.world_size == 1:
        raise DistributionError(
            "communication", f"{method.kind} is about what ranks exchange, and the job has only one"
        )
    if not isinstance(spec.data_parallel, DDP):
        raise DistributionError(
            "communication",
            f"{method.kind} needs whole replicas on every rank, which data_parallel.kind={spec.data_parallel.kind} "
            "does not keep; use data_parallel.kind=ddp",
        )
    if degrees.tp > 1 or degrees.pp > 1:
        raise DistributionError(
            "communication",
            f"{method.kind} needs whole replicas on every rank: tp={degrees.tp} and pp={degrees.pp} must be 1",
        )
    refusal = method.refusal(world_size=degrees.world_size, steps=steps)
    if refusal is not None:
        raise DistributionError("communication", refusal)
