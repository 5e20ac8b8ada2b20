"""Secrets: credentials of a project. The value is never shown again, only handed to the nodes of its jobs."""

from django.db import models

from apps.accounts.models import User, Workspace
from apps.core.models import Record
from apps.projects.models import Project


class Secret(Record):
    """A named value, encrypted; deleting it deletes the bytes."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="secrets")
    name = models.CharField(max_length=63)
    sealed = models.BinaryField()
    """See ``encryption``."""
    set_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    set_at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["project", "name"], name="secret_name_once"),)

    def __str__(self) -> str:
        return self.name
