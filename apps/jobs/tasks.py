"""Housekeeping on the control queue. The scheduler sends it every minute; each part looks at the tables by itself."""

import structlog
from celery import shared_task

from apps.datasets.services import requeue_stale_statistics
from apps.projects.services import collect_deleted_projects
from workers.contract.queues import CONTROL_QUEUE

log = structlog.get_logger(__name__)

HOUSEKEEPING_TASK = "cox.jobs.housekeeping"


@shared_task(name=HOUSEKEEPING_TASK, queue=CONTROL_QUEUE, ignore_result=True)
def housekeeping() -> None:
    """Send again what was lost, and remove what nobody can bring back any more."""
    requeued = requeue_stale_statistics()
    collected = collect_deleted_projects()
    if requeued or collected:
        log.info("housekeeping", requeued_statistics=requeued, collected_projects=collected)
