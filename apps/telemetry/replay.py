"""Reading back a job's stream: what a subscriber lacks, from Postgres, in the order of its numbers.

Metrics and logs come from their rows, the rest from the record of events. A change that left nothing but the job's own
row (its progress) is told by the job as it stands now, once, at the end.
"""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import psycopg
from django.db import connection

from apps.core.models import Event
from apps.core.renderers import wire_float
from apps.jobs.documents import checkpoint_document, event_document, job_document
from apps.jobs.models import Checkpoint, Job
from apps.telemetry.codec import Points, decode_batch, decompress_text
from apps.telemetry.models import Series

MAX_MESSAGES: Final = 1000
"""A subscriber further behind than this reads the page afresh."""

Item = dict[str, Any]

_READ: Final = """
SELECT 0 AS kind, last_seq AS seq, floor_seq AS a, 0 AS rank, NULL::int AS number, NULL::text AS stream,
       0::bigint AS start, NULL::bytea AS data
FROM jobs_stream WHERE job_id = %(job)s
UNION ALL
SELECT 1, seq, 0, rank, at.number, NULL, 0, data
FROM telemetry_metricbatch JOIN jobs_attempt at ON at.id = attempt_id
WHERE telemetry_metricbatch.job_id = %(job)s AND seq > %(after)s AND seq <= %(until)s
UNION ALL
SELECT 2, seq, stop, rank, at.number, stream, start, data
FROM telemetry_logchunk JOIN jobs_attempt at ON at.id = attempt_id
WHERE telemetry_logchunk.job_id = %(job)s AND seq > %(after)s AND seq <= %(until)s
"""


@dataclass(frozen=True, slots=True)
class Replay:
    """Messages (after, head] of a job in order; ``is_gone`` when they can no longer be told one by one."""

    head: int
    items: tuple[tuple[int, Item], ...] = ()
    is_gone: bool = False


def read_replay(job_id: UUID, *, after: int) -> Replay:
    """Return what came after ``after``, as of one moment: all that has a number up to ``head`` is committed."""
    standing = _standing(job_id)
    if standing is None:
        return Replay(head=after, is_gone=True)
    head, floor = standing
    if after > head or after < floor or head - after > MAX_MESSAGES:
        return Replay(head=head, is_gone=True)
    if after == head:
        return Replay(head=head)
    connection.ensure_connection()
    with psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(_READ, {"job": job_id, "after": after, "until": head}, binary=True)
        rows = cursor.fetchall()
    if any(row[0] == 0 and row[2] > after for row in rows):  # compaction has raised the floor meanwhile
        return Replay(head=head, is_gone=True)
    items = [(row[1], _stored_item(row[2:])) for row in rows if row[0] != 0]
    _name_series(items)
    items += _job_items(job_id, after, head, told={seq for seq, _ in items})
    items.sort(key=lambda pair: pair[0])
    return Replay(head=head, items=tuple(items))


def _standing(job_id: UUID) -> tuple[int, int] | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT last_seq, floor_seq FROM jobs_stream WHERE job_id = %s", [job_id])
        row: tuple[int, int] | None = cursor.fetchone()
    return row


def _stored_item(row: tuple[Any, ...]) -> Item:
    stop, rank, attempt, stream, start, data = row
    if stream is None:
        series = [
            {"key": series_id, "steps": points.steps.tolist(), "values": _values(points),
             "times_us": points.times_us.tolist()}
            for series_id, points in decode_batch(data).split()
        ]  # fmt: skip
        return {"kind": "metrics", "attempt": attempt, "rank": rank, "series": series}
    text = decompress_text(data).decode(errors="replace")
    return {
        "kind": "logs", "attempt": attempt, "rank": rank, "stream": stream, "start": start, "stop": stop, "text": text,
    }  # fmt: skip


def _values(points: Points) -> list[float | str]:
    return [wire_float(value) for value in points.values.tolist()]


def _name_series(items: list[tuple[int, Item]]) -> None:
    """Put the keys in the place of the series' ids."""
    columns = [column for _, item in items if item["kind"] == "metrics" for column in item["series"]]
    wanted = {column["key"] for column in columns}
    names = dict(Series.objects.filter(pk__in=wanted).values_list("pk", "key")) if wanted else {}
    for column in columns:
        column["key"] = names.get(column["key"], "")


def _job_items(job_id: UUID, after: int, head: int, *, told: set[int]) -> list[tuple[int, Item]]:
    """Return events, their checkpoints, and the job itself, where numbers are not ``told`` by stored data."""
    if len(told) == head - after:
        return []
    events = Event.objects.filter(object_id=job_id, seq__gt=after, seq__lte=head).order_by("seq")
    items: list[tuple[int, Item]] = []
    saved: dict[str, int] = {}
    for event in events:
        assert event.seq is not None
        items.append((event.seq, {"kind": "event", "event": event_document(event)}))
        if event.action == "checkpoint.saved" and isinstance(event.after, dict) and "step" in event.after:
            saved[str(event.after["step"])] = event.seq
    if saved:
        rows = Checkpoint.objects.filter(job_id=job_id, step__in=list(saved)).select_related("attempt", "file_set")
        items += [
            (saved[str(row.step)], {"kind": "checkpoint", "checkpoint": checkpoint_document(row)}) for row in rows
        ]
    job = (
        Job.objects.filter(pk=job_id)
        .select_related("project", "workspace", "owner", "stream", "output_version__model")
        .first()
    )
    if job is not None:
        items.append((head, {"kind": "job", "job": job_document(job)}))
    return items
