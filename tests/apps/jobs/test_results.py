"""What a succeeded attempt leaves, by the kind of its job."""

import pytest

from apps.accounts.models import User
from apps.datasets.models import DatasetVersion
from apps.jobs.models import Job
from apps.jobs.services.results import STORERS
from apps.model_registry.models import ModelVersion
from apps.projects.models import Project
from tests.apps.jobs.simulation import FakeAgent, make_model_version, run_pass, submit
from workers.contract.jobs import JOB_KINDS


def test_every_kind_of_job_says_how_its_result_is_stored() -> None:
    assert set(STORERS) == set(JOB_KINDS)


@pytest.mark.django_db
def test_version_names_the_release_that_trained_it(
    agent: FakeAgent, project: Project, editor: User, dataset: DatasetVersion
) -> None:
    submit(project, editor)
    run_pass()
    offer = agent.start()
    agent.model(offer)
    agent.exit(offer, "succeeded")
    assert ModelVersion.objects.get().code_revision == f"coxswain {agent.node.agent_version}"


@pytest.mark.django_db
@pytest.mark.usefixtures("dataset")
@pytest.mark.parametrize(("kind", "reason"), [("train", "without a model"), ("generate", "without a result")])
def test_success_without_what_the_job_was_for_is_an_error(
    agent: FakeAgent, project: Project, editor: User, kind: str, reason: str
) -> None:
    make_model_version(project)
    spec = {"kind": "generate", "model": "base_v1", "prompt": "def"}
    job = submit(project, editor, **({} if kind == "train" else {"spec": spec}))
    run_pass()
    agent.exit(agent.start(), "succeeded")
    job = Job.objects.get(pk=job.pk)
    assert job.state == "error"
    assert reason in job.state_reason
