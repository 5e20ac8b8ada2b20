"""Compaction: what came in small pieces is merged into large ones, and the series' summaries catch up.

Metric batches become chunks of about ``CHUNK_POINTS`` points of one series; log pieces become chunks of about
``LOG_CHUNK_BYTES``. The newest ``MAX_MESSAGES`` numbers of a living job stay as they are, so that its stream can be
replayed message by message; ``Stream.floor_seq`` says up to where it no longer can. Each step is one transaction under
the job's own advisory lock: readers see a point before or after the move, never twice and never not at all.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F, Max, Q
from django.db.models.functions import Greatest

from apps.core.hints import send_after_commit
from apps.jobs.models import Stream
from apps.jobs.state import FINAL_STATES
from apps.telemetry.codec import Points, bounds, compress_text, concat, decode_batch, decode_chunk, decompress_text
from apps.telemetry.codec import encode_chunk as encode
from apps.telemetry.models import Chunk, LogChunk, MetricBatch, Series
from apps.telemetry.replay import MAX_MESSAGES
from apps.telemetry.selectors import summary_of_series

CHUNK_POINTS: Final = 4096
LOG_CHUNK_BYTES: Final = 256 * 1024
MIN_WORTHWHILE: Final = 256
"""Fewer old rows than this are left alone while the job lives."""
COMPACT_TASK: Final = "cox.telemetry.compact_job"
_STEP_ROWS: Final = 2000
_STEP_POINTS: Final = 2_000_000
_LOCK_CLASS: Final = 0x7E1E  # of Postgres' two-part advisory locks


@dataclass(frozen=True, slots=True)
class Compacted:
    """What one call moved."""

    num_batches: int = 0
    num_logs: int = 0


def compact_job(*, job_id: UUID) -> Compacted:
    """Merge all that is old enough; repeatable, and safe beside readers, writers and itself."""
    total = Compacted()
    while True:
        with transaction.atomic():
            limit = _take_turn(job_id)
            moved = (
                Compacted() if limit is None else Compacted(_merge_metrics(job_id, limit), _merge_logs(job_id, limit))
            )
        total = Compacted(total.num_batches + moved.num_batches, total.num_logs + moved.num_logs)
        if not moved.num_batches and not moved.num_logs:
            return total


def request_compaction() -> int:
    """Ask for the compaction of every job that has enough to merge; return how many. Called periodically."""
    due = _jobs_with_old_rows()
    for job_id in due:
        send_after_commit(COMPACT_TASK, args=[str(job_id)], expires_s=60.0)
    return len(due)


_OLD_ROWS: Final = """
SELECT stream.job_id FROM jobs_stream stream JOIN jobs_job job ON job.id = stream.job_id
WHERE stream.last_seq > stream.floor_seq AND (
  (SELECT count(*) FROM (
     SELECT 1 FROM telemetry_metricbatch WHERE job_id = stream.job_id AND seq <= stream.last_seq - %(window)s
     LIMIT %(enough)s) old) >= %(enough)s
  OR (job.state = ANY(%(final)s) AND (
     EXISTS (SELECT 1 FROM telemetry_metricbatch WHERE job_id = stream.job_id)
     OR EXISTS (SELECT 1 FROM telemetry_logchunk WHERE job_id = stream.job_id AND seq > stream.floor_seq))))
"""


def _jobs_with_old_rows() -> list[UUID]:
    arguments: dict[str, Any] = {"window": MAX_MESSAGES, "enough": MIN_WORTHWHILE, "final": sorted(FINAL_STATES)}
    with connection.cursor() as cursor:
        cursor.execute(_OLD_ROWS, arguments)
        return [row[0] for row in cursor.fetchall()]


def _take_turn(job_id: UUID) -> int | None:
    """Lock out other compactions of the job; return the last number that may be merged, None when not our turn."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, hashtext(%s))", [_LOCK_CLASS, str(job_id)])
        row = cursor.fetchone()
    if not (row and row[0]):
        return None
    found = Stream.objects.filter(job_id=job_id).values_list("last_seq", "job__state").first()
    if found is None:
        return None
    last_seq, state = found
    return last_seq if state in FINAL_STATES else last_seq - MAX_MESSAGES


def _raise_floor(job_id: UUID, seq: int) -> None:
    """Say that messages up to ``seq`` can no longer be told. Last in the transaction: ingest waits for this row."""
    Stream.objects.filter(job_id=job_id).update(floor_seq=Greatest(F("floor_seq"), seq))


