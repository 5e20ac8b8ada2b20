"""The union of job kinds, and what a job asks of the cluster."""

from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationInfo, field_validator

from workers.contract.base import ContractModel
from workers.contract.compression.recipe import CompressSpec
from workers.contract.evaluation.spec import EvaluateSpec
from workers.contract.export import ExportSpec
from workers.contract.generation import GenerateSpec
from workers.contract.scripting import ScriptSpec
from workers.contract.training import TrainSpec

# A new kind is one more member here; tests assert that each has a handler in workers.runtime.jobs. A script is a
# program of its own: the agent starts it, not the runtime.
AnySpec = TrainSpec | GenerateSpec | ScriptSpec | CompressSpec | EvaluateSpec | ExportSpec

JobSpec = Annotated[AnySpec, Field(discriminator="kind")]

JOB_SPEC_ADAPTER: TypeAdapter[AnySpec] = TypeAdapter(JobSpec)

JOB_KINDS: dict[str, type[AnySpec]] = {
    "train": TrainSpec,
    "generate": GenerateSpec,
    "script": ScriptSpec,
    "compress": CompressSpec,
    "evaluate": EvaluateSpec,
    "export": ExportSpec,
}

ONE_RANK_KINDS = frozenset({"generate", "compress", "evaluate", "export"})
"""Kinds that do all their work on one rank."""


class Resources(ContractModel):
    """What a job occupies while it runs."""

    pool: str = Field("default", min_length=1, max_length=63, title="Pool")
    nodes: int = Field(1, ge=1, le=4096, title="Nodes")
    slots_per_node: int = Field(1, ge=1, le=1024, title="Slots per node", description="One rank runs on each slot.")
    min_nodes: int | None = Field(
        None, ge=1, le=4096, title="Fewest nodes", description="Elastic: goes on with so few; empty means `nodes`."
    )
    max_nodes: int | None = Field(
        None, ge=1, le=4096, title="Most nodes", description="Elastic: grows to so many; empty means `nodes`."
    )

    @field_validator("min_nodes")
    @classmethod
    def _at_most_nodes(cls, min_nodes: int | None, info: ValidationInfo) -> int | None:
        nodes = info.data.get("nodes")
        if min_nodes is not None and nodes is not None and min_nodes > nodes:
            raise ValueError(f"min_nodes={min_nodes} is above nodes={nodes}: min_nodes <= nodes <= max_nodes")
        return min_nodes

    @field_validator("max_nodes")
    @classmethod
    def _at_least_nodes(cls, max_nodes: int | None, info: ValidationInfo) -> int | None:
        nodes = info.data.get("nodes")
        if max_nodes is not None and nodes is not None and max_nodes < nodes:
            raise ValueError(f"max_nodes={max_nodes} is below nodes={nodes}: min_nodes <= nodes <= max_nodes")
        return max_nodes

    @property
    def world_size(self) -> int:
        """Ranks in the gang that the spec's batch is written for."""
        return self.nodes * self.slots_per_node

    @property
    def fewest(self) -> int:
        """Nodes that the job may go on with."""
        return self.min_nodes or self.nodes

    @property
    def most(self) -> int:
        """Nodes that the job may grow to."""
        return self.max_nodes or self.nodes
