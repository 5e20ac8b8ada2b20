"""Reading datasets: what a user may see, what a job means by a name, the first records."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from uuid import UUID

from django.db.models import DurationField, ExpressionWrapper, F, Prefetch, Q, QuerySet, Value
from django.utils import timezone

from apps.accounts.selectors import AnyUser, in_visible_workspaces
from apps.core.errors import InvalidInput, NotFound
from apps.datasets.documents import UnusableFile, first_documents, is_data
from apps.datasets.models import Dataset, DatasetVersion, VersionState
from apps.projects.models import Project
from apps.storage.selectors import StoredFile, stored_files

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
MAX_PREVIEW_CHARACTERS = 2000
MAX_PREVIEW_RECORDS = 100
_REFERENCE = re.compile(r"(?P<name>[^@]+)(?:@(?P<number>[0-9]{1,9}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class PreviewRecord:
    """The beginning of one document."""

    file: str
    place: int | None
    """Line or row, counted from 1; None for a file that is one document."""
    text: str
    is_truncated: bool


@dataclass(frozen=True, slots=True)
class Preview:
    """The first records, up to the first that cannot be read (``error`` says why)."""

    records: list[PreviewRecord]
    error: str


def dataset_topic(dataset_id: UUID | str) -> str:
    """Name the live topic on which a dataset's versions show their progress."""
    return f"dataset:{dataset_id}"


def visible_datasets(user: AnyUser) -> QuerySet[Dataset]:
    """Select the datasets the user may see that are not deleted, each with its latest version beside it."""
    latest = (
        DatasetVersion.objects.select_related("dataset", "file_set", "created_by")
        .order_by("dataset_id", "-number")
        .distinct("dataset_id")
    )
    rows = Dataset.objects.filter(deleted_at=None, project__deleted_at=None)
    return (
        in_visible_workspaces(rows, user)
        .select_related("project", "created_by")
        .prefetch_related(Prefetch("versions", queryset=latest, to_attr="latest_versions"))
    )


def dataset_by_id(*, user: AnyUser, dataset_id: UUID) -> Dataset:
    """Return a dataset the user may see.

    Raises:
        NotFound: there is none.
    """
    dataset = visible_datasets(user).filter(pk=dataset_id).select_related("workspace").first()
    if dataset is None:
        raise NotFound("There is no such dataset.")
    return dataset


def visible_versions(user: AnyUser) -> QuerySet[DatasetVersion]:
    """Select the versions of datasets the user may see."""
    rows = DatasetVersion.objects.filter(dataset__deleted_at=None, dataset__project__deleted_at=None)
    return in_visible_workspaces(rows, user).select_related("dataset", "file_set", "created_by")


def resolve_version(*, project: Project, reference: str, field: str = "dataset") -> DatasetVersion:
    """Return the version that ``name`` (the latest) or ``name@3`` means in a project; it is ready to be read.

    The project's own dataset comes first, then the workspace's only one of that name.
    ``field`` is the path that a refusal names, such as ``spec.data.dataset``.

    Raises:
        InvalidInput: there is none, it is still being read (code ``dataset_pending``), or it is not usable
            (code ``dataset_failed``).
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise InvalidInput(f"{reference!r} is no dataset: write name or name@3.", field=field)
    name, number = match.group("name"), match.group("number")
    dataset = _named_dataset(project, name, field)
    versions = dataset.versions.select_related("dataset", "file_set").order_by("-number")
    version = versions.filter(number=int(number)).first() if number else versions.first()
    if version is None:
        why = f"has no version {number}" if number else "has no version yet: add files to it first"
        raise InvalidInput(f"Dataset {name!r} {why}.", field=field, code="dataset_not_found")
    if version.state == VersionState.PENDING:
        raise InvalidInput(
            f"{version} is still being read ({version.progress:.0%}).",
            field=field,
            code="dataset_pending",
            remedy="Submit again when the version is ready.",
        )
    if version.state == VersionState.FAILED:
        raise InvalidInput(f"{version} is not usable: {version.error}", field=field, code="dataset_failed")
    return version


def preview(*, version: DatasetVersion, limit: int = 20) -> Preview:
    """Return the beginning of the first ``limit`` documents that are not blank."""
    records: list[PreviewRecord] = []
    try:
        for record in islice(_records(stored_files(version.file_set)), limit):
            records.append(record)  # noqa: PERF402 - what was read before an error is kept
    except UnusableFile as error:
        return Preview(records, str(error))
    return Preview(records, "")


def keeps_files() -> Q:
    """Match the versions whose files must be kept: of datasets that live, or were deleted within the retention."""
    days = ExpressionWrapper(
        F("dataset__project__retention_days") * Value(timedelta(days=1)), output_field=DurationField()
    )
    return Q(dataset__deleted_at=None) | Q(dataset__deleted_at__gt=Value(timezone.now()) - days)


def _records(files: list[StoredFile]) -> Iterator[PreviewRecord]:
    for file in files:
        if not is_data(file.path):
            continue
        for document in first_documents(file, max_characters=MAX_PREVIEW_CHARACTERS):
            if document.text.strip():
                text = document.text[:MAX_PREVIEW_CHARACTERS]
                yield PreviewRecord(file.path, document.place, text, is_truncated=len(text) < len(document.text))


def _named_dataset(project: Project, name: str, field: str) -> Dataset:
    """Find a dataset by name: in the project, else elsewhere in its workspace where only one has the name."""
    named = Dataset.objects.filter(
        workspace_id=project.workspace_id, name=name, deleted_at=None, project__deleted_at=None
    )
    found = list(named.filter(project=project)) or list(named[:2])
    if not found:
        raise InvalidInput(f"There is no dataset {name!r} in this workspace.", field=field, code="dataset_not_found")
    if len(found) > 1:
        raise InvalidInput(
            f"Several projects of this workspace have a dataset {name!r}, this one has none.",
            field=field,
            code="dataset_ambiguous",
        )
    return found[0]
