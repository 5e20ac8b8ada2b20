"""Background work of the storage, on the default queue (control)."""

import structlog
from celery import shared_task

from apps.storage import garbage

log = structlog.get_logger(__name__)

COLLECT_TASK = "cox.storage.collect_garbage"
"""Sent by the scheduler about once an hour; doing it more often costs a few queries."""


@shared_task(name=COLLECT_TASK, ignore_result=True)
def collect_garbage() -> None:
    """Remove expired uploads and bytes that nothing refers to."""
    collected = garbage.collect_garbage()
    log.info(
        "storage collected",
        uploads=collected.uploads,
        file_sets=collected.file_sets,
        artifacts=collected.artifacts,
        has_more=collected.has_more,
    )
