"""The dataset endpoints."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries, Settings
from rest_framework.test import APIClient

from apps.accounts.models import Membership, Role, User
from apps.datasets import services
from apps.datasets.models import Dataset, DatasetVersion
from apps.projects.models import Project
from tests.apps.factories import UserFactory
from tests.apps.storage.factories import store_files

pytestmark = pytest.mark.django_db
ClientFor = Callable[[User | None], APIClient]
MakeVersion = Callable[[Mapping[str, bytes]], DatasetVersion]


def entries(project: Project, user: User, files: Mapping[str, bytes]) -> list[dict[str, Any]]:
    return [file.model_dump() for file in store_files(project.workspace, user, files)]


def test_dataset_is_made_filled_shown_and_deleted(api: APIClient, editor: User, project: Project) -> None:
    made = api.post("/api/v1/datasets", {"project": str(project.pk), "name": "corpus", "format": "text"})
    assert made.status_code == 201, made.json()
    address = f"/api/v1/datasets/{made.json()['id']}"
    assert (made.json()["latest_version"], made.json()["num_versions"]) == (None, 0)
    body = {"files": entries(project, editor, {"a.txt": b"hello"})}
    first = api.post(f"{address}/versions", body)
    assert (first.status_code, first.json()["name"], first.json()["state"]) == (201, "corpus@1", "pending")
    assert api.post(f"{address}/versions", body).status_code == 200
    services.compute_statistics(version_id=first.json()["id"])
    shown = api.get(address).json()
    assert shown["latest_version"]["statistics"]["characters"] == 5
    assert shown["project_name"] == project.name
    version = f"/api/v1/dataset-versions/{first.json()['id']}"
    assert api.get(f"{version}/preview").json() == {
        "records": [{"file": "a.txt", "place": None, "text": "hello", "is_truncated": False}],
        "error": "",
    }
    assert api.get(f"{version}/files").json()["files"] == body["files"]
    assert api.patch(address, {"description": "words"}).json()["description"] == "words"
    assert api.delete(address).status_code == 204
    for gone in (address, version, f"{version}/preview", f"{version}/files/a.txt", f"{address}/versions"):
        assert api.get(gone).status_code == 404
    again = api.post("/api/v1/datasets", {"project": str(project.pk), "name": "corpus"})
    assert again.status_code == 201


def test_file_is_downloaded_with_ranges(api: APIClient, make_version: MakeVersion) -> None:
    version = make_version({"deep/a.txt": b"0123456789"})
    address = f"/api/v1/dataset-versions/{version.pk}/files/deep/a.txt"
    whole = api.get(address)
    assert (whole.status_code, whole.getvalue(), whole["X-Content-Type-Options"]) == (200, b"0123456789", "nosniff")
    part = api.get(address, headers={"range": "bytes=3-4"})
    assert (part.status_code, part.getvalue()) == (206, b"34")
    behind = api.get(address, headers={"range": "bytes=10-"})
    assert (behind.status_code, behind.json()["code"]) == (416, "range_not_satisfiable")
    for path in ("a.txt", "../a.txt", "deep/../deep/a.txt", "deep"):
        assert api.get(f"/api/v1/dataset-versions/{version.pk}/files/{path}").status_code == 404


def test_duplicate_name_is_a_conflict_naming_the_field(api: APIClient, dataset: Dataset) -> None:
    answer = api.post("/api/v1/datasets", {"project": str(dataset.project_id), "name": dataset.name})
    assert (answer.status_code, answer.json()["code"]) == (409, "duplicate")
    assert answer.json()["errors"][0]["field"] == "name"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "with space"}, "name"),
        ({"name": "at@3"}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 64}, "name"),
        ({"format": "csv"}, "format"),
        ({"project": "5"}, "project"),
        ({"description": ["x"]}, "description"),
    ],
)
def test_malformed_dataset_names_the_field(
    api: APIClient, project: Project, change: dict[str, object], field: str
) -> None:
    answer = api.post("/api/v1/datasets", {"project": str(project.pk), "name": "fine"} | change)
    assert answer.status_code == 400
    assert {error["field"] for error in answer.json()["errors"]} == {field}


def test_malformed_version_names_the_field(api: APIClient, dataset: Dataset, editor: User, project: Project) -> None:
    address = f"/api/v1/datasets/{dataset.pk}/versions"
    good = entries(project, editor, {"a": b"x"})[0]
    for body, field in (
        ({}, "files"),
        ({"files": []}, "files"),
        ({"files": [good], "server_path": "/x"}, "files"),
        ({"files": [good | {"path": "../x"}]}, "files.0.path"),
        ({"files": [good, good]}, "files.1.path"),
        ({"files": [good | {"sha256": "0" * 64}]}, "files.0.sha256"),
        ({"files": [good | {"sha256": "xyz"}]}, "files.0.sha256"),
        ({"files": [good | {"size_bytes": 2}]}, "files.0.size_bytes"),
        ({"files": "a"}, "files"),
    ):
        answer = api.post(address, body)
        assert answer.status_code == 400, body
        assert answer.json()["errors"][0]["field"] == field, answer.json()
    assert not DatasetVersion.objects.exists()


def test_strangers_see_nothing(
    client_for: ClientFor, outsider: User, dataset: Dataset, make_version: MakeVersion
) -> None:
    version, client = make_version({"a.txt": b"x"}), client_for(outsider)
    assert client.get("/api/v1/datasets").json()["results"] == []
    for address in (
        f"/api/v1/datasets/{dataset.pk}",
        f"/api/v1/datasets/{dataset.pk}/versions",
        f"/api/v1/dataset-versions/{version.pk}",
        f"/api/v1/dataset-versions/{version.pk}/preview",
        f"/api/v1/dataset-versions/{version.pk}/files",
        f"/api/v1/dataset-versions/{version.pk}/files/a.txt",
    ):
        assert client.get(address).status_code == 404, address
        assert client_for(None).get(address).status_code == 401, address
    assert client.delete(f"/api/v1/datasets/{dataset.pk}").status_code == 404
    assert client.post(f"/api/v1/datasets/{dataset.pk}/versions", {"files": []}).status_code == 404
    assert client.post("/api/v1/datasets", {"project": str(dataset.project_id), "name": "n"}).status_code == 404


def test_viewers_read_and_do_not_write(
    client_for: ClientFor, viewer: User, dataset: Dataset, make_version: MakeVersion
) -> None:
    version, client = make_version({"a.txt": b"x"}), client_for(viewer)
    assert client.get(f"/api/v1/dataset-versions/{version.pk}/files/a.txt").getvalue() == b"x"
    assert client.patch(f"/api/v1/datasets/{dataset.pk}", {"description": "x"}).status_code == 403
    assert client.delete(f"/api/v1/datasets/{dataset.pk}").status_code == 403
    assert client.post(f"/api/v1/datasets/{dataset.pk}/versions", {"files": []}).status_code == 403
    assert client.post("/api/v1/datasets", {"project": str(dataset.project_id), "name": "n"}).status_code == 403


@pytest.fixture
def allowed(settings: Settings, tmp_path: Path) -> Path:
    (tmp_path / "a.txt").write_text("text")
    settings.SERVER_PATHS = [str(tmp_path)]
    return tmp_path


def test_server_paths_are_for_administrators(
    allowed: Path,
    client_for: ClientFor,
    client_with_token: Callable[..., APIClient],
    superuser: User,
    dataset: Dataset,
) -> None:
    address, body = f"/api/v1/datasets/{dataset.pk}/versions", {"server_path": str(allowed)}
    owner = Membership.objects.create(workspace=dataset.workspace, user=UserFactory.create(), role=Role.OWNER).user
    assert client_for(owner).post(address, body).status_code == 403
    assert client_with_token(superuser, "write").post(address, body).json()["code"] == "scope_missing"
    assert client_with_token(superuser, "admin").post(address, body).status_code == 201
    assert client_for(superuser).post(address, body).status_code == 200
    refused = client_for(superuser).post(address, {"server_path": "/etc/passwd"})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "server_path")


def test_list_filters_and_costs_a_constant_number_of_queries(
    api: APIClient, editor: User, project: Project, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for name in ("alpha", "beta", "alphabet"):
        dataset = services.create_dataset(actor=editor, project=project, name=name)
        for content in (b"1", b"2"):
            files = store_files(project.workspace, editor, {"a": content})
            services.create_version(dataset=dataset, actor=editor, files=files)
    with django_assert_max_num_queries(6):
        answer = api.get("/api/v1/datasets", {"name": "alpha", "project": str(project.pk), "ordering": "name"})
    found = answer.json()["results"]
    assert [(row["name"], row["num_versions"], row["latest_version"]["number"]) for row in found] == [
        ("alpha", 2, 2),
        ("alphabet", 2, 2),
    ]
    versions = api.get(f"/api/v1/datasets/{found[0]['id']}/versions").json()["results"]
    assert [version["number"] for version in versions] == [2, 1]


@pytest.mark.parametrize("limit", ["0", "101", "x", "-1", ""])
def test_preview_limit_outside_its_range_is_refused(api: APIClient, make_version: MakeVersion, limit: str) -> None:
    answer = api.get(f"/api/v1/dataset-versions/{make_version({'a': b'x'}).pk}/preview", {"limit": limit})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "limit")
