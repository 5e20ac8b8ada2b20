"""The tables of legal changes, and the one function that writes a job's state."""

import pytest
from django.utils import timezone

from apps.accounts.models import User
from apps.core.errors import IllegalTransition, StaleFence
from apps.core.models import Event
from apps.datasets.models import DatasetVersion
from apps.jobs.models import Job
from apps.jobs.services import advance_job
from apps.jobs.state import ACTIVE_STATES, FINAL_STATES, TRANSITIONS, JobState
from apps.projects.models import Project
from tests.apps.jobs.simulation import FakeAgent, submit

DESIGN = """
queued     -> starting cancelled error failed
starting   -> running failed error queued preempting cancelling
running    -> succeeded failed error queued preempting cancelling
preempting -> queued succeeded failed error cancelling
cancelling -> cancelled succeeded failed
"""


def test_table_is_the_design() -> None:
    rows = (line.split("->") for line in DESIGN.strip().splitlines())
    design = {source.strip(): frozenset(targets.split()) for source, targets in rows}
    assert {state: targets for state, targets in TRANSITIONS.items() if targets} == design


def test_every_state_is_in_the_table() -> None:
    assert set(TRANSITIONS) == set(JobState.values)
    assert {"succeeded", "failed", "error", "cancelled"} == FINAL_STATES
    assert set(JobState.values) - FINAL_STATES == ACTIVE_STATES


@pytest.fixture
def job(agent: FakeAgent, project: Project, editor: User, dataset: DatasetVersion) -> Job:
    """Return a job."""
    return submit(project, editor)


@pytest.mark.django_db
@pytest.mark.parametrize("source", JobState.values)
def test_advance_follows_the_table(source: str, job: Job) -> None:
    for target in sorted(set(JobState.values) - {source}):
        Job.objects.filter(pk=job.pk).update(state=source, fence=3, started_at=timezone.now(), ended_at=None)
        if target in TRANSITIONS[source]:
            moved = advance_job(job_id=job.pk, to=JobState(target), fence=3, reason="because")
            assert (moved.state, moved.state_reason) == (target, "because")
            job.refresh_from_db()
            assert job.state == target
            assert (job.ended_at is not None) == (target in FINAL_STATES)
            event = Event.objects.filter(object_id=job.pk).latest("id")
            assert (event.before, event.after, event.reason) == ({"state": source}, {"state": target}, "because")
        else:
            with pytest.raises(IllegalTransition):
                advance_job(job_id=job.pk, to=JobState(target), fence=3)
            job.refresh_from_db()
            assert job.state == source


@pytest.mark.django_db
@pytest.mark.parametrize("state", JobState.values)
def test_repeating_a_step_is_a_no_op(state: str, job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(state=state, fence=3)
    events = Event.objects.filter(object_id=job.pk).count()
    assert advance_job(job_id=job.pk, to=JobState(state), fence=3).state == state
    assert Event.objects.filter(object_id=job.pk).count() == events


@pytest.mark.django_db
def test_stale_fence_is_refused_before_the_no_op_test(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(state="running", fence=2)
    with pytest.raises(StaleFence):
        advance_job(job_id=job.pk, to=JobState.RUNNING, fence=1)
