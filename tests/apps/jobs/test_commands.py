"""Cancel, kill, delete and rerun in every state."""

import pytest

from apps.accounts.models import User
from apps.core.errors import IllegalTransition
from apps.datasets.models import DatasetVersion
from apps.jobs.errors import JobActive
from apps.jobs.models import Attempt, Checkpoint, DeviceHold, Job
from apps.jobs.services import cancel_job, delete_job, kill_job, rerun_job
from apps.jobs.state import FINAL_STATES, JobState
from apps.projects.models import Project
from tests.apps.jobs.simulation import FakeAgent, run_pass, submit

pytestmark = pytest.mark.django_db


@pytest.fixture
def job(agent: FakeAgent, project: Project, editor: User, dataset: DatasetVersion) -> Job:
    """Return a queued job with an agent in its pool."""
    return submit(project, editor)


def test_cancel_of_a_queued_job_is_immediate(job: Job, editor: User) -> None:
    assert cancel_job(job_id=job.pk, actor=editor).state == "cancelled"
    assert run_pass().placed == []


def test_cancel_before_the_claim_is_immediate_and_frees_the_slots(job: Job, agent: FakeAgent) -> None:
    run_pass()
    offer = agent.offer()
    assert cancel_job(job_id=job.pk).state == "cancelled"
    assert not DeviceHold.objects.filter(released_at=None).exists()
    assert agent.claim(offer).json()["code"] == "stale_fence"
    assert agent.beat()["offers"] == []


@pytest.mark.parametrize("is_running", [False, True])
def test_cancel_after_the_claim_waits_for_the_node(job: Job, agent: FakeAgent, *, is_running: bool) -> None:
    run_pass()
    offer = agent.offer()
    agent.claim(offer)
    if is_running:
        agent.report(offer, "running", warm=True)
    assert cancel_job(job_id=job.pk).state == "cancelling"
    (wish,) = agent.beat(agent.holding(offer))["wishes"]
    assert wish["kind"] == "stop"
    agent.exit(offer, "stopped")
    job.refresh_from_db()
    assert job.state == "cancelled"


def test_cancel_of_a_preempting_job(job: Job, agent: FakeAgent) -> None:
    run_pass()
    offer = agent.start()
    Job.objects.update(state=JobState.PREEMPTING)
    assert cancel_job(job_id=job.pk).state == "cancelling"
    agent.exit(offer, "stopped")
    job.refresh_from_db()
    assert job.state == "cancelled"


def test_cancel_and_kill_twice_are_no_ops(job: Job, agent: FakeAgent) -> None:
    run_pass()
    agent.start()
    for _ in range(2):
        assert cancel_job(job_id=job.pk).state == "cancelling"
    for _ in range(2):
        assert kill_job(job_id=job.pk).kill_requested


@pytest.mark.parametrize("state", sorted(FINAL_STATES - {"cancelled"}))
def test_cancel_of_finished_job_is_refused(job: Job, state: str) -> None:
    Job.objects.update(state=state)
    with pytest.raises(IllegalTransition):
        cancel_job(job_id=job.pk)
    with pytest.raises(IllegalTransition):
        kill_job(job_id=job.pk)


def test_delete_needs_an_end_and_drops_checkpoints(job: Job, agent: FakeAgent) -> None:
    run_pass()
    offer = agent.start()
    agent.checkpoint(offer, 5)
    with pytest.raises(JobActive):
        delete_job(job_id=job.pk)
    agent.exit(offer, "failed", failure_kind="user")
    delete_job(job_id=job.pk)
    delete_job(job_id=job.pk)
    assert not Checkpoint.objects.filter(deleted_at=None).exists()


def test_rerun_is_a_new_job_that_names_its_origin(job: Job, editor: User, dataset: DatasetVersion) -> None:
    cancel_job(job_id=job.pk)
    again = rerun_job(job_id=job.pk, actor=editor)
    assert (again.origin_id, again.number, again.state) == (job.pk, job.number + 1, "queued")
    assert (again.spec, again.dataset_version_id) == (job.spec, dataset.pk)
    assert Attempt.objects.count() == 0


def test_rerun_of_an_old_spec_uses_its_upgrade(job: Job, editor: User, monkeypatch: pytest.MonkeyPatch) -> None:
    from workers.contract import upgrades

    def lift(document: upgrades.Document) -> upgrades.Document:
        kept = {key: value for key, value in document.items() if key != "num_steps"}
        return kept | {"version": 1, "steps": document["num_steps"]}

    monkeypatch.setitem(upgrades._UPGRADES, ("train", 0), lift)
    spec = {key: value for key, value in job.spec.items() if key != "steps"} | {"version": 0, "num_steps": 77}
    Job.objects.filter(pk=job.pk).update(spec=spec, state="failed")
    again = rerun_job(job_id=job.pk, actor=editor)
    assert (again.spec["version"], again.spec["steps"]) == (1, 77)
