"""The registry's endpoints."""

import io
import tarfile
from collections.abc import Callable

import pytest
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from apps.accounts.models import Membership, Role, User
from apps.model_registry.models import ModelVersion
from apps.projects.models import Project
from tests.apps.factories import ProjectFactory
from tests.apps.model_registry.conftest import MODEL_FILES
from tests.apps.storage.factories import make_file_set, store_files

pytestmark = pytest.mark.django_db
ClientFor = Callable[[User | None], APIClient]
MakeVersion = Callable[..., ModelVersion]


def test_version_is_found_by_id_and_by_name(api: APIClient, make_version: MakeVersion) -> None:
    version = make_version(metrics={"loss": 1.5}, config={"kind": "train"})
    by_id, by_name = (api.get(f"/api/v1/model-versions/{key}").json() for key in (version.pk, "tiny_v1"))
    assert by_id == by_name
    assert (by_id["name"], by_id["metrics"], by_id["config"]) == ("tiny_v1", {"loss": 1.5}, {"kind": "train"})
    assert {file["path"] for file in by_id["files"]} == set(MODEL_FILES)
    assert by_id["card"].startswith("# tiny")
    for unknown in ("tiny_v2", "tiny", str(version.model_id), "%00", "x" * 500):
        assert api.get(f"/api/v1/model-versions/{unknown}").status_code in {404, 400}


def test_lists_show_models_and_versions_newest_first(
    api: APIClient, make_version: MakeVersion, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for name in ("a", "a", "b", "c"):
        make_version(name)
    with django_assert_max_num_queries(6):
        models = api.get("/api/v1/models").json()["results"]
    assert [(m["name"], m["num_versions"], m["latest_version"]["name"]) for m in models] == [
        ("c", 1, "c_v1"),
        ("b", 1, "b_v1"),
        ("a", 2, "a_v2"),
    ]
    with django_assert_max_num_queries(6):
        versions = api.get("/api/v1/model-versions").json()["results"]
    assert [version["name"] for version in versions] == ["c_v1", "b_v1", "a_v2", "a_v1"]
    of_model = api.get(f"/api/v1/models/{models[2]['id']}/versions").json()["results"]
    assert [version["name"] for version in of_model] == ["a_v2", "a_v1"]
    found = api.get("/api/v1/model-versions", {"model": models[0]["id"]}).json()["results"]
    assert [version["name"] for version in found] == ["c_v1"]


def test_file_and_archive_are_downloaded(api: APIClient, make_version: MakeVersion) -> None:
    make_version()
    file = api.get("/api/v1/model-versions/tiny_v1/files/tokenizer/tokenizer.json")
    assert (file.getvalue(), file["X-Content-Type-Options"]) == (b"{}", "nosniff")
    part = api.get("/api/v1/model-versions/tiny_v1/files/config.json", headers={"range": "bytes=0-1"})
    assert (part.status_code, part.getvalue()) == (206, b'{"')
    archive = api.get("/api/v1/model-versions/tiny_v1/archive")
    assert archive["Content-Disposition"] == 'attachment; filename="tiny_v1.tar"'
    with tarfile.open(fileobj=io.BytesIO(archive.getvalue())) as tar:
        found = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    assert found == {f"tiny_v1/{path}": content for path, content in MODEL_FILES.items()}
    assert api.get("/api/v1/model-versions/tiny_v1/files/../config.json").status_code == 404


def test_card_and_description_are_changed(api: APIClient, make_version: MakeVersion) -> None:
    version = make_version()
    changed = api.patch("/api/v1/model-versions/tiny_v1", {"card": "# Mine\n\n"})
    assert (changed.status_code, changed.json()["card"]) == (200, "# Mine\n\n")
    changed = api.patch(f"/api/v1/models/{version.model_id}", {"description": "words"})
    assert (changed.status_code, changed.json()["description"]) == (200, "words")
    assert api.patch("/api/v1/model-versions/tiny_v1", {"card": "x" * 200_001}).status_code == 400


def test_delete_refuses_what_is_referenced_and_frees_the_name(api: APIClient, make_version: MakeVersion) -> None:
    parent = make_version()
    make_version("other", parent=parent)
    refused = api.delete("/api/v1/model-versions/tiny_v1")
    assert (refused.status_code, refused.json()["code"]) == (409, "referenced")
    assert api.delete("/api/v1/model-versions/other_v1").status_code == 204
    assert api.get("/api/v1/model-versions/other_v1").status_code == 404
    assert api.delete(f"/api/v1/models/{parent.model_id}").status_code == 204
    assert api.get("/api/v1/model-versions/tiny_v1").status_code == 404
    body = {"project": str(parent.model.project_id), "name": "tiny"}
    assert api.post("/api/v1/models", body).status_code == 201
    answer = api.post("/api/v1/models", body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (409, "name")


def test_model_trained_elsewhere_is_imported(api: APIClient, project: Project, editor: User) -> None:
    model = api.post("/api/v1/models", {"project": str(project.pk), "name": "base"}).json()
    files = [file.model_dump() for file in store_files(project.workspace, editor, MODEL_FILES)]
    made = api.post(f"/api/v1/models/{model['id']}/versions", {"files": files})
    assert (made.status_code, made.json()["name"], made.json()["num_parameters"]) == (201, "base_v1", 10)
    refused = api.post(f"/api/v1/models/{model['id']}/versions", {"files": files[:1]})
    assert (refused.status_code, refused.json()["code"]) == (400, "not_a_model")


def test_strangers_see_nothing_and_viewers_do_not_write(
    client_for: ClientFor, viewer: User, outsider: User, make_version: MakeVersion
) -> None:
    version = make_version()
    model = f"/api/v1/models/{version.model_id}"
    reads = [
        model,
        f"{model}/versions",
        f"/api/v1/model-versions/{version.pk}",
        "/api/v1/model-versions/tiny_v1",
        "/api/v1/model-versions/tiny_v1/files/config.json",
        "/api/v1/model-versions/tiny_v1/archive",
    ]
    stranger, reader = client_for(outsider), client_for(viewer)
    for address in reads:
        assert stranger.get(address).status_code == 404, address
        assert client_for(None).get(address).status_code == 401, address
        assert reader.get(address).status_code == 200, address
    for address in ("/api/v1/models", "/api/v1/model-versions"):
        assert stranger.get(address).json()["results"] == []
    for client, status in ((stranger, 404), (reader, 403)):
        assert client.patch("/api/v1/model-versions/tiny_v1", {"card": "x"}).status_code == status
        assert client.delete("/api/v1/model-versions/tiny_v1").status_code == status
        assert client.patch(model, {"description": "x"}).status_code == status
        assert client.delete(model).status_code == status
        assert client.post(f"{model}/versions", {"files": []}).status_code == status
        body = {"project": str(version.model.project_id), "name": "n"}
        assert client.post("/api/v1/models", body).status_code == status


def test_same_name_in_two_workspaces_needs_the_id(api: APIClient, editor: User, make_version: MakeVersion) -> None:
    mine, elsewhere = make_version(), ProjectFactory.create()
    Membership.objects.create(workspace=elsewhere.workspace, user=editor, role=Role.EDITOR)
    make_version(project=elsewhere, file_set=make_file_set(elsewhere.workspace, editor, MODEL_FILES))
    answer = api.get("/api/v1/model-versions/tiny_v1")
    assert (answer.status_code, answer.json()["code"]) == (409, "ambiguous")
    assert api.get(f"/api/v1/model-versions/{mine.pk}").status_code == 200
