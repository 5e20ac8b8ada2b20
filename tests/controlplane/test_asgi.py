"""The door of WebSockets, and the web server's beat."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from channels.db import database_sync_to_async
from django.test import Client
from django.utils import timezone

from apps.accounts.models import ApiToken, User
from apps.accounts.services import create_token
from apps.accounts.sockets import SocketAuthentication
from apps.core.health import WEB
from apps.core.models import ServiceBeat
from apps.core.sockets import OriginCheck, origin_allowed
from controlplane.lifespan import Lifespan
from controlplane.limits import BodyLimit
from tests.apps.factories import UserFactory


@pytest.mark.parametrize(
    ("origin", "host", "is_allowed"),
    [
        ("http://localhost:8700", "localhost:8700", True),
        (None, "localhost:8700", True),
        ("http://evil.example", "localhost:8700", False),
        ("http://localhost:9999", "localhost:8700", False),
        ("null", "localhost:8700", False),
        ("http://evil.example", "evil.example", False),
        (None, "evil.example", False),
        (None, "", False),
        ("https://cox.example.org", "localhost", True),
    ],
)
def test_only_our_own_pages_open_sockets(settings: Any, origin: str | None, host: str, is_allowed: bool) -> None:
    settings.CSRF_TRUSTED_ORIGINS = ["https://cox.example.org"]
    assert origin_allowed(origin, host) is is_allowed


seen: list[Any] = []


async def record_user(scope: Any, receive: Any, send: Any) -> None:
    """Accept, and note who came."""
    user = scope["user"]
    seen.append((await database_sync_to_async(lambda: user.is_authenticated and user.username)(), scope["auth"]))
    await receive()
    await send({"type": "websocket.accept"})


async def connect(**headers: str) -> tuple[bool, Any]:
    """Open a socket; return whether it was accepted, and as whom."""
    seen.clear()
    pairs = [(b"host", b"localhost")] + [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "websocket", "path": "/ws/v1/stream", "headers": pairs, "subprotocols": []}
    socket = ApplicationCommunicator(OriginCheck(SocketAuthentication(record_user)), scope)
    await socket.send_input({"type": "websocket.connect"})
    answer = await socket.receive_output(timeout=10)
    is_open = answer["type"] == "websocket.accept"
    if is_open:
        await socket.wait(timeout=10)
    else:  # the denier waits for a client that never comes back
        socket.stop(exceptions=False)
    return is_open, seen[-1][0] if seen else None


@pytest.mark.django_db(transaction=True)
async def test_socket_knows_its_user_by_session_or_token() -> None:
    user: User = await database_sync_to_async(UserFactory.create)(username="ada")
    client = Client()
    await database_sync_to_async(client.force_login)(user)
    cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
    assert await connect(cookie=cookie) == (True, "ada")
    made = await database_sync_to_async(create_token)(actor=user, name="t")
    assert await connect(authorization=f"Bearer {made.secret}") == (True, "ada")
    assert await connect() == (True, False)
    assert seen[-1][1] is None


@pytest.mark.django_db(transaction=True)
async def test_bad_token_or_origin_is_denied() -> None:
    user: User = await database_sync_to_async(UserFactory.create)()
    made = await database_sync_to_async(create_token)(actor=user, name="t")
    await database_sync_to_async(ApiToken.objects.update)(revoked_at=timezone.now())
    assert await connect(authorization=f"Bearer {made.secret}") == (False, None)
    assert await connect(authorization="Bearer nonsense") == (False, None)
    assert await connect(origin="http://evil.example") == (False, None)


@pytest.mark.django_db(transaction=True)
async def test_web_server_beats_while_it_runs() -> None:
    to_app: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    from_app: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    task = asyncio.create_task(Lifespan()({"type": "lifespan"}, to_app.get, from_app.put))
    await to_app.put({"type": "lifespan.startup"})
    assert (await from_app.get())["type"] == "lifespan.startup.complete"
    has_beaten = database_sync_to_async(ServiceBeat.objects.filter(name=WEB).exists)
    for _ in range(500):
        if await has_beaten():
            break
        await asyncio.sleep(0.02)
    assert await has_beaten()
    await to_app.put({"type": "lifespan.shutdown"})
    assert (await from_app.get())["type"] == "lifespan.shutdown.complete"
    await task


def test_application_routes_both_protocols() -> None:
    from controlplane.asgi import application

    routes: dict[str, Callable[..., Any]] = application.application_mapping
    assert set(routes) == {"http", "websocket", "lifespan"}


async def post(body_parts: list[bytes], **headers: str) -> tuple[int, bytes]:
    """Send a body in parts to an application behind a limit of 10 bytes; return status and body."""

    async def echo(scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    caller = ApplicationCommunicator(BodyLimit(echo, limit_bytes=10), {"type": "http", "headers": pairs})
    for index, part in enumerate(body_parts):
        await caller.send_input({"type": "http.request", "body": part, "more_body": index < len(body_parts) - 1})
    start, body = await caller.receive_output(timeout=5), await caller.receive_output(timeout=5)
    await caller.wait(timeout=5)
    return start["status"], body["body"]


async def test_body_over_the_limit_is_refused_as_it_comes() -> None:
    assert await post([b"12345", b"67890"]) == (200, b"1234567890")
    for refused in (await post([b"12345", b"678901", b"more"]), await post([b""], content_length="11")):
        assert refused[0] == 413
        assert b"too_large" in refused[1]
