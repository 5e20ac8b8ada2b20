"""The admin console's pages of jobs: everything is shown, nothing that services keep true is edited."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.accounts.models import User
from apps.core.admin import ReadOnlyAdmin
from apps.core.errors import DomainError
from apps.jobs import services
from apps.jobs.models import Allocation, Attempt, Checkpoint, DeviceHold, Job


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    """Jobs: cancelled and killed here, as over REST."""

    list_display = (
        "number", "name", "project", "kind", "state", "priority", "pool", "owner", "created_at", "started_at",
        "ended_at",
    )  # fmt: skip
    list_display_links = ("number", "name")
    list_filter = ("state", "kind", "pool", "workspace", "created_at", "deleted_at")
    search_fields = ("name", "owner__username", "project__name", "=id", "=number")
    list_select_related = ("project__workspace", "owner")
    date_hierarchy = "created_at"
    ordering = ("-id",)
    actions = ("cancel", "kill")

    @admin.action(description="Cancel the selected jobs", permissions=["view"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        """Stop them at a step boundary, after saving."""
        self._command(request, queryset, services.cancel_job, "Cancelling")

    @admin.action(description="Kill the selected jobs", permissions=["view"])
    def kill(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        """End them now, without saving."""
        self._command(request, queryset, services.kill_job, "Killing")

    def _command(self, request: HttpRequest, queryset: QuerySet[Job], command: Callable[..., Any], verb: str) -> None:
        actor = request.user if isinstance(request.user, User) else None
        done = []
        for job in queryset:
            try:
                command(job_id=job.pk, actor=actor)
                done.append(str(job))
            except DomainError as error:
                messages.warning(request, f"{job}: {error.detail}")
        if done:
            messages.success(request, f"{verb}: {', '.join(done)}.")


@admin.register(Attempt)
class AttemptAdmin(ReadOnlyAdmin):
    """Attempts of jobs."""

    list_display = ("__str__", "number", "fence", "state", "outcome", "reason", "started_at", "ended_at")
    list_filter = ("state", "outcome", "started_at")
    search_fields = ("job__name", "=job__id", "=id", "reason")
    list_select_related = ("job",)
    ordering = ("-id",)


@admin.register(Allocation)
class AllocationAdmin(ReadOnlyAdmin):
    """What attempts took of nodes."""

    list_display = ("__str__", "node", "node_rank", "fence", "state", "outcome", "is_warm", "claimed_at", "released_at")
    list_filter = ("state", "outcome", "is_warm", "node")
    search_fields = ("attempt__job__name", "=attempt__job__id", "=id", "node__name")
    list_select_related = ("attempt__job", "node")
    ordering = ("-id",)


@admin.register(DeviceHold)
class DeviceHoldAdmin(ReadOnlyAdmin):
    """Who holds which slot."""

    list_display = ("device", "allocation", "released_at")
    list_filter = ("device__node",)
    list_select_related = ("device__node", "allocation__attempt__job", "allocation__node")
    ordering = ("-id",)


@admin.register(Checkpoint)
class CheckpointAdmin(ReadOnlyAdmin):
    """Saved states; kept as the spec says, deleted by the control plane alone."""

    list_display = ("__str__", "step", "is_best", "file_set", "created_at", "deleted_at")
    list_filter = ("is_best", "created_at", "deleted_at")
    search_fields = ("job__name", "=job__id", "=id", "=file_set__digest")
    list_select_related = ("job", "file_set")
    ordering = ("-id",)
