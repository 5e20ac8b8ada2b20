"""What a job would take, told before it is submitted."""

import json
from typing import Any

import pytest
from rest_framework.test import APIClient

from apps.accounts.models import User
from apps.datasets.models import DatasetVersion
from apps.jobs.models import Job
from apps.model_registry.services import create_version
from apps.projects.models import Project
from tests.apps.jobs.simulation import TRAIN_SPEC, FakeAgent
from tests.apps.model_registry.conftest import safetensors
from tests.apps.storage.factories import make_file_set

pytestmark = pytest.mark.django_db


def estimate(api: APIClient, project: Project, **fields: Any) -> Any:
    return api.post("/api/v1/jobs/estimate", {"project": str(project.pk), "spec": TRAIN_SPEC} | fields)


def test_training_is_estimated_and_nothing_written(
    api: APIClient, project: Project, agent: FakeAgent, dataset: DatasetVersion
) -> None:
    spec = TRAIN_SPEC | {
        "model": {"source": "config", "hidden_size": 64, "num_layers": 2, "num_heads": 4, "intermediate_size": 128},
        "tokenizer": {"source": "bpe", "vocab_size": 1000},
        "data": {**TRAIN_SPEC["data"], "context_length": 32},
        "micro_batch_size": 4,
        "distribution": {"data_parallel": {"kind": "fsdp"}},
    }
    answer = estimate(api, project, spec=spec, resources={"slots_per_node": 2})
    assert answer.status_code == 200, answer.content
    body = answer.json()
    parameters = 1000 * 64 + 2 * (4 * 64 * 64 + 3 * 64 * 128 + 2 * 64) + 64
    assert body["num_ranks"] == 2
    assert body["training"]["num_parameters"] == parameters
    assert body["training"]["tokens_per_step"] == 4 * 32 * 2
    assert body["training"]["mesh"] == {"pp": 1, "dp_replicate": 1, "dp_shard": 2, "tp": 1}
    memory = body["training"]["memory"]
    assert memory["weights"] == 4 * parameters // 2
    assert memory["total"] == sum(memory[name] for name in ("weights", "gradients", "optimizer", "activations"))
    assert not Job.objects.exists()


def test_what_submitting_would_refuse_is_refused(
    api: APIClient, project: Project, agent: FakeAgent, dataset: DatasetVersion
) -> None:
    spec = TRAIN_SPEC | {"distribution": {"mesh": {"tp": 2}}}
    answer = estimate(api, project, spec=spec, resources={"slots_per_node": 1})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "spec.distribution.mesh"


SIZES = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 99}


@pytest.mark.usefixtures("agent", "dataset")
@pytest.mark.parametrize(("sizes", "is_known"), [(SIZES, True), (SIZES | {"vocab_size": "many"}, False)])
def test_a_stored_model_is_estimated_where_its_configuration_tells(
    api: APIClient, project: Project, editor: User, sizes: dict[str, Any], is_known: bool
) -> None:
    config = json.dumps({"model_type": "llama"} | sizes).encode()
    file_set = make_file_set(
        project.workspace, editor, {"config.json": config, "model.safetensors": safetensors((2, 3))}
    )
    create_version(project=project, model_name="base", file_set=file_set, created_by=editor)
    spec = TRAIN_SPEC | {"model": {"source": "pretrained", "model": "base_v1"}, "tokenizer": {"source": "model"}}
    training = estimate(api, project, spec=spec).json()["training"]
    assert training["num_parameters"] == 6
    assert training["tokens_per_step"] == 8 * 256
    assert (training["memory"] is not None) == is_known
