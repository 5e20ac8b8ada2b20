"""The scheduler: one short transaction per pass, one holder at a time, whatever number of processes runs it.

A pass ends leases that ran out, withdraws offers that nobody took, and places queued jobs: in each pool the oldest of
the highest priority first, a whole gang or nothing. A job that waits for slots keeps those behind it from overtaking,
unless nothing that is up now could ever hold it; so wide jobs do not starve, and a lost node does not stop a pool.
An elastic job takes as many nodes as are free within its bounds, and may grow when nobody waits (``elastic``).
Everything is decided anew from the tables, so a pass that is lost costs a second.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import structlog
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now

from apps.cluster.services import mark_lost_nodes
from apps.core import health
from apps.core.errors import DomainError
from apps.jobs.elastic import awaited_nodes, counts_now, grow_jobs, growing_jobs, reserve_growth
from apps.jobs.models import Allocation, Attempt, Job
from apps.jobs.placement import NodeSlots, choose_gang, could_ever_fit, slots_by_pool, take, waiting_reason
from apps.jobs.services import (
    Ending,
    NodeShare,
    end_attempt,
    explain_wait,
    lock_job,
    note_offer_expired,
    offer_attempt,
    release,
)
from apps.jobs.state import AttemptOutcome, AttemptState, JobState
from workers.contract.node_api import CLAIM_TIMEOUT_S

log = structlog.get_logger(__name__)

_LOCK_KEY = 0x636F78  # any number that nothing else locks
_MAX_CANDIDATES = 500
"""Most queued jobs that one pass looks at."""
_PLACEMENT_FIELDS = (
    "id", "number", "pool", "node_counts", "slots_per_node", "state_reason", "attempt_nodes", "infrastructure_failures",
    "state", "priority", "queued_at",
)  # fmt: skip
_ORDER = ("-priority", "queued_at", "id")
_MAX_EXPLAINED = 50
"""Most jobs whose waiting is explained anew in one pass; the next pass goes on."""


@dataclass(slots=True)
class PassReport:
    """What one pass did; ``is_leader`` is False when another scheduler was at work."""

    is_leader: bool = False
    placed: list[UUID] = field(default_factory=list)
    lost_nodes: list[str] = field(default_factory=list)
    expired: list[UUID] = field(default_factory=list)
    grown: list[UUID] = field(default_factory=list)
    num_explained: int = 0


@transaction.atomic
def run_pass() -> PassReport:
    """Run one pass; return at once when another scheduler holds the lock."""
    report = PassReport()
    if not _take_lock():
        return report
    report.is_leader = True
    _end_leases(report)
    _expire_offers(report)
    _place(report)
    return report


def _take_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK_KEY])
        row = cursor.fetchone()
    return bool(row and row[0])


def _end_leases(report: PassReport) -> None:
    """End what runs on nodes that were silent for a lease, while the control plane itself was up for one."""
    for node in mark_lost_nodes(stable_s=health.control_plane_stable_for()):
        report.lost_nodes.append(node.name)
        log.warning("node lost", node=node.name)
        held = Allocation.objects.filter(node=node, released_at=None).select_related("attempt").order_by("attempt__job")
        for allocation in held:
            job = lock_job(allocation.attempt.job_id)
            allocation.refresh_from_db(fields=["state", "released_at"])
            if allocation.released_at is not None:  # it has told its end meanwhile
                continue
            if allocation.state != AttemptState.ENDED:
                Allocation.objects.filter(pk=allocation.pk).update(
                    state=AttemptState.ENDED, outcome=AttemptOutcome.LOST
                )
            release(allocation)  # a node that is lost gets nothing; when it comes back its old ranks are ended first
            ending = Ending(AttemptOutcome.LOST, f"Node {node.name} was lost: nothing was heard from it.")
            end_attempt(job=job, attempt=allocation.attempt, ending=ending)


def _expire_offers(report: PassReport) -> None:
    overdue = Attempt.objects.filter(
        state=AttemptState.OFFERED, created_at__lt=Now() - timedelta(seconds=CLAIM_TIMEOUT_S)
    ).order_by("job_id")
    for attempt in overdue:
        job = lock_job(attempt.job_id)
        attempt.refresh_from_db()
        if attempt.state != AttemptState.OFFERED:
            continue
        unclaimed = attempt.allocations.filter(state=AttemptState.OFFERED).select_related("node")
        note_offer_expired(job, attempt, waiting=[allocation.node.name for allocation in unclaimed])
        report.expired.append(attempt.pk)


def _place(report: PassReport) -> None:
    """Place queued jobs; what is free after that in pools where nobody waits lets elastic jobs grow.

    A job that stops to grow stands among the queued ones, by the same order, for what it will take.
    """
    queued = Job.objects.filter(state=JobState.QUEUED, deleted_at=None).order_by(*_ORDER)
    candidates = list(queued.only(*_PLACEMENT_FIELDS)[:_MAX_CANDIDATES])
    elastic = Job.objects.filter(state=JobState.RUNNING, node_counts__len__gt=1)
    if not candidates and not elastic.exists():
        return
    pools = slots_by_pool()
    first_waiting: dict[str, Job] = {}
    growing: dict[str, Job] = {}
    for job in sorted([*candidates, *growing_jobs()], key=lambda job: (-job.priority, job.queued_at, job.pk)):
        nodes = pools.get(job.pool, [])
        if job.state == JobState.PREEMPTING:
            if reserve_growth(job, nodes):
                growing[job.pool] = job
        elif (ahead := first_waiting.get(job.pool)) is not None:
            _explain(job, f"Waits behind job #{ahead.number} for pool {job.pool!r}.", report)
        elif _place_one(job, nodes, report, growing.get(job.pool)):
            first_waiting[job.pool] = job
    report.grown = [job.pk for job in grow_jobs(pools, contended=first_waiting)]


def _place_one(job: Job, nodes: Sequence[NodeSlots], report: PassReport, growing: Job | None) -> bool:
    """Place a job if it fits; True when what is free in its pool is to be left to it.

    ``growing`` stops to grow into what is free, and stands before the job.
    """
    if awaited := awaited_nodes(job):
        _explain(job, f"Waits for its earlier ranks on {', '.join(awaited)} to end.", report)
        return True
    counts = counts_now(job)
    shares = choose_gang(nodes, counts=counts, slots_per_node=job.slots_per_node)
    if shares is None:
        _explain(job, waiting_reason(job, nodes, growing=growing), report)
        return could_ever_fit(nodes, num_nodes=counts[0], slots_per_node=job.slots_per_node)
    if _offer(job, shares):
        report.placed.append(job.pk)
        take(nodes, shares)
    return False


def _explain(job: Job, reason: str, report: PassReport) -> None:
    """Show why a job waits, when that has changed; a bounded number in one pass."""
    if job.state_reason == reason or report.num_explained >= _MAX_EXPLAINED:
        return
    report.num_explained += 1
    explain_wait(job_id=job.pk, reason=reason)


def _offer(job: Job, shares: Sequence[NodeShare]) -> bool:
    try:
        with transaction.atomic():
            offer_attempt(job_id=job.pk, shares=shares)
    except (DomainError, IntegrityError) as error:  # cancelled, or a device was taken, since it was read
        log.info("not placed", job=str(job.pk), error=str(error))
        return False
    return True
