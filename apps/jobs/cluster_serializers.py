"""How nodes and pools travel, with what runs on them."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.cluster.models import DeviceKind, Node, Pool
from apps.jobs.capacity import ClusterView


class DeviceSerializer(serializers.Serializer[Any]):
    """One slot. ``job`` is null when it is free, or when the caller may not see what runs there."""

    id = serializers.UUIDField()
    index = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=DeviceKind.choices)
    name = serializers.CharField(allow_blank=True)
    memory_bytes = serializers.IntegerField()
    is_free = serializers.BooleanField()
    job = serializers.UUIDField(allow_null=True)
    job_name = serializers.CharField(allow_blank=True)


class NodeSerializer(serializers.ModelSerializer[Node]):
    """A machine with its slots."""

    pool = serializers.CharField(source="pool.name")
    is_alive = serializers.SerializerMethodField()
    num_slots = serializers.SerializerMethodField()
    free_slots = serializers.SerializerMethodField()
    devices = serializers.SerializerMethodField()

    class Meta:
        model = Node
        fields = (
            "id", "name", "pool", "hostname", "address", "agent_version", "cpu_count", "memory_bytes", "is_alive",
            "is_draining", "last_seen_at", "lost_at", "cpu_pct", "memory_used_bytes", "disk_free_bytes",
            "forkserver_ready", "num_slots", "free_slots", "devices", "created_at",
        )  # fmt: skip
        read_only_fields = fields

    def get_is_alive(self, node: Node) -> bool:
        """Tell whether its lease holds."""
        return self._view.is_alive(node)

    def get_num_slots(self, node: Node) -> int:
        """Count its slots."""
        return len(node.devices.all())

    def get_free_slots(self, node: Node) -> int:
        """Count slots that a job could take now; none on a node that is down or draining."""
        return self._view.free_slots(node)

    @extend_schema_field(DeviceSerializer(many=True))
    def get_devices(self, node: Node) -> "list[dict[str, Any]]":
        """Describe each slot and what runs there."""
        return [self._view.describe(device) for device in node.devices.all()]

    @property
    def _view(self) -> ClusterView:
        view: ClusterView = self.context["cluster"]
        return view


class PoolSerializer(serializers.ModelSerializer[Pool]):
    """A pool and what is free in it."""

    num_nodes = serializers.SerializerMethodField()
    total_slots = serializers.SerializerMethodField()
    free_slots = serializers.SerializerMethodField()
    largest_slots_per_node = serializers.SerializerMethodField()
    queued_jobs = serializers.SerializerMethodField()

    class Meta:
        model = Pool
        fields = (
            "id", "name", "description", "num_nodes", "total_slots", "free_slots", "largest_slots_per_node",
            "queued_jobs",
        )  # fmt: skip
        read_only_fields = fields

    def get_num_nodes(self, pool: Pool) -> int:
        """Count its nodes, those that are down included."""
        return len(pool.nodes.all())

    def get_total_slots(self, pool: Pool) -> int:
        """Count the slots of nodes that are up."""
        return sum(len(node.devices.all()) for node in pool.nodes.all() if self._view.is_alive(node))

    def get_free_slots(self, pool: Pool) -> int:
        """Count slots that a job could take now."""
        return sum(self._view.free_slots(node) for node in pool.nodes.all())

    def get_largest_slots_per_node(self, pool: Pool) -> int:
        """Return the slots of its largest node."""
        return max((len(node.devices.all()) for node in pool.nodes.all()), default=0)

    def get_queued_jobs(self, pool: Pool) -> int:
        """Count the jobs that wait for it."""
        return self._view.queued.get(pool.name, 0)

    @property
    def _view(self) -> ClusterView:
        view: ClusterView = self.context["cluster"]
        return view
