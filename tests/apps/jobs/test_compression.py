"""Compress jobs on the server: what they name is checked, and what they make has a parent and an account."""

import json
from typing import Any

import pytest

from apps.accounts.models import User
from apps.core.errors import InvalidInput
from apps.datasets.models import DatasetVersion
from apps.jobs.models import Job
from apps.model_registry.models import ModelVersion
from apps.model_registry.services import create_version
from apps.projects.models import Project
from tests.apps.jobs.simulation import FakeAgent, run_pass, submit
from tests.apps.model_registry.conftest import safetensors
from tests.apps.storage.factories import make_file_set

pytestmark = pytest.mark.django_db

CONFIG = {"model_type": "llama", "hidden_size": 96, "intermediate_size": 256, "max_position_embeddings": 128}
CALIBRATION = {"dataset": "corpus", "num_samples": 1, "length": 8}
RESULT = {
    "kind": "compress", "bytes_before": 400, "bytes_after": 100, "parameters_before": 100, "parameters_after": 100,
    "duration_s": 1.5, "layers": [{
        "step": 0, "layer": "model.layers.0.mlp.up_proj", "method": "gptq", "error": 0.05, "error_of": "outputs",
        "bytes_before": 40, "bytes_after": 6,
    }],
}  # fmt: skip


@pytest.fixture
def base(project: Project, editor: User) -> ModelVersion:
    """Return ``base_v1`` with a real configuration."""
    files = {"config.json": json.dumps(CONFIG).encode(), "model.safetensors": safetensors((2, 3))}
    file_set = make_file_set(project.workspace, editor, files)
    return create_version(project=project, model_name="base", file_set=file_set, created_by=editor)


def _spec(*recipe: dict[str, Any], **fields: Any) -> dict[str, Any]:
    steps = list(recipe) or [{"method": "gptq"}]
    return {"kind": "compress", "model": "base_v1", "recipe": steps, "calibration": CALIBRATION} | fields


@pytest.mark.usefixtures("agent")
def test_result_is_a_version_of_the_same_model_with_its_parent_and_an_account(
    agent: FakeAgent, base: ModelVersion, dataset: DatasetVersion, project: Project, editor: User
) -> None:
    job = submit(project, editor, spec=_spec(), resources={"slots_per_node": 1})
    assert (job.dataset_version, job.input_version) == (dataset, base)
    run_pass()
    offer = agent.start()
    roles = {entry["role"] for entry in agent.claim(offer).json()["order"]["inputs"]}
    assert roles == {"dataset", "model"}
    agent.report(offer, "result", result=RESULT)
    agent.report(offer, "result", result=RESULT)  # a repetition changes nothing
    agent.model(offer)
    agent.exit(offer, "succeeded")
    job = Job.objects.get(pk=job.pk)
    assert job.state == "succeeded", job.state_reason
    version = job.output_version
    assert version is not None
    assert (str(version), version.parent) == ("base_v2", base)
    assert job.result is not None
    assert job.result["layers"][0]["error"] == 0.05
    assert "compressed from `base_v1`" in version.card


@pytest.mark.usefixtures("agent", "base", "dataset")
@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (_spec(model="base_v7"), "spec.model"),
        (_spec(model="/models/base"), "spec.model"),
        (_spec(calibration=CALIBRATION | {"dataset": "absent"}), "spec.calibration.dataset"),
        (_spec(calibration=CALIBRATION | {"num_samples": 1000}), "spec.calibration.num_samples"),
        (_spec(calibration=CALIBRATION | {"length": 512}), "spec.calibration.length"),
        (_spec(calibration=None), "spec"),
        (_spec({"method": "rtn"}, {"method": "magnitude"}), "spec"),
        (_spec({"method": "rtn", "group_size": 64}), "spec.recipe.0.group_size"),
        (_spec({"method": "rtn", "bits": 5}), "spec.recipe.0.bits"),
    ],
)
def test_recipe_that_cannot_work_is_refused_at_submit(
    project: Project, editor: User, spec: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        submit(project, editor, spec=spec, resources={"slots_per_node": 1})
    assert refused.value.errors[0].field == field
    assert not Job.objects.exists()


@pytest.mark.usefixtures("agent", "base", "dataset")
def test_compress_runs_on_one_slot(project: Project, editor: User) -> None:
    with pytest.raises(InvalidInput, match="one slot of one node"):
        submit(project, editor, spec=_spec(), resources={"slots_per_node": 2})
