"""HTTP client of the node API: one typed method per route, one exception per thing the agent can do about it."""

# ruff: noqa: N818  the exceptions are named for what the server said

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import httpx
from pydantic import BaseModel, ValidationError

from workers.contract.node_api import (
    ClaimReply,
    ClaimRequest,
    HeartbeatReply,
    HeartbeatRequest,
    JoinReply,
    JoinRequest,
    LogStream,
    MarkReply,
    MetricsBatch,
    Report,
    ReportReply,
    SecretsReply,
    UploadReply,
    UploadRequest,
)

# Shorter than the five seconds after which uvicorn closes an idle connection: a request must not meet a closing one.
_KEEPALIVE_S = 3.0
# Answers about what was sent. Any other refusal (a proxy's 403, a route that is not there yet) may pass.
_FINAL_STATUS = frozenset({400, 404, 409, 410, 413, 415, 422, 426})

ReplyT = TypeVar("ReplyT", bound=BaseModel)


class ApiError(Exception):
    """A request did not succeed."""


class Unreachable(ApiError):
    """No answer, or none that means anything: the same request again, later."""


class TokenRefused(ApiError):
    """The node token is unknown, revoked or expired."""


class StaleFence(ApiError):
    """The attempt is over: its ranks are to be killed."""


class NotFound(ApiError):
    """The server knows no such thing, or not for this node."""


class MarkMismatch(ApiError):
    """The batch does not begin at the server's mark."""

    def __init__(self, reply: MarkReply) -> None:
        super().__init__(f"the server's mark is {reply.mark}")
        self.reply = reply


class Refused(ApiError):
    """The server understood and says no; repeating will not help."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code


@dataclass(frozen=True)
class LogBatch:
    """Bytes [start, start + len(data)) of one captured stream."""

    rank: int
    stream: LogStream
    start: int
    data: bytes
    is_ended: bool


class NodeApi:
    """The control plane as this node sees it. Safe to use from several threads."""

    def __init__(self, server_url: str, token: str | None = None, *, timeout_s: float = 30.0) -> None:
        self._client = httpx.Client(
            base_url=f"{server_url.rstrip('/')}/api/node/v1/",
            timeout=httpx.Timeout(timeout_s, connect=5.0),
            limits=httpx.Limits(keepalive_expiry=_KEEPALIVE_S),
            trust_env=False,  # a proxy meant for the internet is not on the way to the control plane
        )
        if token is not None:
            self.use_token(token)

    def use_token(self, token: str) -> None:
        """Speak with this node token from now on."""
        self._client.headers["Authorization"] = f"Bearer {token}"

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def join(self, request: JoinRequest) -> JoinReply:
        """Exchange the join token for a node token."""
        return self._post("join", request, JoinReply)

    def heartbeat(self, request: HeartbeatRequest) -> HeartbeatReply:
        """Say that the node lives, hear all that is open for it."""
        return self._post("heartbeat", request, HeartbeatReply)

    def claim(self, allocation_id: UUID, request: ClaimRequest) -> ClaimReply:
        """Take an offered allocation."""
        return self._post(f"allocations/{allocation_id}/claim", request, ClaimReply)

    def report(self, allocation_id: UUID, report: Report) -> ReportReply:
        """Tell what happened."""
        return self._post(f"allocations/{allocation_id}/report", report, ReportReply)

    def send_metrics(self, allocation_id: UUID, batch: MetricsBatch) -> MarkReply:
        """Deliver points.

        Raises:
            MarkMismatch: with the mark to cut at.
        """
        return self._post(f"allocations/{allocation_id}/metrics", batch, MarkReply)

    def send_logs(self, allocation_id: UUID, batch: LogBatch) -> MarkReply:
        """Deliver bytes of a log.

        Raises:
            MarkMismatch: with the mark to cut at.
        """
        response = self._send(
            "POST",
            f"allocations/{allocation_id}/logs",
            params={
                "rank": str(batch.rank),
                "stream": batch.stream.value,
                "start": str(batch.start),
                "stop": str(batch.start + len(batch.data)),
                "ended": "true" if batch.is_ended else "false",
            },
            content=batch.data,
            headers={"Content-Type": "application/octet-stream"},
        )
        return _parse(response, MarkReply)

    def fetch_secrets(self, allocation_id: UUID) -> SecretsReply:
        """Read the secrets that the allocation's job is given."""
        return _parse(self._send("GET", f"allocations/{allocation_id}/secrets"), SecretsReply)

    def create_upload(self, allocation_id: UUID, request: UploadRequest) -> UploadReply:
        """Announce a file; the reply says which parts are there already."""
        return self._post(f"allocations/{allocation_id}/uploads", request, UploadReply)

    def put_part(self, allocation_id: UUID, upload_id: UUID, number: int, data: bytes) -> None:
        """Send one part of a file."""
        self._send(
            "PUT",
            f"allocations/{allocation_id}/uploads/{upload_id}/parts/{number}",
            content=data,
            headers={"Content-Type": "application/octet-stream"},
        )

    def finalise_upload(self, allocation_id: UUID, upload_id: UUID) -> UploadReply:
        """Have the server put the parts together and verify them."""
        response = self._send("POST", f"allocations/{allocation_id}/uploads/{upload_id}/finalise")
        return _parse(response, UploadReply)

    @contextmanager
    def open_file(self, allocation_id: UUID, sha256: str, *, offset: int) -> Iterator[httpx.Response]:
        """Stream a file's bytes from ``offset``; the status is 206, or 200 when the server sends all of it.

        Raises:
            Unreachable: also when the connection breaks while the body is read.
        """
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
        url = f"allocations/{allocation_id}/files/{sha256}"
        try:
            with self._client.stream("GET", url, headers=headers, follow_redirects=True) as response:
                if response.is_error:
                    response.read()
                    _raise_for(response)
                yield response
        except httpx.HTTPError as error:
            raise Unreachable(f"{type(error).__name__}: {error}") from error

    def _post(self, url: str, body: BaseModel, reply: type[ReplyT]) -> ReplyT:
        response = self._send("POST", url, content=_encode(body), headers={"Content-Type": "application/json"})
        return _parse(response, reply)

    def _send(
        self,
        method: str,
        url: str,
        *,
        content: bytes = b"",
        headers: dict[str, str] | None = None,
        params: dict[str, str] | None = None,
    ) -> httpx.Response:
        try:
            response = self._client.request(method, url, content=content, headers=headers, params=params)
        except httpx.HTTPError as error:
            raise Unreachable(f"{type(error).__name__}: {error}") from error
        if response.is_error:
            _raise_for(response)
        return response


