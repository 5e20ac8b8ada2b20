"""A job with one attempt on one node, and a node's voice."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import ApiToken, Membership, Role, User, Workspace
from apps.accounts.tokens import digest_of, new_secret
from apps.cluster.models import Node, NodeToken, Pool
from apps.core.models import new_id
from apps.jobs.models import Allocation, Attempt, Job, Stream
from apps.jobs.state import AttemptState, JobState
from apps.projects.models import Project
from apps.telemetry import pool
from apps.telemetry.asgi import TelemetryIngest


@dataclass
class World:
    """What the tests of telemetry need to exist."""

    user: User
    stranger: User
    workspace: Workspace
    project: Project
    job: Job
    attempt: Attempt
    allocation: Allocation
    node: Node
    node_secret: str

    def next_attempt(self, *, resumed_step: int | None) -> Attempt:
        """End the current attempt and begin another on the same node."""
        self.attempt.state = AttemptState.ENDED
        self.attempt.save()
        self.attempt, self.allocation = add_attempt(
            self.job, self.node, number=self.attempt.number + 1, resumed_step=resumed_step
        )
        return self.attempt

    def client(self, user: User | None = None) -> Client:
        client = Client()
        client.force_login(user or self.user)
        return client

    def api_token(self, user: User | None = None) -> str:
        secret = new_secret()
        ApiToken.objects.create(
            user=user or self.user, name="test", prefix=secret[:12], digest=digest_of(secret), scopes=["read", "write"]
        )
        return secret


def add_attempt(job: Job, node: Node, *, number: int, resumed_step: int | None = None) -> tuple[Attempt, Allocation]:
    attempt = Attempt.objects.create(
        job=job, number=number, fence=number, state=AttemptState.RUNNING, resumed_step=resumed_step
    )
    allocation = Allocation.objects.create(
        attempt=attempt, node=node, node_rank=0, fence=number, state=AttemptState.RUNNING
    )
    return attempt, allocation


def add_node(name: str) -> tuple[Node, str]:
    pool_row, _ = Pool.objects.get_or_create(name="default")
    node = Node.objects.create(
        name=name, pool=pool_row, hostname=name, address="127.0.0.1", boot_id="b", agent_version="1",
        contract_version=1, cpu_count=2, memory_bytes=1,
    )  # fmt: skip
    secret = "coxn_" + name
    NodeToken.objects.create(node=node, digest=digest_of(secret))
    return node, secret


def add_job(project: Project, owner: User, *, number: int = 1) -> Job:
    job = Job.objects.create(
        workspace=project.workspace, project=project, number=number, name=f"job-{number}", kind="train", spec={},
        pool="default", state=JobState.RUNNING, fence=1, owner=owner, queued_at=timezone.now(),
    )  # fmt: skip
    Stream.objects.create(job=job)
    return job


@pytest.fixture
def world(transactional_db: None) -> World:
    user = User.objects.create_user("ada", password="x")
    stranger = User.objects.create_user("eve", password="x")
    workspace = Workspace.objects.create(name="lab")
    Membership.objects.create(workspace=workspace, user=user, role=Role.EDITOR)
    project = Project.objects.create(workspace=workspace, name="p")
    job = add_job(project, user)
    node, secret = add_node("n1")
    attempt, allocation = add_attempt(job, node, number=1)
    return World(user, stranger, workspace, project, job, attempt, allocation, node, secret)


async def _nowhere(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b""})


class NodeVoice:
    """Speaks the node API to the ingest application in process, on its own event loop or the running one."""

    def __init__(self, secret: str) -> None:
        self.headers = {"authorization": f"Bearer {secret}"}

    async def post(self, path: str, **kwargs: Any) -> httpx.Response:
        transport = httpx.ASGITransport(app=TelemetryIngest(_nowhere))
        headers = self.headers | kwargs.pop("headers", {})
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            return await client.post(f"/api/node/v1/allocations/{path}", headers=headers, **kwargs)

    async def metrics(
        self,
        allocation: Allocation,
        start: int,
        stop: int,
        series: dict[str, list[Any]] | None = None,
        *,
        rank: int = 0,
    ) -> httpx.Response:
        """Send batch [start, stop); ``series`` maps keys to [(step, value), ...], by default one loss per event."""
        if series is None:
            series = {"loss": [(n, 1000.0 - n) for n in range(start, stop)]}
        columns = [
            {
                "key": key,
                "steps": [step for step, _ in points],
                "times_us": [1_000_000 * step for step, _ in points],
                "values": [value for _, value in points],
            }
            for key, points in series.items()
        ]
        body = {"rank": rank, "start": start, "stop": stop, "series": columns}
        return await self.post(f"{allocation.pk}/metrics", json=body)

    async def log(
        self,
        allocation: Allocation,
        start: int,
        data: bytes,
        *,
        rank: int = 0,
        stream: str = "stdout",
        ended: bool = False,
    ) -> httpx.Response:
        query = {"rank": rank, "stream": stream, "start": start, "stop": start + len(data), "ended": int(ended)}
        return await self.post(f"{allocation.pk}/logs", params=query, content=data)

    def run(self, *calls: Any) -> list[httpx.Response]:
        """Run calls one after another from a synchronous test."""

        async def all_of() -> list[httpx.Response]:
            try:
                return [await call for call in calls]
            finally:
                await pool.close_pool()

        return asyncio.run(all_of())


@pytest.fixture
def node(world: World) -> NodeVoice:
    return NodeVoice(world.node_secret)


@pytest.fixture
async def ingest_pool() -> AsyncIterator[None]:
    yield
    await pool.close_pool()


@pytest.fixture
def nowhere_id() -> UUID:
    return new_id()
