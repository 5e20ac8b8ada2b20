"""What users do with a job that is there: cancel, kill, delete."""

from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.accounts.models import User
from apps.core.errors import IllegalTransition
from apps.jobs import hints
from apps.jobs.errors import JobActive
from apps.jobs.models import Attempt, Checkpoint, Job
from apps.jobs.services.attempts import Ending, end_attempt
from apps.jobs.services.lifecycle import advance_job, announce, lock_job
from apps.jobs.state import FINAL_STATES, AttemptOutcome, AttemptState, JobState


@transaction.atomic
def cancel_job(*, job_id: UUID, actor: User | None = None) -> Job:
    """Stop a job: at once while it waits, else at a step boundary after saving. Cancelling twice is a no-op.

    Raises:
        NotFound: there is no such job.
        IllegalTransition: it has ended (HTTP 409).
    """
    job = lock_job(job_id)
    if job.state == JobState.QUEUED:
        return advance_job(job_id=job_id, to=JobState.CANCELLED, fence=None, reason="Cancelled.", actor=actor)
    if job.state in FINAL_STATES and job.state != JobState.CANCELLED:
        raise IllegalTransition(
            f"The job has ended: {job.state}.", source=job.state, target=JobState.CANCELLING, remedy="Nothing to do."
        )
    if job.state in {JobState.CANCELLING, JobState.CANCELLED}:
        return job
    job = advance_job(job_id=job_id, to=JobState.CANCELLING, fence=None, reason="Stopping after saving.", actor=actor)
    return _tell_nodes(job)


@transaction.atomic
def kill_job(*, job_id: UUID, actor: User | None = None) -> Job:
    """End a job now, without saving; also one that is being cancelled.

    Raises:
        NotFound: there is no such job.
        IllegalTransition: it has ended (HTTP 409).
    """
    job = cancel_job(job_id=job_id, actor=actor)
    if job.state != JobState.CANCELLING or job.kill_requested:
        return job
    job.kill_requested, job.state_reason = True, "Being killed."
    Job.objects.filter(pk=job.pk).update(kill_requested=True, state_reason=job.state_reason, updated_at=timezone.now())
    announce(job, action="kill", after={"kill_requested": True}, actor=actor)
    return _tell_nodes(job)


@transaction.atomic
def delete_job(*, job_id: UUID, actor: User | None = None) -> None:
    """Hide a job that has ended; its checkpoints are collected, its model version stays.

    Raises:
        NotFound: there is no such job.
        JobActive: it has not ended (HTTP 409).
    """
    job = lock_job(job_id)
    if job.state not in FINAL_STATES:
        raise JobActive(f"The job is {job.state}.")
    if job.deleted_at is not None:
        return
    job.deleted_at = timezone.now()
    Job.objects.filter(pk=job.pk).update(deleted_at=job.deleted_at, updated_at=job.deleted_at)
    Checkpoint.objects.filter(job=job, deleted_at=None).update(deleted_at=job.deleted_at)
    announce(job, action="deleted", actor=actor)


def _tell_nodes(job: Job) -> Job:
    """Hint the nodes of the open attempt; when none of them has claimed yet, end it here and now."""
    attempt = Attempt.objects.filter(job=job).exclude(state=AttemptState.ENDED).first()
    if attempt is None:
        return job
    allocations = list(attempt.allocations.select_related("node").exclude(state=AttemptState.ENDED))
    if all(allocation.state == AttemptState.OFFERED for allocation in allocations):
        end_attempt(job=job, attempt=attempt, ending=Ending(AttemptOutcome.KILLED, "Cancelled before it was claimed."))
        return lock_job(job.pk)
    for allocation in allocations:
        hints.hint_news(node_name=allocation.node.name, allocation_id=allocation.pk)
    return job
