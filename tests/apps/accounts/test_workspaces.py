"""Workspaces and their members."""

from collections.abc import Callable

import pytest
from rest_framework.test import APIClient

from apps.accounts.models import Membership, Role, User, Workspace
from apps.projects.models import Project
from tests.apps.factories import UserFactory

ClientFor = Callable[[User | None], APIClient]


def test_administrator_makes_renames_and_removes_a_workspace(client_for: ClientFor, superuser: User) -> None:
    client = client_for(superuser)
    made = client.post("/api/v1/workspaces", {"name": "lab"})
    assert (made.status_code, made.json()["role"]) == (201, "owner")
    address = f"/api/v1/workspaces/{made.json()['id']}"
    assert client.patch(address, {"name": "lab 2"}).json()["name"] == "lab 2"
    assert client.post("/api/v1/workspaces", {"name": "lab 2"}).status_code == 409
    assert client.delete(address).status_code == 204
    assert client.get(address).status_code == 404


def test_workspace_with_a_project_is_not_removed(client_for: ClientFor, owner: User, project: Project) -> None:
    answer = client_for(owner).delete(f"/api/v1/workspaces/{project.workspace_id}")
    assert (answer.status_code, answer.json()["code"]) == (409, "referenced")


def test_each_member_sees_their_own_role(
    client_for: ClientFor, viewer: User, outsider: User, workspace: Workspace
) -> None:
    rows = client_for(viewer).get("/api/v1/workspaces").json()["results"]
    assert [(row["name"], row["role"]) for row in rows] == [(workspace.name, "viewer")]
    assert client_for(outsider).get(f"/api/v1/workspaces/{workspace.pk}").status_code == 404
    me = client_for(viewer).get("/api/v1/me").json()
    assert me["workspaces"] == [{"id": str(workspace.pk), "name": workspace.name, "role": "viewer"}]


def test_owner_lets_in_changes_and_removes(client_for: ClientFor, owner: User, workspace: Workspace) -> None:
    UserFactory.create(username="Grace")
    client, address = client_for(owner), f"/api/v1/workspaces/{workspace.pk}/members"
    made = client.post(address, {"username": "grace", "role": "viewer"})
    assert (made.status_code, made.json()["username"]) == (201, "Grace")
    assert client.post(address, {"username": "grace", "role": "viewer"}).status_code == 409
    assert client.patch(f"{address}/{made.json()['id']}", {"role": "editor"}).json()["role"] == "editor"
    assert {row["username"] for row in client.get(address).json()["results"]} == {owner.username, "Grace"}
    assert client.delete(f"{address}/{made.json()['id']}").status_code == 204


def test_unknown_user_names_the_field(client_for: ClientFor, owner: User, workspace: Workspace) -> None:
    answer = client_for(owner).post(
        f"/api/v1/workspaces/{workspace.pk}/members", {"username": "nobody", "role": "viewer"}
    )
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "username"


def test_last_owner_stays(client_for: ClientFor, owner: User, workspace: Workspace) -> None:
    member = Membership.objects.get(user=owner)
    address = f"/api/v1/workspaces/{workspace.pk}/members/{member.pk}"
    client = client_for(owner)
    for answer in (client.delete(address), client.patch(address, {"role": "viewer"})):
        assert (answer.status_code, answer.json()["code"]) == (409, "last_owner")
    Membership.objects.create(workspace=workspace, user=UserFactory.create(), role=Role.OWNER)
    assert client.delete(address).status_code == 204


@pytest.mark.parametrize("side", ["editor", "viewer"])
def test_only_owners_manage_members(
    request: pytest.FixtureRequest, client_for: ClientFor, side: str, workspace: Workspace, owner: User
) -> None:
    client = client_for(request.getfixturevalue(side))
    address = f"/api/v1/workspaces/{workspace.pk}/members"
    assert client.get(address).status_code == 200
    assert client.post(address, {"username": owner.username, "role": "viewer"}).status_code == 403
    assert client.delete(f"{address}/{Membership.objects.get(user=owner).pk}").status_code == 403


def test_members_of_no_workspace_are_not_found(client_for: ClientFor, superuser: User) -> None:
    address = f"/api/v1/workspaces/{superuser.pk}/members"
    client = client_for(superuser)
    assert client.get(address).status_code == 404
    assert client.post(address, {"username": superuser.username, "role": "viewer"}).status_code == 404


def test_membership_of_another_workspace_is_not_reached(
    client_for: ClientFor, owner: User, outsider: User, workspace: Workspace
) -> None:
    foreign = Membership.objects.get(user=outsider)
    assert client_for(owner).delete(f"/api/v1/workspaces/{workspace.pk}/members/{foreign.pk}").status_code == 404