def _merge_metrics(job_id: UUID, limit: int) -> int:
    """Move the oldest batches into chunks; return how many."""
    rows = _oldest_batches(job_id, limit)
    if not rows:
        return 0
    parts: dict[int, list[Points]] = defaultdict(list)
    for row in rows:
        for series_id, points in decode_batch(bytes(row.data)).split():
            parts[series_id].append(points)
    new = {series_id: concat(pieces) for series_id, pieces in parts.items()}
    last_seq = rows[-1].seq
    _write_chunks(new)
    _write_summaries(new, last_seq)
    MetricBatch.objects.filter(pk__in=[row.pk for row in rows]).delete()
    _raise_floor(job_id, last_seq)
    return len(rows)


def _oldest_batches(job_id: UUID, limit: int) -> list[MetricBatch]:
    """Return a bounded number of batches that may be merged, oldest first."""
    rows: list[MetricBatch] = []
    num_points = 0
    for row in MetricBatch.objects.filter(job_id=job_id, seq__lte=limit).order_by("seq")[:_STEP_ROWS]:
        num_points += row.num_points
        rows.append(row)
        if num_points >= _STEP_POINTS:
            break
    return rows


def _write_chunks(new: dict[int, Points]) -> None:
    """Append points to their series, filling up each series' last chunk first."""
    last = Chunk.objects.filter(series_id__in=list(new)).values("series_id").annotate(newest=Max("pk")).values("newest")
    unfinished = {chunk.series_id: chunk for chunk in Chunk.objects.filter(pk__in=last, num_points__lt=CHUNK_POINTS)}
    known = set(Series.objects.filter(pk__in=list(new)).values_list("pk", flat=True))
    chunks: list[Chunk] = []
    for series_id, points in new.items():
        if series_id not in known:  # deleted with its job meanwhile
            continue
        if (open_chunk := unfinished.get(series_id)) is not None:
            points = concat([decode_chunk(bytes(open_chunk.data)), points])  # noqa: PLW2901
        starts = range(0, len(points), CHUNK_POINTS)
        chunks += [_chunk(series_id, points.take(slice(at, at + CHUNK_POINTS))) for at in starts]
    Chunk.objects.filter(pk__in=[chunk.pk for chunk in unfinished.values()]).delete()
    Chunk.objects.bulk_create(chunks, batch_size=200)


def _chunk(series_id: int, points: Points) -> Chunk:
    limits = bounds(points)
    return Chunk(
        series_id=series_id,
        num_points=len(points),
        first_step=limits.first_step,
        last_step=limits.last_step,
        minimum=limits.minimum,
        maximum=limits.maximum,
        data=encode(points),
    )


def _write_summaries(new: dict[int, Points], seq: int) -> None:
    rows = list(Series.objects.filter(pk__in=list(new)))
    for row in rows:
        summary = summary_of_series(row, 0, new[row.pk])
        row.num_points, row.first_step, row.last_step = summary.num_points, summary.first_step, summary.last_step
        row.last, row.last_time_us = summary.last, summary.last_time_us
        row.minimum, row.maximum, row.summary_seq = summary.minimum, summary.maximum, seq
    fields = ["num_points", "first_step", "last_step", "last", "last_time_us", "minimum", "maximum", "summary_seq"]
    Series.objects.bulk_update(rows, fields, batch_size=500)


def _merge_logs(job_id: UUID, limit: int) -> int:
    """Join neighbouring small pieces of each log; return how many pieces went."""
    floor = Stream.objects.values_list("floor_seq", flat=True).get(job_id=job_id)
    small = Q(stop__lt=F("start") + LOG_CHUNK_BYTES // 2)
    rows = LogChunk.objects.filter(small, job_id=job_id, seq__lte=limit).order_by(
        "attempt_id", "rank", "stream", "start"
    )
    group: list[LogChunk] = []
    merged = 0
    last_seq = floor
    for row in rows[:_STEP_ROWS]:
        last_seq = max(last_seq, row.seq)
        if group and not _continues(group, row):
            merged += _join(group)
            group = []
        group.append(row)
    merged += _join(group)
    if last_seq > floor:
        _raise_floor(job_id, last_seq)
    return merged


def _continues(group: list[LogChunk], row: LogChunk) -> bool:
    def place(chunk: LogChunk) -> tuple[Any, ...]:
        return chunk.attempt_id, chunk.rank, chunk.stream

    fits = row.stop - group[0].start <= LOG_CHUNK_BYTES
    return fits and place(row) == place(group[0]) and row.start == group[-1].stop


def _join(group: list[LogChunk]) -> int:
    """Put several pieces into the first one's row; return how many rows went."""
    if len(group) < 2:
        return 0
    first, rest = group[0], group[1:]
    first.data = compress_text(b"".join(decompress_text(bytes(chunk.data)) for chunk in group))
    first.stop = group[-1].stop
    first.num_lines = sum(chunk.num_lines for chunk in group)
    LogChunk.objects.filter(pk__in=[chunk.pk for chunk in rest]).delete()
    first.save(update_fields=["data", "stop", "num_lines"])
    return len(rest)
