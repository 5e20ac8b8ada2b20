"""The node API after joining: heartbeats, claims, reports, and files in and out. Parses, calls one service.

Agents send the contract's models; ``workers.contract.node_api`` is the description of this API.
"""

from typing import Any, TypeVar
from uuid import UUID

from django.http.response import HttpResponseBase
from pydantic import BaseModel, TypeAdapter, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from apps.cluster.authentication import node_of
from apps.cluster.node_views import NodeApiView
from apps.core.errors import InvalidInput
from apps.jobs import orders, selectors, services
from apps.jobs.models import Allocation
from apps.storage import selectors as storage_selectors
from apps.storage import services as storage_services
from apps.storage.models import Upload
from apps.storage.responses import file_response
from apps.storage.views import receive_part
from workers.contract.node_api import REPORT_ADAPTER, ClaimRequest, HeartbeatRequest, UploadRequest

_Value = TypeVar("_Value")


class HeartbeatView(NodeApiView):
    """A node says that it lives."""

    def post(self, request: Request) -> Response:
        """Renew the lease; answer with everything that is open for the node."""
        beat = _parse(TypeAdapter(HeartbeatRequest), request)
        return _reply(services.answer_heartbeat(node_id=node_of(request).pk, request=beat))


class ClaimView(NodeApiView):
    """A node takes what it was offered."""

    def post(self, request: Request, allocation_id: UUID) -> Response:
        """Claim an allocation."""
        wanted = _parse(TypeAdapter(ClaimRequest), request)
        node = node_of(request)
        return _reply(services.claim_allocation(allocation_id=allocation_id, node_id=node.pk, request=wanted))


class ReportView(NodeApiView):
    """A node tells what happened."""

    def post(self, request: Request, allocation_id: UUID) -> Response:
        """Store a report."""
        report = _parse(REPORT_ADAPTER, request)
        node = node_of(request)
        return _reply(services.handle_report(allocation_id=allocation_id, node_id=node.pk, report=report))


class InputFileView(NodeApiView):
    """Files that the allocation's ranks read."""

    def get(self, request: Request, allocation_id: UUID, sha256: str) -> HttpResponseBase:
        """Send one file, with Range."""
        allocation = _current(request, allocation_id)
        file_sets = orders.input_file_sets(allocation.attempt)
        file = storage_selectors.file_by_digest(file_sets=file_sets, sha256=sha256)
        return file_response(request._request, file)


class SecretsView(NodeApiView):
    """The credentials of the allocation's job."""

    def get(self, request: Request, allocation_id: UUID) -> Response:
        """Answer with the secrets that the spec names; that they were handed out is recorded."""
        return _reply(services.hand_out_secrets(allocation=_current(request, allocation_id)))


class UploadsView(NodeApiView):
    """Files that the allocation's ranks made."""

    def post(self, request: Request, allocation_id: UUID) -> Response:
        """Announce a file."""
        wanted = _parse(TypeAdapter(UploadRequest), request)
        allocation = _current(request, allocation_id)
        upload = storage_services.create_upload(
            workspace=allocation.attempt.job.workspace,
            sha256=wanted.sha256,
            size_bytes=wanted.size_bytes,
            node_id=allocation.node_id,
        )
        return _reply(storage_selectors.upload_reply(upload))


class UploadPartView(NodeApiView):
    """One part of a file."""

    def put(self, request: Request, allocation_id: UUID, upload_id: UUID, number: int) -> Response:
        """Store the body as part ``number``."""
        receive_part(request=request._request, upload=_upload(request, allocation_id, upload_id), number=number)
        return Response(status=204)


class FinaliseUploadView(NodeApiView):
    """The end of a file."""

    def post(self, request: Request, allocation_id: UUID, upload_id: UUID) -> Response:
        """Verify and store the file."""
        upload = storage_services.finalise_upload(upload=_upload(request, allocation_id, upload_id))
        return _reply(storage_selectors.upload_reply(upload))


def _current(request: Request, allocation_id: UUID) -> Allocation:
    return selectors.current_allocation(allocation_id=allocation_id, node_id=node_of(request).pk)


def _upload(request: Request, allocation_id: UUID, upload_id: UUID) -> Upload:
    allocation = _current(request, allocation_id)
    return storage_selectors.node_upload(
        node_id=allocation.node_id, workspace_id=allocation.attempt.job.workspace_id, upload_id=upload_id
    )


def _parse(adapter: TypeAdapter[_Value], request: Request) -> _Value:
    try:
        return adapter.validate_python(request.data)
    except ValidationError as error:
        raise InvalidInput.from_pydantic(error, data=request.data) from error


def _reply(reply: BaseModel) -> Response:
    body: dict[str, Any] = reply.model_dump(mode="json")
    return Response(body)
