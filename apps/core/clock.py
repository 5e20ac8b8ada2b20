"""The database's clock: the only one that leases and beats are measured by, because hosts disagree."""

from datetime import datetime

from django.db import connection


def db_now() -> datetime:
    """Return the database's wall clock (UTC), also inside a long transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        row = cursor.fetchone()
    assert row is not None
    now: datetime = row[0]
    return now
