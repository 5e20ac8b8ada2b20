"""The admin console's pages of the storage: shown, never changed, because bytes and rows must agree."""

from django.contrib import admin

from apps.core.admin import ReadOnlyAdmin
from apps.storage.models import Artifact, FileSet, Upload


@admin.register(Artifact)
class ArtifactAdmin(ReadOnlyAdmin):
    """Stored files."""

    list_display = ("sha256", "workspace", "size_bytes", "created_at")
    list_filter = ("workspace", "created_at")
    search_fields = ("=sha256", "=id")
    list_select_related = ("workspace",)
    ordering = ("-id",)


@admin.register(FileSet)
class FileSetAdmin(ReadOnlyAdmin):
    """Sets of files."""

    list_display = ("digest", "workspace", "num_files", "size_bytes", "created_at", "collected_at")
    list_filter = ("workspace", "created_at")
    search_fields = ("=digest", "=id")
    list_select_related = ("workspace",)
    ordering = ("-id",)


@admin.register(Upload)
class UploadAdmin(ReadOnlyAdmin):
    """Files on their way in."""

    list_display = ("id", "workspace", "created_by", "node_id", "size_bytes", "artifact", "expires_at")
    list_filter = ("workspace", "expires_at")
    search_fields = ("=id", "=sha256", "=node_id", "created_by__username")
    list_select_related = ("workspace", "created_by", "artifact")
    ordering = ("-id",)
