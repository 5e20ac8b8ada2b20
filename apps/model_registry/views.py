"""Models and versions the caller may see. Parses, calls one service, serializes."""

from uuid import UUID

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from apps.accounts.models import User
from apps.core.errors import NotFound
from apps.model_registry import selectors, services
from apps.model_registry.filters import ModelFilter, ModelVersionFilter
from apps.model_registry.models import Model, ModelVersion
from apps.model_registry.serializers import (
    ChangeModelSerializer,
    ChangeModelVersionSerializer,
    CreateModelSerializer,
    ImportVersionSerializer,
    ModelSerializer,
    ModelVersionSerializer,
    ModelVersionSummarySerializer,
)
from apps.projects.services import writable_project
from apps.storage.responses import archive_response, file_response
from apps.storage.selectors import file_of_set, stored_files
from apps.storage.serializers import DOWNLOAD_RESPONSES

_ID_OR_NAME = OpenApiParameter("id", str, OpenApiParameter.PATH, description="Id, or name such as `tiny_v3`.")


class ModelViewSet(ListModelMixin, RetrieveModelMixin, GenericViewSet[Model]):
    """Models: lines of versions."""

    serializer_class = ModelSerializer
    filterset_class = ModelFilter
    ordering_fields = ("name", "created_at", "updated_at")

    def get_queryset(self) -> QuerySet[Model]:
        """Select the caller's models."""
        return selectors.visible_models(self.request.user)

    @extend_schema(request=CreateModelSerializer, responses={201: ModelSerializer})
    def create(self, request: Request) -> Response:
        """Make a model without versions; a job that names a new one makes it by itself."""
        form = CreateModelSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        actor = _user(request)
        project = writable_project(actor=actor, project_id=form.validated_data.pop("project"))
        model = services.create_model(actor=actor, project=project, **form.validated_data)
        return Response(ModelSerializer(self.get_queryset().get(pk=model.pk)).data, status=201)

    @extend_schema(request=ChangeModelSerializer, responses=ModelSerializer)
    def partial_update(self, request: Request, pk: UUID) -> Response:
        """Change the description."""
        model = self.get_object()
        form = ChangeModelSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        services.change_model(model=model, actor=_user(request), **form.validated_data)
        return Response(ModelSerializer(model).data)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: UUID) -> Response:
        """Delete a model with all its versions; its name is free at once."""
        services.delete_model(model=self.get_object(), actor=_user(request))
        return Response(status=204)


class VersionsOfModelViewSet(ListModelMixin, GenericViewSet[ModelVersion]):
    """The versions of one model, newest first."""

    serializer_class = ModelVersionSummarySerializer
    filter_backends = ()

    def get_model(self) -> Model:
        """Return the model of the address, with the caller's role checked."""
        model = selectors.visible_models(self.request.user).filter(pk=self.kwargs["id"]).first()
        if model is None:
            raise NotFound("There is no such model.")
        self.check_object_permissions(self.request, model)
        return model

    def get_queryset(self) -> QuerySet[ModelVersion]:
        """Select the model's versions."""
        if getattr(self, "swagger_fake_view", False):
            return ModelVersion.objects.none()
        return selectors.visible_versions(self.request.user).filter(model=self.get_model()).order_by("-number")

    @extend_schema(request=ImportVersionSerializer, responses={201: ModelVersionSerializer})
    def create(self, request: Request, id: UUID) -> Response:
        """Make a version of uploaded files: a model that was trained elsewhere."""
        model = self.get_model()
        form = ImportVersionSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        version = services.import_version(actor=_user(request), model=model, files=form.validated_data["files"])
        return Response(ModelVersionSerializer(version).data, status=201)


@extend_schema_view(list=extend_schema(responses=ModelVersionSummarySerializer(many=True)))
class ModelVersionViewSet(ListModelMixin, GenericViewSet[ModelVersion]):
    """Versions of all models, by id or by name: what they are, their files, their card."""

    serializer_class = ModelVersionSummarySerializer
    filterset_class = ModelVersionFilter
    ordering_fields = ("created_at", "num_parameters", "number")
    lookup_value_converter = "str"

    def get_queryset(self) -> QuerySet[ModelVersion]:
        """Select the caller's versions."""
        return selectors.visible_versions(self.request.user)

    def get_object(self) -> ModelVersion:
        """Return the version of the address, with the caller's role checked."""
        version = selectors.version_by_id_or_name(user=self.request.user, reference=self.kwargs["pk"])
        self.check_object_permissions(self.request, version)
        return version

    @extend_schema(parameters=[_ID_OR_NAME], responses=ModelVersionSerializer)
    def retrieve(self, request: Request, pk: str) -> Response:
        """Show a version with its card, spec and files."""
        return Response(ModelVersionSerializer(self.get_object()).data)

    @extend_schema(parameters=[_ID_OR_NAME], request=ChangeModelVersionSerializer, responses=ModelVersionSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Replace the model card."""
        version = self.get_object()
        form = ChangeModelVersionSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        services.change_card(version=version, actor=_user(request), **form.validated_data)
        return Response(ModelVersionSerializer(version).data)

    @extend_schema(parameters=[_ID_OR_NAME], responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Delete a version that nothing living refers to."""
        services.delete_version(version=self.get_object(), actor=_user(request))
        return Response(status=204)

    @extend_schema(parameters=[_ID_OR_NAME], responses=DOWNLOAD_RESPONSES)
    @action(detail=True, methods=["get"], url_path="files/<path:path>", url_name="file")
    def file(self, request: Request, pk: str, path: str) -> HttpResponseBase:
        """Download one file; Range is understood."""
        return file_response(request._request, file_of_set(file_set=self.get_object().file_set, path=path))

    @extend_schema(parameters=[_ID_OR_NAME], responses={(200, "application/x-tar"): OpenApiTypes.BINARY})
    @action(detail=True, methods=["get"])
    def archive(self, request: Request, pk: str) -> HttpResponseBase:
        """Download all files as one tar archive, streamed."""
        version = self.get_object()
        return archive_response(
            request._request,
            files=stored_files(version.file_set),
            name=str(version),
            digest=version.file_set.digest,
            modified_at=version.created_at,
        )


def _user(request: Request) -> User:
    assert isinstance(request.user, User)
    return request.user
