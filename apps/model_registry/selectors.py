"""Reading the registry: what a user may see, and what a job means by a version's name."""

import re
from datetime import timedelta
from uuid import UUID

from django.db.models import Count, DurationField, ExpressionWrapper, F, Prefetch, Q, QuerySet, Value
from django.utils import timezone

from apps.accounts.models import Workspace
from apps.accounts.selectors import AnyUser, in_visible_workspaces
from apps.core.errors import Conflict, InvalidInput, NotFound
from apps.datasets.models import Dataset
from apps.model_registry.models import Model, ModelVersion

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}$"
_VERSION_NAME = re.compile(r"(?P<model>[a-z0-9][a-z0-9._-]{0,62})_v(?P<number>[1-9][0-9]{0,8})", re.ASCII)
_BESIDE = ("model__project", "file_set", "parent__model", "dataset_version__dataset", "created_by")


def live_versions() -> QuerySet[ModelVersion]:
    """Select the versions that are not deleted, of models that are not."""
    return ModelVersion.objects.filter(deleted_at=None, model__deleted_at=None)


def described_versions() -> QuerySet[ModelVersion]:
    """Select the living versions, each with all that describes it."""
    return live_versions().select_related(*_BESIDE)


def visible_models(user: AnyUser) -> QuerySet[Model]:
    """Select the models the user may see, each with its latest version and the number of its versions."""
    latest = live_versions().select_related(*_BESIDE).order_by("model_id", "-number").distinct("model_id")
    return (
        in_visible_workspaces(Model.objects.filter(deleted_at=None), user)
        .select_related("project", "created_by")
        .annotate(num_versions=Count("versions", filter=Q(versions__deleted_at=None)))
        .prefetch_related(Prefetch("versions", queryset=latest, to_attr="latest_versions"))
    )


def visible_versions(user: AnyUser) -> QuerySet[ModelVersion]:
    """Select the versions the user may see."""
    return in_visible_workspaces(live_versions(), user).select_related(*_BESIDE)


def version_by_id_or_name(*, user: AnyUser, reference: str) -> ModelVersion:
    """Return the version with this id or name (``tiny_v3``) that the user may see.

    Raises:
        NotFound: there is none.
        Conflict: several workspaces of the user have one of this name.
    """
    found = list(visible_versions(user).filter(_matching(reference))[:2])
    if not found:
        raise NotFound(f"There is no model version {reference[:100]!r}.")
    if len(found) > 1:
        raise Conflict(f"Several workspaces have a version {reference}.", code="ambiguous", remedy="Use its id.")
    return found[0]


def resolve_version(*, workspace: Workspace, reference: str, field: str = "model") -> ModelVersion:
    """Return the version that ``<model>_v<N>`` means in a workspace (model names are unique there).

    ``field`` is the path that a refusal names, such as ``spec.model.model``.

    Raises:
        InvalidInput: there is no such version.
    """
    match = _VERSION_NAME.fullmatch(reference)
    if match is None:
        raise InvalidInput(
            f"{reference[:100]!r} is no model version: write <model>_v<number>.", field=field, code="version_not_found"
        )
    versions = live_versions().filter(workspace=workspace).select_related(*_BESIDE)
    version = versions.filter(_matching(reference)).first()
    if version is None:
        raise InvalidInput(f"There is no model version {reference!r}.", field=field, code="version_not_found")
    return version


def versions_made_of(dataset: Dataset) -> str:
    """Say which living versions were made of a dataset; empty when none was."""
    versions = live_versions().filter(dataset_version__dataset=dataset).select_related("model").order_by("id")
    names = [str(version) for version in versions[:4]]
    if not names:
        return ""
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return f"Model versions were made of it: {shown}."


def keeps_files() -> Q:
    """Match the versions whose files must be kept: living ones, and those deleted within the retention."""
    days = ExpressionWrapper(
        F("model__project__retention_days") * Value(timedelta(days=1)), output_field=DurationField()
    )
    return Q(deleted_at=None) | Q(deleted_at__gt=Value(timezone.now()) - days)


def _matching(reference: str) -> Q:
    if (match := _VERSION_NAME.fullmatch(reference)) is not None:
        return Q(model__name=match.group("model"), number=int(match.group("number")))
    try:
        return Q(pk=UUID(reference))
    except ValueError:
        return Q(pk__in=[])
