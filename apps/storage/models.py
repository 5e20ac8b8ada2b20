"""Bytes: artifacts by content, sets of them by path, and uploads on their way in."""

from django.db import models

from apps.accounts.models import User, Workspace
from apps.core.models import Record


class Artifact(Record):
    """A stored file, named by its content within one workspace (across workspaces a digest would be an oracle)."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    sha256 = models.CharField(max_length=64)
    size_bytes = models.BigIntegerField()
    storage_key = models.CharField(max_length=200, unique=True)
    """Opaque; only the storage module reads it."""

    class Meta:
        constraints = (models.UniqueConstraint(fields=["workspace", "sha256"], name="artifact_once"),)

    def __str__(self) -> str:
        return self.sha256[:12]


class FileSet(Record):
    """An immutable set of files: a dataset version, a checkpoint, a model version."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    digest = models.CharField(max_length=64)
    """SHA-256 over the sorted lines ``<sha256> <size> <path>``."""
    num_files = models.PositiveIntegerField()
    size_bytes = models.BigIntegerField()
    collected_at = models.DateTimeField(null=True)
    """When its entries were dropped because nothing living referred to it; history may still name it."""

    class Meta:
        constraints = (models.UniqueConstraint(fields=["workspace", "digest"], name="file_set_once"),)

    def __str__(self) -> str:
        return self.digest[:12]


class FileSetEntry(models.Model):
    """One file of a set."""

    file_set = models.ForeignKey(FileSet, on_delete=models.CASCADE, related_name="entries")
    path = models.CharField(max_length=1024)
    artifact = models.ForeignKey(Artifact, on_delete=models.PROTECT, related_name="entries")

    class Meta:
        constraints = (models.UniqueConstraint(fields=["file_set", "path"], name="file_set_path_once"),)

    def __str__(self) -> str:
        return self.path


class Upload(Record):
    """A file on its way in; its parts may arrive in any order and more than once."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    created_by = models.ForeignKey(User, null=True, on_delete=models.CASCADE, related_name="+")
    node_id = models.UUIDField(null=True)
    """Set when a node sends it; only that node may go on."""
    sha256 = models.CharField(max_length=64)
    size_bytes = models.BigIntegerField()
    part_size_bytes = models.PositiveIntegerField()
    artifact = models.ForeignKey(Artifact, null=True, on_delete=models.SET_NULL, related_name="+")
    """Set when complete."""
    expires_at = models.DateTimeField(db_index=True)
    """Moves on with every part; what has expired is collected with all its bytes."""

    def __str__(self) -> str:
        return f"upload {self.pk}"


class UploadPart(models.Model):
    """A part that is stored; part ``number`` begins at byte ``number * part_size_bytes``."""

    upload = models.ForeignKey(Upload, on_delete=models.CASCADE, related_name="parts")
    number = models.PositiveIntegerField()
    size_bytes = models.PositiveIntegerField()
    storage_key = models.CharField(max_length=200)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["upload", "number"], name="upload_part_once"),)

    def __str__(self) -> str:
        return f"part {self.number}"
