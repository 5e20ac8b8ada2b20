"""The real server, Redis and sockets: restarts and outages cost time, never a point."""

import asyncio
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connection
from websockets.asyncio.client import ClientConnection, connect

from coxswain.stack.ports import choose_port
from coxswain.stack.redis import RedisServer
from tests.apps.telemetry.conftest import World

pytestmark = pytest.mark.faults
ROOT = Path(__file__).resolve().parents[3]
TIMEOUT_S = 30.0


@dataclass
class Server:
    """A uvicorn process on the test's database that can be ended and started again at the same address."""

    port: int
    env: dict[str, str]
    process: "subprocess.Popen[bytes] | None" = None

    async def start(self) -> None:
        command = [sys.executable, "-m", "uvicorn", "controlplane.asgi:application", "--port", str(self.port)]
        command += ["--no-access-log", "--timeout-graceful-shutdown", "1"]
        self.process = subprocess.Popen(command, env=self.env, cwd=ROOT)
        async with httpx.AsyncClient() as client:
            async with asyncio.timeout(TIMEOUT_S):
                while True:
                    assert self.process.poll() is None
                    try:
                        if (await client.get(f"http://127.0.0.1:{self.port}/healthz")).status_code == 200:
                            return
                    except httpx.TransportError:
                        await asyncio.sleep(0.1)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with tempfile.TemporaryDirectory(prefix="cox-redis-") as folder:
        Path(folder).chmod(0o711)  # the server enters it as another account when the tests run as root
        with RedisServer(Path(folder) / "redis", password=secrets.token_urlsafe(16)) as server:
            yield server


@pytest.fixture
async def server(world: World, redis: RedisServer) -> AsyncIterator[Server]:
    database = urlsplit(settings.DATABASE_URL)._replace(path="/" + connection.settings_dict["NAME"]).geturl()
    env = os.environ | {"DATABASE_URL": database, "DATABASE_DIRECT_URL": database, "REDIS_URL": redis.url(0)}
    server = Server(choose_port(), env)
    await server.start()
    yield server
    server.kill()


class Page:
    """A browser tab that reconnects and goes on after the last number it has seen."""

    def __init__(self, server: Server, world: World, token: str) -> None:
        self.server, self.topic, self.token = server, f"job:{world.job.pk}", token
        self.seq = 0
        self.steps: list[int] = []
        self.text = ""

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[ClientConnection]:
        headers = {"Authorization": f"Bearer {self.token}"}
        address = f"ws://127.0.0.1:{self.server.port}/ws/v1/stream"
        async with connect(address, additional_headers=headers) as socket:
            await socket.send(orjson.dumps({"type": "subscribe", "topic": self.topic, "after": self.seq}).decode())
            yield socket

    async def follow(self, until_seq: int) -> None:
        async with asyncio.timeout(TIMEOUT_S), self.connected() as socket:
            while self.seq < until_seq:
                self.take(orjson.loads(await socket.recv()))

    def take(self, frame: dict[str, Any]) -> None:
        assert frame["type"] in {"subscribed", "message", "head"}
        if frame["type"] != "message":
            return
        assert frame["seq"] > self.seq
        self.seq = frame["seq"]
        data = frame["data"]
        for item in data["items"] if data["kind"] == "batch" else [data]:
            if item["kind"] == "metrics":
                self.steps += [step for column in item["series"] for step in column["steps"]]
            elif item["kind"] == "logs":
                assert item["start"] == len(self.text)
                self.text += item["text"]


class Agent:
    """A node that sends one batch after another and repeats what was not acknowledged."""

    def __init__(self, server: Server, world: World) -> None:
        self.server, self.world = server, world
        self.mark = 0
        self.log_mark = 0

    async def send(self, count: int, *, pause_s: float = 0.0) -> None:
        headers = {"Authorization": f"Bearer {self.world.node_secret}"}
        base = f"http://127.0.0.1:{self.server.port}/api/node/v1/allocations/{self.world.allocation.pk}"
        async with httpx.AsyncClient(headers=headers) as client:
            for _ in range(count):
                n = self.mark
                series = [{"key": "loss", "steps": [n], "times_us": [n], "values": [0.5]}]
                body = {"rank": 0, "start": n, "stop": n + 1, "series": series}
                self.mark = await self.deliver(client, f"{base}/metrics", content=orjson.dumps(body))
                line = f"step {n}\n".encode()
                query = f"rank=0&stream=stdout&start={self.log_mark}&stop={self.log_mark + len(line)}&ended=false"
                self.log_mark = await self.deliver(client, f"{base}/logs?{query}", content=line)
                await asyncio.sleep(pause_s)

    async def deliver(self, client: httpx.AsyncClient, address: str, **kwargs: Any) -> int:
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                try:
                    reply = await client.post(address, **kwargs)
                except httpx.TransportError:
                    await asyncio.sleep(0.1)
                    continue
                if reply.status_code == 200:
                    return int(reply.json()["mark"])
                assert reply.status_code >= 500
                await asyncio.sleep(0.1)


def expected_text(count: int) -> str:
    return "".join(f"step {n}\n" for n in range(count))


async def test_page_resumes_after_a_restart_without_gap_or_repeat(world: World, server: Server) -> None:
    page = Page(server, world, await sync_to_async(world.api_token)())
    agent = Agent(server, world)
    reporting = asyncio.create_task(agent.send(60, pause_s=0.02))
    await page.follow(20)
    server.kill()
    restarted = asyncio.create_task(server.start())
    await asyncio.gather(restarted, reporting)
    await page.follow(120)
    assert page.steps == list(range(60))
    assert page.text == expected_text(60)


async def test_page_goes_on_while_redis_is_flushed_and_restarted(
    world: World, server: Server, redis: RedisServer
) -> None:
    page = Page(server, world, await sync_to_async(world.api_token)())
    agent = Agent(server, world)
    async with page.connected() as socket:

        async def listen() -> None:
            while page.seq < 60:
                page.take(orjson.loads(await socket.recv()))

        listening = asyncio.create_task(listen())
        await agent.send(10)
        import redis as client  # the package, beside the fixture of its name

        client.Redis.from_url(redis.url(0)).flushall()
        await agent.send(5)
        redis.stop()
        await agent.send(5)  # nobody can be told: the reader finds the new head in Postgres
        redis.__enter__()
        await agent.send(10)
        async with asyncio.timeout(TIMEOUT_S):
            await listening
    assert page.steps == list(range(30))
    assert page.text == expected_text(30)
