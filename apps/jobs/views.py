"""Jobs the caller may see. Parses, calls one service, serializes; decides nothing."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from apps.accounts.models import User
from apps.core.errors import InvalidInput, NotFound
from apps.jobs import selectors, services
from apps.jobs.filters import JobFilter
from apps.jobs.models import Job
from apps.jobs.serializers import (
    AttemptSerializer,
    CatalogEntrySerializer,
    CheckpointSerializer,
    EstimateJobSerializer,
    EstimateSerializer,
    EventSerializer,
    JobFileSerializer,
    JobSerializer,
    JobSummarySerializer,
    SubmitJobSerializer,
)
from apps.storage.responses import file_response
from apps.storage.selectors import StoredFile
from workers.contract.catalog import job_schema
from workers.contract.jobs import JOB_KINDS

_MAX_KEY = 255
_IDEMPOTENCY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="Of the caller's choice, at most 255 characters; the same key and body give the same job.",
)


class JobViewSet(ListModelMixin, RetrieveModelMixin, GenericViewSet[Job]):
    """Jobs."""

    serializer_class = JobSerializer
    filterset_class = JobFilter
    ordering_fields = ("created_at", "name", "number", "priority", "state", "started_at", "ended_at")

    def get_queryset(self) -> QuerySet[Job]:
        """Select the caller's jobs; lists leave out what only the job's own page shows."""
        rows = selectors.visible_jobs(self.request.user)
        return rows.defer("spec", "result") if self.action == "list" else rows

    def get_serializer_class(self) -> type[BaseSerializer[Any]]:
        """Lists show summaries."""
        return JobSummarySerializer if self.action == "list" else JobSerializer

    @extend_schema(request=SubmitJobSerializer, responses={201: JobSerializer}, parameters=[_IDEMPOTENCY])
    def create(self, request: Request) -> Response:
        """Submit a job. Everything is checked before anything is taken."""
        form = SubmitJobSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        fields = dict(form.validated_data)
        submission = services.Submission(
            project_id=fields.pop("project"), idempotency_key=_idempotency_key(request), **fields
        )
        return Response(
            JobSerializer(services.submit_job(actor=_user(request), submission=submission)).data, status=201
        )

    @extend_schema(request=EstimateJobSerializer, responses=EstimateSerializer)
    @action(detail=False, methods=["post"], filter_backends=(), filterset_class=None)
    def estimate(self, request: Request) -> Response:
        """Say what a job would take, and whether it would be refused. Nothing is written."""
        form = EstimateJobSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        fields = dict(form.validated_data)
        submission = services.Submission(project_id=fields.pop("project"), name="", **fields)
        return Response(EstimateSerializer(services.estimate_job(actor=_user(request), submission=submission)).data)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: UUID) -> Response:
        """Hide a job that has ended; the model version it made stays."""
        services.delete_job(job_id=self.get_object().pk, actor=_user(request))
        return Response(status=204)

    @extend_schema(request=None, responses=JobSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: UUID) -> Response:
        """Stop it at a step boundary, after saving."""
        return self._answer(services.cancel_job(job_id=self.get_object().pk, actor=_user(request)))

    @extend_schema(request=None, responses=JobSerializer)
    @action(detail=True, methods=["post"])
    def kill(self, request: Request, pk: UUID) -> Response:
        """End it now, without saving."""
        return self._answer(services.kill_job(job_id=self.get_object().pk, actor=_user(request)))

    @extend_schema(request=None, responses={201: JobSerializer})
    @action(detail=True, methods=["post"])
    def rerun(self, request: Request, pk: UUID) -> Response:
        """Submit its spec again as a new job."""
        job = services.rerun_job(job_id=self.get_object().pk, actor=_user(request))
        return Response(JobSerializer(job).data, status=201)

    @extend_schema(responses=EventSerializer(many=True))
    @action(detail=True, filter_backends=(), filterset_class=None)
    def events(self, request: Request, pk: UUID) -> Response:
        """List what happened to it, oldest first."""
        return self._page(EventSerializer, selectors.events_of(self.get_object().pk))

    @extend_schema(responses=AttemptSerializer(many=True))
    @action(detail=True, filter_backends=(), filterset_class=None)
    def attempts(self, request: Request, pk: UUID) -> Response:
        """List its attempts with what they held, newest first."""
        return self._page(AttemptSerializer, selectors.attempts_of(self.get_object().pk))

    @extend_schema(responses=CheckpointSerializer(many=True))
    @action(detail=True, filter_backends=(), filterset_class=None)
    def checkpoints(self, request: Request, pk: UUID) -> Response:
        """List its checkpoints, newest first, those that were dropped included."""
        return self._page(CheckpointSerializer, selectors.checkpoints_of(self.get_object().pk))

    @extend_schema(responses=JobFileSerializer(many=True))
    @action(detail=True, filter_backends=(), filterset_class=None)
    def artifacts(self, request: Request, pk: UUID) -> Response:
        """List the files of its model, of its living checkpoints, and what a script left as output."""
        job = self.get_object()
        steps, nodes = selectors.checkpoint_steps(job.pk), selectors.output_nodes(job.pk)
        context = {"checkpoint_steps": steps, "output_nodes": nodes}
        return self._page(JobFileSerializer, selectors.files_of(job), context)

    @extend_schema(
        responses={(200, "application/octet-stream"): OpenApiResponse(OpenApiTypes.BINARY, "The file; Range works.")}
    )
    @action(detail=True, url_path="artifacts/<int:entry>/content", url_name="artifact-content")
    def artifact_content(self, request: Request, pk: UUID, entry: int) -> HttpResponseBase:
        """Send one file."""
        found = selectors.files_of(self.get_object()).filter(pk=min(entry, 2**63 - 1)).first()
        if found is None:
            raise NotFound("The job has no such file.")
        artifact = found.artifact
        file = StoredFile(found.path, artifact.sha256, artifact.size_bytes, artifact.storage_key)
        return file_response(request._request, file)

    def _page(
        self, serializer: type[BaseSerializer[Any]], rows: QuerySet[Any], context: dict[str, Any] | None = None
    ) -> Response:
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(serializer(page, many=True, context=context or {}).data)

    def _answer(self, job: Job) -> Response:
        return Response(JobSerializer(job).data)


class CatalogView(APIView):
    """The kinds of job."""

    @extend_schema(operation_id="catalog_list", responses=CatalogEntrySerializer(many=True))
    def get(self, request: Request) -> Response:
        """List every kind of job with the JSON Schema of its spec, from which forms are rendered."""
        return Response([_catalog_entry(kind) for kind in sorted(JOB_KINDS)])


def _catalog_entry(kind: str) -> dict[str, Any]:
    schema = job_schema(kind)
    return {
        "kind": kind,
        "title": kind.replace("_", " ").capitalize(),
        "description": schema.get("description", ""),
        "schema": schema,
    }


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("Idempotency-Key", "").strip()
    if len(key) > _MAX_KEY:
        raise InvalidInput(f"At most {_MAX_KEY} characters.", field="Idempotency-Key")
    return key or None


def _user(request: Request) -> User:
    assert isinstance(request.user, User)
    return request.user
