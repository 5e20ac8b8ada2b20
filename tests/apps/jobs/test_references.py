"""What jobs need is not deleted under them: neither their dataset nor the version they start from."""

import pytest

from apps.accounts.models import User
from apps.core.errors import Conflict
from apps.datasets.models import DatasetVersion
from apps.datasets.services import delete_dataset
from apps.jobs.services import cancel_job
from apps.model_registry.services import delete_model, delete_version
from apps.projects.models import Project
from tests.apps.jobs.simulation import FakeAgent, make_model_version, submit

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("agent")]


def test_dataset_stays_while_a_job_that_goes_on_trains_on_it(
    project: Project, editor: User, dataset: DatasetVersion
) -> None:
    jobs = [submit(project, editor, name=f"run {letter}") for letter in "abcd"]
    with pytest.raises(Conflict) as caught:
        delete_dataset(dataset=dataset.dataset, actor=editor)
    assert (caught.value.code, caught.value.detail) == (
        "referenced",
        "Jobs that have not ended train on corpus: run a #1, run b #2, run c #3, ....",
    )
    for job in jobs:
        cancel_job(job_id=job.pk)
    delete_dataset(dataset=dataset.dataset, actor=editor)
    dataset.dataset.refresh_from_db()
    assert dataset.dataset.deleted_at is not None


def test_version_stays_while_a_job_that_goes_on_starts_from_it(project: Project, editor: User) -> None:
    version = make_model_version(project)
    spec = {"kind": "generate", "model": "base_v1", "prompt": "def"}
    job = submit(project, editor, name="sample", spec=spec)
    told = "Jobs that have not ended read base_v1: sample #1."
    with pytest.raises(Conflict) as caught:
        delete_version(version=version, actor=editor)
    assert caught.value.detail == told
    with pytest.raises(Conflict) as caught:
        delete_model(model=version.model, actor=editor)
    assert caught.value.detail == told
    cancel_job(job_id=job.pk)
    delete_model(model=version.model, actor=editor)
    version.refresh_from_db()
    assert version.deleted_at is not None


def test_dataset_that_no_job_reads_is_deleted(agent: FakeAgent, editor: User, dataset: DatasetVersion) -> None:
    delete_dataset(dataset=dataset.dataset, actor=editor)
