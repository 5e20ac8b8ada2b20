"""A control plane of a few hundred lines for the agent's tests: the node API over real HTTP, state in memory.

It keeps the rules an agent depends on (fences, marks, parts, ranges) and can misbehave on purpose: be down, cut
downloads, lose acknowledgements, declare fences stale.
"""

import hashlib
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

from pydantic import BaseModel

from workers.contract.node_api import (
    REPORT_ADAPTER,
    ClaimReply,
    ClaimRequest,
    ExitReport,
    HeartbeatReply,
    HeartbeatRequest,
    JoinReply,
    JoinRequest,
    LaunchOrder,
    MarkReply,
    MetricsBatch,
    Offer,
    Report,
    ReportReply,
    SecretsReply,
    UploadReply,
    UploadRequest,
    Wish,
    WishKind,
)

JOIN_TOKEN = "join-me"
PART_BYTES = 1000


class Problem(Exception):  # noqa: N818
    """An answer in problem+json."""

    def __init__(self, status: int, code: str, **fields: object) -> None:
        super().__init__(code)
        self.status = status
        self.body = {"type": "about:blank", "title": code, "status": status, "code": code, "detail": code, **fields}


@dataclass
class Stored:
    """What the server holds of one allocation."""

    order: LaunchOrder
    is_offered: bool = True
    is_granted: bool = False
    is_complete: bool = True
    """The whole gang has claimed."""
    is_stale: bool = False
    is_running: bool = False
    wish: WishKind | None = None
    reports: list[Report] = field(default_factory=list)
    marks: dict[int, int] = field(default_factory=dict)
    points: dict[tuple[int, str], list[tuple[int, object]]] = field(default_factory=dict)
    logs: dict[str, bytes] = field(default_factory=dict)
    ended_logs: set[str] = field(default_factory=set)
    claims: int = 0
    delays: list[tuple[int, float]] = field(default_factory=list)
    """When a point was written (microseconds) and when it was here (seconds)."""
    log_batches: list[int] = field(default_factory=list)

    @property
    def exit(self) -> ExitReport | None:
        for report in self.reports:
            if isinstance(report, ExitReport):
                return report
        return None

    def of_type(self, name: str) -> list[Report]:
        return [report for report in self.reports if report.type == name]


@dataclass
class Upload:
    """A file on its way in."""

    id: UUID
    request: UploadRequest
    parts: dict[int, bytes] = field(default_factory=dict)


