"""A browser tab as the tests see it."""

import asyncio
import time
from typing import Any

import orjson
from asgiref.testing import ApplicationCommunicator
from django.conf import settings

from apps.accounts.models import User
from controlplane.asgi import application
from tests.apps.telemetry.conftest import World

TIMEOUT_S = 10.0


class Tab:
    """One socket, which sorts what it hears and complains about gaps and repeats."""

    def __init__(self, headers: list[tuple[bytes, bytes]], path: str = "/ws/v1/stream") -> None:
        self.headers = headers
        self.communicator = ApplicationCommunicator(
            application,
            {"type": "websocket", "path": path, "query_string": b"", "headers": headers, "subprotocols": []},
        )
        self.frames: list[dict[str, Any]] = []
        self.seqs: dict[str, int] = {}

    @classmethod
    def of_user(cls, world: World, user: User | None = None) -> "Tab":
        cookies = world.client(user).cookies
        cookie = f"{settings.SESSION_COOKIE_NAME}={cookies[settings.SESSION_COOKIE_NAME].value}"
        return cls([(b"host", b"testserver"), (b"origin", b"http://testserver"), (b"cookie", cookie.encode())])

    @classmethod
    def of_token(cls, secret: str) -> "Tab":
        return cls([(b"host", b"testserver"), (b"authorization", f"Bearer {secret}".encode())])

    async def open(self) -> bool:
        await self.communicator.send_input({"type": "websocket.connect"})
        answer = await self.communicator.receive_output(TIMEOUT_S)
        return bool(answer["type"] == "websocket.accept")

    async def close(self) -> None:
        await self.communicator.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.communicator.wait(TIMEOUT_S)

    async def say(self, message: dict[str, Any]) -> None:
        await self.say_text(orjson.dumps(message).decode())

    async def say_text(self, text: str) -> None:
        await self.communicator.send_input({"type": "websocket.receive", "text": text})

    async def subscribe(self, topic: str, after: int | None = None) -> dict[str, Any]:
        await self.say({"type": "subscribe", "topic": topic, "after": after})
        return await self.next(lambda frame: frame["type"] in {"subscribed", "error"})

    async def next(self, wanted: Any = lambda frame: True, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
        """Return the next frame that is wanted; the others are kept in ``frames``."""
        deadline = time.monotonic() + timeout_s
        while True:
            frame = await self._receive(deadline - time.monotonic())
            self.frames.append(frame)
            if wanted(frame):
                return frame

    async def closed(self, timeout_s: float = TIMEOUT_S) -> int:
        """Return the code the server closes with."""
        deadline = time.monotonic() + timeout_s
        while True:
            output = await self.communicator.receive_output(timeout=max(0.01, deadline - time.monotonic()))
            if output["type"] == "websocket.close":
                return int(output["code"])

    async def until(self, seq: int, topic: str, timeout_s: float = TIMEOUT_S) -> None:
        """Wait until everything up to ``seq`` is here."""
        deadline = time.monotonic() + timeout_s
        while self.seqs.get(topic, 0) < seq:
            await self.next(timeout_s=deadline - time.monotonic())

    async def _receive(self, timeout_s: float) -> dict[str, Any]:
        output = await self.communicator.receive_output(max(0.01, timeout_s))
        frame: dict[str, Any] = orjson.loads(output["text"])
        if frame["type"] == "snapshot":
            self.seqs[frame["topic"]] = frame["seq"]
        elif frame["type"] == "message" and frame["seq"] is not None:
            assert frame["seq"] > self.seqs.get(frame["topic"], -1), "a number twice, or backwards"
            self.seqs[frame["topic"]] = frame["seq"]
        elif frame["type"] == "subscribed" and frame["seq"] is not None:
            self.seqs.setdefault(frame["topic"], frame["seq"])
        return frame

    def items(self, kind: str) -> list[dict[str, Any]]:
        """Return all items of a kind heard so far, in order."""
        found: list[dict[str, Any]] = []
        for frame in self.frames:
            if frame["type"] == "message":
                data = frame["data"]
                found += data["items"] if data["kind"] == "batch" else [data]
        return [item for item in found if item["kind"] == kind]

    def points(self, key: str = "loss") -> list[tuple[int, Any]]:
        """Return the points of one curve as they came."""
        columns = [column for item in self.items("metrics") for column in item["series"] if column["key"] == key]
        return [pair for column in columns for pair in zip(column["steps"], column["values"], strict=True)]


async def eventually(check: Any, timeout_s: float = TIMEOUT_S) -> None:
    """Wait until ``check()`` holds."""
    deadline = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.02)
