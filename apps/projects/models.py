"""Projects: where jobs, datasets and models of one piece of work live together."""

from django.db import models

from apps.accounts.models import User, Workspace
from apps.core.models import Record


class Project(Record):
    """A piece of work within a workspace."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="projects")
    name = models.CharField(max_length=80)
    description = models.TextField(blank=True)
    created_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    last_job_number = models.PositiveIntegerField(default=0)
    retention_days = models.PositiveIntegerField(default=30)
    """How long what was deleted can be brought back."""
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["workspace", "name"], condition=models.Q(deleted_at=None), name="project_name_once"
            ),
        )

    def __str__(self) -> str:
        return self.name
