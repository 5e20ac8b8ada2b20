"""Exports and distillations on the server: what they name is checked, and what they leave is found again."""

import json
from typing import Any

import pytest

from apps.accounts.models import User
from apps.core.errors import InvalidInput
from apps.jobs.models import Job
from apps.model_registry.models import ModelVersion
from apps.model_registry.services import create_version
from apps.projects.models import Project
from tests.apps.jobs.simulation import TRAIN_SPEC, FakeAgent, run_pass, submit
from tests.apps.model_registry.conftest import safetensors
from tests.apps.storage.factories import make_file_set

pytestmark = pytest.mark.django_db

CONFIG = {
    "model_type": "llama", "hidden_size": 96, "intermediate_size": 256, "max_position_embeddings": 512,
    "num_hidden_layers": 4, "vocab_size": 1000,
}  # fmt: skip
RESULT = {
    "kind": "export", "format": "edge_bundle", "precision": "int8", "opset": 20, "size_bytes": 3, "source_bytes": 24,
    "requirement": "top1_agreement at least 0.9", "answer": " end", "duration_s": 2.5,
    "checks": [{"batch": 1, "length": 7, "max_error": 0.02, "mean_error": 0.001, "top1_agreement": 1.0}],
}  # fmt: skip
STUDENT = {"source": "config", "hidden_size": 16, "num_layers": 1, "num_heads": 2, "intermediate_size": 32}


def make_version(project: Project, editor: User, *, tokenizer: bool = True, **config: Any) -> ModelVersion:
    """Make ``base_v1``."""
    files = {"config.json": json.dumps(CONFIG | config).encode(), "model.safetensors": safetensors((2, 3))}
    files |= {"tokenizer.json": b"{}"} if tokenizer else {}
    file_set = make_file_set(project.workspace, editor, files)
    return create_version(
        project=project, model_name="base", file_set=file_set, created_by=editor, num_parameters=1_000_000
    )


def _export(**target: Any) -> dict[str, Any]:
    return {"kind": "export", "model": "base_v1", "target": target}


def _distil(**changes: Any) -> dict[str, Any]:
    source = {"source": "distilled", "teacher": "base_v1", "student": STUDENT} | changes
    return TRAIN_SPEC | {"model": source, "tokenizer": {"source": "model"}}


def _refusal(project: Project, editor: User, spec: dict[str, Any], **resources: Any) -> tuple[str, str]:
    with pytest.raises(InvalidInput) as refused:
        submit(project, editor, spec=spec, resources={"slots_per_node": 1} | resources)
    assert not Job.objects.exists()
    return refused.value.errors[0].field, refused.value.errors[0].message


@pytest.mark.usefixtures("agent")
def test_exported_files_are_artifacts_of_a_job_that_its_version_leads_to(
    agent: FakeAgent, project: Project, editor: User, client_for: Any
) -> None:
    version = make_version(project, editor)
    job = submit(project, editor, spec=_export(format="edge_bundle"), resources={"slots_per_node": 1})
    run_pass()
    offer = agent.start()
    assert [entry["role"] for entry in agent.claim(offer).json()["order"]["inputs"]] == ["model"]
    agent.report(offer, "result", result=RESULT)
    agent.report(offer, "output", manifest=agent.manifest(offer, {"edge-bundle.zip": b"zip"}))
    agent.exit(offer, "succeeded")
    client = client_for(editor)
    (found,) = client.get(f"/api/v1/jobs?kind=export&input_version={version.pk}").json()["results"]
    assert (found["id"], found["state"], found["output_version"]) == (str(job.pk), "succeeded", None)
    assert client.get(f"/api/v1/jobs/{job.pk}").json()["result"]["checks"][0]["top1_agreement"] == 1.0
    (file,) = client.get(f"/api/v1/jobs/{job.pk}/artifacts").json()["results"]
    assert file["path"] == "edge-bundle.zip"
    sent = client.get(f"/api/v1/jobs/{job.pk}/artifacts/{file['id']}/content")
    assert b"".join(sent.streaming_content) == b"zip"


