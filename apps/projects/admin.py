"""The admin console's page of projects."""

from django.contrib import admin

from apps.core.admin import InvariantAdmin
from apps.projects.models import Project


@admin.register(Project)
class ProjectAdmin(InvariantAdmin):
    """Projects; deleted over REST, which checks what they hold."""

    list_display = ("name", "workspace", "last_job_number", "retention_days", "created_at", "deleted_at")
    list_filter = ("workspace", "deleted_at")
    search_fields = ("name", "description", "workspace__name")
    list_select_related = ("workspace",)
    editable_fields = ("description", "retention_days")
    ordering = ("-id",)
