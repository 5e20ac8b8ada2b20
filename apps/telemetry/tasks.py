"""Background work of telemetry, on the default queue (control). Tasks take ids and check everything again."""

from uuid import UUID

import structlog
from celery import shared_task

from apps.telemetry import services

log = structlog.get_logger(__name__)

FIND_WORK_TASK = "cox.telemetry.find_work"
"""Sent by the scheduler every minute or so."""


@shared_task(name=FIND_WORK_TASK, ignore_result=True)
def find_work() -> None:
    """Have every job compacted that has enough to merge."""
    services.request_compaction()


@shared_task(name=services.COMPACT_TASK, ignore_result=True, soft_time_limit=600, time_limit=660)
def compact_job(job_id: str) -> None:
    """Merge a job's old pieces; whoever sends nonsense is not listened to."""
    try:
        parsed = UUID(job_id)
    except (ValueError, AttributeError, TypeError):
        return
    moved = services.compact_job(job_id=parsed)
    log.info("telemetry compacted", job_id=job_id, batches=moved.num_batches, logs=moved.num_logs)
