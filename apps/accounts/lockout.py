"""The answer to a sign-in that is locked out after repeated failures. Called by the axes middleware."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from apps.core.problems import API_PREFIX, problem, problem_response


def answer_locked_out(request: HttpRequest, original: object = None, credentials: Any = None) -> HttpResponse:
    """Answer 429 with the time to wait: a problem document under ``/api/``, a sentence in the admin console."""
    lockout_s = round(settings.AXES_COOLOFF_TIME.total_seconds())
    detail, remedy = "Too many failed logins.", f"Wait {round(lockout_s / 60)} minutes, or ask an administrator."
    headers = {"Retry-After": str(lockout_s)}
    if not request.path.startswith(API_PREFIX):
        return HttpResponse(f"{detail} {remedy}", status=429, content_type="text/plain", headers=headers)
    return problem_response(problem(429, detail=detail, code="locked_out", remedy=remedy), headers=headers)
