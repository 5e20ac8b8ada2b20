"""``/healthz``: this process answers. ``/readyz``: it can also do its work, part by part."""

from collections.abc import Callable

import redis
import structlog
from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from apps.core.health import MAX_GAP_S, SCHEDULER, last_beat_age_s
from apps.core.renderers import dump_json

log = structlog.get_logger(__name__)

_BROKER_TIMEOUT_S = 2.0


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """Say that the process is alive; touches nothing else."""
    return _answer({"status": "ok"}, 200)


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """Say whether database, broker and scheduler are there: 200, or 503 naming what is not."""
    parts = {name: _probe(name, check) for name, check in _CHECKS.items()}
    is_ready = all(state == "ok" for state in parts.values())
    return _answer({"status": "ok" if is_ready else "unavailable", "parts": parts}, 200 if is_ready else 503)


def _probe(name: str, check: Callable[[], str]) -> str:
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - whatever is wrong, the part is not ready
        log.warning("not ready", part=name, error=str(error))
        return "unavailable"


def _check_database() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return "ok"


def _check_broker() -> str:
    url = settings.BROKER_URL
    if not url.startswith(("redis://", "rediss://", "unix://")):
        return "ok"  # another transport is Celery's own business
    client = redis.Redis.from_url(
        url, socket_timeout=_BROKER_TIMEOUT_S, socket_connect_timeout=_BROKER_TIMEOUT_S, retry=None
    )
    try:
        client.ping()
    finally:
        client.close()
    return "ok"


def _check_scheduler() -> str:
    age_s = last_beat_age_s(SCHEDULER)
    if age_s is None:
        return "not seen"
    return "ok" if age_s <= MAX_GAP_S else "silent"


_CHECKS: dict[str, Callable[[], str]] = {
    "database": _check_database,
    "broker": _check_broker,
    "scheduler": _check_scheduler,
}


def _answer(body: dict[str, object], status: int) -> HttpResponse:
    response = HttpResponse(dump_json(body), status=status, content_type="application/json")
    response["Cache-Control"] = "no-store"
    return response
