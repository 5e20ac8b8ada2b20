"""Growing an elastic job: it stops at a step after saving, and its next attempt takes more nodes."""

from django.db import transaction

from apps.jobs import hints
from apps.jobs.models import Attempt
from apps.jobs.services.lifecycle import advance_job, lock_job
from apps.jobs.state import JobState


@transaction.atomic
def grow_job(*, attempt: Attempt, num_nodes: int) -> bool:
    """Preempt a running attempt for a larger one; False when it does not run any more.

    The scheduler keeps the further nodes for it meanwhile (``apps.jobs.elastic.reserve_growth``).
    """
    job = lock_job(attempt.job_id)
    if job.state != JobState.RUNNING or job.fence != attempt.fence:
        return False
    reason = f"Grows from {attempt.num_nodes} to {num_nodes} nodes: stops after saving and goes on from there."
    advance_job(job_id=job.pk, to=JobState.PREEMPTING, fence=attempt.fence, reason=reason)
    for allocation in attempt.allocations.select_related("node"):
        hints.hint_news(node_name=allocation.node.name, allocation_id=allocation.pk)
    return True