class ControlPlane:
    """Start with ``with``; ``url`` is where it listens."""

    def __init__(self, broker_url: str = "redis://127.0.0.1:1/0") -> None:
        self.lock = threading.RLock()
        self.broker_url = broker_url
        self.node_token: str | None = None
        self.joins: list[JoinRequest] = []
        self.joins_with_name_taken = 0
        self.heartbeats: list[HeartbeatRequest] = []
        self.allocations: dict[UUID, Stored] = {}
        self.blobs: dict[str, bytes] = {}
        self.uploads: dict[UUID, Upload] = {}
        self.secrets: dict[str, str] = {}
        self.part_puts: Counter[int] = Counter()
        self.is_down = False
        self.is_offering = True
        self.cut_downloads_after: list[int] = []
        self.ignores_ranges = False
        self.ranges: list[int] = []
        """Offsets that downloads asked for."""
        self.lost_acknowledgements: Counter[str] = Counter()
        """Route name to how many requests are carried out but answered with a closed connection."""
        self.heartbeat_s = 0.2
        self.orphan_timeout_s = 600.0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "ControlPlane":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add(self, order: LaunchOrder, *, is_complete: bool = True) -> Stored:
        with self.lock:
            self.allocations[order.allocation_id] = stored = Stored(order, is_complete=is_complete)
        return stored

    def add_blob(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        self.blobs[digest] = data
        return digest

    # Routes

    def join(self, body: bytes) -> JoinReply:
        request = JoinRequest.model_validate_json(body)
        self.joins.append(request)
        if request.join_token != JOIN_TOKEN:
            raise Problem(401, "token_refused")
        if len(self.joins) <= self.joins_with_name_taken:
            raise Problem(409, "name_taken")
        self.node_token = f"cox_node_{uuid4().hex}"
        return JoinReply(
            node_id=uuid4(),
            node_token=self.node_token,
            broker_url=self.broker_url,
            queue=f"node.{request.name}",
            heartbeat_s=self.heartbeat_s,
            orphan_timeout_s=self.orphan_timeout_s,
        )

    def heartbeat(self, body: bytes) -> HeartbeatReply:
        request = HeartbeatRequest.model_validate_json(body)
        self.heartbeats.append(request)
        offers, orders, wishes, live = [], [], [], []
        for allocation_id, stored in self.allocations.items():
            if stored.is_stale or stored.exit is not None:
                continue
            fence = stored.order.fence
            live.append(allocation_id)
            if stored.is_offered and not stored.is_granted and self.is_offering:
                offers.append(Offer(allocation_id=allocation_id, fence=fence))
            if stored.is_granted and stored.is_complete and not stored.is_running:
                orders.append(stored.order)
            if stored.wish is not None:
                wishes.append(Wish(allocation_id=allocation_id, fence=fence, kind=stored.wish))
        return HeartbeatReply(offers=tuple(offers), orders=tuple(orders), wishes=tuple(wishes), live=tuple(live))

    def claim(self, stored: Stored, body: bytes) -> ClaimReply:
        request = ClaimRequest.model_validate_json(body)
        stored.claims += 1
        self._check_fence(stored, request.fence)
        stored.is_granted = True
        if stored.order.node_rank == 0:
            stored.order = stored.order.model_copy(
                update={"master_addr": request.master_addr, "master_port": request.master_port}
            )
        return ClaimReply(order=stored.order if stored.is_complete else None)

    def report(self, stored: Stored, body: bytes) -> ReportReply:
        report = REPORT_ADAPTER.validate_json(body)
        self._check_fence(stored, report.fence)
        if report.type in {"checkpoint", "model", "output"}:
            for file in report.manifest.files:
                if file.sha256 not in self.blobs:
                    raise Problem(422, "file_missing")
        stored.is_running = stored.is_running or report.type == "running"
        if report not in stored.reports:
            stored.reports.append(report)
        return ReportReply(wish=stored.wish)

    def metrics(self, stored: Stored, body: bytes) -> MarkReply:
        batch = MetricsBatch.model_validate_json(body)
        mark = stored.marks.get(batch.rank, 0)
        if batch.stop <= mark:
            return MarkReply(mark=mark, attempt_over=stored.is_stale)
        if batch.start != mark:
            raise Problem(409, "mark_mismatch", mark=mark, attempt_over=stored.is_stale)
        stored.marks[batch.rank] = batch.stop
        for series in batch.series:
            points = stored.points.setdefault((batch.rank, series.key), [])
            points.extend(zip(series.steps, series.values, strict=True))
            stored.delays.extend((written, time.time()) for written in series.times_us)
        return MarkReply(mark=batch.stop, attempt_over=stored.is_stale)

    def logs(self, stored: Stored, query: dict[str, str], body: bytes) -> MarkReply:
        key, start, stop = f"{query['rank']}.{query['stream']}", int(query["start"]), int(query["stop"])
        data = stored.logs.get(key, b"")
        stored.log_batches.append(len(body))
        if stop - start != len(body):
            raise Problem(422, "length_mismatch")
        if not (stop <= len(data) and stop > start):
            if start != len(data):
                raise Problem(409, "mark_mismatch", mark=len(data), attempt_over=stored.is_stale)
            stored.logs[key] = data + body
        if query["ended"] == "true":
            stored.ended_logs.add(key)
        return MarkReply(mark=len(stored.logs[key]), attempt_over=stored.is_stale)

    def create_upload(self, body: bytes) -> UploadReply:
        request = UploadRequest.model_validate_json(body)
        for upload in self.uploads.values():
            if upload.request == request:  # the same file again: go on with it
                return self._upload_reply(upload)
        upload = Upload(uuid4(), request)
        self.uploads[upload.id] = upload
        return self._upload_reply(upload)

    def put_part(self, upload_id: str, number: str, body: bytes) -> None:
        self.part_puts[int(number)] += 1
        self.uploads[UUID(upload_id)].parts[int(number)] = body

    def finalise(self, upload_id: str) -> UploadReply:
        upload = self.uploads[UUID(upload_id)]
        data = b"".join(upload.parts[number] for number in sorted(upload.parts))
        if hashlib.sha256(data).hexdigest() != upload.request.sha256:
            upload.parts.clear()
            raise Problem(422, "digest_mismatch")
        self.blobs[upload.request.sha256] = data
        return self._upload_reply(upload)

    def _upload_reply(self, upload: Upload) -> UploadReply:
        return UploadReply(
            upload_id=upload.id,
            part_size_bytes=PART_BYTES,
            received_parts=tuple(sorted(upload.parts)),
            complete=upload.request.sha256 in self.blobs,
        )

    @staticmethod
    def _check_fence(stored: Stored, fence: int) -> None:
        if stored.is_stale or fence != stored.order.fence:
            raise Problem(409, "stale_fence")

    # HTTP

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        plane = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                plane._serve(self)

            do_GET = do_PUT = do_POST  # noqa: N815  names the base class looks for

            def log_message(self, format: str, *args: object) -> None:
                """Keep quiet."""

        return Handler

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        if self.is_down:
            handler.close_connection = True
            return
        try:
            with self.lock:
                self._dispatch(handler, body)
        except Problem as problem:
            _answer(handler, problem.status, json.dumps(problem.body).encode())

    def _dispatch(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        url = urlsplit(handler.path)
        path = url.path.removeprefix("/api/node/v1/")
        if path != "join" and handler.headers.get("Authorization") != f"Bearer {self.node_token}":
            raise Problem(401, "token_refused")
        if match := re.fullmatch(r"allocations/[^/]+/files/([0-9a-f]{64})", path):
            self._serve_file(handler, match[1])
            return
        query = {key: value[0] for key, value in parse_qs(url.query).items()}
        name, reply = self._route(path, query, body)
        if self.lost_acknowledgements[name] > 0:
            self.lost_acknowledgements[name] -= 1
            handler.close_connection = True
            return
        _answer(handler, 200 if reply else 204, reply.model_dump_json().encode() if reply else b"")

    def _route(self, path: str, query: dict[str, str], body: bytes) -> tuple[str, BaseModel | None]:
        simple: dict[str, Callable[[bytes], BaseModel]] = {"join": self.join, "heartbeat": self.heartbeat}
        if path in simple:
            return path, simple[path](body)
        _, allocation_id, name, *rest = path.split("/")
        if UUID(allocation_id) not in self.allocations:
            raise Problem(404, "not_found")
        stored = self.allocations[UUID(allocation_id)]
        if name == "uploads":
            self._check_fence(stored, stored.order.fence)
            return self._route_upload(rest, body)
        if name == "secrets":
            return name, SecretsReply(values=self.secrets)
        if name == "logs":
            return name, self.logs(stored, query, body)
        routes: dict[str, Callable[[Stored, bytes], BaseModel]] = {
            "claim": self.claim,
            "report": self.report,
            "metrics": self.metrics,
        }
        return name, routes[name](stored, body)

    def _route_upload(self, rest: list[str], body: bytes) -> tuple[str, BaseModel | None]:
        if not rest:
            return "uploads", self.create_upload(body)
        if rest[1] == "finalise":
            return "finalise", self.finalise(rest[0])
        self.put_part(rest[0], rest[2], body)
        return "part", None

    def _serve_file(self, handler: BaseHTTPRequestHandler, digest: str) -> None:
        if digest not in self.blobs:
            raise Problem(404, "not_found")
        data, status = self.blobs[digest], 200
        wanted = handler.headers.get("Range", "bytes=0-")
        offset = int(wanted.removeprefix("bytes=").removesuffix("-"))
        self.ranges.append(offset)
        if offset and not self.ignores_ranges:
            data, status = data[offset:], 206
        cut = self.cut_downloads_after.pop(0) if self.cut_downloads_after else len(data)
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[:cut])
        handler.wfile.flush()
        handler.close_connection = cut < len(data)


def _answer(handler: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
