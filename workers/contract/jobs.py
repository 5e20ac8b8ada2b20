"""The union of job kinds, and what a job asks of the cluster."""

from typing import Annotated

from pydantic import Field, TypeAdapter

from workers.contract.base import ContractModel
from workers.contract.generation import GenerateSpec
from workers.contract.training import TrainSpec

# A new kind is one more member here; tests assert that each has a handler in workers.runtime.jobs.
JobSpec = Annotated[TrainSpec | GenerateSpec, Field(discriminator="kind")]

JOB_SPEC_ADAPTER: TypeAdapter[TrainSpec | GenerateSpec] = TypeAdapter(JobSpec)

JOB_KINDS: dict[str, type[TrainSpec | GenerateSpec]] = {"train": TrainSpec, "generate": GenerateSpec}


class Resources(ContractModel):
    """What a job occupies while it runs."""

    pool: str = Field("default", min_length=1, max_length=63, title="Pool")
    nodes: int = Field(1, ge=1, le=4096, title="Nodes")
    slots_per_node: int = Field(1, ge=1, le=1024, title="Slots per node", description="One rank runs on each slot.")

    @property
    def world_size(self) -> int:
        """Ranks in the gang."""
        return self.nodes * self.slots_per_node
