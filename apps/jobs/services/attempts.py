"""Attempts: offered to nodes, claimed whole or not at all, ended once, and what an end means for the job."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from apps.cluster.wake import wake_scheduler
from apps.core.errors import IllegalTransition
from apps.jobs import hints
from apps.jobs.models import Allocation, Attempt, Checkpoint, DeviceHold, Job
from apps.jobs.services.checkpoints import drop_parts
from apps.jobs.services.lifecycle import advance_job, announce, lock_job
from apps.jobs.services.results import store_result
from apps.jobs.state import FINAL_STATES, AttemptOutcome, AttemptState, JobState
from workers.contract.run import FailureKind

MAX_INFRASTRUCTURE_FAILURES = 3
"""In a row without a new checkpoint: a job that kills its hosts would loop for ever."""


@dataclass(frozen=True, slots=True)
class NodeShare:
    """What a placement takes of one node."""

    node_id: UUID
    device_ids: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ended, and why."""

    outcome: AttemptOutcome
    reason: str = ""
    failure_kind: FailureKind | None = None
    traceback: str = ""


@transaction.atomic
def offer_attempt(*, job_id: UUID, shares: Sequence[NodeShare]) -> Attempt:
    """Start a new attempt under the next fence and offer its allocations; the first share gets node rank 0.

    Raises:
        IllegalTransition: the job is not queued any more.
        IntegrityError: a device is held by somebody else; the database refuses double placement.
    """
    job = lock_job(job_id)
    if job.state != JobState.QUEUED:
        raise IllegalTransition(source=job.state, target=JobState.STARTING)
    job.fence += 1
    checkpoint = newest_checkpoint(job)
    before = job.attempt_nodes
    Job.objects.filter(pk=job.pk).update(
        fence=job.fence,
        attempt_nodes=len(shares),
        step=checkpoint.step if checkpoint else 0,
        first_step=None,
        first_step_at=None,
    )
    attempt = Attempt.objects.create(
        job=job,
        number=job.fence,
        fence=job.fence,
        num_nodes=len(shares),
        resume_checkpoint=checkpoint,
        started_at=timezone.now(),
    )
    for node_rank, share in enumerate(shares):
        allocation = Allocation.objects.create(
            attempt=attempt, node_id=share.node_id, node_rank=node_rank, fence=attempt.fence
        )
        DeviceHold.objects.bulk_create(
            [DeviceHold(allocation=allocation, device_id=device_id) for device_id in share.device_ids]
        )
    allocations = list(attempt.allocations.select_related("node").order_by("node_rank"))
    places = ", ".join(allocation.node.name for allocation in allocations)
    advance_job(job_id=job.pk, to=JobState.STARTING, fence=job.fence, reason=f"Attempt {attempt.number} on {places}.")
    if before not in {None, attempt.num_nodes}:
        reason = "More nodes are free." if attempt.num_nodes > (before or 0) else "It goes on with those that are left."
        announce(job, action="resized", before={"nodes": before}, after={"nodes": attempt.num_nodes}, reason=reason)
    for allocation in allocations:
        hints.hint_offer(node_name=allocation.node.name, allocation_id=allocation.pk)
    return attempt


def newest_checkpoint(job: Job) -> Checkpoint | None:
    """Return what the next attempt goes on from."""
    return Checkpoint.objects.filter(job=job, deleted_at=None).order_by("-step", "-id").first()


def end_attempt(*, job: Job, attempt: Attempt, ending: Ending, actor: str | None = None) -> None:
    """End an open attempt of a locked job and move the job on. A second end is a no-op.

    Devices whose ranks may still run stay held until their agent says that they are gone, or is lost itself.
    """
    ended = Attempt.objects.filter(pk=attempt.pk).exclude(state=AttemptState.ENDED)
    if not ended.update(
        state=AttemptState.ENDED,
        outcome=ending.outcome,
        reason=ending.reason,
        traceback=ending.traceback,
        ended_at=timezone.now(),
        updated_at=timezone.now(),
    ):
        return
    drop_parts(attempt)
    for allocation in attempt.allocations.select_related("node").exclude(state=AttemptState.ENDED):
        was_offered = allocation.state == AttemptState.OFFERED
        Allocation.objects.filter(pk=allocation.pk).update(state=AttemptState.ENDED, updated_at=timezone.now())
        if was_offered:
            release(allocation)
        else:
            hints.hint_news(node_name=allocation.node.name, allocation_id=allocation.pk)
    _settle(job, attempt, ending, actor)


def release(allocation: Allocation) -> None:
    """Free an allocation's devices; a second release is a no-op."""
    if Allocation.objects.filter(pk=allocation.pk, released_at=None).update(released_at=Now()):
        DeviceHold.objects.filter(allocation=allocation, released_at=None).update(released_at=Now())
        wake_scheduler(allocation.pk)


