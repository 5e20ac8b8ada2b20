"""Nodes and pools with what runs on them; here and not in ``cluster``, which knows no jobs."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from apps.accounts.models import Scope, User
from apps.accounts.permissions import TokenScopeAllows
from apps.cluster import selectors, services
from apps.cluster.models import Node, Pool
from apps.core.permissions import IsSuperuserOrReadOnly
from apps.jobs.capacity import cluster_view
from apps.jobs.cluster_serializers import NodeSerializer, PoolSerializer


class _ClusterViewSet(ListModelMixin, RetrieveModelMixin, GenericViewSet[Any]):
    """Reads what runs where once for an answer."""

    permission_classes = (IsAuthenticated, TokenScopeAllows, IsSuperuserOrReadOnly)
    write_scope = Scope.ADMIN

    def get_serializer_context(self) -> dict[str, Any]:
        """Hand the cluster's state to the serializer."""
        context = dict(super().get_serializer_context())
        if not getattr(self, "swagger_fake_view", False):
            context["cluster"] = cluster_view(self.request.user)
        return context


class NodeViewSet(_ClusterViewSet):
    """Machines. Everybody signed in sees them; job names only where the caller sees the job."""

    serializer_class = NodeSerializer
    filterset_fields = ("name",)
    ordering_fields = ("name", "created_at", "last_seen_at")
    ordering = ("name",)

    def get_queryset(self) -> QuerySet[Node]:
        """Select all nodes."""
        return selectors.nodes()

    @extend_schema(request=None, responses=NodeSerializer)
    @action(detail=True, methods=["post"])
    def drain(self, request: Request, pk: UUID) -> Response:
        """Give the node no new jobs; those it has go on."""
        return self._set(request, is_draining=True)

    @extend_schema(request=None, responses=NodeSerializer)
    @action(detail=True, methods=["post"])
    def undrain(self, request: Request, pk: UUID) -> Response:
        """Give the node new jobs again."""
        return self._set(request, is_draining=False)

    def _set(self, request: Request, *, is_draining: bool) -> Response:
        node = self.get_object()
        assert isinstance(request.user, User)
        services.set_draining(node_id=node.pk, is_draining=is_draining, actor=request.user)
        return Response(self.get_serializer(self.get_object()).data)


class PoolViewSet(_ClusterViewSet):
    """Pools of nodes."""

    serializer_class = PoolSerializer
    filterset_fields = ("name",)
    ordering_fields = ("name", "created_at")
    ordering = ("name",)

    def get_queryset(self) -> QuerySet[Pool]:
        """Select all pools."""
        return selectors.pools()
