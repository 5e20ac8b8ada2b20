"""Metrics and logs, stored as compressed chunks.

No row per point: a young ``MetricBatch`` is what one request brought, for all its series; compaction merges old ones
into a ``Chunk`` of about 4,096 points of one series. The bytes are described in ``codec``. Rows that ingest writes
carry no foreign key constraint in the database: checking it would lock and dirty the attempt's row with every batch.
Django still deletes them with their job.
"""

from django.db import models
from django.db.models.functions import Now

from apps.accounts.models import Workspace
from apps.jobs.models import Attempt, Job


class Series(models.Model):
    """One curve: a key of one rank in one attempt, with its summary so that lists read no points.

    The summary covers the batches up to ``summary_seq`` in the job's stream; readers add the younger ones.
    """

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="series")
    attempt = models.ForeignKey(Attempt, on_delete=models.CASCADE, related_name="series")
    rank = models.IntegerField()
    key = models.CharField(max_length=255)
    num_points = models.BigIntegerField(default=0, db_default=0)
    first_step = models.BigIntegerField(null=True)
    last_step = models.BigIntegerField(null=True)
    last = models.FloatField(null=True)
    """Value of the highest step; of the youngest point where several have it."""
    last_time_us = models.BigIntegerField(null=True)
    minimum = models.FloatField(null=True)
    maximum = models.FloatField(null=True)
    summary_seq = models.BigIntegerField(default=0, db_default=0)

    class Meta:
        verbose_name_plural = "series"
        constraints = (models.UniqueConstraint(fields=["attempt", "rank", "key"], name="series_once"),)
        indexes = (models.Index(fields=["job", "key"], name="series_job_key"),)

    def __str__(self) -> str:
        return f"{self.key} of rank {self.rank}"


class Chunk(models.Model):
    """A run of one series' points, in the order they came."""

    id = models.BigAutoField(primary_key=True)
    series = models.ForeignKey(Series, on_delete=models.CASCADE, related_name="chunks")
    num_points = models.IntegerField()
    first_step = models.BigIntegerField()
    last_step = models.BigIntegerField()
    minimum = models.FloatField(null=True)
    maximum = models.FloatField(null=True)
    data = models.BinaryField()

    def __str__(self) -> str:
        return f"{self.num_points} points of series {self.series_id}"


class MetricBatch(models.Model):
    """The points one request brought, for all its series; short-lived."""

    id = models.BigAutoField(primary_key=True)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="+", db_constraint=False, db_index=False)
    seq = models.BigIntegerField()
    """Its place in the job's live stream."""
    attempt = models.ForeignKey(
        Attempt, on_delete=models.CASCADE, related_name="+", db_constraint=False, db_index=False
    )
    rank = models.IntegerField()
    num_points = models.IntegerField()
    data = models.BinaryField()
    received_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "metric batches"
        constraints = (models.UniqueConstraint(fields=["job", "seq"], name="metric_batch_once"),)

    def __str__(self) -> str:
        return f"{self.num_points} points at {self.seq}"


class LogChunk(models.Model):
    """Bytes [start, stop) of what one rank wrote to one stream."""

    id = models.BigAutoField(primary_key=True)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="+", db_constraint=False, db_index=False)
    seq = models.BigIntegerField()
    """Its place in the job's live stream; of the youngest part where several were merged."""
    attempt = models.ForeignKey(
        Attempt, on_delete=models.CASCADE, related_name="+", db_constraint=False, db_index=False
    )
    rank = models.IntegerField()
    stream = models.CharField(max_length=6)
    start = models.BigIntegerField()
    stop = models.BigIntegerField()
    first_line = models.BigIntegerField()
    """Newlines before ``start``."""
    num_lines = models.IntegerField()
    data = models.BinaryField()
    received_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["job", "seq"], name="log_chunk_once"),
            models.UniqueConstraint(fields=["attempt", "rank", "stream", "start"], name="log_chunk_place"),
        )

    def __str__(self) -> str:
        return f"{self.stream} {self.start}-{self.stop}"


class IngestMark(models.Model):
    """How far one rank's file has been taken in; the next batch must begin exactly there."""

    METRICS = "metrics"

    id = models.BigAutoField(primary_key=True)
    attempt = models.ForeignKey(Attempt, on_delete=models.CASCADE, related_name="+")
    rank = models.IntegerField()
    stream = models.CharField(max_length=7)
    """``metrics`` (unit: events), ``stdout`` or ``stderr`` (unit: bytes)."""
    at = models.BigIntegerField()
    num_lines = models.BigIntegerField(default=0, db_default=0)
    is_ended = models.BooleanField(default=False, db_default=False)
    """Nothing follows: the log is complete."""

    class Meta:
        constraints = (models.UniqueConstraint(fields=["attempt", "rank", "stream"], name="ingest_mark_once"),)

    def __str__(self) -> str:
        return f"{self.stream} of rank {self.rank} at {self.at}"
