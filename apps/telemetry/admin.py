"""Telemetry in the admin console: what was taken in, to look at. Points and log bytes are read on the job's page."""

from django.contrib import admin

from apps.core.admin import ReadOnlyAdmin
from apps.telemetry.models import IngestMark, Series


@admin.register(Series)
class SeriesAdmin(ReadOnlyAdmin):
    """Curves and their stored summaries, which compaction brings up to date."""

    list_display = ("key", "rank", "attempt", "num_points", "last_step", "last", "minimum", "maximum")
    list_select_related = ("attempt__job",)
    search_fields = ("key", "job__id", "job__name")
    ordering = ("-id",)


@admin.register(IngestMark)
class IngestMarkAdmin(ReadOnlyAdmin):
    """How far each rank's files have come in, and whether they have ended."""

    list_display = ("attempt", "rank", "stream", "at", "num_lines", "is_ended")
    list_filter = ("stream", "is_ended")
    list_select_related = ("attempt__job",)
    search_fields = ("attempt__job__id", "attempt__job__name")
    ordering = ("-id",)