@pytest.mark.usefixtures("agent")
@pytest.mark.parametrize("reported", ["result", "output"])
def test_export_without_figures_or_without_files_has_failed(
    agent: FakeAgent, project: Project, editor: User, reported: str
) -> None:
    make_version(project, editor)
    job = submit(project, editor, spec=_export(format="onnx"), resources={"slots_per_node": 1})
    run_pass()
    offer = agent.start()
    if reported == "result":
        agent.report(offer, "result", result=RESULT)
    else:
        agent.report(offer, "output", manifest=agent.manifest(offer, {"model.onnx": b"graph"}))
    agent.exit(offer, "succeeded")
    job.refresh_from_db()
    assert job.state != "succeeded"
    assert ("without files" if reported == "result" else "without a result") in job.state_reason


@pytest.mark.usefixtures("agent")
@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        (_export(format="gguf"), "spec", "convert_hf_to_gguf.py"),
        (_export(format="onnx", precision="int2"), "spec.target.precision", "int4"),
        (_export(format="onnx", group_size=24), "spec.target.group_size", "16"),
        (_export(format="onnx") | {"model": "base_v7"}, "spec.model", "no model version"),
        (_export(format="onnx") | {"model": "/models/base"}, "spec.model", "is a path"),
    ],
)
def test_export_that_cannot_work_is_refused_at_submit(
    project: Project, editor: User, spec: dict[str, Any], field: str, message: str
) -> None:
    make_version(project, editor)
    refused = _refusal(project, editor, spec)
    assert refused[0].startswith(field)
    assert message in refused[1]


@pytest.mark.usefixtures("agent")
def test_version_that_cannot_be_exported_is_refused_at_submit(project: Project, editor: User) -> None:
    make_version(project, editor, model_type="low_rank_llama", tokenizer=False)
    with pytest.raises(InvalidInput) as refused:
        submit(project, editor, spec=_export(format="hugging_face"), resources={"slots_per_node": 1})
    assert [error.field for error in refused.value.errors] == ["spec.model", "spec.target.dtype"]
    assert _refusal(project, editor, _export(format="onnx"), slots_per_node=2)[0] == "resources.slots_per_node"


@pytest.mark.usefixtures("agent", "dataset")
def test_student_has_its_teacher_for_a_parent(agent: FakeAgent, project: Project, editor: User) -> None:
    teacher = make_version(project, editor)
    job = submit(project, editor, spec=_distil(), resources={"slots_per_node": 2})
    assert (job.input_version, job.output_model_name) == (teacher, "run")
    run_pass()
    offer = agent.start()
    agent.model(offer)
    agent.exit(offer, "succeeded")
    job = Job.objects.select_related("output_version").get(pk=job.pk)
    assert job.output_version is not None
    assert job.output_version.parent == teacher
    assert "distilled from `base_v1`" in job.output_version.card


@pytest.mark.usefixtures("agent", "dataset")
@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        (_distil(teacher="absent_v1"), "spec.model.teacher", "no model version"),
        (_distil() | {"tokenizer": {"source": "bpe"}}, "spec", "share the vocabulary"),
        (
            _distil(student=STUDENT | {"hidden_size": 512}),
            "spec.model.student",
            "no fewer than its teacher's 1,000,000",
        ),
        (_distil(max_parameters=1000), "spec.model.student", "more than max_parameters=1,000"),
        (_distil(student={"source": "teacher_layers", "layers": [0, 4]}), "spec.model.student.layers", "0 to 3"),
        (_distil(student={"source": "teacher_layers", "layers": [0, 1, 2, 3]}), "spec.model.student.layers", "itself"),
        (_distil(student={"source": "teacher_layers", "layers": [1, 0]}), "spec.model", "ascending"),
        (_distil() | {"data": {"dataset": "corpus", "context_length": 1024}}, "spec.data.context_length", "512"),
        (_distil() | {"distribution": {"mesh": {"tp": 2}}}, "spec.distribution.mesh", "whole logits"),
    ],
)
def test_student_that_cannot_learn_is_refused_at_submit(
    project: Project, editor: User, spec: dict[str, Any], field: str, message: str
) -> None:
    make_version(project, editor)
    refused = _refusal(project, editor, spec, slots_per_node=2)
    assert refused[0].startswith(field)
    assert message in refused[1]
