"""What runs where, for one caller and one answer: a fixed number of queries, however large the cluster."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Count

from apps.accounts.selectors import AnyUser, visible_workspaces
from apps.cluster import services as cluster_services
from apps.cluster.models import Device, Node
from apps.core.clock import db_now
from apps.jobs.models import DeviceHold, Job
from apps.jobs.state import JobState


@dataclass(frozen=True, slots=True)
class ClusterView:
    """The cluster at one moment. Names of jobs that the caller may not see are left out."""

    now: datetime
    jobs_by_device: dict[UUID, Job]
    visible_workspace_ids: frozenset[UUID]
    queued: dict[str, int]

    def is_alive(self, node: Node) -> bool:
        """Tell whether the node's lease holds."""
        return cluster_services.is_alive(node, now=self.now)

    def free_slots(self, node: Node) -> int:
        """Count slots that a job could take now."""
        if node.is_draining or not self.is_alive(node):
            return 0
        return sum(1 for device in node.devices.all() if device.pk not in self.jobs_by_device)

    def describe(self, device: Device) -> dict[str, Any]:
        """Describe a slot."""
        job = self.jobs_by_device.get(device.pk)
        is_visible = job is not None and job.workspace_id in self.visible_workspace_ids
        return {
            "id": str(device.pk),
            "index": device.index,
            "kind": str(device.kind),
            "name": device.name,
            "memory_bytes": device.memory_bytes,
            "is_free": job is None,
            "job": str(job.pk) if job is not None and is_visible else None,
            "job_name": f"{job.name} #{job.number}" if job is not None and is_visible else "",
        }


def cluster_view(user: AnyUser) -> ClusterView:
    """Read the cluster as ``user`` may see it."""
    holds = DeviceHold.objects.filter(released_at=None).select_related("allocation__attempt__job")
    queued = Job.objects.filter(state=JobState.QUEUED, deleted_at=None).values("pool").annotate(number=Count("pk"))
    return ClusterView(
        now=db_now(),
        jobs_by_device={hold.device_id: hold.allocation.attempt.job for hold in holds},
        visible_workspace_ids=frozenset(visible_workspaces(user).values_list("pk", flat=True)),
        queued={row["pool"]: row["number"] for row in queued},
    )
