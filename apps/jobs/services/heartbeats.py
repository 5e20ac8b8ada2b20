"""Heartbeats: the lease is renewed, what the node holds is compared with what we think, and everything open is said."""

from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from apps.cluster.services import record_heartbeat
from apps.core.clock import db_now
from apps.jobs import orders
from apps.jobs.models import Allocation
from apps.jobs.services.attempts import Ending, end_attempt, release
from apps.jobs.services.lifecycle import lock_job
from apps.jobs.services.reports import wish_of
from apps.jobs.state import AttemptOutcome, AttemptState
from workers.contract.node_api import (
    CLAIM_TIMEOUT_S,
    HEARTBEAT_S,
    HeartbeatReply,
    HeartbeatRequest,
    LaunchOrder,
    Offer,
    Wish,
    WishKind,
)


def answer_heartbeat(*, node_id: UUID, request: HeartbeatRequest) -> HeartbeatReply:
    """Renew the node's lease and repeat every open offer, order and wish, so that a lost hint costs one heartbeat.

    Raises:
        ContractMismatch: the agent speaks a protocol that this server does not (HTTP 426).
    """
    record_heartbeat(node_id=node_id, request=request)
    _reconcile(node_id, request)
    return _everything_open(node_id)


def _reconcile(node_id: UUID, request: HeartbeatRequest) -> None:
    """Act on what the node does not hold any more: its ranks are gone, so the attempt is lost and the devices free."""
    now = db_now()
    held = {status.allocation_id for status in request.allocations if status.state != "ended"}
    for allocation in Allocation.objects.filter(node_id=node_id, released_at=None).exclude(pk__in=held):
        if _is_gone(allocation, now):
            _give_up(allocation.pk)


def _is_gone(allocation: Allocation, now: datetime) -> bool:
    """Tell whether silence about an allocation means that its ranks are gone.

    A claim may be on its way, so a claimed one has time; the order is repeated until then. One that ended here has a
    heartbeat's time, because its agent may be about to launch it.
    """
    if allocation.state == AttemptState.OFFERED or allocation.claimed_at is None:
        return False
    if allocation.state == AttemptState.ENDED:
        return now - allocation.updated_at > timedelta(seconds=HEARTBEAT_S)
    if allocation.state == AttemptState.CLAIMED:
        return now - allocation.claimed_at > timedelta(seconds=CLAIM_TIMEOUT_S)
    return now - allocation.claimed_at > timedelta(seconds=HEARTBEAT_S)


@transaction.atomic
def _give_up(allocation_id: UUID) -> None:
    allocation = Allocation.objects.select_related("attempt", "node").get(pk=allocation_id)
    job = lock_job(allocation.attempt.job_id)
    allocation.refresh_from_db(from_queryset=Allocation.objects.select_related("attempt", "node"))
    release(allocation)
    if allocation.state != AttemptState.ENDED:
        Allocation.objects.filter(pk=allocation.pk).update(state=AttemptState.ENDED, outcome=AttemptOutcome.LOST)
        reason = f"Node {allocation.node.name} no longer holds its ranks: its agent was restarted."
        ending = Ending(AttemptOutcome.LOST, reason)
        end_attempt(job=job, attempt=allocation.attempt, ending=ending, actor=f"node:{allocation.node.name}")


def _everything_open(node_id: UUID) -> HeartbeatReply:
    offers: list[Offer] = []
    launch_orders: list[LaunchOrder] = []
    wishes: list[Wish] = []
    live: list[UUID] = []
    for allocation in orders.open_allocations(node_id):
        wish = wish_of(allocation.attempt.job)
        live.append(allocation.pk)
        if wish is not None:
            wishes.append(Wish(allocation_id=allocation.pk, fence=allocation.fence, kind=WishKind(wish)))
        elif allocation.state == AttemptState.OFFERED:
            offers.append(Offer(allocation_id=allocation.pk, fence=allocation.fence))
        elif allocation.state == AttemptState.CLAIMED and (order := orders.launch_order(allocation)) is not None:
            launch_orders.append(order)
    return HeartbeatReply(offers=tuple(offers), orders=tuple(launch_orders), wishes=tuple(wishes), live=tuple(live))
