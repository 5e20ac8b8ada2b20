"""Projects the caller may see. Parses, calls one service, serializes."""

from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from apps.accounts.models import User
from apps.accounts.selectors import visible_workspaces
from apps.core.errors import NotFound
from apps.projects import selectors, services
from apps.projects.filters import ProjectFilter
from apps.projects.models import Project
from apps.projects.serializers import ChangeProjectSerializer, CreateProjectSerializer, ProjectSerializer


class ProjectViewSet(ListModelMixin, RetrieveModelMixin, GenericViewSet[Project]):
    """Projects: where jobs, datasets and models of one piece of work live together."""

    serializer_class = ProjectSerializer
    filterset_class = ProjectFilter
    ordering_fields = ("name", "created_at", "updated_at")

    def get_queryset(self) -> QuerySet[Project]:
        """Select the caller's projects."""
        return selectors.visible_projects(self.request.user)

    @extend_schema(request=CreateProjectSerializer, responses={201: ProjectSerializer})
    def create(self, request: Request) -> Response:
        """Make a project."""
        form = CreateProjectSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        fields = form.validated_data
        workspace = visible_workspaces(request.user).filter(pk=fields.pop("workspace")).first()
        if workspace is None:
            raise NotFound("There is no such workspace.")
        project = services.create_project(actor=_user(request), workspace=workspace, **fields)
        return Response(ProjectSerializer(project).data, status=201)

    @extend_schema(request=ChangeProjectSerializer, responses=ProjectSerializer)
    def partial_update(self, request: Request, pk: UUID) -> Response:
        """Change a project."""
        project = self.get_object()
        form = ChangeProjectSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        services.change_project(project=project, actor=_user(request), **form.validated_data)
        return Response(ProjectSerializer(project).data)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: UUID) -> Response:
        """Delete an empty project."""
        services.delete_project(project=self.get_object(), actor=_user(request))
        return Response(status=204)


def _user(request: Request) -> User:
    assert isinstance(request.user, User)
    return request.user
