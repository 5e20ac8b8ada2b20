"""Where a gang fits, among the nodes that take new jobs. Reads the tables once, then decides on plain values."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from apps.cluster.services import placeable_devices
from apps.jobs.models import DeviceHold, Job
from apps.jobs.services import NodeShare


@dataclass(slots=True)
class NodeSlots:
    """A node that takes new jobs: all its devices, and those that are free, by index."""

    node_id: UUID
    num_devices: int = 0
    free: list[UUID] = field(default_factory=list)


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


def choose_gang(nodes: Sequence[NodeSlots], *, counts: Iterable[int], slots_per_node: int) -> list[NodeShare] | None:
    """Choose the largest gang of ``counts`` nodes that fits whole; None when not even the smallest does.

    The fullest nodes that have room come first, so that wide jobs find empty ones.
    """
    fitting = sorted((node for node in nodes if len(node.free) >= slots_per_node), key=lambda node: len(node.free))
    num_nodes = max((count for count in counts if count <= len(fitting)), default=None)
    if num_nodes is None:
        return None
    return [NodeShare(node.node_id, tuple(node.free[:slots_per_node])) for node in fitting[:num_nodes]]


def could_ever_fit(nodes: Sequence[NodeSlots], *, num_nodes: int, slots_per_node: int) -> bool:
    """Tell whether the nodes that are up now would hold the gang if they were empty."""
    return sum(1 for node in nodes if node.num_devices >= slots_per_node) >= num_nodes


def take(nodes: Sequence[NodeSlots], shares: Sequence[NodeShare]) -> None:
    """Count devices as held for the rest of the pass."""
    taken = {device_id for share in shares for device_id in share.device_ids}
    for node in nodes:
        node.free = [device_id for device_id in node.free if device_id not in taken]


def waiting_reason(job: Job, nodes: Sequence[NodeSlots], *, growing: Job | None = None) -> str:
    """Say in a sentence why nothing can hold the job now. The words change rarely, so they are written rarely."""
    fewest = job.node_counts[0]
    each = "a node" if fewest == 1 else f"each of {fewest} nodes"
    wanted = f"{job.slots_per_node} free slot{'s' if job.slots_per_node > 1 else ''} on {each} in pool {job.pool!r}"
    if not nodes:
        return f"Waits for {wanted}: no node of the pool is up and taking jobs."
    if not could_ever_fit(nodes, num_nodes=fewest, slots_per_node=job.slots_per_node):
        return f"Waits for {wanted}: too few nodes that large are up and taking jobs."
    if growing is not None:
        return f"Waits for {wanted}; what is free is kept for job #{growing.number}, which grows."
    return f"Waits for {wanted}."
