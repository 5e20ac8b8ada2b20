"""Join tokens, for administrators of the installation. Nodes and pools are served by ``apps.jobs.cluster_views``."""

from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.mixins import ListModelMixin
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from apps.accounts.models import Scope, User
from apps.accounts.permissions import TokenScopeAllows
from apps.cluster import selectors, services
from apps.cluster.models import JoinToken
from apps.cluster.serializers import CreateJoinTokenSerializer, JoinTokenSerializer, NewJoinTokenSerializer
from apps.core.permissions import IsSuperuser


class JoinTokenViewSet(ListModelMixin, GenericViewSet[JoinToken]):
    """Tokens that let machines in."""

    serializer_class = JoinTokenSerializer
    permission_classes = (IsAuthenticated, TokenScopeAllows, IsSuperuser)
    write_scope = Scope.ADMIN
    ordering_fields = ("created_at", "name", "expires_at")

    def get_queryset(self) -> QuerySet[JoinToken]:
        """Select the tokens that were not revoked."""
        return selectors.join_tokens()

    @extend_schema(request=CreateJoinTokenSerializer, responses={201: NewJoinTokenSerializer})
    def create(self, request: Request) -> Response:
        """Make a join token. Its secret is in this answer and never shown again."""
        form = CreateJoinTokenSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        fields = dict(form.validated_data)
        made = services.create_join_token(pool_name=fields.pop("pool", None), actor=_user(request), **fields)
        return Response(NewJoinTokenSerializer(made.token, context={"secret": made.secret}).data, status=201)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: UUID) -> Response:
        """Revoke a token; nodes that joined by it stay."""
        services.revoke_join_token(token_id=self.get_object().pk, actor=_user(request))
        return Response(status=204)


def _user(request: Request) -> User:
    assert isinstance(request.user, User)
    return request.user
