"""Cluster commands: who may join, what a node is made of, and whether it takes new jobs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from apps.accounts.models import User
from apps.accounts.tokens import digest_of, new_secret, shown_part
from apps.cluster.errors import ContractMismatch, JoinRefused, NameTaken
from apps.cluster.models import Device, JoinToken, Node, NodeToken, Pool
from apps.cluster.wake import wake_scheduler
from apps.core import events
from apps.core.clock import db_now
from apps.core.errors import InvalidInput, NotFound
from workers.contract import CONTRACT_VERSION
from workers.contract.node_api import HEARTBEAT_S, LEASE_S, DeviceInfo, HeartbeatRequest, JoinRequest

SUPPORTED_CONTRACTS = frozenset({CONTRACT_VERSION, CONTRACT_VERSION - 1} - {0})


JOIN_PREFIX = "coxj_"
NODE_PREFIX = "coxn_"


@dataclass(frozen=True, slots=True)
class NewJoinToken:
    """A join token and its secret, which is not stored."""

    token: JoinToken
    secret: str


@dataclass(frozen=True, slots=True)
class Joined:
    """A node that joined and the secret of its new token, which is not stored."""

    node: Node
    secret: str


def check_contract(version: int) -> None:
    """Refuse an agent whose protocol this server does not speak.

    Raises:
        ContractMismatch: with what to upgrade.
    """
    if version not in SUPPORTED_CONTRACTS:
        raise ContractMismatch(theirs=version, ours=CONTRACT_VERSION)


@transaction.atomic
def create_join_token(
    *,
    name: str,
    pool_name: str | None = None,
    is_reusable: bool = False,
    expires_in_s: float | None = None,
    actor: User | None = None,
) -> NewJoinToken:
    """Make a join token with its secret, which is shown this once.

    ``pool_name`` limits it to one pool, which is made if it is missing. ``expires_in_s`` is in seconds.
    """
    if not name.strip():
        raise InvalidInput("A join token needs a name.", field="name")
    secret = new_secret(JOIN_PREFIX)
    token = JoinToken.objects.create(
        name=name.strip(),
        prefix=shown_part(secret),
        digest=digest_of(secret),
        pool=get_or_create_pool(name=pool_name) if pool_name else None,
        is_reusable=is_reusable,
        created_by=actor,
        expires_at=timezone.now() + timedelta(seconds=expires_in_s) if expires_in_s else None,
    )
    events.record(token, action="join_token.created", actor=actor, after={"name": token.name, "pool": pool_name})
    return NewJoinToken(token, secret)


@transaction.atomic
def revoke_join_token(*, token_id: UUID, actor: User | None = None) -> JoinToken:
    """Let nobody in by this token any more; nodes that joined stay.

    Raises:
        NotFound: there is no such token.
    """
    token = JoinToken.objects.select_for_update().filter(pk=token_id).first()
    if token is None:
        raise NotFound("There is no such join token.")
    if token.revoked_at is None:
        token.revoked_at = timezone.now()
        token.save(update_fields=["revoked_at", "updated_at"])
        events.record(token, action="join_token.revoked", actor=actor)
    return token


@transaction.atomic
def revoke_node_tokens(*, node_id: UUID, actor: User | None = None) -> int:
    """Shut a node out until it joins again; return how many tokens that took."""
    revoked = NodeToken.objects.filter(node_id=node_id, revoked_at=None).update(revoked_at=Now())
    if revoked:
        node = Node.objects.get(pk=node_id)
        events.record(node, action="node.tokens_revoked", actor=actor)
    return revoked


def get_or_create_pool(*, name: str) -> Pool:
    """Return the pool of this name, made if missing."""
    pool, _ = Pool.objects.get_or_create(name=name)
    return pool


@transaction.atomic
def join_node(*, request: JoinRequest) -> Joined:
    """Exchange a join token for a node token. A name that is known keeps its node, with what it is made of renewed.

    The tokens of an earlier join end, so that a copied data directory cannot speak for the node.

    Raises:
        ContractMismatch: agent and server do not understand each other (HTTP 426).
        JoinRefused: the token is unknown, used, expired, revoked, or opens another pool (HTTP 403).
        NameTaken: another machine of this name is alive (HTTP 409).
    """
    check_contract(request.contract_version)
    token = _usable_join_token(request)
    pool = get_or_create_pool(name=request.pool)
    node, is_new = _upsert_node(request, pool)
    _upsert_devices(node, request.devices)
    token.used_at, token.used_by = timezone.now(), node
    token.save(update_fields=["used_at", "used_by", "updated_at"])
    NodeToken.objects.filter(node=node, revoked_at=None).update(revoked_at=Now())
    secret = new_secret(NODE_PREFIX)
    NodeToken.objects.create(node=node, digest=digest_of(secret))
    events.record(
        node,
        action="node.joined" if is_new else "node.rejoined",
        actor=f"node:{node.name}",
        after={"pool": pool.name, "slots": len(request.devices), "agent": request.agent_version},
    )
    return Joined(node, secret)


def _usable_join_token(request: JoinRequest) -> JoinToken:
    token = (
        JoinToken.objects.select_for_update(of=("self",))
        .select_related("pool", "used_by")
        .filter(digest=digest_of(request.join_token))
        .first()
    )
    if token is None:
        raise JoinRefused("The join token is not known here.")
    if token.revoked_at is not None:
        raise JoinRefused("The join token was revoked.")
    if token.expires_at is not None and token.expires_at <= db_now():
        raise JoinRefused("The join token has expired.")
    if token.pool is not None and token.pool.name != request.pool:
        raise JoinRefused(f"The join token opens pool {token.pool.name!r}, not {request.pool!r}.")
    if token.used_at is not None and not token.is_reusable and not _same_machine(token.used_by, request):
        raise JoinRefused("The join token has been used.")
    return token


def _same_machine(node: Node | None, request: JoinRequest) -> bool:
    """Tell whether an agent repeats its own join, because the answer was lost or its data directory is gone."""
    return node is not None and node.name == request.name and node.boot_id == request.boot_id


def _upsert_node(request: JoinRequest, pool: Pool) -> tuple[Node, bool]:
    node = Node.objects.select_for_update().filter(name=request.name).first()
    if node is not None and node.boot_id != request.boot_id and is_alive(node, now=db_now()):
        raise NameTaken(f"A node named {request.name!r} is alive on {node.hostname}.")
    is_new = node is None
    node = node or Node(name=request.name)
    node.pool = pool
    node.hostname, node.address, node.boot_id = request.hostname, request.address, request.boot_id
    node.agent_version, node.contract_version = request.agent_version, request.contract_version
    node.cpu_count, node.memory_bytes = request.cpu_count, request.memory_bytes
    node.lost_at = None
    node.save()
    Node.objects.filter(pk=node.pk).update(last_seen_at=Now())
    return node, is_new


def _upsert_devices(node: Node, devices: Sequence[DeviceInfo]) -> None:
    """Bring the node's slots up to date; one that is gone stays as a row, because past holds point to it."""
    known = {device.index: device for device in Device.objects.filter(node=node)}
    named: set[int] = set()
    for info in devices:
        if info.index in named:
            raise InvalidInput(f"Slot {info.index} is named twice.", field="devices")
        named.add(info.index)
        device = known.get(info.index) or Device(node=node, index=info.index)
        device.kind, device.name, device.memory_bytes = info.kind, info.name[:120], info.memory_bytes
        device.removed_at = None
        device.save()
    Device.objects.filter(node=node, removed_at=None).exclude(index__in=named).update(removed_at=Now())


