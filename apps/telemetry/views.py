"""What a job measured and said. Parses, calls one selector, serializes."""

from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import ListField, Serializer
from rest_framework.views import APIView

from apps.jobs.models import Job
from apps.storage.responses import ByteStream
from apps.telemetry import selectors
from apps.telemetry.coalesce import as_data, coalesce
from apps.telemetry.curves import INT64_MAX, INT64_MIN, StepRange, read_curves
from apps.telemetry.feeds import wait_for_news
from apps.telemetry.serializers import (
    CurvesQuerySerializer,
    CurvesSerializer,
    LogPageQuerySerializer,
    LogPageSerializer,
    LogQuerySerializer,
    LogTailQuerySerializer,
    PointsQuerySerializer,
    PointsSerializer,
    SeriesSerializer,
    StreamQuerySerializer,
    StreamSerializer,
    curve_json,
    log_page_json,
    series_json,
)


class JobTelemetryView(APIView):
    """A part of a job that the caller may see."""

    def get_job(self, job_id: UUID) -> Job:
        """Return the job, or answer 404."""
        job = selectors.visible_job(self.request.user, job_id)
        self.check_object_permissions(self.request, job)
        return job

    def parse(self, form: type[Serializer[Any]]) -> dict[str, Any]:
        """Return the checked query parameters, or answer 400."""
        given = self.request.query_params
        # a plain mapping: of a QueryDict an empty value would be read as an absent one, as HTML forms mean it
        repeated = {name for name, field in form().fields.items() if isinstance(field, ListField)}
        query = form(data={name: given.getlist(name) if name in repeated else given[name] for name in given})
        query.is_valid(raise_exception=True)
        fields: dict[str, Any] = query.validated_data
        return fields


class SeriesView(JobTelemetryView):
    """The metrics a job reported."""

    @extend_schema(operation_id="jobs_metrics_list", responses=SeriesSerializer(many=True))
    def get(self, request: Request, id: UUID) -> Response:
        """List every series with its summary; reads no points of old chunks."""
        job = self.get_job(id)
        return Response([series_json(summary) for summary in selectors.job_series(job.pk)])


class PointsView(JobTelemetryView):
    """One curve."""

    @extend_schema(operation_id="jobs_metrics_points", parameters=[PointsQuerySerializer], responses=PointsSerializer)
    def get(self, request: Request, id: UUID) -> Response:
        """Read one curve over all attempts, reduced to `max_points`. A key never reported gives an empty one."""
        job, query = self.get_job(id), self.parse(PointsQuerySerializer)
        found = read_curves(job_id=job.pk, keys=[query["key"]], ranks=[query["rank"]], **_range(query))
        return Response({**curve_json(found.curves[0]), "seq": found.seq})


class CurvesView(JobTelemetryView):
    """Several curves of one moment."""

    @extend_schema(operation_id="jobs_metrics_curves", parameters=[CurvesQuerySerializer], responses=CurvesSerializer)
    def get(self, request: Request, id: UUID) -> Response:
        """Read each `key` of each `rank` at once."""
        job, query = self.get_job(id), self.parse(CurvesQuerySerializer)
        found = read_curves(job_id=job.pk, keys=query["key"], ranks=query["rank"], **_range(query))
        return Response({"seq": found.seq, "curves": [curve_json(curve) for curve in found.curves]})


def _range(query: dict[str, Any]) -> dict[str, Any]:
    first = query["after_step"] + 1 if "after_step" in query else INT64_MIN
    return {
        "steps": StepRange(first, query.get("until_step", INT64_MAX)),
        "max_points": query["max_points"],
        "with_cut": query["include_cut"],
    }


class LogView(JobTelemetryView):
    """What a rank wrote, page by page."""

    @extend_schema(operation_id="jobs_logs", parameters=[LogPageQuerySerializer], responses=LogPageSerializer)
    def get(self, request: Request, id: UUID) -> Response:
        """Read a log from byte `offset`; the next page begins at `stop`."""
        job, query = self.get_job(id), self.parse(LogPageQuerySerializer)
        source = _source(job, query)
        page = selectors.read_log(job_id=job.pk, source=source, offset=query["offset"], limit=query["limit"])
        return Response(log_page_json(page))


class LogTailView(JobTelemetryView):
    """The end of what a rank wrote."""

    @extend_schema(operation_id="jobs_logs_tail", parameters=[LogTailQuerySerializer], responses=LogPageSerializer)
    def get(self, request: Request, id: UUID) -> Response:
        """Read the end of a log, beginning with a whole line."""
        job, query = self.get_job(id), self.parse(LogTailQuerySerializer)
        page = selectors.read_log_tail(
            job_id=job.pk, source=_source(job, query), limit=query["limit"], lines=query.get("lines")
        )
        return Response(log_page_json(page))


class LogDownloadView(JobTelemetryView):
    """All that a rank wrote, as it was written."""

    @extend_schema(
        operation_id="jobs_logs_download",
        parameters=[LogQuerySerializer],
        responses={(200, "text/plain"): OpenApiResponse(OpenApiTypes.BINARY, description="The bytes of the log.")},
    )
    def get(self, request: Request, id: UUID) -> HttpResponseBase:
        """Download a log, NUL bytes and all."""
        job, query = self.get_job(id), self.parse(LogQuerySerializer)
        source = _source(job, query)
        response = ByteStream(selectors.iterate_log(source), content_type="text/plain; charset=utf-8")
        name = f"job-{job.number}-attempt-{source.attempt}-rank-{source.rank}-{source.stream}.log"
        response["Content-Disposition"] = f'attachment; filename="{name}"'
        response["X-Content-Type-Options"] = "nosniff"
        return response


class StreamView(JobTelemetryView):
    """The live messages of a job for those who open no WebSocket."""

    @extend_schema(operation_id="jobs_stream", parameters=[StreamQuerySerializer], responses=StreamSerializer)
    def get(self, request: Request, id: UUID) -> Response:
        """Read what came after `after`, waiting up to `wait_s` seconds for something to come.

        A message is `{seq, data}`; `{"type": "snapshot", "seq"}` says that too much was missed to tell one by one.
        """
        job, query = self.get_job(id), self.parse(StreamQuerySerializer)
        news = async_to_sync(wait_for_news)(job.pk, after=query["after"], wait_s=query["wait_s"])
        messages: list[dict[str, Any]] = [{"seq": seq, "data": as_data(coalesce(items))} for seq, items in news.entries]
        if news.is_snapshot:
            messages = [{"type": "snapshot", "seq": news.seq}]
        return Response({"seq": news.seq, "messages": messages})


def _source(job: Job, query: dict[str, Any]) -> selectors.LogSource:
    return selectors.log_source(job_id=job.pk, attempt=query.get("attempt"), rank=query["rank"], stream=query["stream"])
