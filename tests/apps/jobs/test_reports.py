"""Reports of agents: idempotent, fenced, and what each end means for the job."""

from collections.abc import Callable
from typing import Any

import pytest

from apps.accounts.models import User
from apps.core.models import Event
from apps.datasets.models import DatasetVersion
from apps.jobs.models import Allocation, Attempt, Checkpoint, DeviceHold, Job
from apps.jobs.services import cancel_job, kill_job
from apps.projects.models import Project
from tests.apps.jobs.simulation import FakeAgent, run_pass, submit

pytestmark = pytest.mark.django_db


@pytest.fixture
def job(agent: FakeAgent, project: Project, editor: User, dataset: DatasetVersion) -> Job:
    """Return a job that is queued, with one agent in the pool."""
    return submit(project, editor)


def fresh(job: Job) -> Job:
    return Job.objects.select_related("stream").get(pk=job.pk)


def start(agent: FakeAgent) -> dict[str, Any]:
    run_pass()
    return agent.start()


def test_reports_of_a_stale_fence_get_409_and_change_nothing(agent: FakeAgent, job: Job) -> None:
    old = start(agent)
    agent.exit(old, "failed", failure_kind="retryable", reason="peer lost")
    new = start(agent)
    assert new["fence"] == old["fence"] + 1

    late: dict[str, dict[str, Any]] = {
        "running": {"warm": True},
        "phase": {"name": "x"},
        "progress": {"step": 99, "total_steps": 100},
        "resumed": {"step": 5},
        "completion": {"completions": ["x"]},
    }
    for kind, fields in late.items():
        answer = agent.report(old, kind, **fields)
        assert (answer.status_code, answer.json()["code"]) == (409, "stale_fence")
    now = fresh(job)
    assert (now.state, now.step, now.fence) == ("running", 0, new["fence"])
    assert agent.claim(old).json()["code"] == "stale_fence"


def test_old_attempt_cannot_register_a_checkpoint_or_read_inputs(agent: FakeAgent, job: Job) -> None:
    old = start(agent)
    manifest = agent.manifest(old, {"weights": b"late"})
    agent.exit(old, "failed", failure_kind="retryable")
    start(agent)
    late = agent.report(old, "checkpoint", step=7, manifest=manifest)
    assert late.json()["code"] == "stale_fence"
    assert not Checkpoint.objects.exists()
    base = f"/api/node/v1/allocations/{old['allocation_id']}"
    assert agent.client.post(f"{base}/uploads", {"sha256": "0" * 64, "size_bytes": 1}).json()["code"] == "stale_fence"
    assert agent.client.get(f"{base}/files/{'0' * 64}").json()["code"] == "stale_fence"


def test_repeated_reports_change_nothing(agent: FakeAgent, job: Job) -> None:
    offer = start(agent)
    manifest = agent.manifest(offer, {"weights": b"one"})
    reports: list[tuple[str, dict[str, Any]]] = [
        ("running", {"warm": True, "pids": [1, 2]}),
        ("progress", {"step": 3, "total_steps": 100}),
        ("resumed", {"step": 3}),
        ("checkpoint", {"step": 3, "manifest": manifest}),
    ]
    for kind, fields in reports:
        assert agent.report(offer, kind, **fields).status_code == 200
    before = (fresh(job).stream.last_seq, Event.objects.filter(object_id=job.pk).count())
    for kind, fields in reports:
        assert agent.report(offer, kind, **fields).status_code == 200
    assert (fresh(job).stream.last_seq, Event.objects.filter(object_id=job.pk).count()) == before
    assert Checkpoint.objects.count() == 1


def test_late_progress_does_not_go_back(agent: FakeAgent, job: Job) -> None:
    offer = start(agent)
    agent.report(offer, "progress", step=10, total_steps=100)
    agent.report(offer, "progress", step=9, total_steps=100)
    assert fresh(job).step == 10


def test_repeated_exit_is_accepted(agent: FakeAgent, job: Job) -> None:
    offer = start(agent)
    for _ in range(2):
        answer = agent.exit(offer, "failed", failure_kind="user", reason="bad data", traceback="Traceback ...")
        assert answer.status_code == 200
    attempt = Attempt.objects.get()
    assert (fresh(job).state, attempt.outcome, attempt.traceback) == ("failed", "failed", "Traceback ...")


