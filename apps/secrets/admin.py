"""The admin console's page of secrets: that they exist. Neither value nor ciphertext is shown."""

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from apps.core.admin import ReadOnlyAdmin
from apps.secrets.models import Secret


@admin.register(Secret)
class SecretAdmin(ReadOnlyAdmin):
    """Credentials of projects; set and deleted over REST."""

    list_display = ("name", "project", "workspace", "set_by", "set_at")
    list_filter = ("workspace", "set_at")
    search_fields = ("name", "project__name")
    list_select_related = ("project", "workspace", "set_by")
    ordering = ("-id",)

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        """Leave the ciphertext out."""
        return [name for name in super().get_fields(request, obj) if name != "sealed"]

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        """Leave the ciphertext out."""
        return [name for name in super().get_readonly_fields(request, obj) if name != "sealed"]
