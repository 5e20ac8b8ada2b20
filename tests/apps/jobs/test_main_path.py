"""One job from submit to its end, through the same HTTP API that agents use."""

import pytest

from apps.accounts.models import User
from apps.core.models import Event
from apps.datasets.models import DatasetVersion
from apps.jobs.models import Allocation, Checkpoint, DeviceHold, Job
from apps.model_registry.models import ModelVersion
from apps.projects.models import Project
from tests.apps.jobs.simulation import FakeAgent, make_model_version, run_pass, submit

pytestmark = pytest.mark.django_db


def test_train_job_runs_to_a_model_version(
    agent: FakeAgent, project: Project, editor: User, dataset: DatasetVersion
) -> None:
    job = submit(project, editor, name="Tiny run", resources={"slots_per_node": 2})
    assert (job.state, job.number, job.dataset_version) == ("queued", 1, dataset)

    assert run_pass().placed == [job.pk]
    offer = agent.offer()
    order = agent.claim(offer).json()["order"]
    assert order["spec"]["steps"] == 100
    assert order["device_indices"] == [0, 1]
    assert (order["master_addr"], order["master_port"], order["node_rank"]) == ("127.0.0.1", 29500, 0)
    assert [item["role"] for item in order["inputs"]] == ["dataset"]

    agent.report(offer, "running", pids=[11, 12], warm=True)
    agent.report(offer, "phase", name="tokenize", progress=0.5)
    agent.report(offer, "progress", step=1, total_steps=100)
    agent.report(offer, "progress", step=50, total_steps=100)
    job.refresh_from_db()
    assert (job.state, job.step, job.phase) == ("running", 50, "tokenize")

    assert agent.checkpoint(offer, 50, metrics={"loss": 2.5}).status_code == 200
    assert agent.model(offer, metrics={"loss": 2.0}).status_code == 200
    assert agent.exit(offer, "succeeded", exit_codes=[0, 0]).status_code == 200

    job.refresh_from_db()
    assert job.state == "succeeded"
    version = ModelVersion.objects.get(made_by_jobs=job)
    assert (str(version), version.num_parameters, version.dataset_version) == ("tiny-run_v1", 123, dataset)
    assert Checkpoint.objects.get(job=job).step == 50
    assert not DeviceHold.objects.filter(released_at=None).exists()
    assert Allocation.objects.get().is_warm is True


def test_every_change_has_its_number_in_the_stream_without_a_gap(
    agent: FakeAgent, project: Project, editor: User, dataset: DatasetVersion
) -> None:
    job = submit(project, editor)
    run_pass()
    offer = agent.start()
    agent.checkpoint(offer, 10)
    agent.exit(offer, "failed", failure_kind="user", reason="loss is not finite")

    job = Job.objects.select_related("stream").get(pk=job.pk)
    seqs = list(Event.objects.filter(object_id=job.pk).order_by("seq").values_list("seq", flat=True))
    assert seqs == list(range(1, len(seqs) + 1))
    assert job.stream.last_seq == len(seqs)
    assert (job.state, job.state_reason) == ("failed", "loss is not finite")


def test_generate_job_stores_its_completions(agent: FakeAgent, project: Project, editor: User) -> None:
    version = make_model_version(project)
    job = submit(project, editor, spec={"kind": "generate", "model": "base_v1", "prompt": "def"})
    assert job.input_version == version
    run_pass()
    offer = agent.start()
    agent.report(offer, "completion", completions=["def f(): ..."])
    agent.exit(offer, "succeeded")
    job.refresh_from_db()
    assert (job.state, job.result) == ("succeeded", {"completions": ["def f(): ..."]})
