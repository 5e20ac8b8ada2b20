"""What is wrong with the input is told by field and remedy, and nothing half-made stays behind: every line of a list.

The services' own tests look at each refusal closely; here the whole way through the API is tried, with every table
counted before and after.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps as installed
from django.utils import timezone
from rest_framework.test import APIClient

from apps.accounts.models import ApiToken, User
from apps.accounts.services import create_token
from tests.apps.scene import CONTENT, FILES, Scene, train_spec

Clients = Callable[[User | None], APIClient]

DEEP = b'{"name": ' + b"[" * 1000 + b"]" * 1000 + b"}"


@dataclass(frozen=True)
class Wrong:
    """A request, and how it must be refused."""

    address: str
    body: Callable[[Scene], Any]
    field: str
    status: int = 400
    code: str = "invalid"
    method: str = "post"
    says: str = ""
    """A part of what the answer says, of the detail or of the remedy."""
    content_type: str = "application/json"


def job(**changes: Any) -> Callable[[Scene], dict[str, Any]]:
    return lambda s: {"project": str(s.project.pk), "name": "n", "spec": train_spec(s.dataset)} | changes


def spec(**changes: Any) -> Callable[[Scene], dict[str, Any]]:
    return lambda s: {"project": str(s.project.pk), "name": "n", "spec": train_spec(s.dataset) | changes}


def version(*paths: str, **changes: Any) -> Callable[[Scene], dict[str, Any]]:
    return lambda _s: {"files": [FILES[0] | {"path": path} | changes for path in paths]}


def upload(**changes: Any) -> Callable[[Scene], dict[str, Any]]:
    return lambda s: {"project": str(s.project.pk), "sha256": "1" * 64, "size_bytes": 1} | changes


def named(**changes: Any) -> Callable[[Scene], dict[str, Any]]:
    return lambda s: {"project": str(s.project.pk), "name": "n"} | changes


VERSIONS = "datasets/{dataset.pk}/versions"
IMPORT = "models/{model.pk}/versions"
WRONG = {
    "unknown kind": Wrong("jobs", spec(kind="paint"), "spec.kind", says="generate, "),
    "unknown key of a spec": Wrong("jobs", spec(stepz=1), "spec.stepz"),
    "unknown key of a request": Wrong("jobs", job(specs={}), "specs", says="possible:"),
    "unknown key deep in a request": Wrong("jobs", job(resources={"node": 2}), "resources.node", says="slots_per_node"),
    "out of range in a spec": Wrong("jobs", spec(steps=0), "spec.steps", says="greater than"),
    "out of range in a request": Wrong("jobs", job(priority=10**9), "priority", says="less than or equal"),
    "more slots than a node has": Wrong(
        "jobs", job(resources={"slots_per_node": 64}), "resources.slots_per_node", says="largest node of any pool has 2"
    ),
    "more nodes than a pool has": Wrong("jobs", job(resources={"nodes": 9}), "resources.nodes", says="can never give"),
    "text for a number": Wrong("jobs", job(priority="3"), "priority", says="whole number"),
    "truth for a number": Wrong("jobs", job(resources={"nodes": True}), "resources.nodes", says="whole number"),
    "number for text": Wrong("datasets", named(name=5), "name", says="text"),
    "list for an object": Wrong("jobs", job(spec=[]), "spec"),
    "text for the whole body": Wrong("jobs", lambda _s: "words", ""),
    "deep JSON": Wrong("jobs", lambda _s: DEEP, "", says="nested deeper"),
    "NUL in a name": Wrong("datasets", named(name="a\0b"), "", says="NUL"),
    "ten megabytes": Wrong("datasets", named(description="x" * 10_000_000), "", status=413, code="too_large"),
    "no JSON": Wrong("jobs", lambda _s: b"{", "", says="not valid JSON"),
    "undecodable JSON": Wrong("jobs", lambda _s: b'{"name": "\xff"}', "", says="not valid JSON"),
    "duplicate dataset": Wrong("datasets", named(name="secret-name-data"), "name", status=409, code="duplicate"),
    "duplicate model": Wrong("models", named(name="secret-name-model"), "name", status=409, code="duplicate"),
    "duplicate project": Wrong(
        "projects", lambda s: {"workspace": str(s.workspace.pk), "name": s.project.name}, "name", status=409,
        code="duplicate",
    ),
    "path that leaves its set": Wrong(VERSIONS, version("../../etc/passwd"), "files.0.path", says="relative path"),
    "absolute path": Wrong(VERSIONS, version("/etc/passwd"), "files.0.path", says="relative path"),
    "path with a backslash": Wrong(VERSIONS, version("a\\b"), "files.0.path"),
    "path twice": Wrong(VERSIONS, version("a.txt", "a.txt"), "files.1.path", says="twice"),
    "file that was never sent": Wrong(VERSIONS, version("b.txt", sha256="2" * 64), "files.0.sha256", says="upload"),
    "another size than stored": Wrong(VERSIONS, version("b.txt", size_bytes=99), "files.0.size_bytes"),
    "no files": Wrong(VERSIONS, lambda _s: {"files": []}, "files"),
    "directory that is no model": Wrong(IMPORT, lambda _s: {"files": FILES}, "files", code="not_a_model"),
    "digest that is none": Wrong("uploads", upload(sha256="xyz"), "sha256"),
    "size that no file has": Wrong("uploads", upload(size_bytes=-1), "size_bytes"),
    "another size than the stored file's": Wrong(
        "uploads", upload(sha256=hashlib.sha256(CONTENT).hexdigest(), size_bytes=1), "size_bytes"
    ),
    "part that is truncated": Wrong(
        "uploads/{upload.pk}/parts/0", lambda _s: b"ab", "", code="part_truncated", method="put", says="whole part",
        content_type="application/octet-stream",
    ),
    "part that is too long": Wrong(
        "uploads/{upload.pk}/parts/0", lambda _s: b"abcd", "", status=413, code="part_too_large", method="put",
        content_type="application/octet-stream",
    ),
    "part that there is not": Wrong(
        "uploads/{upload.pk}/parts/7", lambda _s: b"abc", "number", code="no_such_part", method="put",
        content_type="application/octet-stream",
    ),
    "upload that is not complete": Wrong(
        "uploads/{upload.pk}/finalise", lambda _s: None, "", status=409, code="upload_incomplete", says="missing parts"
    ),
    "empty name": Wrong("projects", lambda s: {"workspace": str(s.workspace.pk), "name": " "}, "name"),
    "scope that there is not": Wrong("tokens", lambda _s: {"name": "t", "scopes": ["root"]}, "scopes.0"),
}  # fmt: skip


def rows() -> dict[str, int]:
    """Count every table of ours."""
    models = [model for model in installed.get_models() if model.__module__.startswith("apps.")]
    return {model._meta.label: model.objects.count() for model in models}  # type: ignore[attr-defined]


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_refusal_names_field_and_remedy_and_leaves_nothing(scene: Scene, client_for: Clients, wrong: Wrong) -> None:
    client, before = client_for(scene.owner), rows()
    body, address = wrong.body(scene), "/api/v1/" + wrong.address.format(**vars(scene))
    if isinstance(body, bytes):
        answer = client.generic(wrong.method, address, body, content_type=wrong.content_type)  # type: ignore[arg-type]
    else:
        answer = getattr(client, wrong.method)(address, body)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (wrong.status, wrong.code), problem
    assert next((error["field"] for error in problem["errors"]), "") == wrong.field
    assert wrong.says in problem["detail"] + problem["remedy"]
    assert problem["remedy"]
    assert problem["request_id"]
    assert rows() == before


def test_wrong_digest_drops_the_parts_and_the_upload_can_be_sent_again(scene: Scene, client_for: Clients) -> None:
    client, right = client_for(scene.owner), b"right!"
    body = upload(sha256=hashlib.sha256(right).hexdigest(), size_bytes=len(right))(scene)
    address = f"/api/v1/uploads/{client.post('/api/v1/uploads', body).json()['upload_id']}"
    before = rows()

    def send(content: bytes) -> Any:
        part = client.generic("put", f"{address}/parts/0", content, content_type="application/octet-stream")  # type: ignore[arg-type]
        assert part.status_code == 204
        return client.post(f"{address}/finalise")

    refused = send(b"wrong!")
    assert (refused.status_code, refused.json()["code"]) == (400, "digest_mismatch")
    assert refused.json()["errors"][0]["field"] == "sha256"
    assert "Send all parts again" in refused.json()["remedy"]
    assert rows() == before
    assert send(right).json()["complete"] is True


@pytest.mark.parametrize("flaw", ["expired", "revoked"])
def test_token_that_is_no_longer_good_is_named_as_such(scene: Scene, flaw: str) -> None:
    made = create_token(actor=scene.owner, name="t", scopes=["write"])
    now = timezone.now()
    past = {"expires_at": now - timedelta(seconds=1)} if flaw == "expired" else {"revoked_at": now}
    ApiToken.objects.filter(pk=made.token.pk).update(**past)
    client, before = APIClient(), rows()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {made.secret}")
    answer = client.post("/api/v1/jobs", job()(scene))
    assert (answer.status_code, answer.json()["code"]) == (401, f"token_{flaw}")
    assert answer.json()["remedy"]
    assert "WWW-Authenticate" in answer
    assert rows() == before
