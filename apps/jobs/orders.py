"""Launch orders: all that a node needs to start its ranks. Pure reading; a claimed gang only."""

from typing import Literal
from uuid import UUID

from django.db.models import QuerySet

from apps.jobs.models import Allocation, Attempt
from apps.jobs.state import ACTIVE_STATES, AttemptState
from apps.model_registry.models import ModelVersion
from apps.storage.models import FileSet
from apps.storage.selectors import file_refs
from workers.contract.elastic import spec_on
from workers.contract.node_api import InputRef, LaunchOrder
from workers.contract.upgrades import load_spec


def open_allocations(node_id: UUID) -> QuerySet[Allocation]:
    """Select the node's allocations of attempts that go on, with all that an order needs."""
    return (
        Allocation.objects.filter(node_id=node_id, released_at=None)
        .exclude(state=AttemptState.ENDED)
        .filter(attempt__job__state__in=ACTIVE_STATES)
        .exclude(attempt__state=AttemptState.ENDED)
        .select_related(
            "attempt__job__dataset_version__dataset",
            "attempt__job__dataset_version__file_set",
            "attempt__job__input_version__model",
            "attempt__job__input_version__file_set",
            "attempt__job__reference_version__model",
            "attempt__job__reference_version__file_set",
            "attempt__job__source_file_set",
            "attempt__resume_checkpoint__file_set",
        )
        .order_by("id")
    )


def launch_order(allocation: Allocation) -> LaunchOrder | None:
    """Return the node's order; None while other nodes of the gang have not claimed."""
    attempt, job = allocation.attempt, allocation.attempt.job
    if attempt.state not in {AttemptState.CLAIMED, AttemptState.RUNNING} or attempt.master_port is None:
        return None
    indices = allocation.holds.order_by("device__index").values_list("device__index", flat=True)
    return LaunchOrder(
        allocation_id=allocation.pk,
        job_id=job.pk,
        attempt_id=attempt.pk,
        attempt_number=attempt.number,
        fence=attempt.fence,
        spec=spec_on(load_spec(job.spec), nodes=job.num_nodes, num_nodes=attempt.num_nodes),
        node_rank=allocation.node_rank,
        num_nodes=attempt.num_nodes,
        slots_per_node=job.slots_per_node,
        device_indices=tuple(indices),
        master_addr=attempt.master_addr,
        master_port=attempt.master_port,
        inputs=inputs_of(attempt),
    )


def inputs_of(attempt: Attempt) -> tuple[InputRef, ...]:
    """Name the sets of files that the attempt's ranks read."""
    job = attempt.job
    inputs = []
    if job.dataset_version is not None:
        file_set = job.dataset_version.file_set
        inputs.append(
            InputRef(role="dataset", name=str(job.dataset_version), digest=file_set.digest, files=file_refs(file_set))
        )
    if job.input_version is not None:
        inputs.append(_version_ref("model", job.input_version))
    if job.reference_version is not None:
        inputs.append(_version_ref("reference", job.reference_version))
    if job.source_file_set is not None:
        source = job.source_file_set
        inputs.append(InputRef(role="source", name="source", digest=source.digest, files=file_refs(source)))
    if attempt.resume_checkpoint is not None:
        checkpoint = attempt.resume_checkpoint
        inputs.append(
            InputRef(
                role="checkpoint",
                name=f"step-{checkpoint.step}",
                digest=checkpoint.file_set.digest,
                files=file_refs(checkpoint.file_set),
                step=checkpoint.step,
            )
        )
    return tuple(inputs)


def _version_ref(role: Literal["model", "reference"], version: ModelVersion) -> InputRef:
    file_set = version.file_set
    return InputRef(role=role, name=str(version), digest=file_set.digest, files=file_refs(file_set))


def input_file_sets(attempt: Attempt) -> list[FileSet]:
    """Return what a node may read for this attempt."""
    job = attempt.job
    owners = (job.dataset_version, job.input_version, job.reference_version, attempt.resume_checkpoint)
    sets = [owner.file_set for owner in owners if owner is not None]
    return [*sets, *([job.source_file_set] if job.source_file_set is not None else [])]
