"""A mesh and the model version that a job starts from: what does not divide is refused before anything is taken."""

import json
import math
from typing import Any

import pytest

from apps.accounts.models import User
from apps.core.errors import InvalidInput
from apps.jobs.models import Job
from apps.model_registry.services import create_version
from apps.projects.models import Project
from tests.apps.jobs.simulation import TRAIN_SPEC, FakeAgent, submit
from tests.apps.model_registry.conftest import safetensors
from tests.apps.storage.factories import make_file_set

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("dataset", "agent")]

QWEN = {"model_type": "qwen2", "num_attention_heads": 6, "num_key_value_heads": 2, "num_hidden_layers": 3}


def start_from(project: Project, editor: User, config: dict[str, Any], mesh: dict[str, int], **resources: int) -> Job:
    """Submit a job that starts from a version with this configuration."""
    files = {"config.json": json.dumps(config).encode(), "model.safetensors": safetensors((2, 3))}
    file_set = make_file_set(project.workspace, editor, files)
    create_version(project=project, model_name="base", file_set=file_set, created_by=editor)
    spec = TRAIN_SPEC | {
        "model": {"source": "pretrained", "model": "base_v1"},
        "tokenizer": {"source": "model"},
        "distribution": {"mesh": mesh},
        "micro_batch_size": 12,
        "gradient_accumulation": 12,
    }
    return submit(project, editor, spec=spec, resources={"pool": "default", "nodes": 1} | resources)


@pytest.mark.parametrize(
    ("config", "mesh", "message"),
    [
        (QWEN, {"tp": 4}, "base_v1: tp=4 does not divide the model's 6 attention heads"),
        (QWEN, {"tp": 3}, "base_v1: tp=3 does not divide the model's 2 key-value heads"),
        (QWEN, {"pp": 4}, "4 stages, but the model has only 3 layers"),
        ({"model_type": "gpt2", "n_head": 4}, {"tp": 2}, "no plan for splitting a model of family 'gpt2'"),
        (QWEN | {"num_hidden_layers": "many"}, {"tp": 2}, "the model's config.json cannot be read"),
    ],
)
def test_version_that_the_mesh_cannot_split_is_refused_with_the_arithmetic(
    project: Project, editor: User, config: dict[str, Any], mesh: dict[str, int], message: str
) -> None:
    FakeAgent(name="large", slots=4).join()
    with pytest.raises(InvalidInput) as refused:
        start_from(project, editor, config, mesh, slots_per_node=math.prod(mesh.values()))
    (error,) = refused.value.errors
    assert error.field.startswith("spec.distribution.mesh")
    assert message in error.message
    assert not Job.objects.exists()


def test_version_that_divides_is_taken(project: Project, editor: User) -> None:
    assert start_from(project, editor, QWEN, {"tp": 2}, slots_per_node=2).input_version is not None


def test_every_size_of_an_elastic_job_has_to_divide(project: Project, editor: User) -> None:
    FakeAgent(name="second", slots=2).join()
    with pytest.raises(InvalidInput) as refused:
        start_from(project, editor, QWEN, {"tp": 2}, nodes=2, min_nodes=1, slots_per_node=1)
    (error,) = refused.value.errors
    assert error.field == "spec.distribution.mesh"
    assert "does not divide the job's 1 ranks (on 1 of 1 to 2 nodes)" in error.message
