"""The door for telemetry: ``POST /api/node/v1/allocations/{id}/metrics`` and ``/logs``.

These two addresses see a request from every rank of the cluster every second or so, therefore they are answered on the
event loop, before Django's middleware and threads. What a node may send, and every refusal, is as elsewhere in the
node API.
"""

import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs
from uuid import UUID

import orjson
import psycopg
import psycopg_pool
import structlog
from rest_framework.exceptions import NotAuthenticated

from apps.accounts.tokens import digest_of
from apps.core.errors import DomainError, InvalidInput
from apps.core.models import new_id
from apps.core.problems import CONTENT_TYPE, document_of, problem
from apps.core.renderers import dump_json
from apps.telemetry import ingest

log = structlog.get_logger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MAX_BODY_BYTES: Final = 16 * 1024 * 1024
_PATH: Final = re.compile(r"/api/node/v1/allocations/([0-9a-fA-F-]{36})/(metrics|logs)")
_RANK_LIMIT: Final = 2**31
_OFFSET_LIMIT: Final = 2**63


class TooLarge(DomainError):  # noqa: N818 - named for what happened, as in apps.core.errors
    """The body is larger than one batch may be."""

    status = 413
    code = "too_large"
    title = "The batch is too large"
    remedy = "Cut it into smaller batches."


@dataclass(frozen=True, slots=True)
class _Request:
    allocation_id: UUID
    token_digest: str
    query: dict[str, list[str]]
    body: bytes


class TelemetryIngest:
    """Answers the two addresses; everything else goes to the application behind it."""

    def __init__(self, application: Callable[[Any, Any, Any], Awaitable[Any]]) -> None:
        self.application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = _PATH.fullmatch(scope["path"])
        if found is None or scope["method"] != "POST":
            await self.application(scope, receive, send)
            return
        try:
            accepted = await _store(found[2], await _read_request(found[1], scope, receive))
            status, body = 200, {"mark": accepted.mark, "attempt_over": accepted.attempt_over}
            await _reply(send, status, orjson.dumps(body), "application/json")
        except Exception as error:
            document = _document(error) | {"request_id": new_id().hex}
            status = int(str(document["status"]))
            if status >= 500:
                log.exception("ingest failed", status=status, request_id=document["request_id"])
            await _reply(send, status, dump_json(document), CONTENT_TYPE)


async def _store(kind: str, request: _Request) -> ingest.Accepted:
    if kind == "metrics":
        return await ingest.store_metrics(
            allocation_id=request.allocation_id, token_digest=request.token_digest, body=request.body
        )
    stream = request.query.get("stream", [""])[-1]
    if stream not in {"stdout", "stderr"}:
        raise InvalidInput("Must be stdout or stderr.", field="stream")
    return await ingest.store_log(
        allocation_id=request.allocation_id,
        token_digest=request.token_digest,
        rank=_number(request.query, "rank", low=-1, limit=_RANK_LIMIT),
        stream=stream,
        start=_number(request.query, "start", low=0, limit=_OFFSET_LIMIT),
        stop=_number(request.query, "stop", low=0, limit=_OFFSET_LIMIT),
        is_ended=request.query.get("ended", ["false"])[-1].lower() in {"1", "true"},
        body=request.body,
    )


async def _read_request(allocation: str, scope: Scope, receive: Receive) -> _Request:
    scheme, _, secret = _header(scope, b"authorization").partition(" ")
    if scheme.lower() != "bearer" or not secret:
        raise NotAuthenticated("A node token is needed.")
    try:
        allocation_id = UUID(allocation)
    except ValueError as error:
        raise InvalidInput("Not a UUID.", field="allocation_id") from error
    declared = _header(scope, b"content-length")
    if declared.isdigit() and int(declared) > MAX_BODY_BYTES:
        raise TooLarge(f"A batch holds at most {MAX_BODY_BYTES} bytes.")
    query = parse_qs(scope["query_string"].decode("latin1"), keep_blank_values=True)
    return _Request(allocation_id, digest_of(secret.strip()), query, await _read_body(receive))


async def _read_body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidInput("The body ended early.")
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise TooLarge(f"A batch holds at most {MAX_BODY_BYTES} bytes.")
        parts.append(part)
        if not message.get("more_body"):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _header(scope: Scope, wanted: bytes) -> str:
    found: bytes = next((value for name, value in scope["headers"] if name == wanted), b"")
    return found.decode("latin1")


def _number(query: dict[str, list[str]], name: str, *, low: int, limit: int) -> int:
    given = query.get(name, [""])[-1]
    if not re.fullmatch(r"-?[0-9]{1,19}", given) or not low <= int(given) < limit:
        raise InvalidInput(f"Must be a whole number of at least {low}.", field=name)
    return int(given)


def _document(error: Exception) -> dict[str, object]:
    if isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError, psycopg_pool.PoolTimeout)):
        return problem(503, detail="The database does not answer.")
    return document_of(error)


async def _reply(send: Send, status: int, body: bytes, content_type: str) -> None:
    headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
    if status == 503:
        headers.append((b"retry-after", b"2"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
