"""Reading jobs: who sees what, in a constant number of queries."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.db.models import F, Q, QuerySet

from apps.accounts.selectors import AnyUser, in_visible_workspaces
from apps.core.errors import NotFound, StaleFence
from apps.core.models import Event
from apps.datasets.models import Dataset
from apps.jobs.models import Allocation, Attempt, Checkpoint, Job
from apps.jobs.state import ACTIVE_STATES, AttemptState, JobState
from apps.model_registry.models import ModelVersion
from apps.storage.models import FileSetEntry


def visible_jobs(user: AnyUser) -> QuerySet[Job]:
    """Select the jobs of the user's workspaces that are not deleted, with all that describes them."""
    rows = in_visible_workspaces(Job.objects.filter(deleted_at=None), user)
    return rows.select_related("project", "workspace", "owner", "stream", "output_version__model")


def changed_jobs(*, workspace_ids: Collection[UUID], since: datetime, limit: int) -> list[Job]:
    """Return what lists show of jobs that changed after ``since``: those that go on, and those that ended since."""
    rows = Job.objects.filter(workspace_id__in=workspace_ids, deleted_at=None).order_by()
    # two small sets by their own indexes: one condition over both would read every job
    going_on = rows.filter(state__in=ACTIVE_STATES, updated_at__gte=since)
    ended = rows.filter(ended_at__gte=since)
    ids = {*going_on.values_list("pk", flat=True)[:limit], *ended.values_list("pk", flat=True)[:limit]}
    found = Job.objects.filter(pk__in=ids).order_by("-id")[:limit]
    return list(found.select_related("project", "workspace", "owner", "stream", "output_version__model"))


def events_of(job_id: UUID) -> QuerySet[Event]:
    """Select what happened to a job, oldest first."""
    return Event.objects.filter(object_id=job_id, object_type="jobs.job").order_by("id")


def attempts_of(job_id: UUID) -> QuerySet[Attempt]:
    """Select a job's attempts with what they held, newest first."""
    return (
        Attempt.objects.filter(job_id=job_id)
        .select_related("resume_checkpoint")
        .prefetch_related("allocations__node", "allocations__holds__device")
        .order_by("-number")
    )


def checkpoints_of(job_id: UUID) -> QuerySet[Checkpoint]:
    """Select a job's checkpoints, newest first, those that were dropped included."""
    return Checkpoint.objects.filter(job_id=job_id).select_related("attempt", "file_set").order_by("-step", "-id")


def current_allocation(*, allocation_id: UUID, node_id: UUID) -> Allocation:
    """Return one of the node's own allocations whose attempt goes on.

    Raises:
        NotFound: there is none, or another node's.
        StaleFence: the attempt is over (HTTP 409).
    """
    rows = Allocation.objects.select_related(
        "attempt__job__workspace",
        "attempt__job__dataset_version__file_set",
        "attempt__job__input_version__file_set",
        "attempt__job__reference_version__file_set",
        "attempt__job__source_file_set",
        "attempt__resume_checkpoint__file_set",
    )
    allocation = rows.filter(pk=allocation_id, node_id=node_id).first()
    if allocation is None:
        raise NotFound("There is no such allocation.")
    job = allocation.attempt.job
    if allocation.attempt.state == AttemptState.ENDED or allocation.fence != job.fence:
        raise StaleFence(reported=allocation.fence, current=job.fence)
    return allocation


def running_on_nodes() -> QuerySet[Allocation]:
    """Select allocations that hold devices now, with their jobs."""
    return (
        Allocation.objects.filter(released_at=None)
        .select_related("attempt__job", "node")
        .prefetch_related("holds__device")
        .order_by("node_id", "id")
    )


def queued_in_pool(pool: str) -> QuerySet[Job]:
    """Select a pool's queue in the order in which it is served."""
    return Job.objects.filter(state=JobState.QUEUED, pool=pool, deleted_at=None).order_by(
        F("priority").desc(), "queued_at", "id"
    )


def files_of(job: Job) -> QuerySet[FileSetEntry]:
    """Select the files of a job's model, of its living checkpoints, and what its newest attempt with output left."""
    file_sets = Checkpoint.objects.filter(job=job, deleted_at=None).values("file_set_id")
    made = Q(file_set_id__in=file_sets)
    if job.output_version is not None:
        made |= Q(file_set_id=job.output_version.file_set_id)
    made |= Q(file_set_id__in=[file_set for file_set, _ in _outputs(job.pk)])
    return FileSetEntry.objects.filter(made).select_related("artifact").order_by("id")


def output_nodes(job_id: UUID) -> dict[UUID, int]:
    """Return the node rank that left each set of output files."""
    return {file_set: node_rank for file_set, node_rank in reversed(_outputs(job_id))}


def _outputs(job_id: UUID) -> list[tuple[UUID, int]]:
    """List sets of output files by node rank, of the newest attempt that left any."""
    rows = Allocation.objects.filter(attempt__job_id=job_id, output_file_set__isnull=False)
    newest = rows.order_by("-attempt__number").values_list("attempt_id", flat=True).first()
    if newest is None:
        return []
    found = rows.filter(attempt_id=newest).order_by("node_rank").values_list("output_file_set_id", "node_rank")
    return [(file_set, node_rank) for file_set, node_rank in found if file_set is not None]


def checkpoint_steps(job_id: UUID) -> dict[UUID, int]:
    """Return the step of each living checkpoint by its set of files."""
    return dict(Checkpoint.objects.filter(job_id=job_id, deleted_at=None).values_list("file_set_id", "step"))


def jobs_reading_dataset(dataset: Dataset) -> str:
    """Say which jobs that have not ended train on a dataset; empty when none does."""
    names = _unfinished(Q(dataset_version__dataset=dataset))
    return f"Jobs that have not ended train on {dataset}: {names}." if names else ""


def jobs_reading_version(version: ModelVersion) -> str:
    """Say which jobs that have not ended read a model version; empty when none does."""
    names = _unfinished(Q(input_version=version) | Q(reference_version=version))
    return f"Jobs that have not ended read {version}: {names}." if names else ""


def _unfinished(condition: Q) -> str:
    """Name the first three of the jobs that match and go on."""
    jobs = Job.objects.filter(condition, state__in=ACTIVE_STATES).only("name", "number").order_by("id")[:4]
    names = [str(job) for job in jobs]
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
