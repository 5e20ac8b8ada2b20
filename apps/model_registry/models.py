"""Models and their versions, named ``<model>_v<N>``. The registry never knows jobs: they point here."""

from django.db import models

from apps.accounts.models import User, Workspace
from apps.core.models import Record
from apps.datasets.models import DatasetVersion
from apps.projects.models import Project
from apps.storage.models import FileSet


class Model(Record):
    """A line of versions."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="models")
    name = models.CharField(max_length=63)
    description = models.TextField(blank=True)
    last_version_number = models.PositiveIntegerField(default=0)
    created_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["workspace", "name"], condition=models.Q(deleted_at=None), name="model_name_once"
            ),
        )

    def __str__(self) -> str:
        return self.name


class Stage(models.TextChoices):
    """Where a version stands in its life."""

    CANDIDATE = "candidate", "Candidate"
    VALIDATED = "validated", "Validated"
    PRODUCTION = "production", "Production"
    RETIRED = "retired", "Retired"


class ModelVersion(Record):
    """One immutable result."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    parent = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="children")
    dataset_version = models.ForeignKey(
        DatasetVersion, null=True, on_delete=models.PROTECT, related_name="model_versions"
    )
    file_set = models.ForeignKey(FileSet, on_delete=models.PROTECT, related_name="model_versions")
    config = models.JSONField(default=dict)
    """The spec that made it."""
    metrics = models.JSONField(default=dict)
    num_parameters = models.BigIntegerField(default=0)
    stage = models.CharField(max_length=12, choices=Stage, default=Stage.CANDIDATE)
    card = models.TextField(blank=True)
    """Model card, Markdown."""
    code_revision = models.CharField(max_length=64, blank=True)
    created_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["model", "number"], name="model_version_once"),
            models.UniqueConstraint(
                fields=["model"], condition=models.Q(stage=Stage.PRODUCTION), name="model_one_production"
            ),
        )

    def __str__(self) -> str:
        return f"{self.model}_v{self.number}"
