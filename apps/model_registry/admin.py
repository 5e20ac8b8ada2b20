"""The admin console's pages of the registry."""

from django.contrib import admin

from apps.core.admin import InvariantAdmin
from apps.model_registry.models import Model, ModelVersion


@admin.register(Model)
class ModelAdmin(InvariantAdmin):
    """Models; deleted over REST, which checks what refers to their versions."""

    list_display = ("name", "project", "workspace", "last_version_number", "created_by", "created_at", "deleted_at")
    list_filter = ("workspace", "deleted_at")
    search_fields = ("name", "description", "project__name", "=id")
    list_select_related = ("project", "workspace", "created_by")
    editable_fields = ("description",)
    ordering = ("-id",)


@admin.register(ModelVersion)
class ModelVersionAdmin(InvariantAdmin):
    """Versions: immutable but for their card."""

    list_display = ("__str__", "workspace", "stage", "num_parameters", "dataset_version", "created_at", "deleted_at")
    list_filter = ("stage", "workspace", "created_at", "deleted_at")
    search_fields = ("model__name", "=id", "=file_set__digest", "code_revision")
    list_select_related = ("model", "workspace", "dataset_version__dataset")
    editable_fields = ("card",)
    ordering = ("-id",)
