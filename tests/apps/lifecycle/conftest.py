"""Fixtures of the lifecycle tests: a model with versions, and figures of them."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from apps.accounts.models import User
from apps.datasets.models import DatasetVersion
from apps.jobs.models import Job
from apps.model_registry.models import ModelVersion
from apps.model_registry.services import create_version
from apps.projects.models import Project
from tests.apps.jobs.simulation import FakeAgent, control_plane_up_for, make_dataset, run_pass
from tests.apps.model_registry.conftest import safetensors
from tests.apps.storage.factories import make_file_set
from workers.contract.evaluation.metrics import METRICS

CONFIG = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "max_position_embeddings": 512}
HARDWARE = {"device": "cpu", "name": "Imaginary CPU", "cores": 2, "threads": 1}

MakeVersion = Callable[..., ModelVersion]
Measure = Callable[..., Job]


@pytest.fixture
def dataset(project: Project) -> DatasetVersion:
    """Return a ready dataset version, ``corpus@1``."""
    return make_dataset(project)


@pytest.fixture
def agent(db: None) -> FakeAgent:
    """Return one agent that runs one job at a time in the pool ``default``."""
    control_plane_up_for(3600)
    return FakeAgent(slots=1).join()


@pytest.fixture
def owner_api(client_for: Callable[[User | None], APIClient], owner: User) -> APIClient:
    """Return a client of the workspace's owner."""
    return client_for(owner)


def version_of(project: Project, actor: User, name: str = "tiny", **fields: Any) -> ModelVersion:
    """Make the next version of a model; its weights are its own."""
    number = ModelVersion.objects.count() + 1
    config = CONFIG | fields.pop("config", {})
    files = {
        "config.json": json.dumps(config).encode(),
        "tokenizer.json": fields.pop("tokenizer", b"{}"),
        "model.safetensors": safetensors((2, number)),
    }
    file_set = make_file_set(project.workspace, actor, files)
    return create_version(project=project, model_name=name, file_set=file_set, created_by=actor, **fields)


@pytest.fixture
def make_version(project: Project, editor: User) -> MakeVersion:
    """Return a function that makes the next version of ``tiny``."""
    return lambda *args, **fields: version_of(project, editor, *args, **fields)


def finish_evaluation(agent: FakeAgent, *, hardware: Any = None, **values: float) -> Job:
    """Let the agent run the one evaluation that is queued, and report these figures."""
    run_pass()
    offer = agent.start()
    measurements = [
        {"metric": metric, "value": value, "unit": METRICS[metric].unit, "spread": 0.1, "dtype": "fp32"}
        for metric, value in values.items()
    ]
    result = {
        "kind": "evaluate", "measurements": measurements, "hardware": hardware or HARDWARE, "duration_s": 1.0,
    }  # fmt: skip
    assert agent.report(offer, "result", result=result).status_code == 200
    assert agent.exit(offer, "succeeded").status_code == 200
    job = Job.objects.get(attempts__allocations=offer["allocation_id"])
    assert job.state == "succeeded", job.state_reason
    return job
