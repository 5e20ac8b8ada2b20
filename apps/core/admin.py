"""What every page of the admin console is made of, and the console's view of the record.

A hand edit must not break what services keep true: state, fences, events and digests are shown, never written here.
"""

from django.contrib import admin
from django.db.models import Field, Model
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from apps.core.models import Event, ServiceBeat


class InvariantAdmin(ModelAdmin):
    """Everything is shown; only ``editable_fields`` can be changed; nothing is added or deleted by hand.

    Name actions that call services for what else an operator needs.
    """

    editable_fields: tuple[str, ...] = ()
    compressed_fields = True
    list_per_page = 50
    show_full_result_count = False  # counting a large table takes longer than showing a page of it

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        """Return every field that is not named editable."""
        return [field.name for field in self.model._meta.fields if field.name not in self.editable_fields]

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        """Show the columns of the table in their order."""
        return [field.name for field in self.model._meta.fields if isinstance(field, Field)]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Rows are made by services."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Rows are removed by services."""
        return False


class ReadOnlyAdmin(InvariantAdmin):
    """Shown, never changed."""

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nothing here is changed by hand."""
        return False


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    """The append-only record of what happened."""

    list_display = ("created_at", "action", "object_type", "object_id", "actor_name", "reason")
    list_filter = ("action", "object_type", "created_at")
    search_fields = ("=object_id", "=workspace_id", "=request_id", "actor_name", "action")
    list_select_related = ("actor",)
    date_hierarchy = "created_at"
    ordering = ("-id",)


@admin.register(ServiceBeat)
class ServiceBeatAdmin(ReadOnlyAdmin):
    """Which processes of the control plane are up."""

    list_display = ("name", "up_since", "beat_at")