def _settle(job: Job, attempt: Attempt, ending: Ending, actor: str | None) -> None:
    """Move the job to where the end of its attempt leaves it."""
    if ending.outcome == AttemptOutcome.SUCCEEDED:
        _succeed(job, attempt, actor)
        return
    if _is_users_fault(ending):
        _advance(job, JobState.FAILED, ending.reason, actor)
        return
    if job.state == JobState.CANCELLING:
        _advance(job, JobState.CANCELLED, _cancel_reason(job, ending), actor)
        return
    if ending.outcome == AttemptOutcome.UNCLAIMED or (
        job.state == JobState.PREEMPTING and ending.outcome in {AttemptOutcome.STOPPED, AttemptOutcome.KILLED}
    ):
        _advance(job, JobState.QUEUED, ending.reason, actor)
        return
    _retry(job, ending, actor)


def _succeed(job: Job, attempt: Attempt, actor: str | None) -> None:
    """Store the result and end the job, in one transaction: no succeeded job without its version."""
    problem = store_result(job=job, attempt=attempt)
    if problem:
        _advance(job, JobState.CANCELLED if job.state == JobState.CANCELLING else JobState.ERROR, problem, actor)
        return
    if job.state == JobState.STARTING:  # it was over before anybody could say that it ran
        _advance(job, JobState.RUNNING, "", actor)
    _advance(job, JobState.SUCCEEDED, "", actor)


def _retry(job: Job, ending: Ending, actor: str | None) -> None:
    """Queue the job again, unless infrastructure has failed it too often in a row without progress."""
    failures = job.infrastructure_failures + 1
    Job.objects.filter(pk=job.pk).update(infrastructure_failures=failures)
    reason = ending.reason or f"The attempt was {ending.outcome.label.lower()}."
    if failures >= MAX_INFRASTRUCTURE_FAILURES:
        reason = f"{failures} attempts in a row ended without a new checkpoint; the last one: {reason}"
        _advance(job, JobState.ERROR, reason, actor)
        return
    _advance(job, JobState.QUEUED, reason, actor)


def _advance(job: Job, to: JobState, reason: str, actor: str | None) -> None:
    current = advance_job(job_id=job.pk, to=to, fence=job.fence, reason=reason, actor=actor)
    job.state = current.state


def _is_users_fault(ending: Ending) -> bool:
    return ending.outcome == AttemptOutcome.FAILED and ending.failure_kind == FailureKind.USER


def _cancel_reason(job: Job, ending: Ending) -> str:
    if ending.outcome == AttemptOutcome.LOST:
        return "Its node was lost while it was being cancelled."
    if ending.reason and not job.kill_requested:
        return ending.reason  # it did not obey, or is a script, and its node says how it ended
    return "Killed." if job.kill_requested else "Stopped at a step boundary after saving."


def note_offer_expired(job: Job, attempt: Attempt, *, waiting: Sequence[str]) -> None:
    """End an attempt that was not wholly claimed in time; ``waiting`` names the nodes that did not."""
    names = ", ".join(waiting)
    end_attempt(
        job=job,
        attempt=attempt,
        ending=Ending(AttemptOutcome.UNCLAIMED, f"Attempt {attempt.number} was not claimed in time by {names}."),
    )
    for allocation in attempt.allocations.filter(released_at=None):
        release(allocation)  # without its gang nothing was launched


def note_late_cause(*, job: Job, attempt: Attempt, ending: Ending, actor: str) -> None:
    """Let the user's failure that a node told late decide about a job that was queued again for what its peers saw.

    It counts for the attempt that has just failed, whatever has become of the job since; a lost node's words do not.
    """
    is_last = job.fence - attempt.fence <= 1
    if not is_last or attempt.outcome != AttemptOutcome.FAILED or job.state in FINAL_STATES:
        return
    Attempt.objects.filter(pk=attempt.pk).update(reason=ending.reason, traceback=ending.traceback)
    later = Attempt.objects.filter(job=job).exclude(state=AttemptState.ENDED).first()
    if later is None:
        _settle(job, attempt, ending, actor)
    else:
        end_attempt(job=job, attempt=later, ending=ending, actor=actor)


def note_attempt_running(job: Job, attempt: Attempt, actor: str) -> None:
    """Every node of the gang has started its ranks."""
    Attempt.objects.filter(pk=attempt.pk).exclude(state=AttemptState.ENDED).update(state=AttemptState.RUNNING)
    if job.state == JobState.STARTING:
        _advance(job, JobState.RUNNING, "", actor)
    else:  # being cancelled already: the ranks run all the same until they are told
        announce(job, action="attempt.running", after={"attempt": attempt.number}, actor=actor)
