"""Submitting: everything is checked before anything is taken, and each refusal names its field."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from apps.accounts.models import User
from apps.datasets.models import DatasetVersion, VersionState
from apps.jobs.models import Job, Stream
from apps.projects.models import Project
from tests.apps.factories import ProjectFactory
from tests.apps.jobs.simulation import TRAIN_SPEC, FakeAgent, make_dataset, make_model_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def submit(api: APIClient, project: Project, agent: FakeAgent, dataset: DatasetVersion) -> Callable[..., Any]:
    """Return a function that posts a job as the editor."""

    def post(*, key: str | None = None, **fields: Any) -> Any:
        body = {"project": str(project.pk), "name": "run", "spec": TRAIN_SPEC} | fields
        headers = {"Idempotency-Key": key} if key is not None else {}
        return api.post("/api/v1/jobs", body, headers=headers)

    return post


Submit = Callable[..., Any]


def refusal(response: Any) -> tuple[int, str]:
    body = response.json()
    return response.status_code, body["errors"][0]["field"] if body["errors"] else body["code"]


def test_submit_answers_the_job(submit: Submit, project: Project, dataset: DatasetVersion, editor: User) -> None:
    answer = submit(resources={"slots_per_node": 2}, priority=3)
    assert answer.status_code == 201
    job = answer.json()
    assert (job["number"], job["state"], job["priority"], job["seq"]) == (1, "queued", 3, 1)
    assert job["resources"] == {"pool": "default", "nodes": 1, "min_nodes": 1, "max_nodes": 1, "slots_per_node": 2}
    assert job["dataset_version"] == str(dataset.pk)
    assert job["owner"] == {"id": str(editor.pk), "username": editor.username}
    assert job["spec"]["steps"] == 100
    assert job["spec"]["optimizer"]["kind"] == "adamw"
    assert job["progress"]["total_steps"] == 100
    assert submit().json()["number"] == 2
    assert Stream.objects.count() == 2


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"spec": {"kind": "paint"}}, "spec.kind"),
        ({"spec": {}}, "spec.kind"),
        ({"spec": {"kind": "train"}}, "spec.data"),
        ({"spec": TRAIN_SPEC | {"stepz": 1}}, "spec.stepz"),
        ({"spec": TRAIN_SPEC | {"steps": 0}}, "spec.steps"),
        ({"spec": TRAIN_SPEC | {"model": {"source": "config", "hidden_size": "wide"}}}, "spec.model.hidden_size"),
        ({"spec": TRAIN_SPEC | {"optimizer": {"learning_rate": 9}}}, "spec.optimizer.learning_rate"),
        ({"spec": TRAIN_SPEC | {"data": {"dataset": "absent"}}}, "spec.data.dataset"),
        ({"spec": TRAIN_SPEC | {"data": {"dataset": "corpus@9"}}}, "spec.data.dataset"),
        ({"spec": TRAIN_SPEC | {"data": {"dataset": "corpus@x"}}}, "spec.data.dataset"),
        ({"spec": TRAIN_SPEC | {"data": {"dataset": "/etc/passwd"}}}, "spec.data.dataset"),
        ({"spec": TRAIN_SPEC | {"data": {"dataset": "../corpus"}}}, "spec.data.dataset"),
        ({"spec": TRAIN_SPEC | {"model": {"source": "pretrained", "model": "/models/x"}}}, "spec.model.model"),
        ({"spec": TRAIN_SPEC | {"model": {"source": "pretrained", "model": "base_v7"}}}, "spec.model.model"),
        ({"spec": {"kind": "generate", "model": "base", "prompt": "x"}}, "spec.model"),
        ({"resources": {"pool": "nowhere"}}, "resources.pool"),
        ({"resources": {"slots_per_node": 0}}, "resources.slots_per_node"),
        ({"resources": {"slots_per_node": 3}}, "resources.slots_per_node"),
        ({"resources": {"nodes": 2}}, "resources.nodes"),
        ({"resources": {"gpus": 2}}, "resources.gpus"),
        ({"name": ""}, "name"),
        ({"priority": 10**9}, "priority"),
        ({"spec": "train"}, "spec"),
    ],
)
def test_bad_input_is_refused_naming_its_field(submit: Submit, change: dict[str, Any], field: str) -> None:
    assert refusal(submit(**change)) == (400, field)
    assert not Job.objects.exists()


def test_more_slots_than_any_pool_could_give_is_told_at_submit(submit: Submit) -> None:
    body = submit(resources={"slots_per_node": 64}).json()
    assert body["detail"] == "Pool 'default' can never give 1 node with 64 slots: 1 node with 2 slots."
    assert body["largest_slots_per_node"] == 2
    assert "2 slots" in body["remedy"]


def test_generate_runs_on_one_slot(submit: Submit, project: Project) -> None:
    make_model_version(project)
    spec = {"kind": "generate", "model": "base_v1", "prompt": "def"}
    assert refusal(submit(spec=spec, resources={"slots_per_node": 2})) == (400, "resources.slots_per_node")
    assert submit(spec=spec).status_code == 201


@pytest.mark.parametrize("state", [VersionState.PENDING, VersionState.FAILED])
def test_dataset_that_is_not_ready_is_refused(submit: Submit, project: Project, state: str) -> None:
    make_dataset(project, "other", state=state)
    for name in ("other", "other@1"):
        spec = TRAIN_SPEC | {"data": {"dataset": name}}
        assert refusal(submit(spec=spec)) == (400, "spec.data.dataset")


def test_bare_name_means_the_latest_version_and_waits_for_no_other(submit: Submit, dataset: DatasetVersion) -> None:
    newer = DatasetVersion.objects.create(
        workspace=dataset.workspace, dataset=dataset.dataset, number=2, file_set=dataset.file_set,
        state=VersionState.PENDING,
    )  # fmt: skip
    refused = submit().json()
    assert (refused["code"], refused["errors"][0]["field"]) == ("dataset_pending", "spec.data.dataset")
    assert submit(spec=TRAIN_SPEC | {"data": {"dataset": "corpus@1"}}).json()["dataset_version"] == str(dataset.pk)
    DatasetVersion.objects.filter(pk=newer.pk).update(state=VersionState.FAILED, error="a, line 1: no text")
    refused = submit().json()
    assert refused["code"] == "dataset_failed"
    assert "a, line 1: no text" in refused["detail"]
    DatasetVersion.objects.filter(pk=newer.pk).update(state=VersionState.READY)
    assert submit().json()["dataset_version"] == str(newer.pk)


def test_path_is_refused_with_what_to_do_instead(submit: Submit) -> None:
    answer = submit(spec=TRAIN_SPEC | {"data": {"dataset": "~/corpus"}}).json()
    assert "names a dataset" in answer["detail"]
    assert answer["remedy"].startswith("Upload the files first")


def test_datasets_and_models_of_other_workspaces_are_not_found(submit: Submit) -> None:
    other = ProjectFactory.create()
    make_dataset(other, "secret")
    make_model_version(other, "hidden")
    assert refusal(submit(spec=TRAIN_SPEC | {"data": {"dataset": "secret"}})) == (400, "spec.data.dataset")
    spec = TRAIN_SPEC | {"model": {"source": "pretrained", "model": "hidden_v1"}}
    assert refusal(submit(spec=spec)) == (400, "spec.model.model")


def test_same_key_and_body_give_the_same_job(submit: Submit) -> None:
    first, second = submit(key="k1"), submit(key="k1")
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["id"] == second.json()["id"]
    assert submit(key="k2").json()["id"] != first.json()["id"]


def test_same_key_with_another_body_is_refused(submit: Submit) -> None:
    submit(key="k1")
    assert refusal(submit(key="k1", name="other")) == (409, "idempotency_mismatch")
    assert refusal(submit(key="x" * 256)) == (400, "Idempotency-Key")


@pytest.mark.usefixtures("agent", "dataset")
@pytest.mark.parametrize(("who", "status"), [("viewer", 403), ("outsider", 404), ("owner", 201), ("superuser", 201)])
def test_who_may_submit(
    who: str,
    status: int,
    request: pytest.FixtureRequest,
    client_for: Callable[[User], APIClient],
    project: Project,
) -> None:
    client = client_for(request.getfixturevalue(who))
    answer = client.post("/api/v1/jobs", {"project": str(project.pk), "name": "run", "spec": TRAIN_SPEC})
    assert answer.status_code == status


def test_output_model_is_named_after_the_job_unless_the_spec_says(submit: Submit) -> None:
    submit(name="My First Run!")
    submit(spec=TRAIN_SPEC | {"output_model": "tiny"})
    assert list(Job.objects.order_by("number").values_list("output_model_name", flat=True)) == ["my-first-run", "tiny"]
