"""Every refusal and failure under ``/api/`` as ``application/problem+json`` (RFC 9457).

Members beside the standard's: ``code`` (stable, for programs), ``errors`` (one per field), ``remedy`` (what to do) and
``request_id``. Domain, framework and database errors are all mapped here; a traceback goes to the log alone.
"""

import sys
from collections.abc import Callable, Mapping
from http import HTTPStatus
from math import ceil
from typing import Any

import structlog
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.core.signals import got_request_exception
from django.db import DataError, IntegrityError, InterfaceError, OperationalError
from django.db.models import ProtectedError, RestrictedError
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from pydantic import ValidationError as PydanticError
from rest_framework import exceptions as drf
from rest_framework.response import Response

from apps.core.errors import DomainError, FieldError, pydantic_errors
from apps.core.renderers import dump_json
from apps.core.request_id import current_request_id

log = structlog.get_logger(__name__)

CONTENT_TYPE = "application/problem+json"
API_PREFIX = "/api/"

# (code, remedy) of statuses that come from a framework rather than from the domain
_BY_STATUS: dict[int, tuple[str, str]] = {
    400: ("invalid", "Correct the request and send it again."),
    401: ("not_authenticated", "Sign in, or send a valid API token."),
    403: ("forbidden", "Ask an owner of the workspace for the role that this needs."),
    404: ("not_found", "Check the address; what you may not see is reported as missing."),
    405: ("method_not_allowed", "Use one of the methods in the Allow header."),
    406: ("not_acceptable", "Ask for application/json."),
    409: ("conflict", "Read the current state, then decide again."),
    413: ("too_large", "Send less at once; large files go through the upload protocol."),
    415: ("unsupported_media_type", "Send application/json."),
    429: ("too_many_requests", "Wait as long as Retry-After says."),
    500: ("internal_error", "Try again; if it persists, give the request id to an operator."),
    503: ("unavailable", "Try again in a few seconds."),
}


