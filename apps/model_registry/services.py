"""Every change of the registry. Versions are numbered under the model's lock, so there are no gaps and no twins."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.accounts.models import User
from apps.core import events
from apps.core.errors import Conflict, NameTaken
from apps.datasets.models import DatasetVersion
from apps.model_registry import references
from apps.model_registry.card import CardFacts, render_card
from apps.model_registry.layout import check_layout, count_parameters
from apps.model_registry.models import Model, ModelVersion
from apps.projects.models import Project
from apps.storage.models import FileSet
from apps.storage.selectors import file_refs, stored_files
from apps.storage.services import build_file_set
from workers.contract.manifest import FileRef


@transaction.atomic
def create_model(*, actor: User, project: Project, name: str, description: str = "") -> Model:
    """Make a model without versions.

    Raises:
        NameTaken: the name is taken in this workspace.
    """
    if Model.objects.filter(workspace_id=project.workspace_id, name=name, deleted_at=None).exists():
        raise NameTaken("model", name)
    model = Model.objects.create(
        workspace_id=project.workspace_id, project=project, name=name, description=description, created_by=actor
    )
    events.record(model, action="model.create", actor=actor, after={"name": name})
    return model


@transaction.atomic
def create_version(
    *,
    project: Project,
    model_name: str,
    file_set: FileSet,
    created_by: User | None,
    config: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    num_parameters: int | None = None,
    parent: ModelVersion | None = None,
    dataset_version: DatasetVersion | None = None,
    code_revision: str = "",
) -> ModelVersion:
    """Make the next version of a model, and the model when there is none of this name in the workspace.

    ``config`` is the spec that made it (JSON), ``metrics`` its final figures (wire floats). ``num_parameters`` is
    counted from the weights when it is not given. The card is written from all of this.

    Raises:
        InvalidInput: the files are no model in the Hugging Face layout (code ``not_a_model``).
    """
    check_layout(file_refs(file_set))
    if num_parameters is None:
        num_parameters = count_parameters(stored_files(file_set))
    model = _lock_model(project, model_name, created_by)
    model.last_version_number += 1
    version = ModelVersion(
        workspace_id=model.workspace_id,
        model=model,
        number=model.last_version_number,
        parent=parent,
        dataset_version=dataset_version,
        file_set=file_set,
        config=dict(config or {}),
        metrics=dict(metrics or {}),
        num_parameters=num_parameters,
        code_revision=code_revision,
        created_by=created_by,
    )
    version.card = render_card(_facts(version))
    model.save(update_fields=["last_version_number", "updated_at"])
    version.save()
    after = {"name": str(version), "digest": file_set.digest}
    events.record(version, action="model_version.create", actor=created_by, after=after)
    return version


@transaction.atomic
def import_version(*, actor: User, model: Model, files: Sequence[FileRef]) -> ModelVersion:
    """Make a version of uploaded files: a model that was trained elsewhere.

    Raises:
        InvalidInput: the files are not stored, or no model.
    """
    check_layout(files)  # before the set is made, so that a refusal names the file as it was given
    file_set = build_file_set(workspace=model.workspace, files=files)
    return create_version(project=model.project, model_name=model.name, file_set=file_set, created_by=actor)


@transaction.atomic
def change_model(*, model: Model, actor: User, description: str) -> Model:
    """Change the description."""
    if description != model.description:
        before, after = {"description": model.description}, {"description": description}
        events.record(model, action="model.change", actor=actor, before=before, after=after)
        model.description = description
        model.save(update_fields=["description", "updated_at"])
    return model


@transaction.atomic
def change_card(*, version: ModelVersion, actor: User, card: str) -> ModelVersion:
    """Replace the model card."""
    if card != version.card:
        events.record(version, action="model_version.card", actor=actor, before={"card": version.card})
        version.card = card
        version.save(update_fields=["card", "updated_at"])
    return version


@transaction.atomic
def delete_version(*, version: ModelVersion, actor: User) -> None:
    """Delete a version softly; its number is not given again, its bytes go after the project's retention.

    Raises:
        Conflict: something living refers to it.
    """
    Model.objects.select_for_update().get(pk=version.model_id)  # as every change of a stage does: one or the other
    locked = ModelVersion.objects.select_for_update(of=("self",)).select_related("model").get(pk=version.pk)
    if locked.deleted_at is None:
        _refuse_if_referenced(locked, dying=frozenset({locked.pk}))
        _mark_deleted(locked, actor)


@transaction.atomic
def delete_model(*, model: Model, actor: User) -> None:
    """Delete a model with all its versions, softly; its name is free at once.

    Raises:
        Conflict: something living refers to one of its versions.
    """
    locked = Model.objects.select_for_update().filter(pk=model.pk, deleted_at=None).first()
    if locked is None:
        return
    rows = ModelVersion.objects.select_for_update(of=("self",)).select_related("model")
    versions = list(rows.filter(model=locked, deleted_at=None).order_by("pk"))
    dying = frozenset(version.pk for version in versions)
    for version in versions:
        _refuse_if_referenced(version, dying=dying)
    for version in versions:
        _mark_deleted(version, actor)
    locked.deleted_at = timezone.now()
    locked.save(update_fields=["deleted_at", "updated_at"])
    events.record(locked, action="model.delete", actor=actor, before={"name": locked.name})


def _lock_model(project: Project, name: str, created_by: User | None) -> Model:
    """Return the workspace's model of this name, locked; made in ``project`` when there is none."""
    row = Model(workspace_id=project.workspace_id, project=project, name=name, created_by=created_by)
    Model.objects.bulk_create([row], ignore_conflicts=True)  # waits for another who makes it at this moment
    model = Model.objects.select_for_update(of=("self",)).get(
        workspace_id=project.workspace_id, name=name, deleted_at=None
    )
    if model.pk == row.pk:
        events.record(model, action="model.create", actor=created_by, after={"name": name})
    return model


def _refuse_if_referenced(version: ModelVersion, *, dying: frozenset[UUID]) -> None:
    held = references.what_refers_to(version)
    children = version.children.filter(deleted_at=None).exclude(pk__in=dying).select_related("model").order_by("id")
    if names := [str(child) for child in children[:3]]:
        held.append(f"Versions were made from {version}: {', '.join(names)}.")
    if held:
        raise Conflict(" ".join(held), code="referenced", remedy="Delete what refers to it first.")


def _mark_deleted(version: ModelVersion, actor: User) -> None:
    version.deleted_at = timezone.now()
    version.save(update_fields=["deleted_at", "updated_at"])
    events.record(version, action="model_version.delete", actor=actor, before={"name": str(version)})


def _facts(version: ModelVersion) -> CardFacts:
    dataset = version.dataset_version
    return CardFacts(
        name=str(version),
        num_parameters=version.num_parameters,
        size_bytes=version.file_set.size_bytes,
        config=version.config,
        metrics=version.metrics,
        parent=str(version.parent) if version.parent else "",
        dataset=str(dataset) if dataset else "",
        dataset_statistics=(dataset.statistics or {}) if dataset else {},
        created_by=version.created_by.get_username() if version.created_by else "",
        code_revision=version.code_revision,
    )
