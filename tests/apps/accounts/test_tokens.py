"""API tokens: shown once, scoped, expiring, revocable."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from apps.accounts.models import ApiToken, User
from apps.accounts.tokens import digest_of

WithToken = Callable[..., APIClient]


def test_secret_is_shown_once_and_stored_hashed(api: APIClient) -> None:
    made = api.post("/api/v1/tokens", {"name": "laptop", "scopes": ["read"]})
    assert made.status_code == 201
    secret = made.json()["token"]
    stored = ApiToken.objects.get(pk=made.json()["id"])
    assert secret.startswith("cox_")
    assert stored.digest == digest_of(secret)
    assert secret.startswith(stored.prefix)
    listed = api.get("/api/v1/tokens").json()["results"]
    assert [row["name"] for row in listed] == ["laptop"]
    assert "token" not in listed[0]


def test_token_signs_in_and_notes_its_use_at_most_once_a_minute(client_with_token: WithToken, editor: User) -> None:
    client = client_with_token(editor)
    assert client.get("/api/v1/me").json()["username"] == editor.username
    first = ApiToken.objects.get().last_used_at
    client.get("/api/v1/me")
    assert ApiToken.objects.get().last_used_at == first
    ApiToken.objects.update(last_used_at=timezone.now() - timedelta(minutes=2))
    client.get("/api/v1/me")
    used = ApiToken.objects.get().last_used_at
    assert used is not None
    assert used > timezone.now() - timedelta(seconds=30)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"revoked_at": timezone.now()}, "token_revoked"),
        ({"expires_at": timezone.now() - timedelta(seconds=1)}, "token_expired"),
        ({"digest": "0" * 64}, "token_invalid"),
    ],
)
def test_unusable_token_is_refused(
    client_with_token: WithToken, editor: User, changes: dict[str, object], code: str
) -> None:
    client = client_with_token(editor)
    ApiToken.objects.update(**changes)
    answer = client.get("/api/v1/me")
    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert answer["WWW-Authenticate"] == "Bearer"


def test_token_of_a_deactivated_user_is_refused(client_with_token: WithToken, editor: User) -> None:
    client = client_with_token(editor)
    User.objects.filter(pk=editor.pk).update(is_active=False)
    assert client.get("/api/v1/me").status_code == 401


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer ", "Bearer nonsense", "Bearer cox_x y", "Bearer \u00e9", "Basic abc"]
)
@pytest.mark.django_db
def test_malformed_authorization_is_not_authenticated(header: str) -> None:
    assert APIClient().get("/api/v1/me", headers={"Authorization": header}).status_code == 401


def test_scopes_limit_what_a_token_does(client_with_token: WithToken, owner: User, workspace: object) -> None:
    project = {"workspace": str(owner.workspaces.get().pk), "name": "p"}
    reader = client_with_token(owner, "read")
    assert reader.get("/api/v1/projects").status_code == 200
    refused = reader.post("/api/v1/projects", project)
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
    writer = client_with_token(owner, "write")
    assert writer.post("/api/v1/projects", project).status_code == 201
    assert writer.post("/api/v1/tokens", {"name": "more"}).status_code == 403
    assert client_with_token(owner, "admin").post("/api/v1/tokens", {"name": "more"}).status_code == 201


def test_revoking_closes_a_token(api: APIClient, client_with_token: WithToken, editor: User) -> None:
    client = client_with_token(editor)
    address = f"/api/v1/tokens/{ApiToken.objects.get().pk}"
    assert api.delete(address).status_code == 204
    assert client.get("/api/v1/me").status_code == 401
    assert api.delete(address).status_code == 404


def test_nobody_sees_or_revokes_anothers_token(
    client_for: Callable[[User], APIClient], client_with_token: WithToken, editor: User, superuser: User
) -> None:
    client_with_token(editor)
    other = client_for(superuser)
    assert other.get("/api/v1/tokens").json()["results"] == []
    assert other.delete(f"/api/v1/tokens/{ApiToken.objects.get().pk}").status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 81}, "name"),
        ({"name": "x", "scopes": []}, "scopes"),
        ({"name": "x", "scopes": ["root"]}, "scopes.0"),
        ({"name": "x", "expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "x", "expires_at": "soon"}, "expires_at"),
    ],
)
def test_bad_input_names_its_field(api: APIClient, body: dict[str, object], field: str) -> None:
    answer = api.post("/api/v1/tokens", body)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert not ApiToken.objects.exists()
