"""Reading what was measured and said: the list of a job's series, and pages of its logs. Curves are in ``curves``."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import numpy as np
from django.db import connection
from django.db.models import QuerySet, Subquery

from apps.accounts.models import User
from apps.accounts.selectors import AnyUser, in_visible_workspaces
from apps.core.errors import NotFound
from apps.jobs.models import Attempt, Job
from apps.telemetry.codec import EMPTY, Int64Array, Points, concat, decode_batch, decompress_text
from apps.telemetry.models import IngestMark, LogChunk, MetricBatch, Series

MAX_PAGE_BYTES: Final = 1024 * 1024


def visible_job(user: AnyUser, job_id: UUID) -> Job:
    """Return a job the user may see.

    Raises:
        NotFound: HTTP 404.
    """
    job = in_visible_workspaces(Job.objects.filter(pk=job_id, deleted_at=None), user).first()
    if job is None:
        raise NotFound("There is no such job.")
    return job


def visible_job_ids(user: User, job_ids: list[UUID]) -> set[UUID]:
    """Return which of the jobs the user may see, in one query."""
    jobs = in_visible_workspaces(Job.objects.filter(pk__in=job_ids, deleted_at=None), user)
    return set(jobs.values_list("pk", flat=True))


@dataclass(slots=True)
class SeriesSummary:
    """One series as lists show it. Values are None while all are NaN."""

    attempt: int
    rank: int
    key: str
    num_points: int
    first_step: int
    last_step: int
    last: float
    last_time_us: int
    minimum: float | None
    maximum: float | None

    def add(self, points: Points) -> None:
        """Account for younger points."""
        self.num_points += len(points)
        self.first_step = min(self.first_step, int(points.steps.min()))
        newest = int(points.steps.max())
        if newest >= self.last_step:
            at = int(np.flatnonzero(points.steps == newest)[-1])
            self.last_step, self.last, self.last_time_us = newest, float(points.values[at]), int(points.times_us[at])
        numbers = points.values[~np.isnan(points.values)]
        if len(numbers):
            low, high = float(numbers.min()), float(numbers.max())
            self.minimum = low if self.minimum is None else min(self.minimum, low)
            self.maximum = high if self.maximum is None else max(self.maximum, high)


def summary_of(points: Points, *, attempt: int, rank: int, key: str) -> SeriesSummary:
    """Summarise at least one point."""
    first_step = int(points.steps[0])
    summary = SeriesSummary(attempt, rank, key, 0, first_step, first_step, 0.0, 0, None, None)
    summary.add(points)
    return summary


def job_series(job_id: UUID) -> list[SeriesSummary]:
    """Summarise every series of a job, the youngest batches included; no chunk is read."""
    numbers = dict(Attempt.objects.filter(job_id=job_id).values_list("pk", "number"))
    # Batches first: one that compaction merges meanwhile is then in the summary too, and is told by its number.
    young = _young_points(job_id)
    found = []
    for row in Series.objects.filter(job_id=job_id).order_by("attempt_id", "rank", "key"):
        number = numbers.get(row.attempt_id)
        points = young[row.pk].younger_than(row.summary_seq) if row.pk in young else EMPTY
        if number is not None and (row.num_points or len(points)):
            found.append(summary_of_series(row, number, points))
    return found


@dataclass(frozen=True, slots=True)
class _Young:
    """Points of one series that no chunk holds yet, each with its batch's number."""

    points: Points
    seqs: Int64Array

    def younger_than(self, seq: int) -> Points:
        return self.points if int(self.seqs[0]) > seq else self.points.take(self.seqs > seq)


def _young_points(job_id: UUID) -> dict[int, _Young]:
    """Decode all young batches of a job and sort their points into series at once."""
    rows = MetricBatch.objects.filter(job_id=job_id).order_by("seq").values_list("seq", "data")
    seqs, batches = [], []
    for seq, data in rows:
        seqs.append(seq)
        batches.append(decode_batch(bytes(data)))
    if not batches:
        return {}
    points = concat([batch.points for batch in batches])
    series_ids = np.concatenate([np.repeat(batch.series_ids, batch.counts) for batch in batches])
    batch_seqs = np.repeat(np.array(seqs, np.int64), [len(batch.points) for batch in batches])
    order = np.argsort(series_ids, kind="stable")
    ids, starts = np.unique(series_ids[order], return_index=True)
    pieces = np.split(order, starts[1:])
    return {int(one): _Young(points.take(piece), batch_seqs[piece]) for one, piece in zip(ids, pieces, strict=True)}


def summary_of_series(row: Series, number: int, points: Points) -> SeriesSummary:
    """Return the stored summary of a series with younger ``points`` added; one of the two is not empty."""
    if not row.num_points:
        return summary_of(points, attempt=number, rank=row.rank, key=row.key)
    assert row.first_step is not None
    assert row.last_step is not None
    summary = SeriesSummary(
        number, row.rank, row.key, row.num_points, row.first_step, row.last_step,
        float("nan") if row.last is None else row.last, row.last_time_us or 0, row.minimum, row.maximum,
    )  # fmt: skip
    if len(points):
        summary.add(points)
    return summary


@dataclass(frozen=True, slots=True)
class LogSource:
    """One captured stream of one rank of one attempt."""

    attempt_id: UUID
    attempt: int
    rank: int
    stream: str


