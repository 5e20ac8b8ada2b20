"""The project endpoints."""

from collections.abc import Callable

from rest_framework.test import APIClient

from apps.accounts.models import User, Workspace
from apps.core.models import Event
from apps.projects.models import Project
from tests.apps.factories import ProjectFactory

ClientFor = Callable[[User | None], APIClient]


def test_editor_creates_changes_and_deletes_a_project(api: APIClient, workspace: Workspace) -> None:
    made = api.post("/api/v1/projects", {"workspace": str(workspace.pk), "name": "p", "description": "d"})
    assert made.status_code == 201, made.json()
    address = f"/api/v1/projects/{made.json()['id']}"
    changed = api.patch(address, {"name": "q", "retention_days": 7})
    assert (changed.json()["name"], changed.json()["retention_days"]) == ("q", 7)
    assert api.delete(address).status_code == 204
    assert api.get(address).status_code == 404
    actions = Event.objects.filter(object_id=made.json()["id"]).order_by("id").values_list("action", flat=True)
    assert list(actions) == ["project.create", "project.change", "project.delete"]
    assert api.post("/api/v1/projects", {"workspace": str(workspace.pk), "name": "q"}).status_code == 201


def test_taken_name_is_a_conflict(api: APIClient, project: Project) -> None:
    answer = api.post("/api/v1/projects", {"workspace": str(project.workspace_id), "name": project.name})
    assert (answer.status_code, answer.json()["code"]) == (409, "duplicate")
    other = ProjectFactory.create(workspace=project.workspace)
    assert api.patch(f"/api/v1/projects/{other.pk}", {"name": project.name}).status_code == 409


def test_project_in_a_foreign_workspace_is_not_found(client_for: ClientFor, outsider: User, project: Project) -> None:
    client = client_for(outsider)
    assert client.get(f"/api/v1/projects/{project.pk}").status_code == 404
    refused = client.post("/api/v1/projects", {"workspace": str(project.workspace_id), "name": "x"})
    assert refused.status_code == 404
    assert client.get("/api/v1/projects").json()["results"] == []


def test_viewer_reads_but_does_not_write(client_for: ClientFor, viewer: User, project: Project) -> None:
    client = client_for(viewer)
    assert client.get(f"/api/v1/projects/{project.pk}").json()["name"] == project.name
    assert client.patch(f"/api/v1/projects/{project.pk}", {"name": "x"}).status_code == 403
    assert client.delete(f"/api/v1/projects/{project.pk}").status_code == 403
    answer = client.post("/api/v1/projects", {"workspace": str(project.workspace_id), "name": "x"})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_list_filters_and_orders(api: APIClient, workspace: Workspace) -> None:
    for name in ("beta", "alpha", "alphabet"):
        ProjectFactory.create(workspace=workspace, name=name)
    answer = api.get("/api/v1/projects", {"name": "ALPHA", "ordering": "-name"})
    assert [row["name"] for row in answer.json()["results"]] == ["alphabet", "alpha"]
    refused = api.get("/api/v1/projects", {"ordering": "retention_days"})
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["field"] == "ordering"
