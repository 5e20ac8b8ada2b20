"""Evaluate jobs on the server: what they name is checked, and what they find becomes rows of the version, once."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from apps.accounts.models import User
from apps.core.errors import InvalidInput
from apps.datasets.models import DatasetVersion
from apps.jobs.models import Job
from apps.lifecycle.models import Evaluation
from apps.lifecycle.services import note_job_ended
from apps.model_registry.services import delete_version
from apps.projects.models import Project
from tests.apps.jobs.simulation import FakeAgent, run_pass, submit
from tests.apps.lifecycle.conftest import HARDWARE, MakeVersion, finish_evaluation

pytestmark = pytest.mark.django_db


def _spec(**fields: Any) -> dict[str, Any]:
    return {"kind": "evaluate", "model": "tiny_v2", "dataset": "corpus"} | fields


def test_figures_become_rows_of_the_version_with_all_that_they_depend_on(
    agent: FakeAgent, make_version: MakeVersion, dataset: DatasetVersion, editor: User, api: APIClient
) -> None:
    parent = make_version()
    child = make_version(parent=parent)
    job = submit(parent.model.project, editor, spec=_spec(length=64))
    assert (job.input_version, job.reference_version, job.dataset_version) == (child, parent, dataset)
    run_pass()
    offer = agent.start()
    roles = {entry["role"]: entry["name"] for entry in agent.claim(offer).json()["order"]["inputs"]}
    assert roles == {"dataset": "corpus@1", "model": "tiny_v2", "reference": "tiny_v1"}
    sha256 = parent.file_set.entries.get(path="model.safetensors").artifact.sha256
    fetched = agent.client.get(f"/api/node/v1/allocations/{offer['allocation_id']}/files/{sha256}")
    assert fetched.status_code == 200
    with pytest.raises(Exception, match="have not ended read tiny_v1"):
        delete_version(version=parent, actor=editor)
    figures = {"perplexity": 7.5, "kl_divergence": 0.02, "decode_tokens_per_s_batch1": 120.0}
    measurements = [
        {"metric": metric, "value": value, "spread": 0.1, "dtype": "fp32"} for metric, value in figures.items()
    ]
    result = {"kind": "evaluate", "measurements": measurements, "hardware": HARDWARE, "duration_s": 2.0}
    agent.report(offer, "result", result=result)
    assert not Evaluation.objects.exists(), "nothing before the job has succeeded"
    agent.exit(offer, "succeeded")
    job = Job.objects.get(pk=job.pk)
    assert job.state == "succeeded", job.state_reason
    note_job_ended(job)  # told twice
    rows = {row["metric"]: row for row in api.get("/api/v1/model-versions/tiny_v2/evaluations").json()["results"]}
    assert {metric: row["value"] for metric, row in rows.items()} == figures
    quality, speed = rows["kl_divergence"], rows["decode_tokens_per_s_batch1"]
    assert (quality["dataset_version"], quality["reference"], quality["unit"]) == ("corpus@1", "tiny_v1", "nats/token")
    assert quality["protocol"]["length"] == 64
    assert rows["perplexity"]["reference"] is None
    assert (speed["dataset_version"], speed["hardware"], speed["protocol"]["prompt_tokens"]) == (None, HARDWARE, 64)
    assert (speed["job"], speed["job_number"]) == (str(job.pk), job.number)


def test_evaluation_that_fails_or_brings_nothing_leaves_no_row(
    agent: FakeAgent, make_version: MakeVersion, dataset: DatasetVersion, project: Project, editor: User
) -> None:
    make_version()
    for outcome in ({"outcome": "failed", "failure_kind": "user"}, {"outcome": "succeeded"}):
        submit(project, editor, spec=_spec(model="tiny_v1"))
        run_pass()
        agent.exit(agent.start(), **outcome)
    assert set(Job.objects.values_list("state", flat=True)) == {"failed", "error"}
    assert not Evaluation.objects.exists()


def test_version_made_from_none_is_evaluated_alone(
    agent: FakeAgent, make_version: MakeVersion, dataset: DatasetVersion, project: Project, editor: User
) -> None:
    make_version()
    assert submit(project, editor, spec=_spec(model="tiny_v1")).reference_version is None
    without_data = submit(project, editor, spec=_spec(model="tiny_v1", dataset=None))
    assert without_data.dataset_version is None
    job = finish_evaluation(agent, perplexity=9.0)
    assert Evaluation.objects.get().job == job


@pytest.mark.usefixtures("agent", "dataset")
@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"reference": "tiny_v2"}, "spec.reference", "cannot be compared with itself"),
        ({"reference": "other_v1"}, "spec.reference", "another tokenizer"),
        ({"reference": "tiny_v9"}, "spec.reference", "There is no model version"),
        ({"model": "tiny_v1", "measure": ["agreement"]}, "spec.reference", "made from none"),
        ({"measure": ["embedding"]}, "spec.measure", "no encoder"),
        ({"length": 1024}, "spec.length", "exceeds the model's 512 positions"),
        ({"generation": {"prompt_tokens": 500}}, "spec.generation.prompt_tokens", "exceed the model's 512 positions"),
        ({"dataset": None, "measure": ["perplexity"]}, "spec", "needs a dataset"),
        ({"dataset": "nothing"}, "spec.dataset", "There is no dataset"),
        ({"dataset": "../corpus"}, "spec.dataset", "is a path"),
    ],
)
def test_what_cannot_be_measured_is_refused_at_submit(
    make_version: MakeVersion, editor: User, change: dict[str, Any], field: str, message: str
) -> None:
    project = make_version(parent=make_version()).model.project
    make_version("other", tokenizer=b'{"other": 1}')
    with pytest.raises(InvalidInput) as refused:
        submit(project, editor, spec=_spec(**change))
    assert refused.value.errors[0].field == field
    assert message in refused.value.errors[0].message
    assert not Job.objects.exists()


def test_parent_with_another_tokenizer_is_left_out_unless_it_was_asked_for(
    agent: FakeAgent, make_version: MakeVersion, dataset: DatasetVersion, project: Project, editor: User
) -> None:
    make_version(parent=make_version("other", tokenizer=b'{"other": 1}'))
    assert submit(project, editor, spec=_spec(model="tiny_v1")).reference_version is None
    with pytest.raises(InvalidInput, match="another tokenizer"):
        submit(project, editor, spec=_spec(model="tiny_v1", measure=["agreement"]))