@dataclass(frozen=True, slots=True)
class LogPage:
    """Bytes [start, stop) of a log as text, and how much of it there is.

    Undecodable bytes are shown as U+FFFD; the download has them as they were.
    """

    source: LogSource
    start: int
    stop: int
    text: str
    first_line: int
    """Newlines before ``start``."""
    size_bytes: int
    num_lines: int
    is_complete: bool
    """The stream has ended and all of it is stored."""
    seq: int


def log_source(*, job_id: UUID, attempt: int | None, rank: int, stream: str) -> LogSource:
    """Name a log; without a number, that of the newest attempt which wrote something there, else of the newest.

    Raises:
        NotFound: there is no such attempt (HTTP 404).
    """
    attempts = Attempt.objects.filter(job_id=job_id).order_by("-number")
    if attempt is not None:
        attempts = attempts.filter(number=attempt)
    numbers = list(attempts.values_list("pk", "number"))
    if not numbers:
        raise NotFound("There is no such attempt.")
    spoken = IngestMark.objects.filter(attempt__in=[pk for pk, _ in numbers], rank=rank, stream=stream)
    with_words = set(spoken.values_list("attempt_id", flat=True))
    attempt_id, number = next((one for one in numbers if one[0] in with_words), numbers[0])
    return LogSource(attempt_id, number, rank, stream)


def read_log(*, job_id: UUID, source: LogSource, offset: int, limit: int) -> LogPage:
    """Return up to ``limit`` bytes from ``offset``.

    A page ends at a whole character, so that pages join without a seam.
    """
    seq, mark = _head(job_id, source)
    size_bytes = mark.at if mark else 0
    start = min(offset, size_bytes)
    data, first_line = _bytes_between(source, start, min(start + limit, size_bytes))
    if start + len(data) < size_bytes:
        data = data[: _whole_characters(data)] or data
    return _page(source, start, data, first_line=first_line, mark=mark, seq=seq)


def read_log_tail(*, job_id: UUID, source: LogSource, limit: int, lines: int | None = None) -> LogPage:
    """Return at most the last ``limit`` bytes and ``lines`` lines, beginning with a whole line where there is one."""
    seq, mark = _head(job_id, source)
    size_bytes = mark.at if mark else 0
    start = max(0, size_bytes - limit)
    data, first_line = _bytes_between(source, start, size_bytes)
    skipped = data.find(b"\n") + 1 if start > 0 else 0
    if lines is not None:
        ends = [index for index, byte in enumerate(data[:-1]) if byte == 0x0A]
        if len(ends) >= lines:
            skipped = max(skipped, ends[-lines] + 1)
    first_line += data.count(b"\n", 0, skipped)
    return _page(source, start + skipped, data[skipped:], first_line=first_line, mark=mark, seq=seq)


def iterate_log(source: LogSource) -> Iterator[bytes]:
    """Yield the whole log, chunk after chunk, as it was written."""
    stop = 0
    while True:
        chunk = _chunks(source).filter(start__gte=stop).order_by("start").first()
        if chunk is None:
            return
        stop = chunk.stop
        yield decompress_text(bytes(chunk.data))


def _head(job_id: UUID, source: LogSource) -> tuple[int, IngestMark | None]:
    """Return the stream's number first: what is read after it holds at least that much."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT last_seq FROM jobs_stream WHERE job_id = %s", [job_id])
        row = cursor.fetchone()
    mark = IngestMark.objects.filter(attempt=source.attempt_id, rank=source.rank, stream=source.stream).first()
    return (row[0] if row else 0), mark


def _chunks(source: LogSource) -> QuerySet[LogChunk]:
    return LogChunk.objects.filter(attempt_id=source.attempt_id, rank=source.rank, stream=source.stream)


def _bytes_between(source: LogSource, start: int, stop: int) -> tuple[bytes, int]:
    """Return the bytes [start, stop) and how many newlines lie before them."""
    if start >= stop:
        last = _chunks(source).filter(stop__lte=start).order_by("-start").first()
        return b"", last.first_line + last.num_lines if last else 0
    # The chunk that holds ``start`` begins at or before it: found by the index on (attempt, rank, stream, start). One
    # statement, because compaction may put another chunk in its place meanwhile.
    holding = _chunks(source).filter(start__lte=start).order_by("-start").values("start")[:1]
    chunks = list(_chunks(source).filter(start__gte=Subquery(holding), start__lt=stop).order_by("start"))
    data = b"".join(decompress_text(bytes(chunk.data)) for chunk in chunks)
    begin = start - chunks[0].start
    return data[begin : begin + stop - start], chunks[0].first_line + data.count(b"\n", 0, begin)


def _whole_characters(data: bytes) -> int:
    """Return how many bytes remain when a character cut at the end is left out."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0b1100_0000 == 0b1000_0000:
            continue
        length = 4 if byte >= 0b1111_0000 else 3 if byte >= 0b1110_0000 else 2 if byte >= 0b1100_0000 else 1
        return len(data) - back if length > back else len(data)
    return len(data)


def _page(source: LogSource, start: int, data: bytes, *, first_line: int, mark: IngestMark | None, seq: int) -> LogPage:
    return LogPage(
        source=source,
        start=start,
        stop=start + len(data),
        text=data.decode(errors="replace"),
        first_line=first_line,
        size_bytes=mark.at if mark else 0,
        num_lines=mark.num_lines if mark else 0,
        is_complete=bool(mark and mark.is_ended),
        seq=seq,
    )
