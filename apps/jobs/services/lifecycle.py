"""The one place that writes ``Job.state``."""

from collections.abc import Sequence
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.accounts.models import User
from apps.cluster.wake import wake_scheduler
from apps.core import events, live
from apps.core.errors import IllegalTransition, NotFound, StaleFence
from apps.jobs import endings, stream
from apps.jobs.documents import Document, event_document, job_document, job_summary
from apps.jobs.models import Job
from apps.jobs.state import FINAL_STATES, TRANSITIONS, JobState

Actor = User | str | None
"""A user, a name such as ``node:n1``, or None for the system itself."""


def lock_job(job_id: UUID) -> Job:
    """Return the job under its row lock, which serialises API, scheduler and node reports.

    Every transaction that changes a job takes this lock first, then attempts and allocations, then the stream.

    Raises:
        NotFound: there is no such job.
    """
    rows = Job.objects.select_for_update(of=("self",), no_key=True).select_related(
        "project", "workspace", "owner", "stream", "output_version__model"
    )
    job = rows.filter(pk=job_id).first()
    if job is None:
        raise NotFound("There is no such job.")
    return job


@transaction.atomic
def advance_job(*, job_id: UUID, to: JobState, fence: int | None, reason: str = "", actor: Actor = None) -> Job:
    """Move a job to ``to`` and record the step.

    Repeating a step is a no-op, so a report may be delivered more than once. ``fence`` is None only for a user's own
    command. ``reason`` is one sentence for a person.

    Raises:
        StaleFence: the report comes from an attempt that is no longer the job's (HTTP 409).
        IllegalTransition: ``to`` is not reachable from the current state (HTTP 409).
    """
    job = lock_job(job_id)
    if fence is not None and fence != job.fence:  # before the no-op test: an old attempt's "running" must not pass
        raise StaleFence(reported=fence, current=job.fence)
    if job.state == to:
        return job
    before = job.state
    if to not in TRANSITIONS[before]:
        raise IllegalTransition(source=before, target=to)
    job.state, job.state_reason = to, reason
    _stamp(job, to)
    fields = ["state", "state_reason", "started_at", "ended_at", "phase", "phase_progress", "updated_at"]
    changed = Job.objects.filter(pk=job.pk, state=before, fence=job.fence).update(
        **{field: getattr(job, field) for field in fields[:-1]}, updated_at=timezone.now()
    )
    assert changed == 1, "the row is locked"
    if to in FINAL_STATES:
        endings.tell_of_end(job)
    announce(job, action="state", before={"state": before}, after={"state": str(to)}, reason=reason, actor=actor)
    wake_scheduler(job.pk)
    return job


def announce(
    job: Job,
    *,
    action: str,
    before: object = None,
    after: object = None,
    reason: str = "",
    actor: Actor = None,
    items: Sequence[Document] = (),
) -> int:
    """Record an event about a locked job and tell everybody who looks; return its number in the job's stream.

    ``items`` are further messages of the same transaction. Everything else must be written before, because this takes
    the number.
    """
    seq = stream.next_seq(job.pk)
    job.stream.last_seq = seq
    event = events.record(job, action=action, before=before, after=after, reason=reason, actor=actor, seq=seq)
    publish_job(job, seq, items=[{"kind": "event", "event": event_document(event)}, *items])
    return seq


def publish_job(job: Job, seq: int, *, items: Sequence[Document] = ()) -> None:
    """Send the job as it stands at ``seq`` to its page and to the list, after the commit."""
    stream.publish(job_id=job.pk, seq=seq, items=[*items, {"kind": "job", "job": job_document(job, seq=seq)}])
    message = {"kind": "job", "job": job_summary(job, seq=seq)}
    live.publish(stream.jobs_topic(job.workspace_id), {"messages": [[None, message]]})


@transaction.atomic
def explain_wait(*, job_id: UUID, reason: str) -> None:
    """Show why a queued job waits; no event, for nothing has happened to it."""
    job = lock_job(job_id)
    if job.state == JobState.QUEUED and job.state_reason != reason:
        job.state_reason = reason
        Job.objects.filter(pk=job.pk).update(state_reason=reason, updated_at=timezone.now())
        publish_job(job, stream.next_seq(job.pk))


def _stamp(job: Job, to: JobState) -> None:
    """Set the times and clear what belonged to the state that is left."""
    now = timezone.now()
    if to == JobState.RUNNING and job.started_at is None:
        job.started_at = now
    if to in FINAL_STATES:
        job.ended_at = now
    if to in FINAL_STATES or to == JobState.QUEUED:
        job.phase, job.phase_progress = "", None
