"""Secrets of a project. Parses, calls one service, serializes; no answer holds a value."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.mixins import ListModelMixin
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from apps.accounts.models import User
from apps.core.errors import NotFound
from apps.projects.selectors import visible_projects
from apps.projects.services import writable_project
from apps.secrets import selectors, services
from apps.secrets.models import Secret
from apps.secrets.serializers import SecretSerializer, SetSecretSerializer


class SecretViewSet(ListModelMixin, GenericViewSet[Secret]):
    """Credentials that the project's jobs may be given."""

    serializer_class = SecretSerializer
    lookup_field = "name"
    lookup_value_converter = "str"
    ordering_fields = ("name", "set_at", "created_at")

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Check the project of the address before anything else is read."""
        super().initial(request, *args, **kwargs)
        project_id = kwargs["project_id"]
        if request.method not in SAFE_METHODS:
            self.project = writable_project(actor=_user(request), project_id=project_id)
        elif not visible_projects(request.user).filter(pk=project_id).exists():
            raise NotFound("There is no such project.")

    def get_queryset(self) -> QuerySet[Secret]:
        """Select the project's secrets."""
        if getattr(self, "swagger_fake_view", False):
            return Secret.objects.none()
        return selectors.secrets_of(self.kwargs["project_id"])

    @extend_schema(request=SetSecretSerializer, responses=SecretSerializer)
    def update(self, request: Request, project_id: UUID, name: str) -> Response:
        """Make a secret, or give it another value."""
        form = SetSecretSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        value = form.validated_data["value"]
        secret = services.set_secret(project=self.project, actor=_user(request), name=name, value=value)
        return Response(SecretSerializer(secret).data)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, project_id: UUID, name: str) -> Response:
        """Delete a secret with its value."""
        services.delete_secret(project=self.project, actor=_user(request), name=name)
        return Response(status=204)


def _user(request: Request) -> User:
    assert isinstance(request.user, User)
    return request.user
