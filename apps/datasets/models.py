"""Datasets: named, versioned, immutable collections of documents."""

from django.db import models

from apps.accounts.models import User, Workspace
from apps.core.models import Record
from apps.projects.models import Project
from apps.storage.models import FileSet


class DatasetFormat(models.TextChoices):
    """How documents lie in the files."""

    AUTO = "auto", "By file name"
    TEXT = "text", "One document a file"
    JSONL = "jsonl", "JSON Lines, field text"
    PARQUET = "parquet", "Parquet, column text"


class Dataset(Record):
    """A named collection; its content is in its versions."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="datasets")
    name = models.CharField(max_length=63)
    description = models.TextField(blank=True)
    format = models.CharField(max_length=10, choices=DatasetFormat, default=DatasetFormat.AUTO)
    created_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["project", "name"], condition=models.Q(deleted_at=None), name="dataset_name_once"
            ),
        )

    def __str__(self) -> str:
        return self.name


class VersionState(models.TextChoices):
    """Whether a version's statistics are known and it may be trained on."""

    PENDING = "pending", "Being read"
    READY = "ready", "Ready"
    FAILED = "failed", "Not usable"


class DatasetVersion(Record):
    """One immutable state of a dataset."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    file_set = models.ForeignKey(FileSet, on_delete=models.PROTECT, related_name="dataset_versions")
    state = models.CharField(max_length=10, choices=VersionState, default=VersionState.PENDING)
    error = models.TextField(blank=True)
    progress = models.FloatField(default=0.0)
    """Share of the files read, 0 to 1."""
    statistics = models.JSONField(null=True)
    """What ``apps.datasets.statistics.Statistics`` holds, once it is known."""
    read_at = models.DateTimeField(null=True)
    """When a reader last showed progress: silence means that it died and another may take over."""
    num_reads = models.PositiveSmallIntegerField(default=0)
    """How often reading was begun; it is given up after some."""
    created_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints = (models.UniqueConstraint(fields=["dataset", "number"], name="dataset_version_once"),)
        indexes = (
            models.Index(fields=["created_at"], condition=models.Q(state="pending"), name="dataset_version_pending"),
        )

    def __str__(self) -> str:
        return f"{self.dataset}@{self.number}"
