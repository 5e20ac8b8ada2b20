"""Reading uploads and sets of files."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import QuerySet, Sum

from apps.accounts.models import User, Workspace
from apps.core.errors import NotFound
from apps.storage.models import Artifact, FileSet, FileSetEntry, Upload
from workers.contract.manifest import FileRef
from workers.contract.node_api import UploadReply


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file of a set, with the key of its bytes."""

    path: str
    sha256: str
    size_bytes: int
    storage_key: str


def num_parts(upload: Upload) -> int:
    """Return into how many parts the file is cut; an empty file has none."""
    return -(-upload.size_bytes // upload.part_size_bytes)


def user_upload(*, user: User, upload_id: UUID) -> Upload:
    """Return an upload of this user.

    Raises:
        NotFound: there is none, or another sender's.
    """
    return _upload(created_by=user, pk=upload_id)


def node_upload(*, node_id: UUID, workspace_id: UUID, upload_id: UUID) -> Upload:
    """Return an upload of this node for this workspace.

    Raises:
        NotFound: there is none, or another sender's.
    """
    return _upload(node_id=node_id, workspace_id=workspace_id, pk=upload_id)


def upload_reply(upload: Upload) -> UploadReply:
    """Say what has arrived, as the contract words it."""
    numbers = upload.parts.order_by("number").values_list("number", flat=True)
    is_complete = upload.artifact_id is not None
    return UploadReply(
        upload_id=upload.pk,
        part_size_bytes=upload.part_size_bytes,
        received_parts=() if is_complete else tuple(numbers),
        complete=is_complete,
    )


def file_refs(file_set: FileSet) -> tuple[FileRef, ...]:
    """Return the files of a set by path, as the contract names them."""
    return tuple(
        FileRef(path=file.path, size_bytes=file.size_bytes, sha256=file.sha256) for file in stored_files(file_set)
    )


def stored_files(file_set: FileSet) -> list[StoredFile]:
    """Return the files of a set in the order of their paths."""
    rows = file_set.entries.order_by("path").values_list(
        "path", "artifact__sha256", "artifact__size_bytes", "artifact__storage_key"
    )
    return [StoredFile(*row) for row in rows]


def file_of_set(*, file_set: FileSet, path: str) -> StoredFile:
    """Return one file of a set.

    Raises:
        NotFound: the set has no such path.
    """
    return _stored(FileSetEntry.objects.filter(file_set=file_set, path=path), f"There is no file {path!r}.")


def file_by_digest(*, file_sets: Sequence[FileSet], sha256: str) -> StoredFile:
    """Return a file by its content from the sets the caller may read (a node: its allocation's inputs).

    Raises:
        NotFound: none of the sets holds it.
    """
    entries = FileSetEntry.objects.filter(file_set__in=file_sets, artifact__sha256=sha256)
    return _stored(entries, f"No file with SHA-256 {sha256} belongs here.")


def stored_bytes(workspace: Workspace) -> int:
    """Return how many bytes the workspace occupies."""
    return Artifact.objects.filter(workspace=workspace).aggregate(total=Sum("size_bytes"))["total"] or 0


def _upload(**lookup: object) -> Upload:
    upload = Upload.objects.filter(**lookup).first()
    if upload is None:
        raise NotFound("There is no such upload, or it has expired.")
    return upload


def _stored(entries: QuerySet[FileSetEntry], missing: str) -> StoredFile:
    row = entries.values_list("path", "artifact__sha256", "artifact__size_bytes", "artifact__storage_key").first()
    if row is None:
        raise NotFound(missing)
    return StoredFile(*row)
