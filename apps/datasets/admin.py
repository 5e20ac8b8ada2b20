"""The admin console's pages of datasets."""

from django.contrib import admin

from apps.core.admin import InvariantAdmin, ReadOnlyAdmin
from apps.datasets.models import Dataset, DatasetVersion


@admin.register(Dataset)
class DatasetAdmin(InvariantAdmin):
    """Datasets; deleted over REST, which checks what refers to them."""

    list_display = ("name", "project", "workspace", "format", "created_by", "created_at", "deleted_at")
    list_filter = ("workspace", "format", "deleted_at")
    search_fields = ("name", "description", "project__name", "=id")
    list_select_related = ("project", "workspace", "created_by")
    editable_fields = ("description",)
    ordering = ("-id",)


@admin.register(DatasetVersion)
class DatasetVersionAdmin(ReadOnlyAdmin):
    """Versions: immutable, and their state is written by the reader alone."""

    list_display = ("__str__", "workspace", "state", "progress", "num_reads", "error", "created_at")
    list_filter = ("state", "workspace", "created_at")
    search_fields = ("dataset__name", "=id", "=file_set__digest")
    list_select_related = ("dataset", "workspace")
    ordering = ("-id",)
