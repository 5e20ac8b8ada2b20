"""Collection takes what nothing needs, and nothing else."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.db.models import Q
from django.utils import timezone

from apps.accounts.models import User, Workspace
from apps.core.errors import InvalidInput
from apps.datasets.models import Dataset, DatasetVersion
from apps.projects.models import Project
from apps.storage import references, selectors, services
from apps.storage.backend import storage
from apps.storage.garbage import Collected, collect_garbage
from apps.storage.models import Artifact, FileSet, FileSetEntry, Upload
from workers.contract.manifest import FileRef

pytestmark = pytest.mark.django_db(transaction=True)
Store = Callable[[bytes], Artifact]
LATER = timedelta(days=3)


@pytest.fixture
def age() -> Callable[[], None]:
    """Make everything look as if it was last touched three days ago."""

    def run() -> None:
        past = timezone.now() - LATER
        for model in (Artifact, FileSet):
            model.objects.update(updated_at=past)
        Upload.objects.update(expires_at=past)

    return run


def file_set_of(workspace: Workspace, artifact: Artifact) -> FileSet:
    file = FileRef(path="a", size_bytes=artifact.size_bytes, sha256=artifact.sha256)
    return services.build_file_set(workspace=workspace, files=[file])


def stored_paths(artifact: Artifact) -> list[Path]:
    return [path for path in Path(storage()._path(artifact.storage_key)).parent.iterdir()]


def test_young_things_are_left_alone(workspace: Workspace, store: Store, send: Callable[[bytes], Upload]) -> None:
    file_set_of(workspace, store(b"one"))
    send(b"half way")
    assert collect_garbage() == Collected()


def test_expired_upload_goes_with_its_parts(send: Callable[[bytes], Upload], age: Callable[[], None]) -> None:
    upload = send(b"given up")
    part = upload.parts.get()
    age()
    assert collect_garbage() == Collected(uploads=1)
    assert not Upload.objects.exists()
    with pytest.raises(FileNotFoundError):
        storage().read(part.storage_key)


def test_what_a_finished_upload_stored_outlives_it(
    workspace: Workspace, store: Store, age: Callable[[], None], project: Project, editor: User
) -> None:
    artifact = store(b"kept")
    dataset = Dataset.objects.create(workspace=workspace, project=project, name="d", created_by=editor)
    DatasetVersion.objects.create(
        workspace=workspace, dataset=dataset, number=1, file_set=file_set_of(workspace, artifact)
    )
    age()
    assert collect_garbage() == Collected(uploads=1)
    assert b"".join(storage().read(artifact.storage_key)) == b"kept"


def test_unreferenced_set_and_its_bytes_go(workspace: Workspace, store: Store, age: Callable[[], None]) -> None:
    artifact = store(b"unused")
    file_set_of(workspace, artifact)
    age()
    assert collect_garbage() == Collected(uploads=1, file_sets=1, artifacts=1)
    assert not FileSet.objects.exists()
    assert not Artifact.objects.exists()
    assert stored_paths(artifact) == []


def test_open_upload_keeps_the_bytes_it_was_told_are_there(
    store: Store, age: Callable[[], None], announce: Callable[[bytes], Upload]
) -> None:
    store(b"known")
    age()
    again = announce(b"known")
    assert collect_garbage() == Collected(uploads=1)
    assert services.finalise_upload(upload=again).artifact is not None


@pytest.fixture
def dead_versions() -> Iterator[None]:
    """Count no dataset version as living."""
    before = dict(references._LIVE_ROWS)
    references.count_only(DatasetVersion, lambda: Q(pk__in=[]))
    yield
    references._LIVE_ROWS.clear()
    references._LIVE_ROWS.update(before)


def test_set_that_history_names_loses_its_files_and_can_come_back(
    workspace: Workspace, store: Store, age: Callable[[], None], project: Project, dead_versions: None
) -> None:
    artifact = store(b"old")
    file_set = file_set_of(workspace, artifact)
    dataset = Dataset.objects.create(workspace=workspace, project=project, name="d")
    DatasetVersion.objects.create(workspace=workspace, dataset=dataset, number=1, file_set=file_set)
    age()
    assert collect_garbage() == Collected(uploads=1, file_sets=1, artifacts=1)
    file_set.refresh_from_db()
    assert file_set.collected_at is not None
    assert not FileSetEntry.objects.exists()
    with pytest.raises(InvalidInput, match="not stored"):
        file_set_of(workspace, artifact)
    store(b"old")
    assert file_set_of(workspace, artifact) == file_set
    assert [file.path for file in selectors.file_refs(file_set)] == ["a"]


def test_collecting_twice_is_harmless(workspace: Workspace, store: Store, age: Callable[[], None]) -> None:
    file_set_of(workspace, store(b"unused"))
    age()
    collect_garbage()
    assert collect_garbage() == Collected()
