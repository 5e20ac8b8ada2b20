"""Waking the scheduler at the commit of a change that may let a job start. It looks by itself every second too."""

from uuid import UUID

from django.db import connection

CHANNEL = "cox_scheduler"


def wake_scheduler(object_id: UUID) -> None:
    """Notify the scheduler when the current transaction commits; ``object_id`` is for the eyes of operators."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, str(object_id)])
