"""The upload endpoints, and what they cost in memory behind the real ASGI handler."""

import asyncio
import hashlib
import tracemalloc
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from uuid import uuid4

import pytest
from channels.db import database_sync_to_async
from django.core.handlers.asgi import ASGIHandler
from rest_framework.test import APIClient

from apps.accounts.models import Membership, Role, User
from apps.accounts.services import create_token
from apps.projects.models import Project
from apps.storage import services
from apps.storage.models import Artifact

pytestmark = pytest.mark.django_db
ClientFor = Callable[[User | None], APIClient]
MIB = 1024 * 1024


def announce(client: APIClient, project: Project, content: bytes) -> Any:
    body = {
        "project": str(project.pk),
        "sha256": hashlib.sha256(content).hexdigest(),
        "size_bytes": len(content),
    }
    return client.post("/api/v1/uploads", body)


def put(client: APIClient, upload_id: str, number: int, part: bytes) -> Any:
    address = f"/api/v1/uploads/{upload_id}/parts/{number}"
    return client.put(address, part, content_type="application/octet-stream")


def test_file_is_announced_sent_and_finalised(small_parts: int, api: APIClient, project: Project) -> None:
    content = b"0123456789abc"
    made = announce(api, project, content)
    assert made.status_code == 201, made.json()
    upload_id = made.json()["upload_id"]
    assert made.json() == {
        "upload_id": upload_id,
        "part_size_bytes": 10,
        "received_parts": [],
        "complete": False,
    }
    assert put(api, upload_id, 1, content[10:]).status_code == 204
    assert api.get(f"/api/v1/uploads/{upload_id}").json()["received_parts"] == [1]
    early = api.post(f"/api/v1/uploads/{upload_id}/finalise")
    assert (early.status_code, early.json()["code"], early.json()["missing_parts"]) == (409, "upload_incomplete", [0])
    assert put(api, upload_id, 0, content[:10]).status_code == 204
    done = api.post(f"/api/v1/uploads/{upload_id}/finalise")
    assert (done.status_code, done.json()["complete"]) == (200, True)
    assert api.post(f"/api/v1/uploads/{upload_id}/finalise").json()["complete"]
    assert announce(api, project, content).json()["complete"]


def test_wrong_parts_are_refused_by_name(small_parts: int, api: APIClient, project: Project) -> None:
    upload_id = announce(api, project, b"0123456789abc").json()["upload_id"]
    answers = [put(api, upload_id, 0, b"x" * 11), put(api, upload_id, 1, b"ab"), put(api, upload_id, 7, b"x")]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [
        (413, "part_too_large"),
        (400, "part_truncated"),
        (400, "no_such_part"),
    ]
    for number, part in ((0, b"??????????"), (1, b"???")):
        assert put(api, upload_id, number, part).status_code == 204
    answer = api.post(f"/api/v1/uploads/{upload_id}/finalise")
    assert (answer.status_code, answer.json()["code"]) == (400, "digest_mismatch")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"sha256": "ABC"}, "sha256"),
        ({"size_bytes": -1}, "size_bytes"),
        ({"size_bytes": 2**62}, "size_bytes"),
        ({"size_bytes": "many"}, "size_bytes"),
        ({"project": "no uuid"}, "project"),
    ],
)
def test_malformed_announcement_names_the_field(
    api: APIClient, project: Project, change: dict[str, object], field: str
) -> None:
    body = {"project": str(project.pk), "sha256": "0" * 64, "size_bytes": 1} | change
    answer = api.post("/api/v1/uploads", body)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_strangers_see_nothing_and_viewers_send_nothing(
    client_for: ClientFor, viewer: User, outsider: User, project: Project
) -> None:
    assert announce(client_for(outsider), project, b"x").status_code == 404
    assert announce(client_for(viewer), project, b"x").status_code == 403
    assert announce(client_for(None), project, b"x").status_code == 401


def test_upload_belongs_to_its_sender(client_for: ClientFor, owner: User, api: APIClient, project: Project) -> None:
    upload_id = announce(api, project, b"x").json()["upload_id"]
    other = client_for(owner)
    assert other.get(f"/api/v1/uploads/{upload_id}").status_code == 404
    assert put(other, upload_id, 0, b"x").status_code == 404
    assert other.post(f"/api/v1/uploads/{upload_id}/finalise").status_code == 404
    assert api.get(f"/api/v1/uploads/{uuid4()}").status_code == 404


def test_sender_who_lost_the_role_cannot_go_on(api: APIClient, editor: User, project: Project) -> None:
    upload_id = announce(api, project, b"x").json()["upload_id"]
    Membership.objects.filter(user=editor).update(role=Role.VIEWER)
    assert put(api, upload_id, 0, b"x").status_code == 403
    Membership.objects.filter(user=editor).delete()
    assert put(api, upload_id, 0, b"x").status_code == 404


def test_token_without_write_scope_is_refused(
    client_with_token: Callable[..., APIClient], editor: User, project: Project
) -> None:
    assert announce(client_with_token(editor, "read"), project, b"x").status_code == 403
    assert announce(client_with_token(editor, "write"), project, b"x").status_code == 201


async def call(
    handler: ASGIHandler, method: str, path: str, *, token: str, body: Iterable[bytes] = (), length: int = 0
) -> int:
    """Speak ASGI as a server would; return the status."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [
            (b"host", b"testserver"),
            (b"authorization", f"Bearer {token}".encode()),
            (b"content-type", b"application/octet-stream"),
            (b"content-length", str(length).encode()),
        ],
    }
    status = 0
    chunks, finished = iter(body), asyncio.Event()

    async def receive() -> dict[str, object]:
        if (chunk := next(chunks, None)) is not None:
            return {"type": "http.request", "body": chunk, "more_body": True}
        if not finished.is_set():
            finished.set()
            return {"type": "http.request", "body": b"", "more_body": False}
        await asyncio.sleep(3600)
        return {"type": "http.disconnect"}

    async def send(message: Mapping[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)

    await handler(scope, receive, send)
    return status


@pytest.mark.django_db(transaction=True)
async def test_large_upload_needs_little_memory(editor: User, project: Project) -> None:
    """64 MiB in four parts: a server that held one part or the file would show it."""
    block, num_blocks, blocks_a_part = b"0123456789abcdef" * 4096, 1024, 256
    sha256 = hashlib.sha256(block * num_blocks).hexdigest()
    token = await database_sync_to_async(lambda: create_token(actor=editor, name="t").secret)()
    upload = await database_sync_to_async(services.create_upload)(
        workspace=project.workspace, user=editor, sha256=sha256, size_bytes=64 * MIB
    )
    assert upload.part_size_bytes == blocks_a_part * len(block)
    handler, address = ASGIHandler(), f"/api/v1/uploads/{upload.pk}"
    await call(handler, "GET", address, token=token)  # what is imported and cached at first is not the upload's
    tracemalloc.start()
    try:
        for number in range(4):
            body = (block for _ in range(blocks_a_part))
            path, length = f"{address}/parts/{number}", upload.part_size_bytes
            assert await call(handler, "PUT", path, token=token, body=body, length=length) == 204
        assert await call(handler, "POST", f"{address}/finalise", token=token) == 200
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 12 * MIB
    artifact = await database_sync_to_async(Artifact.objects.get)()
    assert artifact.size_bytes == 64 * MIB
