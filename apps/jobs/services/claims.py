"""Claims: a node takes what it was offered. The whole gang, or nobody."""

from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from apps.core.errors import NotFound, StaleFence
from apps.jobs import hints, orders
from apps.jobs.errors import NotClaimable
from apps.jobs.models import Allocation, Attempt, Job
from apps.jobs.services.lifecycle import announce, lock_job
from apps.jobs.state import AttemptState
from workers.contract.node_api import LEASE_S, ClaimReply, ClaimRequest


@transaction.atomic
def claim_allocation(*, allocation_id: UUID, node_id: UUID, request: ClaimRequest) -> ClaimReply:
    """Give the allocation to its node. Claiming again answers the same, so a lost reply costs nothing.

    Raises:
        NotFound: this node has no such allocation.
        StaleFence: the attempt is over (HTTP 409).
        NotClaimable: the node's lease has run out (HTTP 409).
    """
    allocation = find_allocation(allocation_id=allocation_id, node_id=node_id)
    job = lock_job(allocation.attempt.job_id)
    is_first_claim = _take(allocation, request)
    allocation.refresh_from_db(from_queryset=Allocation.objects.select_related("attempt", "node"))
    attempt = allocation.attempt
    is_over = AttemptState.ENDED in {attempt.state, allocation.state}
    if is_over or request.fence != attempt.fence or attempt.fence != job.fence:
        raise StaleFence(reported=request.fence, current=job.fence)
    if allocation.state == AttemptState.OFFERED:
        raise NotClaimable(f"The lease of {allocation.node.name} has run out.")
    if allocation.node_rank == 0 and attempt.state == AttemptState.OFFERED:
        attempt.master_addr, attempt.master_port = request.master_addr, request.master_port
        attempt.save(update_fields=["master_addr", "master_port", "updated_at"])
    if is_first_claim:
        _complete_gang(job, attempt, allocation)
    claimed = orders.open_allocations(node_id).filter(pk=allocation.pk).first()
    return ClaimReply(order=orders.launch_order(claimed) if claimed else None)


def find_allocation(*, allocation_id: UUID, node_id: UUID) -> Allocation:
    """Return one of the node's own allocations.

    Raises:
        NotFound: there is none, or another node's.
    """
    rows = Allocation.objects.select_related("attempt", "node")
    allocation = rows.filter(pk=allocation_id, node_id=node_id).first()
    if allocation is None:
        raise NotFound("There is no such allocation.")
    return allocation


def _take(allocation: Allocation, request: ClaimRequest) -> bool:
    """Claim by one UPDATE on state, fence and a living node; tell whether it was this call that claimed."""
    offered = Allocation.objects.filter(
        pk=allocation.pk,
        state=AttemptState.OFFERED,
        fence=request.fence,
        node__lost_at=None,
        node__last_seen_at__gt=Now() - timedelta(seconds=LEASE_S),
    )
    return offered.update(state=AttemptState.CLAIMED, claimed_at=Now(), updated_at=Now()) == 1


def _complete_gang(job: Job, attempt: Attempt, allocation: Allocation) -> None:
    """When the last node has claimed, the attempt is claimed and the others are told to fetch their orders."""
    if attempt.allocations.filter(state=AttemptState.OFFERED).exists():
        return
    Attempt.objects.filter(pk=attempt.pk, state=AttemptState.OFFERED).update(state=AttemptState.CLAIMED)
    attempt.state = AttemptState.CLAIMED
    for peer in attempt.allocations.exclude(pk=allocation.pk).select_related("node"):
        hints.hint_news(node_name=peer.node.name, allocation_id=peer.pk)
    announce(job, action="attempt.claimed", after={"attempt": attempt.number}, actor=f"node:{allocation.node.name}")