@pytest.mark.parametrize("kind", ["retryable", "system"])
def test_infrastructure_failure_queues_a_new_attempt_at_once(agent: FakeAgent, job: Job, kind: str) -> None:
    offer = start(agent)
    agent.report(offer, "progress", step=30, total_steps=100)
    agent.checkpoint(offer, 20)
    agent.exit(offer, "failed", failure_kind=kind, reason="rank 1 was killed by signal 9", exit_codes=[0, -9])
    assert (fresh(job).state, fresh(job).state_reason) == ("queued", "rank 1 was killed by signal 9")
    assert not DeviceHold.objects.filter(released_at=None).exists()

    run_pass()
    again = agent.offer()
    order = agent.claim(again).json()["order"]
    assert order["attempt_number"] == 2
    resumed = [item for item in order["inputs"] if item["role"] == "checkpoint"]
    assert [item["step"] for item in resumed] == [20]
    assert fresh(job).step == 20


def test_three_failures_in_a_row_without_a_checkpoint_end_in_error(agent: FakeAgent, job: Job) -> None:
    for _ in range(3):
        agent.exit(start(agent), "failed", failure_kind="retryable", reason="device lost")
    now = fresh(job)
    assert now.state == "error"
    assert "device lost" in now.state_reason
    assert run_pass().placed == []


def test_a_new_checkpoint_starts_the_count_afresh(agent: FakeAgent, job: Job) -> None:
    for _ in range(2):
        agent.exit(start(agent), "failed", failure_kind="retryable")
    offer = start(agent)
    agent.checkpoint(offer, 5)
    agent.exit(offer, "failed", failure_kind="retryable")
    assert fresh(job).state == "queued"


@pytest.mark.parametrize(
    ("outcome", "failure_kind", "state"),
    [
        ("stopped", None, "cancelled"),
        ("killed", None, "cancelled"),
        ("failed", "retryable", "cancelled"),
        ("failed", "system", "cancelled"),
        ("failed", "user", "failed"),
    ],
)
def test_end_while_cancelling(agent: FakeAgent, job: Job, outcome: str, failure_kind: str | None, state: str) -> None:
    offer = start(agent)
    cancel_job(job_id=job.pk)
    agent.exit(offer, outcome, failure_kind=failure_kind)
    assert fresh(job).state == state


def test_ranks_that_did_not_obey_are_told_of_in_the_reason(agent: FakeAgent, job: Job) -> None:
    run_pass()
    offer = agent.start()
    cancel_job(job_id=job.pk)
    agent.exit(offer, "killed", reason="The ranks did not end within 300 s of being asked to stop.")
    job.refresh_from_db()
    assert (job.state, job.state_reason) == (
        "cancelled",
        "The ranks did not end within 300 s of being asked to stop.",
    )


def test_success_while_cancelling_is_success(agent: FakeAgent, job: Job) -> None:
    offer = start(agent)
    agent.model(offer)
    cancel_job(job_id=job.pk)
    agent.exit(offer, "succeeded")
    now = fresh(job)
    assert now.state == "succeeded"
    assert now.output_version_id is not None


def test_success_without_a_model_is_an_error(agent: FakeAgent, job: Job) -> None:
    offer = start(agent)
    agent.exit(offer, "succeeded")
    assert (fresh(job).state, fresh(job).state_reason) == ("error", "It ended without a model.")


def test_success_before_anybody_said_running(agent: FakeAgent, job: Job) -> None:
    run_pass()
    offer = agent.offer()
    agent.claim(offer)
    agent.model(offer)
    agent.exit(offer, "succeeded")
    assert fresh(job).state == "succeeded"


def test_stop_that_nobody_asked_for_goes_on_elsewhere(agent: FakeAgent, job: Job) -> None:
    offer = start(agent)
    agent.checkpoint(offer, 5)
    agent.exit(offer, "stopped", reason="The agent was stopped.")
    assert fresh(job).state == "queued"


