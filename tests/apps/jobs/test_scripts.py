"""Script jobs on the server: refused with the field at submission, given their files and secrets, their output kept."""

import io
import tarfile
from typing import Any

import pytest
from rest_framework.test import APIClient

from apps.accounts.models import User
from apps.core.models import Event
from apps.jobs.models import Job
from apps.projects.models import Project
from apps.secrets.services import set_secret
from apps.storage.garbage import collect_garbage
from apps.storage.models import Artifact
from tests.apps.jobs.simulation import FakeAgent, run_pass
from tests.apps.storage.factories import store_bytes

pytestmark = pytest.mark.django_db
COMMIT = "a" * 40
ENTRY = {"run": "file", "path": "train.py"}
GIT = {"source": "git", "url": "https://example.org/x.git", "commit": COMMIT}


def archive(name: str = "train.py", *, link: str = "") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as file:
        info = tarfile.TarInfo(name)
        if link:
            info.type, info.linkname = tarfile.SYMTYPE, link
            file.addfile(info)
        else:
            info.size = 1
            file.addfile(info, io.BytesIO(b"x"))
    return packed.getvalue()


def body_of(response: Any) -> bytes:
    return response.getvalue() if response.streaming else response.content  # type: ignore[no-any-return]


def uploaded(project: Project, user: User, data: bytes) -> dict[str, Any]:
    ref = store_bytes(project.workspace, user, "source", data)
    return {"sha256": ref.sha256, "size_bytes": ref.size_bytes}


def submit(api: APIClient, project: Project, **spec: Any) -> Any:
    body = {"project": str(project.pk), "name": "run", "spec": {"kind": "script", "code": GIT, "entry": ENTRY, **spec}}
    return api.post("/api/v1/jobs", body)


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ({"code": {**GIT, "url": "file:///etc"}}, "spec.code.url", "https, ssh only"),
        ({"code": {**GIT, "url": "git@example.org:x.git"}}, "spec.code", "needs ssh_key_secret"),
        ({"code": {**GIT, "url": "https://me:pw123456@example.org/x.git"}}, "spec.code", "carries a password"),
        ({"code": {**GIT, "url": "--upload-pack=evil"}}, "spec.code", "no repository's URL"),
        ({"code": {**GIT, "commit": "main"}}, "spec.code.commit", ""),
        ({"code": {**GIT, "password_secret": "none"}}, "spec.code.password_secret", "no secret named none"),
        ({"secrets": [{"deliver": "variable", "secret": "none", "variable": "X"}]}, "spec.secrets.0.secret", "none"),
        ({"variables": {"RANK": "1"}}, "spec.variables.RANK", "set by the control plane"),
        ({"entry": {"run": "file", "path": "../x.py"}}, "spec.entry.path", "below the source's root"),
        ({"system_packages": False}, "spec", "needs requirements"),
        (
            {"code": {"source": "archive", "archive": {"sha256": "0" * 64, "size_bytes": 1}}},
            "spec.code.archive.sha256",
            "not stored",
        ),
        ({"dataset": "none"}, "spec.dataset", "none"),
    ],
)
def test_what_cannot_run_is_refused_by_field(
    api: APIClient, project: Project, agent: FakeAgent, *, spec: dict[str, Any], field: str, message: str
) -> None:
    answer = submit(api, project, **spec)
    assert answer.status_code == 400, answer.json()
    assert answer.json()["errors"][0]["field"].startswith(field)
    assert message in answer.json()["errors"][0]["message"]
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    "data",
    [archive("../train.py"), archive("/etc/x"), archive("link", link="../../etc/passwd"), b"no archive at all"],
    ids=["parent", "absolute", "link", "no archive"],
)
def test_archive_that_leads_out_of_itself_is_refused(
    api: APIClient, project: Project, owner: User, agent: FakeAgent, data: bytes
) -> None:
    answer = submit(api, project, code={"source": "archive", "archive": uploaded(project, owner, data)})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "spec.code.archive"


def test_node_gets_source_and_secrets_and_what_it_leaves_is_listed(
    api: APIClient, project: Project, owner: User, agent: FakeAgent
) -> None:
    set_secret(project=project, actor=owner, name="token", value="the value of it")
    set_secret(project=project, actor=owner, name="other", value="not for this job")
    spec = {
        "code": {"source": "archive", "archive": uploaded(project, owner, archive())},
        "secrets": [{"deliver": "variable", "secret": "token", "variable": "TOKEN"}],
    }
    made = submit(api, project, **spec)
    assert made.status_code == 201, made.json()
    assert "the value of it" not in made.content.decode()
    run_pass()
    offer = agent.offer()
    base = f"/api/node/v1/allocations/{offer['allocation_id']}"
    order = agent.claim(offer).json()["order"]
    (source,) = order["inputs"]
    assert (source["role"], [file["path"] for file in source["files"]]) == ("source", ["source.archive"])
    assert body_of(agent.client.get(f"{base}/files/{source['files'][0]['sha256']}")) == archive()
    assert agent.client.get(f"{base}/secrets").json() == {"values": {"token": "the value of it"}}
    read = Event.objects.get(action="secrets.read")
    assert (read.actor_name, read.after) == ("node:n1", {"names": ["token"]})
    agent.report(offer, "running", pids=[1], warm=False)
    manifest = agent.manifest(offer, {"result.txt": b"results"})
    assert agent.report(offer, "output", manifest=manifest).status_code == 200
    assert agent.report(offer, "output", manifest=manifest).status_code == 200, "twice is once"
    agent.exit(offer, "succeeded")
    job = f"/api/v1/jobs/{made.json()['id']}"
    assert api.get(job).json()["state"] == "succeeded"
    (listed,) = api.get(f"{job}/artifacts").json()["results"]
    assert (listed["kind"], listed["path"]) == ("output", "result.txt")
    content = api.get(f"{job}/artifacts/{listed['id']}/content")
    assert body_of(content) == b"results"
    assert agent.client.get(f"{base}/secrets").status_code == 409, "the attempt is over"
    again = api.post(f"{job}/rerun")
    assert again.status_code == 201
    assert Job.objects.get(pk=again.json()["id"]).source_file_set_id == Job.objects.get(number=1).source_file_set_id


def test_files_of_a_script_live_as_long_as_its_job(
    api: APIClient, project: Project, owner: User, agent: FakeAgent
) -> None:
    from datetime import timedelta

    made = submit(api, project, code={"source": "archive", "archive": uploaded(project, owner, archive())})
    job_id = made.json()["id"]
    collect_garbage(grace=timedelta(0))
    assert Artifact.objects.exists()
    api.post(f"/api/v1/jobs/{job_id}/cancel")
    assert api.delete(f"/api/v1/jobs/{job_id}").status_code == 204
    from apps.storage.models import Upload

    Upload.objects.all().delete()
    collect_garbage(grace=timedelta(0))
    assert not Artifact.objects.exists()


def test_how_a_cancelled_script_ended_is_said(api: APIClient, project: Project, agent: FakeAgent) -> None:
    job = f"/api/v1/jobs/{submit(api, project).json()['id']}"
    run_pass()
    offer = agent.start()
    api.post(f"{job}/cancel")
    agent.exit(offer, "stopped", reason="The script ended after the stop request.")
    answer = api.get(job).json()
    assert (answer["state"], answer["state_reason"]) == ("cancelled", "The script ended after the stop request.")
