"""The transfer protocol for people and programs. Nodes have the same services behind their own addresses."""

from uuid import UUID

from django.http import HttpRequest
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from apps.accounts.models import User
from apps.projects.services import writable_project
from apps.storage import selectors, services
from apps.storage.models import Upload
from apps.storage.serializers import CreateUploadSerializer, UploadSerializer


def receive_part(*, request: HttpRequest, upload: Upload, number: int) -> None:
    """Store the raw body of ``request`` as one part; what both APIs do with a PUT.

    Raises:
        DomainError: see ``services.put_part``.
    """
    length = request.META.get("CONTENT_LENGTH") or ""
    declared_bytes = int(length) if length.isascii() and length.isdigit() else None
    services.put_part(upload=upload, number=number, stream=request, declared_bytes=declared_bytes)


class UploadViewSet(GenericViewSet[Upload]):
    """Files on their way in: announce, send the parts, finalise. Every step may be repeated."""

    serializer_class = UploadSerializer
    filter_backends = ()
    pagination_class = None

    def get_object(self) -> Upload:
        """Return the caller's own upload; going on with it needs the editor's role still."""
        assert isinstance(self.request.user, User)
        upload = selectors.user_upload(user=self.request.user, upload_id=self.kwargs["pk"])
        self.check_object_permissions(self.request, upload)
        return upload

    @extend_schema(request=CreateUploadSerializer, responses={201: UploadSerializer})
    def create(self, request: Request) -> Response:
        """Announce a file. It is complete at once when the workspace has these bytes already."""
        form = CreateUploadSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        assert isinstance(request.user, User)
        project = writable_project(actor=request.user, project_id=form.validated_data.pop("project"))
        upload = services.create_upload(workspace=project.workspace, user=request.user, **form.validated_data)
        return _reply(upload, status=201)

    @extend_schema(responses=UploadSerializer)
    def retrieve(self, request: Request, pk: UUID) -> Response:
        """Tell which parts have arrived, to go on after an interruption."""
        return _reply(self.get_object())

    @extend_schema(
        parameters=[OpenApiParameter("number", {"type": "integer", "minimum": 0}, OpenApiParameter.PATH)],
        request={"application/octet-stream": OpenApiTypes.BINARY},
        responses={204: OpenApiResponse(description="The part is stored.")},
    )
    @action(detail=True, methods=["put"], url_path="parts/<int:number>", url_name="part")
    def parts(self, request: Request, pk: UUID, number: int) -> Response:
        """Store one part: its bytes are the body. Sending it again replaces it."""
        receive_part(request=request._request, upload=self.get_object(), number=number)
        return Response(status=204)

    @extend_schema(request=None, responses=UploadSerializer)
    @action(detail=True, methods=["post"])
    def finalise(self, request: Request, pk: UUID) -> Response:
        """Verify size and SHA-256 and store the file."""
        return _reply(services.finalise_upload(upload=self.get_object()))


def _reply(upload: Upload, status: int = 200) -> Response:
    return Response(UploadSerializer(selectors.upload_reply(upload)).data, status=status)
