"""A job's live stream: one gapless sequence of messages that browsers follow and can resume.

A transaction that changes what a page shows takes its number by ``next_seq`` as late as it can: the row lock is held
until the commit, so commit order is sequence order, and a rolled back transaction leaves no gap. The message goes out
after the commit and may be lost; what it said is in Postgres under its number.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson
from django.db import connection

from apps.core import live
from apps.core.live import job_topic, jobs_topic

__all__ = ["Message", "head_seqs", "job_topic", "jobs_topic", "next_seq", "publish"]

Message = Mapping[str, Any]
"""A JSON object with a ``kind``; the kinds of a job topic are job, event, checkpoint, metrics, logs and batch."""

_NEXT = "UPDATE jobs_stream SET last_seq = last_seq + 1 WHERE job_id = %s RETURNING last_seq"
_NEXT_LATEST = (
    "UPDATE jobs_stream SET last_seq = last_seq + 1, latest = latest || %s::jsonb WHERE job_id = %s RETURNING last_seq"
)


def next_seq(job_id: UUID, *, latest: Mapping[str, float | str] | None = None) -> int:
    """Return the number of this transaction's message; call it as late in the transaction as possible.

    ``latest`` merges the newest value of some metrics into what job lists show; it costs nothing more, because this
    row is written anyway. Non-finite values come as their names.

    Raises:
        LookupError: there is no such job.
    """
    with connection.cursor() as cursor:
        if latest:
            cursor.execute(_NEXT_LATEST, [orjson.dumps(dict(latest)).decode(), job_id])
        else:
            cursor.execute(_NEXT, [job_id])
        row = cursor.fetchone()
    if row is None:
        raise LookupError(f"job {job_id} has no stream")
    seq: int = row[0]
    return seq


def publish(*, job_id: UUID, seq: int, items: Sequence[Message]) -> None:
    """Send one transaction's message to the job's subscribers after the commit.

    The channel layer carries ``{"messages": [[seq, item], ...]}``; several items of one number are wrapped as a batch.
    """
    data: Message = items[0] if len(items) == 1 else {"kind": "batch", "items": list(items)}
    live.publish(job_topic(job_id), {"messages": [[seq, data]]})


def head_seqs(job_ids: Sequence[UUID]) -> dict[UUID, int]:
    """Return the last number of each stream, in one query; jobs without a stream are left out."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT job_id, last_seq FROM jobs_stream WHERE job_id = ANY(%s)", [list(job_ids)])
        return dict(cursor.fetchall())
