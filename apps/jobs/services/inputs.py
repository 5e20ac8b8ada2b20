"""What a spec names, found: dataset versions and model versions of the job's workspace."""

import re
from dataclasses import dataclass

from apps.core.errors import InvalidInput
from apps.datasets import selectors as datasets
from apps.datasets.models import DatasetVersion
from apps.jobs.services.compression import check_calibration, check_export, check_fit, check_student
from apps.jobs.services.evaluation import check_evaluation, reference_of
from apps.jobs.services.scripts import check_script
from apps.model_registry import selectors as models
from apps.model_registry.models import ModelVersion
from apps.projects.models import Project
from apps.storage.models import FileSet
from workers.contract.compression.recipe import CompressSpec
from workers.contract.evaluation.spec import EvaluateSpec
from workers.contract.export import ExportSpec
from workers.contract.generation import GenerateSpec
from workers.contract.jobs import AnySpec
from workers.contract.model_source import DistilledModel, PretrainedModel
from workers.contract.scripting import ScriptSpec
from workers.contract.training import TrainSpec

_PATH_LIKE = re.compile(r"^[~.]|[/\\]")


@dataclass(frozen=True, slots=True)
class ResolvedInputs:
    """Rows behind the names of a spec."""

    dataset_version: DatasetVersion | None = None
    input_version: ModelVersion | None = None
    source_file_set: FileSet | None = None
    reference_version: ModelVersion | None = None


def resolve_inputs(*, project: Project, spec: AnySpec) -> ResolvedInputs:
    """Find what the spec reads. What names mean is known by the apps that own them.

    Raises:
        InvalidInput: a name is not known, not ready, or a path of some machine; with the field's path.
    """
    if isinstance(spec, GenerateSpec):
        return ResolvedInputs(input_version=_model_version(project, spec.model, "spec.model"))
    if isinstance(spec, ScriptSpec):
        check_script(project=project, spec=spec)
        return ResolvedInputs(
            _dataset_version(project, spec.dataset, "spec.dataset") if spec.dataset else None,
            _model_version(project, spec.model, "spec.model") if spec.model else None,
        )
    if isinstance(spec, CompressSpec):
        return _inputs_of_compression(project, spec)
    if isinstance(spec, EvaluateSpec):
        return _inputs_of_evaluation(project, spec)
    if isinstance(spec, ExportSpec):
        version = _model_version(project, spec.model, "spec.model")
        check_export(spec=spec, version=version)
        return ResolvedInputs(input_version=version)
    return _inputs_of_training(project, spec)


def _inputs_of_training(project: Project, spec: TrainSpec) -> ResolvedInputs:
    model, version = spec.model, None
    if isinstance(model, PretrainedModel):
        version = _model_version(project, model.model, "spec.model.model")
    elif isinstance(model, DistilledModel):
        version = _model_version(project, model.teacher, "spec.model.teacher")
        check_student(spec=spec, teacher=version)
    return ResolvedInputs(_dataset_version(project, spec.data.dataset, "spec.data.dataset"), version)


def _inputs_of_compression(project: Project, spec: CompressSpec) -> ResolvedInputs:
    version = _model_version(project, spec.model, "spec.model")
    check_fit(spec=spec, version=version)
    dataset = None
    if spec.calibration is not None:
        dataset = _dataset_version(project, spec.calibration.dataset, "spec.calibration.dataset")
        check_calibration(calibration=spec.calibration, dataset_version=dataset)
    return ResolvedInputs(dataset, version)


def _inputs_of_evaluation(project: Project, spec: EvaluateSpec) -> ResolvedInputs:
    version = _model_version(project, spec.model, "spec.model")
    named = _model_version(project, spec.reference, "spec.reference") if spec.reference else None
    reference = reference_of(spec=spec, version=version, named=named)
    check_evaluation(spec=spec, version=version, has_reference=reference is not None)
    dataset = _dataset_version(project, spec.dataset, "spec.dataset") if spec.dataset else None
    return ResolvedInputs(dataset, version, reference_version=reference)


def _dataset_version(project: Project, reference: str, field: str) -> DatasetVersion:
    _refuse_path(reference, field, "a dataset, such as `name` or `name@3`")
    return datasets.resolve_version(project=project, reference=reference, field=field)


def _model_version(project: Project, reference: str, field: str) -> ModelVersion:
    _refuse_path(reference, field, "a model version, such as `name_v3`")
    return models.resolve_version(workspace=project.workspace, reference=reference, field=field)


def _refuse_path(reference: str, field: str, wanted: str) -> None:
    if _PATH_LIKE.search(reference):
        raise InvalidInput(
            f"{reference!r} is a path; a job of the control plane names {wanted}.",
            field=field,
            remedy="Upload the files first; local paths work with `torchrun -m workers.runtime` alone.",
        )
