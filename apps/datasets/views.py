"""Datasets and versions the caller may see. Parses, calls one service, serializes."""

from uuid import UUID

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from apps.accounts.models import ApiToken, Scope, User
from apps.accounts.selectors import scope_includes
from apps.core.errors import Forbidden, InvalidInput
from apps.datasets import selectors, services
from apps.datasets.filters import DatasetFilter, DatasetVersionFilter
from apps.datasets.models import Dataset, DatasetVersion
from apps.datasets.serializers import (
    ChangeDatasetSerializer,
    CreateDatasetSerializer,
    CreateDatasetVersionSerializer,
    DatasetSerializer,
    DatasetVersionSerializer,
    FileListSerializer,
    PreviewSerializer,
)
from apps.projects.services import writable_project
from apps.storage.responses import file_response
from apps.storage.selectors import file_of_set, file_refs
from apps.storage.serializers import DOWNLOAD_RESPONSES


class DatasetViewSet(ListModelMixin, RetrieveModelMixin, GenericViewSet[Dataset]):
    """Datasets: named, versioned collections of documents."""

    serializer_class = DatasetSerializer
    filterset_class = DatasetFilter
    ordering_fields = ("name", "created_at", "updated_at")

    def get_queryset(self) -> QuerySet[Dataset]:
        """Select the caller's datasets."""
        return selectors.visible_datasets(self.request.user)

    @extend_schema(request=CreateDatasetSerializer, responses={201: DatasetSerializer})
    def create(self, request: Request) -> Response:
        """Make an empty dataset."""
        form = CreateDatasetSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        actor = _user(request)
        project = writable_project(actor=actor, project_id=form.validated_data.pop("project"))
        dataset = services.create_dataset(actor=actor, project=project, **form.validated_data)
        return Response(DatasetSerializer(dataset).data, status=201)

    @extend_schema(request=ChangeDatasetSerializer, responses=DatasetSerializer)
    def partial_update(self, request: Request, pk: UUID) -> Response:
        """Change the description."""
        dataset = self.get_object()
        form = ChangeDatasetSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        services.change_dataset(dataset=dataset, actor=_user(request), **form.validated_data)
        return Response(DatasetSerializer(dataset).data)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: UUID) -> Response:
        """Delete a dataset that nothing living refers to; its name is free at once."""
        services.delete_dataset(dataset=self.get_object(), actor=_user(request))
        return Response(status=204)


class DatasetVersionsViewSet(ListModelMixin, GenericViewSet[DatasetVersion]):
    """The versions of one dataset, newest first."""

    serializer_class = DatasetVersionSerializer
    filterset_class = DatasetVersionFilter
    ordering_fields = ("number", "created_at")

    def get_dataset(self) -> Dataset:
        """Return the dataset of the address, with the caller's role checked."""
        dataset = selectors.dataset_by_id(user=self.request.user, dataset_id=self.kwargs["id"])
        self.check_object_permissions(self.request, dataset)
        return dataset

    def get_queryset(self) -> QuerySet[DatasetVersion]:
        """Select the dataset's versions."""
        if getattr(self, "swagger_fake_view", False):
            return DatasetVersion.objects.none()
        return selectors.visible_versions(self.request.user).filter(dataset=self.get_dataset()).order_by("-number")

    @extend_schema(
        request=CreateDatasetVersionSerializer,
        responses={201: DatasetVersionSerializer, 200: DatasetVersionSerializer},
    )
    def create(self, request: Request, id: UUID) -> Response:
        """Make the next version; the same content as the latest gives that one, with 200."""
        dataset = self.get_dataset()
        form = CreateDatasetVersionSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        actor = _user(request)
        if (server_path := form.validated_data.get("server_path")) is not None:
            _require_administrator(request)
            made = services.create_version_from_path(dataset=dataset, actor=actor, server_path=server_path)
        else:
            made = services.create_version(dataset=dataset, actor=actor, files=form.validated_data["files"])
        return Response(DatasetVersionSerializer(made.version).data, status=201 if made.is_new else 200)


class DatasetVersionViewSet(RetrieveModelMixin, GenericViewSet[DatasetVersion]):
    """One version: its statistics, files and first records."""

    serializer_class = DatasetVersionSerializer
    filter_backends = ()
    pagination_class = None

    def get_queryset(self) -> QuerySet[DatasetVersion]:
        """Select the caller's versions."""
        return selectors.visible_versions(self.request.user)

    @extend_schema(
        parameters=[
            OpenApiParameter(
                "limit", {"type": "integer", "minimum": 1, "maximum": selectors.MAX_PREVIEW_RECORDS, "default": 20}
            )
        ],
        responses=PreviewSerializer,
    )
    @action(detail=True, methods=["get"])
    def preview(self, request: Request, pk: UUID) -> Response:
        """Show the beginning of the first documents."""
        version = self.get_object()
        return Response(PreviewSerializer(selectors.preview(version=version, limit=_limit(request))).data)

    @extend_schema(responses=FileListSerializer)
    @action(detail=True, methods=["get"])
    def files(self, request: Request, pk: UUID) -> Response:
        """List the files with their digests."""
        return Response({"files": [file.model_dump() for file in file_refs(self.get_object().file_set)]})

    @extend_schema(responses=DOWNLOAD_RESPONSES)
    @action(detail=True, methods=["get"], url_path="files/<path:path>", url_name="file")
    def file(self, request: Request, pk: UUID, path: str) -> HttpResponseBase:
        """Download one file; Range is understood."""
        return file_response(request._request, file_of_set(file_set=self.get_object().file_set, path=path))


def _limit(request: Request) -> int:
    given = request.query_params.get("limit", "20")
    if not (given.isascii() and given.isdigit() and 1 <= int(given[:9]) <= selectors.MAX_PREVIEW_RECORDS):
        raise InvalidInput(f"Must be a whole number from 1 to {selectors.MAX_PREVIEW_RECORDS}.", field="limit")
    return int(given)


def _require_administrator(request: Request) -> None:
    """Let only administrators name paths of the server; a token needs the scope admin as well."""
    token = request.auth
    if not _user(request).is_superuser:
        raise Forbidden(
            "Only an administrator of this installation may name a path of the server.",
            remedy="Upload the files, or ask an administrator.",
        )
    if isinstance(token, ApiToken) and not scope_includes(token.scopes, Scope.ADMIN):
        raise Forbidden("This API token lacks the scope admin.", code="scope_missing")


def _user(request: Request) -> User:
    assert isinstance(request.user, User)
    return request.user