def test_wishes_are_in_report_replies_and_heartbeats_until_fulfilled(agent: FakeAgent, job: Job) -> None:
    offer = start(agent)
    assert agent.report(offer, "progress", step=1, total_steps=100).json()["wish"] is None
    cancel_job(job_id=job.pk)
    assert agent.report(offer, "progress", step=2, total_steps=100).json()["wish"] == "stop"
    for _ in range(2):
        (wish,) = agent.beat(agent.holding(offer))["wishes"]
        assert (wish["kind"], wish["fence"]) == ("stop", offer["fence"])
    kill_job(job_id=job.pk)
    (wish,) = agent.beat(agent.holding(offer))["wishes"]
    assert wish["kind"] == "kill"


def test_checkpoint_of_files_that_are_not_stored_is_refused(agent: FakeAgent, job: Job) -> None:
    offer = start(agent)
    manifest = {"files": [{"path": "weights", "sha256": "1" * 64, "size_bytes": 3}]}
    answer = agent.report(offer, "checkpoint", step=1, manifest=manifest)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "files.0.sha256"
    assert not Checkpoint.objects.exists()


def test_checkpoints_are_kept_as_the_spec_says(agent: FakeAgent, job: Job) -> None:
    offer = start(agent)
    for step in (10, 20, 30, 40):
        agent.checkpoint(offer, step, metrics={"validation_loss": step}, is_best=step == 10)
    living = Checkpoint.objects.filter(deleted_at=None).order_by("step")
    assert [(item.step, item.is_best) for item in living] == [(10, True), (30, False), (40, False)]


def test_checkpoint_that_an_attempt_resumes_from_stays(agent: FakeAgent, job: Job) -> None:
    offer = start(agent)
    agent.checkpoint(offer, 10)
    agent.exit(offer, "failed", failure_kind="retryable")
    again = start(agent)
    for step in (20, 30, 40):
        agent.checkpoint(again, step)
    assert sorted(Checkpoint.objects.filter(deleted_at=None).values_list("step", flat=True)) == [10, 30, 40]


def test_reports_of_another_nodes_allocation_are_not_found(
    agent: FakeAgent, job: Job, join: Callable[..., FakeAgent]
) -> None:
    offer = start(agent)
    other = join("n2", pool="other")
    assert other.report(offer, "progress", step=1, total_steps=2).status_code == 404
    assert other.claim(offer).status_code == 404
    assert other.client.get(f"/api/node/v1/allocations/{offer['allocation_id']}/files/{'0' * 64}").status_code == 404


def test_input_files_are_served_by_digest_to_their_allocation_only(
    agent: FakeAgent, job: Job, dataset: DatasetVersion
) -> None:
    offer = start(agent)
    sha256 = dataset.file_set.entries.get().artifact.sha256
    base = f"/api/node/v1/allocations/{offer['allocation_id']}/files"
    assert agent.client.get(f"{base}/{'0' * 64}").status_code == 404
    # the row exists and the bytes do not: the request got past every check of rights
    assert agent.client.get(f"{base}/{sha256}").json()["code"] == "bytes_missing"


def test_exit_of_an_old_attempt_frees_its_devices(agent: FakeAgent, job: Job) -> None:
    offer = start(agent)
    Attempt.objects.update(state="ended")
    Allocation.objects.update(state="ended")
    Job.objects.update(fence=9)
    answer = agent.exit(offer, "killed")
    assert answer.json()["code"] == "stale_fence"
    assert not DeviceHold.objects.filter(released_at=None).exists()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"type": "unknown"},
        {"type": "progress", "fence": 1, "time_us": 1, "step": "many", "total_steps": 2},
        {"type": "progress", "fence": 1, "time_us": 1, "step": 1, "total_steps": 2, "extra": 1},
        {"type": "checkpoint", "fence": 1, "time_us": 1, "step": 1, "manifest": {"files": [{"path": "../x"}]}},
        [],
        "text",
    ],
)
def test_malformed_reports_are_refused(agent: FakeAgent, job: Job, body: Any) -> None:
    offer = start(agent)
    answer = agent.client.post(f"/api/node/v1/allocations/{offer['allocation_id']}/report", body)
    assert answer.status_code == 400
    assert fresh(job).state == "running"
