"""Background work of the datasets, on the default queue (control). Tasks take ids and check everything again."""

from uuid import UUID

from celery import shared_task

from apps.datasets import services

_HOURS_S = 3600


@shared_task(
    name=services.STATISTICS_TASK,
    ignore_result=True,
    soft_time_limit=12 * _HOURS_S,
    time_limit=12 * _HOURS_S + 60,
)
def compute_statistics(version_id: str) -> None:
    """Read a version; whoever sends nonsense is not listened to."""
    try:
        parsed = UUID(version_id)
    except (ValueError, AttributeError, TypeError):
        return
    services.compute_statistics(version_id=parsed)
