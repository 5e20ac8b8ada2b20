"""Every change of datasets and their versions."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from apps.accounts.models import User
from apps.core import events, live
from apps.core.errors import Conflict, InvalidInput, NameTaken, NotFound
from apps.core.hints import send_after_commit
from apps.datasets import references, server_paths, statistics
from apps.datasets.documents import UnusableFile, format_of, is_data
from apps.datasets.models import Dataset, DatasetFormat, DatasetVersion, VersionState
from apps.datasets.selectors import dataset_topic
from apps.projects.models import Project
from apps.storage.selectors import stored_files
from apps.storage.services import build_file_set, store_file
from workers.contract.manifest import FileRef

STATISTICS_TASK = "cox.datasets.compute_statistics"
MAX_READS = 5
"""A version whose reader died so often is given up: it may be what kills it."""
SILENCE = timedelta(seconds=60)
"""A reader that showed no progress for so long is dead, and a hint that old is lost."""
_PROGRESS_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version, and whether it was made just now."""

    version: DatasetVersion
    is_new: bool


@transaction.atomic
def create_dataset(
    *, actor: User, project: Project, name: str, description: str = "", format: str = DatasetFormat.AUTO
) -> Dataset:
    """Make an empty dataset.

    Raises:
        NameTaken: the name is taken in this project.
    """
    if Dataset.objects.filter(project=project, name=name, deleted_at=None).exists():
        raise NameTaken("dataset", name)
    dataset = Dataset.objects.create(
        workspace_id=project.workspace_id,
        project=project,
        name=name,
        description=description,
        format=format,
        created_by=actor,
    )
    events.record(dataset, action="dataset.create", actor=actor, after={"name": name, "format": format})
    return dataset


@transaction.atomic
def change_dataset(*, dataset: Dataset, actor: User, description: str) -> Dataset:
    """Change the description."""
    if description != dataset.description:
        events.record(
            dataset,
            action="dataset.change",
            actor=actor,
            before={"description": dataset.description},
            after={"description": description},
        )
        dataset.description = description
        dataset.save(update_fields=["description", "updated_at"])
    return dataset


@transaction.atomic
def create_version(*, dataset: Dataset, actor: User, files: Sequence[FileRef]) -> NewVersion:
    """Make the next version of stored files; content equal to the latest version's gives that version.

    Its statistics are computed in the background; until they are, it is ``pending``.

    Raises:
        InvalidInput: see ``build_file_set``; or a file's name does not fit the dataset's format.
        NotFound: the dataset was deleted meanwhile.
    """
    _check_names(dataset, files)
    locked = Dataset.objects.select_for_update().filter(pk=dataset.pk, deleted_at=None).first()
    if locked is None:
        raise NotFound("There is no such dataset.")
    file_set = build_file_set(workspace=dataset.workspace, files=files)
    latest = dataset.versions.order_by("-number").first()
    if latest is not None and latest.file_set_id == file_set.pk:
        return NewVersion(latest, is_new=False)
    version = DatasetVersion.objects.create(
        workspace_id=dataset.workspace_id,
        dataset=dataset,
        number=latest.number + 1 if latest else 1,
        file_set=file_set,
        created_by=actor,
    )
    after = {"number": version.number, "digest": file_set.digest, "files": len(files)}
    events.record(dataset, action="dataset.version", actor=actor, after=after)
    send_after_commit(STATISTICS_TASK, args=[str(version.pk)])
    return NewVersion(version, is_new=True)


def create_version_from_path(*, dataset: Dataset, actor: User, server_path: str) -> NewVersion:
    """Copy an allowed file or directory of the server into the store, and make the next version of it.

    Raises:
        InvalidInput: see ``server_paths.list_server_files`` and ``create_version``.
    """
    found = server_paths.list_server_files(server_path)
    files = []
    for file in found:
        try:
            artifact = store_file(workspace=dataset.workspace, user=actor, source=file.source)
        except PermissionError as error:
            raise InvalidInput(f"{file.path} cannot be read by the server.", field="server_path") from error
        files.append(FileRef(path=file.path, size_bytes=artifact.size_bytes, sha256=artifact.sha256))
    return create_version(dataset=dataset, actor=actor, files=files)


