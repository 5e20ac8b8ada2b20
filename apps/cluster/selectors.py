"""Reading the cluster: how many slots there are, free and used."""

from collections import Counter
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Prefetch, QuerySet

from apps.cluster.models import Device, JoinToken, Node, NodeToken, Pool


@dataclass(frozen=True, slots=True)
class PoolCapacity:
    """Slots of every node of a pool, most first, whether the nodes are up or not."""

    name: str
    slots: tuple[int, ...]

    def fits(self, *, num_nodes: int, slots_per_node: int) -> bool:
        """Tell whether a gang of this shape could ever run here."""
        return sum(1 for slots in self.slots if slots >= slots_per_node) >= num_nodes

    @property
    def description(self) -> str:
        """Say in words what the pool can give."""
        if not self.slots:
            return "no node has joined it yet"
        counts = sorted(Counter(self.slots).items(), reverse=True)
        return ", ".join(f"{count} node{'s' if count > 1 else ''} with {slots} slots" for slots, count in counts)


def pool_capacities() -> dict[str, PoolCapacity]:
    """Return what each pool could ever give, by name."""
    slots: dict[str, Counter[UUID]] = {name: Counter() for name in Pool.objects.values_list("name", flat=True)}
    devices = Device.objects.filter(removed_at=None).values_list("node__pool__name", "node_id")
    for pool_name, node_id in devices:
        slots[pool_name][node_id] += 1
    return {name: PoolCapacity(name, tuple(sorted(per.values(), reverse=True))) for name, per in slots.items()}


def nodes() -> QuerySet[Node]:
    """Select nodes with their pool and present devices."""
    present = Prefetch("devices", queryset=Device.objects.filter(removed_at=None).order_by("index"))
    return Node.objects.select_related("pool").prefetch_related(present)


def pools() -> QuerySet[Pool]:
    """Select pools with their nodes and present devices."""
    return Pool.objects.prefetch_related(Prefetch("nodes", queryset=nodes().order_by("name")))


def find_node_token(digest: str) -> NodeToken | None:
    """Return the node token with this digest, whatever its state."""
    return NodeToken.objects.select_related("node__pool").filter(digest=digest).first()


def join_tokens() -> QuerySet[JoinToken]:
    """Select join tokens that were not revoked."""
    return JoinToken.objects.filter(revoked_at=None).select_related("pool", "used_by", "created_by")
