"""The admin console's pages of the cluster."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.accounts.models import User
from apps.cluster import services
from apps.cluster.models import Device, JoinToken, Node, NodeToken, Pool
from apps.core.admin import InvariantAdmin, ReadOnlyAdmin


def _actor(request: HttpRequest) -> User | None:
    return request.user if isinstance(request.user, User) else None


@admin.register(Pool)
class PoolAdmin(InvariantAdmin):
    """Pools; they come with the first node that joins them."""

    list_display = ("name", "description", "created_at")
    search_fields = ("name", "description")
    editable_fields = ("description",)
    ordering = ("name",)


@admin.register(Node)
class NodeAdmin(InvariantAdmin):
    """Machines: drained and shut out here, changed by joining only."""

    list_display = (
        "name", "pool", "hostname", "is_draining", "last_seen_at", "lost_at", "cpu_pct", "forkserver_ready",
        "agent_version",
    )  # fmt: skip
    list_filter = ("pool", "is_draining", "forkserver_ready", "agent_version")
    search_fields = ("name", "hostname", "address", "=id")
    list_select_related = ("pool",)
    ordering = ("name",)
    actions = ("drain", "undrain", "revoke_tokens")

    @admin.action(description="Drain the selected nodes")
    def drain(self, request: HttpRequest, queryset: QuerySet[Node]) -> None:
        """Give them no new jobs."""
        for node in queryset:
            services.set_draining(node_id=node.pk, is_draining=True, actor=_actor(request))
        messages.success(request, f"Draining: {', '.join(node.name for node in queryset)}.")

    @admin.action(description="Give the selected nodes jobs again")
    def undrain(self, request: HttpRequest, queryset: QuerySet[Node]) -> None:
        """End draining."""
        for node in queryset:
            services.set_draining(node_id=node.pk, is_draining=False, actor=_actor(request))
        messages.success(request, f"Taking jobs: {', '.join(node.name for node in queryset)}.")

    @admin.action(description="Revoke the tokens of the selected nodes")
    def revoke_tokens(self, request: HttpRequest, queryset: QuerySet[Node]) -> None:
        """Shut them out until they join again."""
        number = sum(services.revoke_node_tokens(node_id=node.pk, actor=_actor(request)) for node in queryset)
        messages.success(request, f"{number} tokens revoked.")


@admin.register(Device)
class DeviceAdmin(ReadOnlyAdmin):
    """Slots, as their agents found them."""

    list_display = ("__str__", "kind", "name", "memory_bytes", "removed_at")
    list_filter = ("kind", "node__pool")
    search_fields = ("node__name", "name")
    list_select_related = ("node",)
    ordering = ("node__name", "index")


@admin.register(JoinToken)
class JoinTokenAdmin(InvariantAdmin):
    """Tokens that let machines in: shown without their secret, revoked here."""

    list_display = (
        "name",
        "prefix",
        "pool",
        "is_reusable",
        "created_by",
        "expires_at",
        "used_at",
        "used_by",
        "revoked_at",
    )
    list_filter = ("pool", "is_reusable", "revoked_at")
    search_fields = ("name", "prefix")
    list_select_related = ("pool", "created_by", "used_by")
    ordering = ("-id",)
    actions = ("revoke",)

    @admin.action(description="Revoke the selected tokens")
    def revoke(self, request: HttpRequest, queryset: QuerySet[JoinToken]) -> None:
        """Let nobody in by them any more."""
        for token in queryset:
            services.revoke_join_token(token_id=token.pk, actor=_actor(request))
        messages.success(request, f"Revoked: {', '.join(token.name for token in queryset)}.")


@admin.register(NodeToken)
class NodeTokenAdmin(ReadOnlyAdmin):
    """Keys of nodes; revoked on the node's page."""

    list_display = ("node", "created_at", "last_used_at", "revoked_at")
    list_filter = ("revoked_at",)
    search_fields = ("node__name",)
    list_select_related = ("node",)
    exclude = ("digest",)
    ordering = ("-id",)
