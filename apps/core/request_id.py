"""One id per request, from the edge to the log lines, events and problem documents it causes."""

import re
import time
from collections.abc import Callable
from contextvars import ContextVar

import structlog
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from apps.core.models import new_id

HEADER = "X-Request-ID"
_ACCEPTED = re.compile(r"[A-Za-z0-9._-]{1,64}")
_current: ContextVar[str] = ContextVar("request_id", default="")
_QUIET_PATHS = frozenset({"/healthz", "/readyz"})

log = structlog.get_logger("coxswain.request")


def current_request_id() -> str:
    """Return the id of the request being served, empty outside one."""
    return _current.get()


class RequestIdMiddleware:
    """Takes the caller's id when it is well formed, else makes one; logs one line per request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.headers.get(HEADER, "")
        request_id = given if _ACCEPTED.fullmatch(given) else new_id().hex
        token = _current.set(request_id)
        started = time.perf_counter()
        try:
            with structlog.contextvars.bound_contextvars(request_id=request_id):
                response = self.get_response(request)
                if request.path not in _QUIET_PATHS:
                    duration_ms = round((time.perf_counter() - started) * 1000, 1)
                    log.info(
                        "request",
                        method=request.method,
                        path=request.path,
                        status=response.status_code,
                        duration_ms=duration_ms,
                    )
        finally:
            _current.reset(token)
        response[HEADER] = request_id
        return response
