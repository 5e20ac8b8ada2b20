"""What a spec names, found: dataset versions and model versions of the job's workspace."""

import re
from dataclasses import dataclass

from apps.core.errors import InvalidInput
from apps.datasets.models import Dataset, DatasetVersion, VersionState
from apps.model_registry.models import ModelVersion
from apps.projects.models import Project
from workers.contract.generation import GenerateSpec
from workers.contract.training import PretrainedModel, TrainSpec

_PATH_LIKE = re.compile(r"^[~.]|[/\\]")
_MODEL_VERSION = re.compile(r"^(?P<model>.+)_v(?P<number>[1-9][0-9]{0,8})$")
_NUMBER = re.compile(r"^[1-9][0-9]{0,8}$")


@dataclass(frozen=True, slots=True)
class ResolvedInputs:
    """Rows behind the names of a spec."""

    dataset_version: DatasetVersion | None = None
    input_version: ModelVersion | None = None


def resolve_inputs(*, project: Project, spec: TrainSpec | GenerateSpec) -> ResolvedInputs:
    """Find what the spec reads.

    Raises:
        InvalidInput: a name is not known, not ready, or a path of some machine; with the field's path.
    """
    if isinstance(spec, GenerateSpec):
        return ResolvedInputs(input_version=_model_version(project, spec.model, "spec.model"))
    model = spec.model
    version = _model_version(project, model.model, "spec.model.model") if isinstance(model, PretrainedModel) else None
    return ResolvedInputs(_dataset_version(project, spec.data.dataset), version)


def _dataset_version(project: Project, reference: str) -> DatasetVersion:
    field = "spec.data.dataset"
    _refuse_path(reference, field, "a dataset, such as `name` or `name@3`")
    name, has_number, number = reference.rpartition("@")
    if not has_number:
        name, number = reference, ""
    elif not _NUMBER.match(number):
        raise InvalidInput(f"{reference!r}: what follows `@` is the number of a version.", field=field)
    dataset = _dataset(project, name)
    if dataset is None:
        raise InvalidInput(f"There is no dataset {name!r} in this workspace.", field=field)
    versions = dataset.versions.select_related("dataset", "file_set").order_by("-number")
    if number:
        version = versions.filter(number=int(number)).first()
        if version is None:
            raise InvalidInput(f"Dataset {name!r} has no version {number}.", field=field)
        if version.state != VersionState.READY:
            raise InvalidInput(f"{reference!r} cannot be used: {_why_not_ready(version)}", field=field)
        return version
    ready = versions.filter(state=VersionState.READY).first()
    if ready is None:
        newest = versions.first()
        why = _why_not_ready(newest) if newest else "it has no version yet."
        raise InvalidInput(f"Dataset {name!r} cannot be used: {why}", field=field)
    return ready


def _dataset(project: Project, name: str) -> Dataset | None:
    """Find a dataset by name: in the job's own project first, then elsewhere in the workspace if it is unambiguous."""
    named = Dataset.objects.filter(workspace_id=project.workspace_id, name=name, deleted_at=None)
    own = named.filter(project=project).first()
    if own is not None:
        return own
    others = list(named.filter(project__deleted_at=None)[:2])
    if len(others) > 1:
        raise InvalidInput(
            f"Several projects of this workspace have a dataset {name!r}, this one has none.", field="spec.data.dataset"
        )
    return others[0] if others else None


def _why_not_ready(version: DatasetVersion) -> str:
    if version.state == VersionState.FAILED:
        return f"version {version.number} is not usable: {version.error}"
    return f"version {version.number} is still being read; try again when it is ready."


def _model_version(project: Project, reference: str, field: str) -> ModelVersion:
    _refuse_path(reference, field, "a model version, such as `name_v3`")
    match = _MODEL_VERSION.match(reference)
    if match is None:
        raise InvalidInput(f"{reference!r} is not the name of a model version: `<model>_v<number>`.", field=field)
    version = (
        ModelVersion.objects.filter(
            workspace_id=project.workspace_id,
            model__name=match["model"],
            model__deleted_at=None,
            number=int(match["number"]),
            deleted_at=None,
        )
        .select_related("model", "file_set")
        .first()
    )
    if version is None:
        raise InvalidInput(f"There is no model version {reference!r} in this workspace.", field=field)
    return version


def _refuse_path(reference: str, field: str, wanted: str) -> None:
    if _PATH_LIKE.search(reference):
        raise InvalidInput(
            f"{reference!r} is a path; a job of the control plane names {wanted}.",
            field=field,
            remedy="Upload the files first; local paths work with `torchrun -m workers.runtime` alone.",
        )