def _encode(body: BaseModel) -> bytes:
    """Write a body that can be stored: a rank may say NUL in its last words or its completion, Postgres may not."""
    content = body.model_dump_json().encode()
    if b"\\u0000" in content:
        content = json.dumps(_without_nul(json.loads(content))).encode()
    return content


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    return value


def _parse(response: httpx.Response, reply: type[ReplyT]) -> ReplyT:
    try:
        return reply.model_validate_json(response.content)
    except ValidationError as error:
        # A proxy's page, or a server that is neither this contract version nor the one before.
        raise Unreachable(f"unreadable reply to {response.request.url.path}: {error}") from error


def _raise_for(response: httpx.Response) -> None:
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    code = str(problem.get("code", ""))
    detail = " ".join(str(problem.get(key, "")) for key in ("detail", "remedy")).strip() or str(
        problem.get("title", "")
    )
    status = response.status_code
    if status in {401, 403}:
        raise TokenRefused(detail or "the token is refused")
    if status not in _FINAL_STATUS:
        raise Unreachable(f"{status} {code} {detail}".strip())
    if code == "stale_fence":
        raise StaleFence(detail)
    if code == "mark_mismatch" and isinstance(problem.get("mark"), int):
        raise MarkMismatch(MarkReply(mark=problem["mark"], attempt_over=bool(problem.get("attempt_over", False))))
    if status == 404:
        raise NotFound(detail or response.request.url.path)
    raise Refused(status, code or "refused", detail)


ResultT = TypeVar("ResultT")


class GaveUp(Exception):
    """Retrying was called off before the server could be reached."""


@dataclass(frozen=True)
class Retry:
    """Repeat a request while the server cannot be reached, waiting ever longer."""

    first_s: float
    last_s: float
    stop: threading.Event
    """Set when nobody waits for the result any more."""

    def call(self, request: Callable[[], ResultT]) -> ResultT:
        """Return the request's result; refusals other than of the token pass through.

        A refused token is waited out: the heartbeat joins again and gives every sender the new one.

        Raises:
            GaveUp: ``stop`` was set first.
        """
        wait_s = self.first_s
        while True:
            try:
                return request()
            except (Unreachable, TokenRefused) as error:
                if self.stop.wait(wait_s):
                    raise GaveUp(str(error)) from error
                wait_s = min(2 * wait_s, self.last_s)
