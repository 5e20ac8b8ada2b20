"""Jobs, nodes and pools over REST: what is shown, to whom, and at what cost."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from apps.accounts.models import User
from apps.core.models import Event
from apps.datasets.models import DatasetVersion
from apps.jobs.documents import checkpoint_document, event_document, job_document, job_summary
from apps.jobs.models import Checkpoint, Job
from apps.jobs.selectors import checkpoints_of, visible_jobs
from apps.jobs.serializers import CheckpointSerializer, EventSerializer, JobSerializer, JobSummarySerializer
from apps.projects.models import Project
from tests.apps.jobs.simulation import FakeAgent, run_pass, submit
from workers.contract.jobs import JOB_KINDS

pytestmark = pytest.mark.django_db

ClientFor = Callable[[User | None], APIClient]


@pytest.fixture
def job(agent: FakeAgent, project: Project, editor: User, dataset: DatasetVersion) -> Job:
    """Return a queued job."""
    return submit(project, editor)


def get(client: APIClient, path: str, **query: Any) -> Any:
    response = client.get(f"/api/v1/{path}", query)
    assert response.status_code == 200, response.content
    return response.json()


def test_documents_have_exactly_the_fields_that_the_schema_promises(agent: FakeAgent, job: Job, editor: User) -> None:
    run_pass()
    agent.checkpoint(agent.start(), 5)
    row = visible_jobs(editor).get()
    assert set(job_document(row)) == set(JobSerializer().fields)
    assert set(job_summary(row)) == set(JobSummarySerializer().fields)
    assert set(event_document(Event.objects.filter(object_id=job.pk).latest("id"))) == set(EventSerializer().fields)
    assert set(checkpoint_document(checkpoints_of(job.pk)[0])) == set(CheckpointSerializer().fields)


def test_parts_of_a_job(api: APIClient, agent: FakeAgent, job: Job) -> None:
    run_pass()
    offer = agent.start()
    agent.report(offer, "progress", step=1, total_steps=100)
    agent.checkpoint(offer, 1, metrics={"validation_loss": "NaN"})
    agent.model(offer)
    agent.exit(offer, "succeeded", exit_codes=[0, 0])

    shown = get(api, f"jobs/{job.pk}")
    assert shown["output_version"]["name"] == "run_v1"
    assert shown["is_final"] is True
    made_by = get(api, "jobs", output_version=shown["output_version"]["id"])["results"]
    assert [item["id"] for item in made_by] == [str(job.pk)]
    assert get(api, "jobs", output_version=str(job.pk))["results"] == []
    events = get(api, f"jobs/{job.pk}/events")["results"]
    assert events[0]["action"] == "submitted"
    assert [event["seq"] for event in events] == sorted(event["seq"] for event in events)
    (attempt,) = get(api, f"jobs/{job.pk}/attempts")["results"]
    assert (attempt["number"], attempt["outcome"]) == (1, "succeeded")
    assert attempt["allocations"][0]["devices"] == [0]
    (checkpoint,) = get(api, f"jobs/{job.pk}/checkpoints")["results"]
    assert (checkpoint["step"], checkpoint["metrics"]) == (1, {"validation_loss": "NaN"})
    files = get(api, f"jobs/{job.pk}/artifacts")["results"]
    assert {(item["kind"], item["path"]) for item in files} >= {("model", "config.json"), ("checkpoint 1", "weights")}
    config = next(item for item in files if item["path"] == "config.json")
    response = api.get(f"/api/v1/jobs/{job.pk}/artifacts/{config['id']}/content")
    assert b"".join(response) == b'{"model_type": "llama"}'
    assert response["X-Content-Type-Options"] == "nosniff"


def test_commands_over_rest(api: APIClient, agent: FakeAgent, job: Job) -> None:
    assert api.delete(f"/api/v1/jobs/{job.pk}").json()["code"] == "job_active"
    assert api.post(f"/api/v1/jobs/{job.pk}/cancel").json()["state"] == "cancelled"
    answer = api.post(f"/api/v1/jobs/{job.pk}/kill")
    assert answer.status_code == 200
    again = api.post(f"/api/v1/jobs/{job.pk}/rerun")
    assert (again.status_code, again.json()["origin"]) == (201, str(job.pk))
    assert api.delete(f"/api/v1/jobs/{job.pk}").status_code == 204
    assert api.get(f"/api/v1/jobs/{job.pk}").status_code == 404
    Job.objects.filter(pk=again.json()["id"]).update(state="succeeded")
    refused = api.post(f"/api/v1/jobs/{again.json()['id']}/cancel")
    assert (refused.status_code, refused.json()["code"]) == (409, "illegal_transition")


@pytest.mark.parametrize("command", ["cancel", "kill", "rerun"])
def test_viewers_look_and_outsiders_do_not(
    command: str, job: Job, viewer: User, outsider: User, client_for: ClientFor
) -> None:
    seen = client_for(viewer)
    assert seen.get(f"/api/v1/jobs/{job.pk}").status_code == 200
    assert seen.post(f"/api/v1/jobs/{job.pk}/{command}").status_code == 403
    hidden = client_for(outsider)
    assert hidden.get("/api/v1/jobs").json()["results"] == []
    for path in ("", "/events", "/attempts", "/checkpoints", "/artifacts"):
        assert hidden.get(f"/api/v1/jobs/{job.pk}{path}").status_code == 404
    assert hidden.post(f"/api/v1/jobs/{job.pk}/{command}").status_code == 404
    assert client_for(None).get("/api/v1/jobs").status_code == 401


def test_filters(api: APIClient, project: Project, editor: User, job: Job) -> None:
    other = submit(project, editor, name="Second")
    Job.objects.filter(pk=other.pk).update(state="running")
    found = {
        "state": ("running", other),
        "search": ("seco", other),
        "number": (job.number, job),
        "project": (project.pk, None),
        "owner": (editor.pk, None),
        "kind": ("train", None),
    }
    for name, (value, only) in found.items():
        ids = {item["id"] for item in get(api, "jobs", **{name: value})["results"]}
        assert ids == ({str(only.pk)} if only else {str(job.pk), str(other.pk)}), name
    assert len(get(api, "jobs", state="queued,running")["results"]) == 2
    assert get(api, "jobs", search="#1")["results"][0]["id"] == str(job.pk)
    assert get(api, "jobs", state="nonsense")["results"] == []
    assert get(api, "jobs", created_after="2999-01-01T00:00:00Z")["results"] == []
    names = [item["name"] for item in get(api, "jobs", ordering="name")["results"]]
    assert names == sorted(names)
    assert api.get("/api/v1/jobs?ordering=spec").status_code == 400
    assert api.get("/api/v1/jobs?kind=paint").status_code == 400
    assert api.get("/api/v1/jobs?created_after=yesterday").status_code == 400


def test_list_costs_the_same_number_of_queries_however_long(
    api: APIClient, project: Project, editor: User, job: Job
) -> None:
    def cost() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            get(api, "jobs")
        return len(queries)

    few = cost()
    for _ in range(10):
        submit(project, editor)
    assert cost() == few


def test_nodes_and_pools_show_what_runs_where(
    api: APIClient, agent: FakeAgent, job: Job, outsider: User, client_for: ClientFor
) -> None:
    run_pass()
    agent.start()
    (node,) = get(api, "nodes")["results"]
    assert (node["name"], node["num_slots"], node["free_slots"], node["is_alive"]) == ("n1", 2, 1, True)
    assert [device["job"] for device in node["devices"]] == [str(job.pk), None]
    assert node["devices"][0]["job_name"] == "run #1"
    (pool,) = get(api, "pools")["results"]
    assert (pool["name"], pool["total_slots"], pool["free_slots"], pool["num_nodes"]) == ("default", 2, 1, 1)

    (seen,) = get(client_for(outsider), "nodes")["results"]
    assert seen["free_slots"] == 1
    assert [(device["job"], device["job_name"]) for device in seen["devices"]] == [(None, ""), (None, "")]


def test_only_administrators_drain(api: APIClient, agent: FakeAgent, superuser: User, client_for: ClientFor) -> None:
    assert api.post(f"/api/v1/nodes/{agent.node_id}/drain").status_code == 403
    admin = client_for(superuser)
    assert admin.post(f"/api/v1/nodes/{agent.node_id}/drain").json()["is_draining"] is True
    assert admin.post(f"/api/v1/nodes/{agent.node_id}/undrain").json()["is_draining"] is False


def test_catalogue_describes_every_kind(api: APIClient) -> None:
    schemas = {entry["kind"]: entry["schema"] for entry in get(api, "catalog/")}
    assert set(schemas) == set(JOB_KINDS)
    assert schemas["train"]["properties"]["steps"]["title"] == "Steps"


def test_remaining_time_is_estimated_from_the_attempts_pace(api: APIClient, agent: FakeAgent, job: Job) -> None:
    run_pass()
    offer = agent.start()
    assert get(api, f"jobs/{job.pk}")["eta_s"] is None
    agent.report(offer, "progress", step=1, total_steps=100)
    time.sleep(0.05)
    agent.report(offer, "progress", step=51, total_steps=100)
    assert 0 < get(api, f"jobs/{job.pk}")["eta_s"] < 60
    assert Checkpoint.objects.count() == 0