@transaction.atomic
def delete_dataset(*, dataset: Dataset, actor: User) -> None:
    """Delete a dataset softly: its name is free at once, its bytes go when the project's retention has passed.

    Raises:
        Conflict: something living refers to it.
    """
    locked = Dataset.objects.select_for_update().filter(pk=dataset.pk, deleted_at=None).first()
    if locked is None:
        return
    if held := references.what_refers_to(locked):
        raise Conflict(" ".join(held), code="referenced", remedy="Delete what refers to it first.")
    locked.deleted_at = timezone.now()
    locked.save(update_fields=["deleted_at", "updated_at"])
    events.record(locked, action="dataset.delete", actor=actor, before={"name": locked.name})


def compute_statistics(*, version_id: UUID) -> None:
    """Read a pending version and make it ``ready`` or ``failed``. Called often, it is read by one at a time."""
    version = _claim(version_id)
    if version is None:
        return
    told_at = 0.0

    def on_progress(share: float) -> None:
        nonlocal told_at
        if time.monotonic() - told_at >= _PROGRESS_EVERY_S:
            told_at = time.monotonic()
            _show_progress(version, share)

    try:
        found = statistics.survey(stored_files(version.file_set), on_progress)
    except UnusableFile as error:
        _finish(version, state=VersionState.FAILED, error=str(error))
    else:
        _finish(version, state=VersionState.READY, statistics=found.as_json())


def requeue_stale_statistics() -> int:
    """Send the hint again for pending versions that nobody reads; return how many. The scheduler calls this.

    A version whose readers died ``MAX_READS`` times becomes ``failed``.
    """
    silent = timezone.now() - SILENCE
    stale = DatasetVersion.objects.filter(
        Q(read_at=None, created_at__lt=silent) | Q(read_at__lt=silent), state=VersionState.PENDING
    ).order_by("created_at")
    hopeless = stale.filter(num_reads__gte=MAX_READS)
    for version in hopeless.select_related("dataset")[:100]:
        _finish(version, state=VersionState.FAILED, error="Reading it was broken off again and again.")
    waiting = list(stale.filter(num_reads__lt=MAX_READS).values_list("pk", flat=True)[:100])
    for pk in waiting:
        send_after_commit(STATISTICS_TASK, args=[str(pk)], expires_s=SILENCE.total_seconds())
    return len(waiting)


def _check_names(dataset: Dataset, files: Sequence[FileRef]) -> None:
    """Refuse names that would be read as another format: the runtime reads by name, too."""
    if dataset.format == DatasetFormat.AUTO:
        return
    for index, file in enumerate(files):
        if is_data(file.path) and format_of(file.path) != dataset.format:
            wanted = DatasetFormat(dataset.format).label
            raise InvalidInput(
                f"{file.path!r} does not fit the dataset's format ({wanted}): files are read by their names.",
                field=f"files.{index}.path",
                remedy="Name the file .jsonl, .parquet or .txt as it is, or use a dataset of format auto.",
            )


def _claim(version_id: UUID) -> DatasetVersion | None:
    """Become the reader of a version; None when it is read already or needs no reading."""
    now = timezone.now()
    free = DatasetVersion.objects.filter(Q(read_at=None) | Q(read_at__lt=now - SILENCE), pk=version_id)
    claimed = free.filter(state=VersionState.PENDING, num_reads__lt=MAX_READS).update(
        read_at=now, num_reads=F("num_reads") + 1, progress=0.0
    )
    if not claimed:
        return None
    return DatasetVersion.objects.select_related("dataset", "file_set").get(pk=version_id)


def _show_progress(version: DatasetVersion, share: float) -> None:
    pending = DatasetVersion.objects.filter(pk=version.pk, state=VersionState.PENDING)
    pending.update(read_at=timezone.now(), progress=share)
    _publish(version, VersionState.PENDING, share)


@transaction.atomic
def _finish(
    version: DatasetVersion, *, state: VersionState, error: str = "", statistics: dict[str, object] | None = None
) -> None:
    """Write the outcome once, whoever comes first."""
    pending = DatasetVersion.objects.filter(pk=version.pk, state=VersionState.PENDING)
    progress = 1.0 if state is VersionState.READY else version.progress
    if not pending.update(
        state=state, error=error.replace("\0", ""), statistics=statistics, progress=progress, updated_at=timezone.now()
    ):
        return
    events.record(
        version.dataset, action=f"dataset.version.{state}", after={"number": version.number}, reason=error[:1000]
    )
    _publish(version, state, progress)


def _publish(version: DatasetVersion, state: VersionState, progress: float) -> None:
    data = {"kind": "dataset_version", "version": {"id": str(version.pk), "state": str(state), "progress": progress}}
    live.publish(dataset_topic(version.dataset_id), data)