def problem(
    status: int,
    *,
    detail: str,
    code: str = "",
    title: str = "",
    errors: tuple[FieldError, ...] = (),
    remedy: str = "",
    extra: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """Build a problem document; what is not given follows from ``status``."""
    default_code, default_remedy = _BY_STATUS.get(status, ("error", ""))
    code = code or default_code
    return {
        **(extra or {}),
        "type": f"urn:coxswain:problem:{code}",
        "title": title or HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        "errors": [{"field": error.field, "message": error.message} for error in errors],
        "remedy": remedy or default_remedy,
        "request_id": current_request_id(),
    }


def document_of(error: Exception) -> dict[str, object]:
    """Translate any exception into a problem document; an unknown one is a 500 that says nothing of its cause."""
    for kinds, translate in _TRANSLATIONS:
        if isinstance(error, kinds):
            return translate(error)
    return problem(500, detail="The server failed in an unexpected way.")


def drf_exception_handler(error: Exception, context: Mapping[str, Any]) -> Response:
    """Answer any exception of a REST view; the signature is REST framework's."""
    document = document_of(error)
    _report(error, document, context.get("request"))
    return Response(document, status=_status(document), headers=_headers(error), content_type=CONTENT_TYPE)


class ProblemMiddleware:
    """The same for what never reaches a REST view: plain views, unknown addresses, failures of other middleware."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path.startswith(API_PREFIX):
            return self.get_response(request)
        if "\0" in request.path or "%00" in request.META.get("QUERY_STRING", ""):
            return problem_response(problem(400, detail="The address holds a NUL character."))
        response = self.get_response(request)
        if response.status_code >= 400 and response.get("Content-Type", "").startswith("text/html"):
            return problem_response(problem(response.status_code, detail=_plain_detail(response.status_code)))
        return response

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponseBase | None:
        """Answer an exception of a plain view under ``/api/``."""
        if not request.path.startswith(API_PREFIX):
            return None
        document = document_of(error)
        _report(error, document, request)
        return problem_response(document, headers=_headers(error))


def problem_response(document: Mapping[str, object], *, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """Write a problem document outside REST framework."""
    return HttpResponse(dump_json(document), status=_status(document), content_type=CONTENT_TYPE, headers=headers)


def _status(document: Mapping[str, object]) -> int:
    return int(str(document["status"]))


def _plain_detail(status: int) -> str:
    return {404: "There is nothing at this address.", 403: "The request was refused."}.get(
        status, HTTPStatus(status).description or HTTPStatus(status).phrase
    )


def _report(error: Exception, document: Mapping[str, object], request: object) -> None:
    """Log what is the server's own fault; Django's signal lets its test client raise it."""
    if _status(document) < 500:
        return
    log.error("request failed", exc_info=error, status=document["status"], code=document["code"])
    if _status(document) == 500 and sys.exc_info()[1] is not None:
        got_request_exception.send(sender=None, request=getattr(request, "_request", request))


def _headers(error: Exception) -> dict[str, str]:
    headers = {}
    if header := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = header
    wait_s = getattr(error, "retry_after_s", None) or getattr(error, "wait", None)  # ours, or REST framework's
    if wait_s is not None:
        headers["Retry-After"] = str(ceil(wait_s))
    if isinstance(error, (OperationalError, InterfaceError)):
        headers["Retry-After"] = "2"
    return headers


def _from_domain(error: DomainError) -> dict[str, object]:
    return problem(
        error.status,
        detail=error.detail,
        code=error.code,
        title=error.title,
        errors=error.errors,
        remedy=error.remedy,
        extra=error.extra,
    )


def _from_validation(error: drf.ValidationError) -> dict[str, object]:
    errors = tuple(_flatten(error.detail))
    first = errors[0] if errors else FieldError("", "The input is not valid.")
    detail = f"{first.field}: {first.message}" if first.field else first.message
    return problem(400, detail=detail, title="The input is not valid", errors=errors)


def _flatten(detail: object, path: str = "") -> list[FieldError]:
    if isinstance(detail, Mapping):
        pairs = [("" if key == "non_field_errors" else str(key), value) for key, value in detail.items()]
    elif isinstance(detail, (list, tuple)):
        nested = any(isinstance(item, (Mapping, list)) for item in detail)
        pairs = [(str(index) if nested else "", item) for index, item in enumerate(detail) if item]
    else:
        return [FieldError(path, str(detail))]
    return [error for key, value in pairs for error in _flatten(value, ".".join(filter(None, (path, key))))]


def _from_drf(error: drf.APIException) -> dict[str, object]:
    detail = (
        error.detail if isinstance(error.detail, str) else "; ".join(item.message for item in _flatten(error.detail))
    )
    code = getattr(error.detail, "code", "")
    generic = {"error", "parse_error", "authentication_failed", "permission_denied", "not_authenticated", "throttled"}
    return problem(error.status_code, detail=str(detail), code="" if code in generic else str(code))


def _from_pydantic(error: PydanticError) -> dict[str, object]:
    errors = tuple(pydantic_errors(error))
    detail = f"{errors[0].field or 'input'}: {errors[0].message}"
    return problem(400, detail=detail, title="The input is not valid", errors=errors)


def _from_integrity(error: IntegrityError) -> dict[str, object]:
    sqlstate = getattr(error.__cause__, "sqlstate", "") or ""
    if sqlstate == "23505":  # unique_violation: two requests wanted the same name at once
        return problem(409, detail="Something with this name or key exists already.", code="duplicate")
    if sqlstate in {"23503", "23001"}:
        return _referenced(error)
    return problem(500, detail="The server failed in an unexpected way.")


def _referenced(error: Exception) -> dict[str, object]:
    return problem(
        409, detail="Something else still refers to this.", code="referenced", remedy="Remove what refers to it first."
    )


_Translation = tuple[type[Exception] | tuple[type[Exception], ...], Callable[[Any], dict[str, object]]]
_TRANSLATIONS: tuple[_Translation, ...] = (
    (DomainError, _from_domain),
    (drf.ValidationError, _from_validation),
    (drf.APIException, _from_drf),
    (PydanticError, _from_pydantic),
    ((Http404, ObjectDoesNotExist), lambda error: problem(404, detail="There is no such object.")),
    (PermissionDenied, lambda error: problem(403, detail=str(error) or "This is not allowed.")),
    (RequestDataTooBig, lambda error: problem(413, detail=str(error))),
    (SuspiciousOperation, lambda error: problem(400, detail="The request is malformed.")),
    ((ProtectedError, RestrictedError), _referenced),
    (IntegrityError, _from_integrity),
    (DataError, lambda error: problem(400, detail="A value cannot be stored.")),
    ((OperationalError, InterfaceError), lambda error: problem(503, detail="The database does not answer.")),
)
