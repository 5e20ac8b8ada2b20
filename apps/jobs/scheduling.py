"""The scheduler: one short transaction per pass, one holder at a time, whatever number of processes runs it.

A pass ends leases that ran out, withdraws offers that nobody took, and places queued jobs: in each pool the oldest of
the highest priority first, a whole gang or nothing. A job that waits for slots keeps those behind it from overtaking,
unless nothing that is up now could ever hold it; so wide jobs do not starve, and a lost node does not stop a pool.
Everything is decided anew from the tables, so a pass that is lost costs a second.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import structlog
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now

from apps.cluster.services import mark_lost_nodes, placeable_devices
from apps.core import health
from apps.core.errors import DomainError
from apps.jobs.models import Allocation, Attempt, DeviceHold, Job
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
_MAX_EXPLAINED = 50
"""Most jobs whose waiting is explained anew in one pass; the next pass goes on."""


@dataclass(slots=True)
class PassReport:
    """What one pass did; ``is_leader`` is False when another scheduler was at work."""

    is_leader: bool = False
    placed: list[UUID] = field(default_factory=list)
    lost_nodes: list[str] = field(default_factory=list)
    expired: list[UUID] = field(default_factory=list)
    num_explained: int = 0


@dataclass(slots=True)
class NodeSlots:
    """A node that takes new jobs: all its devices, and those that are free, by index."""

    node_id: UUID
    num_devices: int = 0
    free: list[UUID] = field(default_factory=list)


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
    queued = Job.objects.filter(state=JobState.QUEUED, deleted_at=None).order_by("-priority", "queued_at", "id")
    fields = ("id", "number", "pool", "num_nodes", "slots_per_node", "state_reason")
    candidates = list(queued.only(*fields)[:_MAX_CANDIDATES])
    if not candidates:
        return
    pools = slots_by_pool()
    first_waiting: dict[str, Job] = {}
    for job in candidates:
        nodes = pools.get(job.pool, [])
        if (ahead := first_waiting.get(job.pool)) is not None:
            _explain(job, f"Waits behind job #{ahead.number} for pool {job.pool!r}.", report)
            continue
        shares = choose_shares(nodes, num_nodes=job.num_nodes, slots_per_node=job.slots_per_node)
        if shares is None:
            if could_ever_fit(nodes, num_nodes=job.num_nodes, slots_per_node=job.slots_per_node):
                first_waiting[job.pool] = job
            _explain(job, waiting_reason(job, nodes), report)
        elif _offer(job, shares):
            report.placed.append(job.pk)
            _take(nodes, shares)


def waiting_reason(job: Job, nodes: Sequence[NodeSlots]) -> str:
    """Say in a sentence why nothing can hold the job now. The words change rarely, so they are written rarely."""
    each = "a node" if job.num_nodes == 1 else f"each of {job.num_nodes} nodes"
    wanted = f"{job.slots_per_node} free slot{'s' if job.slots_per_node > 1 else ''} on {each} in pool {job.pool!r}"
    if not nodes:
        return f"Waits for {wanted}: no node of the pool is up and taking jobs."
    if not could_ever_fit(nodes, num_nodes=job.num_nodes, slots_per_node=job.slots_per_node):
        return f"Waits for {wanted}: too few nodes that large are up and taking jobs."
    return f"Waits for {wanted}."


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


def slots_by_pool() -> dict[str, list[NodeSlots]]:
    """Return the nodes that take new jobs, by pool, with their free devices."""
    held = set(DeviceHold.objects.filter(released_at=None).values_list("device_id", flat=True))
    nodes: dict[tuple[str, UUID], NodeSlots] = {}
    devices = placeable_devices().order_by("node__name", "index").values_list("node__pool__name", "node_id", "id")
    for pool_name, node_id, device_id in devices:
        slots = nodes.setdefault((pool_name, node_id), NodeSlots(node_id))
        slots.num_devices += 1
        if device_id not in held:
            slots.free.append(device_id)
    pools: dict[str, list[NodeSlots]] = {}
    for (pool_name, _), slots in nodes.items():
        pools.setdefault(pool_name, []).append(slots)
    return pools


def choose_shares(nodes: Sequence[NodeSlots], *, num_nodes: int, slots_per_node: int) -> list[NodeShare] | None:
    """Choose nodes for a whole gang, the fullest that have room first, so that wide jobs find empty ones; or None."""
    fitting = sorted((node for node in nodes if len(node.free) >= slots_per_node), key=lambda node: len(node.free))
    if len(fitting) < num_nodes:
        return None
    return [NodeShare(node.node_id, tuple(node.free[:slots_per_node])) for node in fitting[:num_nodes]]


def could_ever_fit(nodes: Sequence[NodeSlots], *, num_nodes: int, slots_per_node: int) -> bool:
    """Tell whether the nodes that are up now would hold the gang if they were empty."""
    return sum(1 for node in nodes if node.num_devices >= slots_per_node) >= num_nodes


def _take(nodes: Sequence[NodeSlots], shares: Sequence[NodeShare]) -> None:
    taken = {device_id for share in shares for device_id in share.device_ids}
    for node in nodes:
        node.free = [device_id for device_id in node.free if device_id not in taken]
