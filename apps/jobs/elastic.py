"""How large an elastic job's next attempt may be, and when a running one had better be larger.

Shrinking is never decided here: an attempt ends with a loss, and the next one takes what is there. Growing costs a stop
after saving and a new start, so it is done only when nobody waits for the slots, after the attempt has shown that it
trains, and not sooner than a cool-down after its start: a node that comes and goes must not take the job with it.
While it stops, what it will take is kept for it from every job that stands behind it in the queue.
"""

from collections.abc import Collection, Container, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db.models.functions import Now

from apps.jobs.models import Allocation, Attempt, Job
from apps.jobs.placement import NodeSlots, choose_gang, take
from apps.jobs.services import NodeShare, grow_job
from apps.jobs.state import AttemptState, JobState
from workers.contract.node_api import CLAIM_TIMEOUT_S, HEARTBEAT_S

_SMALLER_AFTER_FAILURES = 2
"""Failures in a row after which an elastic job tries fewer nodes: some of them may not reach each other."""
_SILENT_AFTER_S = 2 * HEARTBEAT_S
_AWAITED_S = CLAIM_TIMEOUT_S
"""Longest wait for ranks to be gone: what survives SIGKILL must not hold the pool up."""


def counts_now(job: Job) -> list[int]:
    """Return the numbers of nodes that the job's next attempt may have, fewest first."""
    counts: list[int] = job.node_counts
    last = job.attempt_nodes
    if job.infrastructure_failures >= _SMALLER_AFTER_FAILURES and last is not None:
        return [count for count in counts if count < last] or counts[:1]
    return counts


def awaited_nodes(job: Job) -> list[str]:
    """Name the nodes that beat and whose ranks of the attempt before are not known to be gone.

    They are about to be free: an elastic job that did not wait for them would begin smaller than it need be, and stop
    again to grow. And a gang whose peers were heard to complain would be offered the very node that has just died,
    until that one counts as silent. A node that is silent, or does not get rid of its ranks, is not waited for.
    """
    if job.attempt_nodes is None:
        return []
    return list(
        Allocation.objects.filter(
            attempt__job=job,
            attempt__ended_at__gt=Now() - timedelta(seconds=_AWAITED_S),
            released_at=None,
            node__lost_at=None,
            node__last_seen_at__gt=Now() - timedelta(seconds=_SILENT_AFTER_S),
        )
        .order_by("node__name")
        .values_list("node__name", flat=True)
    )


def grow_jobs(pools: Mapping[str, Sequence[NodeSlots]], *, contended: Container[str]) -> list[Job]:
    """Ask elastic jobs to stop after saving where free nodes let them go on larger; return those.

    ``contended`` are the pools in which a job waits: what is free there is not for those that run already.
    """
    ready = Attempt.objects.filter(
        state=AttemptState.RUNNING,
        job__state=JobState.RUNNING,
        job__node_counts__len__gt=1,
        job__first_step__isnull=False,
        started_at__lte=Now() - timedelta(seconds=settings.ELASTIC_COOLDOWN_S),
    )
    grown = []
    for attempt in ready.select_related("job").order_by("-job__priority", "job__queued_at", "job_id"):
        if attempt.job.pool in contended:
            continue
        nodes, own = pools.get(attempt.job.pool, []), _held_nodes(attempt)
        shares = _further_nodes(attempt.job, nodes, own)
        num_nodes = len(own) + len(shares)
        if num_nodes > attempt.num_nodes and grow_job(attempt=attempt, num_nodes=num_nodes):
            take(nodes, shares)
            grown.append(attempt.job)
    return grown


def growing_jobs() -> list[Job]:
    """Return the jobs that stop to grow."""
    return list(Job.objects.filter(state=JobState.PREEMPTING, node_counts__len__gt=1))


def reserve_growth(job: Job, nodes: Sequence[NodeSlots]) -> bool:
    """Count as held what a job that stops to grow will take of ``nodes``; tell whether that is anything.

    That includes what those of its ranks held that have ended already. Decided anew in each pass, so it needs no row,
    follows nodes that go and come, and ends with the job's own stop.
    """
    attempt = Attempt.objects.filter(job=job).exclude(state=AttemptState.ENDED).first()
    shares = _further_nodes(job, nodes, _held_nodes(attempt)) if attempt is not None else []
    take(nodes, shares)
    return bool(shares)


def _held_nodes(attempt: Attempt) -> set[UUID]:
    return set(attempt.allocations.filter(released_at=None).values_list("node_id", flat=True))


def _further_nodes(job: Job, nodes: Sequence[NodeSlots], own: Collection[UUID]) -> list[NodeShare]:
    """Choose nodes beside its ``own`` with which the job is as large as it can be; empty when there are none."""
    others = [node for node in nodes if node.node_id not in own]
    further = [count - len(own) for count in job.node_counts if count > len(own)]
    return choose_gang(others, counts=further, slots_per_node=job.slots_per_node) or []