@transaction.atomic
def record_heartbeat(*, node_id: UUID, request: HeartbeatRequest) -> Node:
    """Renew the node's lease by the database's clock.

    Raises:
        ContractMismatch: the agent was replaced by one that this server does not speak with.
    """
    check_contract(request.contract_version)
    node = Node.objects.select_for_update().get(pk=node_id)
    was_lost = node.lost_at is not None
    node.boot_id = request.boot_id
    node.contract_version = request.contract_version
    node.cpu_pct, node.memory_used_bytes = request.cpu_pct, request.memory_used_bytes
    node.disk_free_bytes, node.forkserver_ready = request.disk_free_bytes, request.forkserver_ready
    node.lost_at, node.last_seen_at = None, db_now()
    node.save()
    if was_lost:
        events.record(node, action="node.returned", actor=f"node:{node.name}")
    return node


def mark_lost_nodes(*, stable_s: float) -> list[Node]:
    """Mark nodes whose lease ran out; call within a transaction.

    ``stable_s``: for how long the control plane itself has been up. Silence from before that is nobody's fault, so it
    never counts: after an outage all leases start afresh.
    """
    if stable_s < LEASE_S:
        return []
    deadline = Now() - timedelta(seconds=LEASE_S)
    silent = list(
        Node.objects.select_for_update(skip_locked=True)
        .filter(Q(last_seen_at__lt=deadline), lost_at=None)
        .order_by("id")
    )
    for node in silent:
        Node.objects.filter(pk=node.pk).update(lost_at=Now())
        events.record(node, action="node.lost", reason=f"Nothing was heard from it for {LEASE_S:.0f} s.")
    return silent


@transaction.atomic
def set_draining(*, node_id: UUID, is_draining: bool, actor: User | None = None) -> Node:
    """Give a node no new jobs (or again); those it has go on.

    Raises:
        NotFound: there is no such node.
    """
    node = Node.objects.select_for_update().filter(pk=node_id).first()
    if node is None:
        raise NotFound("There is no such node.")
    if node.is_draining != is_draining:
        node.is_draining = is_draining
        node.save(update_fields=["is_draining", "updated_at"])
        events.record(node, action="node.draining" if is_draining else "node.undrained", actor=actor)
        wake_scheduler(node.pk)
    return node


def is_alive(node: Node, *, now: datetime) -> bool:
    """Tell whether the node's lease holds at ``now``, by the database's clock."""
    return (
        node.lost_at is None and node.last_seen_at is not None and node.last_seen_at > now - timedelta(seconds=LEASE_S)
    )


def placeable_devices() -> QuerySet[Device]:
    """Select slots of nodes that beat and take new jobs, whether free or not.

    A node that has missed two heartbeats keeps what it has until its lease runs out, but would most likely not claim.
    """
    return Device.objects.filter(
        removed_at=None,
        node__lost_at=None,
        node__is_draining=False,
        node__last_seen_at__gt=Now() - timedelta(seconds=2 * HEARTBEAT_S),
    ).annotate(pool_id=F("node__pool_id"))
