"""Bytes on their way in, and sets of files made of them.

The protocol is the same for browsers, `cox` and nodes: ``create_upload`` announces a file by SHA-256 and size,
``put_part`` stores its parts in any order and as often as wanted, ``finalise_upload`` proves them and makes the
Artifact, ``build_file_set`` names artifacts by path. Every step may be repeated. A view adds who may do it and
nothing else: it finds the upload through ``selectors.user_upload`` or ``selectors.node_upload``, passes the request
itself as the ``stream`` of ``put_part``, and answers with ``selectors.upload_reply``.

Memory: Django's ASGI handler spools a request body of more than FILE_UPLOAD_MAX_MEMORY_SIZE bytes into a temporary
file before the view runs, and these services read it by ``CHUNK_BYTES``. So a part costs disk, never memory, and a
file is never in memory as a whole.
"""

import errno
import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Protocol
from uuid import UUID
from weakref import WeakValueDictionary

from django.db import transaction
from django.utils import timezone

from apps.accounts.models import User, Workspace
from apps.core.errors import FieldError, InvalidInput
from apps.storage.backend import CHUNK_BYTES, new_key, storage, upload_prefix
from apps.storage.errors import (
    DigestMismatch,
    PartTooLarge,
    PartTruncated,
    StorageFull,
    UploadChanged,
    UploadIncomplete,
)
from apps.storage.models import Artifact, FileSet, FileSetEntry, Upload, UploadPart
from apps.storage.selectors import num_parts
from workers.contract.manifest import FileRef, is_safe_path, set_digest

MIB = 1024 * 1024
PART_SIZE_BYTES = 16 * MIB
MAX_PARTS = 10_000
MAX_FILE_BYTES = 1024 * 1024 * MIB
MAX_FILES = 100_000
"""Most files of one set."""
UPLOAD_LIFETIME = timedelta(hours=24)
"""An upload that receives nothing for so long is given up."""

_PROOFS = 5
_locks: "WeakValueDictionary[UUID, threading.Lock]" = WeakValueDictionary()
_locks_guard = threading.Lock()


class Readable(Protocol):
    """What a part is read from: a request, a file."""

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, none at the end."""
        ...


@transaction.atomic
def create_upload(
    *, workspace: Workspace, sha256: str, size_bytes: int, user: User | None = None, node_id: UUID | None = None
) -> Upload:
    """Announce a file. The upload is complete at once when the workspace has these bytes already.

    The sender (a user or a node, exactly one) is the only one who may go on with it. Announcing the same file again
    before it is finished gives the same upload, so an interrupted sender goes on where it was.

    Raises:
        InvalidInput: the size is out of range, or the workspace has this digest under another size.
    """
    assert (user is None) != (node_id is None), "an upload has one sender"
    if not 0 <= size_bytes <= MAX_FILE_BYTES:
        raise InvalidInput(f"A file may have 0 to {MAX_FILE_BYTES} bytes.", field="size_bytes")
    artifact = Artifact.objects.select_for_update(no_key=True).filter(workspace=workspace, sha256=sha256).first()
    if artifact is not None and artifact.size_bytes != size_bytes:
        raise InvalidInput(f"The file with this SHA-256 has {artifact.size_bytes} bytes.", field="size_bytes")
    known = Upload.objects.filter(workspace=workspace, created_by=user, node_id=node_id, sha256=sha256)
    unfinished = known.filter(size_bytes=size_bytes, artifact=None, expires_at__gt=timezone.now())
    if artifact is None and (same := unfinished.order_by("id").first()) is not None:
        return same
    return Upload.objects.create(
        workspace=workspace,
        created_by=user,
        node_id=node_id,
        sha256=sha256,
        size_bytes=size_bytes,
        part_size_bytes=_part_size(size_bytes),
        artifact=artifact,
        expires_at=timezone.now() + UPLOAD_LIFETIME,
    )


def put_part(*, upload: Upload, number: int, stream: Readable, declared_bytes: int | None = None) -> None:
    """Store one part, streaming; sending it again replaces it. A complete upload ignores it.

    ``declared_bytes`` (Content-Length) lets a wrong size be refused before anything is read.

    Raises:
        InvalidInput: there is no such part number.
        PartTooLarge: more bytes than the part may have (HTTP 413).
        PartTruncated: fewer bytes than the part must have.
        StorageFull: there is no room.
    """
    expected = expected_part_size(upload, number)
    if declared_bytes is not None and declared_bytes > expected:
        raise PartTooLarge(f"Part {number} has {expected} bytes, {declared_bytes} were announced.")
    if upload.artifact_id is not None:
        return
    key = new_key(upload.pk.hex, f"part-{number}")
    _write(key, _exactly(stream, expected, number), is_durable=False)  # a lost part is found out by the digest
    with transaction.atomic():
        current = Upload.objects.select_for_update().filter(pk=upload.pk).first()
        if current is None or current.artifact_id is not None:  # finished or given up meanwhile
            transaction.on_commit(partial(storage().delete, key))
            return
        replaced = UploadPart.objects.filter(upload=current, number=number).first()
        values = {"size_bytes": expected, "storage_key": key}
        UploadPart.objects.update_or_create(upload=current, number=number, defaults=values)
        Upload.objects.filter(pk=current.pk).update(expires_at=timezone.now() + UPLOAD_LIFETIME)
        if replaced is not None:
            transaction.on_commit(partial(storage().delete, replaced.storage_key))


def finalise_upload(*, upload: Upload) -> Upload:
    """Prove size and SHA-256, make the Artifact, and return the complete upload.

    Repeating it is a no-op, and of several at once one wins and all return the same. No transaction is held while
    bytes are read. A file of one part is taken as it lies; others are put together.

    Raises:
        UploadIncomplete: parts are missing; ``extra`` names the first of them.
        DigestMismatch: the bytes are not those announced; the parts are dropped, the upload starts over.
        UploadChanged: parts were replaced again and again meanwhile.
        StorageFull: there is no room.
    """
    with _alone(upload.pk):
        for _ in range(_PROOFS - 1):
            try:
                return _prove(upload)
            except UploadChanged:  # two senders of the same file share its upload: look again at what is there now
                continue
        return _prove(upload)


def store_file(*, workspace: Workspace, user: User, source: Path) -> Artifact:
    """Copy a file of the server's own disk into the store, unless the workspace has its bytes already.

    Raises:
        InvalidInput: the file changed while it was read.
        StorageFull: there is no room.
    """
    with source.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        size_bytes = file.tell()
        upload = create_upload(workspace=workspace, sha256=sha256, size_bytes=size_bytes, user=user)
        if upload.artifact_id is None:
            file.seek(0)
            upload = _copy_in(upload, file, source.name)
    assert upload.artifact is not None
    return upload.artifact


@transaction.atomic
def build_file_set(*, workspace: Workspace, files: Sequence[FileRef]) -> FileSet:
    """Name stored artifacts by path. The same files in the same workspace give the same set.

    Call it in the transaction that makes the row which refers to the set: until then nothing but the grace period
    keeps the set.

    Raises:
        InvalidInput: no files, an unsafe or repeated path, a path below another file, a file that is not stored (each
            named), or a size that is not the stored one.
    """
    _check_paths(files)
    artifacts = _artifacts(workspace, files)
    digest = set_digest(files)
    size_bytes = sum(file.size_bytes for file in files)
    row = FileSet(workspace=workspace, digest=digest, num_files=len(files), size_bytes=size_bytes)
    FileSet.objects.bulk_create([row], ignore_conflicts=True)
    file_set = FileSet.objects.select_for_update(no_key=True).get(workspace=workspace, digest=digest)
    if file_set.pk == row.pk or file_set.collected_at is not None:
        FileSetEntry.objects.bulk_create(
            [FileSetEntry(file_set=file_set, path=file.path, artifact=artifacts[file.sha256]) for file in files],
            batch_size=5000,
        )
    file_set.collected_at = None
    file_set.save(update_fields=["collected_at", "updated_at"])  # the grace period starts afresh
    return file_set


def expected_part_size(upload: Upload, number: int) -> int:
    """Return the bytes of part ``number``.

    Raises:
        InvalidInput: there is no such part.
    """
    total = num_parts(upload)
    if not 0 <= number < total:
        allowed = f"0 to {total - 1}" if total else "none: the file is empty"
        raise InvalidInput(f"There is no part {number}; possible: {allowed}.", field="number", code="no_such_part")
    return min(upload.part_size_bytes, upload.size_bytes - number * upload.part_size_bytes)


def _part_size(size_bytes: int) -> int:
    """Return a part size that needs at most ``MAX_PARTS`` parts, of whole MiB where it must grow."""
    at_least = -(-size_bytes // MAX_PARTS)
    return PART_SIZE_BYTES if at_least <= PART_SIZE_BYTES else -(-at_least // MIB) * MIB


def _write(key: str, chunks: Iterable[bytes], *, is_durable: bool = True) -> int:
    try:
        return storage().write(key, chunks, is_durable=is_durable)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StorageFull from error
        raise


def _exactly(stream: Readable, expected: int, number: int) -> Iterator[bytes]:
    """Yield ``expected`` bytes of ``stream``, which must hold neither fewer nor more."""
    seen = 0
    while chunk := stream.read(CHUNK_BYTES):
        seen += len(chunk)
        if seen > expected:
            raise PartTooLarge(f"Part {number} has {expected} bytes, more were sent.")
        yield chunk
    if seen < expected:
        raise PartTruncated(f"Part {number} has {expected} bytes, only {seen} arrived.")


def _joined(parts: Sequence[UploadPart], observe: Callable[[bytes], None]) -> Iterator[bytes]:
    for part in parts:
        for chunk in storage().read(part.storage_key):
            observe(chunk)
            yield chunk


def _prove(upload: Upload) -> Upload:
    # Parts first: whoever publishes clears them in the same transaction, so parts that are gone mean an artifact here.
    parts = list(upload.parts.order_by("number"))
    if (upload := Upload.objects.get(pk=upload.pk)).artifact_id is not None:
        return upload
    _require_all(upload, parts)
    digest = hashlib.sha256()
    try:
        if len(parts) == 1:
            key = parts[0].storage_key
            for chunk in storage().read(key):
                digest.update(chunk)
            storage().make_durable(key)
        else:
            key = new_key(upload.pk.hex, "file")
            _write(key, _joined(parts, digest.update))
    except FileNotFoundError as error:  # another finalise has won and cleared the parts, or one was replaced
        current = Upload.objects.filter(pk=upload.pk).exclude(artifact=None).first()
        if current is None:
            raise UploadChanged from error
        return current
    if digest.hexdigest() != upload.sha256:
        _start_over(upload, parts, key)
        raise DigestMismatch(
            f"What arrived has SHA-256 {digest.hexdigest()}, announced was {upload.sha256}.",
            field="sha256",
        )
    return _publish(upload, parts, key)


@contextmanager
def _alone(upload_id: UUID) -> Iterator[None]:
    """Let this process finalise an upload once at a time.

    A sender whose patience ends before a large file is read asks again: that waits for the first and finds it done,
    rather than reading the file once more beside it. Other processes are kept right by ``_publish`` alone.
    """
    with _locks_guard:
        lock = _locks.setdefault(upload_id, threading.Lock())
    with lock:
        yield


def _require_all(upload: Upload, parts: Sequence[UploadPart]) -> None:
    present = {part.number for part in parts}
    missing = [number for number in range(num_parts(upload)) if number not in present]
    if missing:
        shown = ", ".join(str(number) for number in missing[:10]) + (", ..." if len(missing) > 10 else "")
        raise UploadIncomplete(
            f"{len(missing)} of {num_parts(upload)} parts are missing: {shown}.",
            extra={"missing_parts": missing[:1000]},
        )


def _start_over(upload: Upload, parts: Sequence[UploadPart], file_key: str) -> None:
    """Drop exactly the parts that were read: one sent meanwhile may be right."""
    keys = [part.storage_key for part in parts]
    UploadPart.objects.filter(upload=upload, storage_key__in=keys).delete()
    for key in {*keys, file_key}:
        storage().delete(key)


def _publish(upload: Upload, parts: Sequence[UploadPart], key: str) -> Upload:
    """Register the proven file under the upload's lock, then clear what it was made of."""
    with transaction.atomic():
        current = Upload.objects.select_for_update().filter(pk=upload.pk).first()
        if current is None:
            storage().delete_prefix(upload_prefix(upload.pk.hex))
            raise UploadChanged("The upload has expired; create it again.")
        if current.artifact_id is None:
            held = set(current.parts.values_list("storage_key", flat=True))
            if held != {part.storage_key for part in parts}:
                raise UploadChanged
            current.artifact = _register(current, key)
            current.save(update_fields=["artifact", "updated_at"])
            current.parts.all().delete()
    assert current.artifact is not None
    storage().delete_prefix(upload_prefix(upload.pk.hex), keep=frozenset({current.artifact.storage_key}))
    return current


def _register(upload: Upload, key: str) -> Artifact:
    """Insert the artifact, or take the one that another upload of the same bytes has made meanwhile."""
    row = Artifact(
        workspace_id=upload.workspace_id, sha256=upload.sha256, size_bytes=upload.size_bytes, storage_key=key
    )
    Artifact.objects.bulk_create([row], ignore_conflicts=True)
    known = Artifact.objects.select_for_update(no_key=True)
    return known.get(workspace_id=upload.workspace_id, sha256=upload.sha256)


def _copy_in(upload: Upload, file: IO[bytes], name: str) -> Upload:
    digest = hashlib.sha256()

    def chunks() -> Iterator[bytes]:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            yield chunk

    key = new_key(upload.pk.hex, "file")
    _write(key, chunks())
    if digest.hexdigest() != upload.sha256:
        storage().delete(key)
        raise InvalidInput(f"{name} changed while it was read.", field="server_path")
    UploadPart.objects.filter(upload=upload).delete()
    return _publish(upload, [], key)


def _check_paths(files: Sequence[FileRef]) -> None:
    if not files:
        raise InvalidInput("At least one file is needed.", field="files")
    if len(files) > MAX_FILES:
        raise InvalidInput(f"A set has at most {MAX_FILES} files.", field="files")
    paths: set[str] = set()
    errors = []
    for index, file in enumerate(files):
        if not is_safe_path(file.path):
            errors.append(FieldError(f"files.{index}.path", f"{file.path!r} is not a relative path inside the set."))
        elif file.path in paths:
            errors.append(FieldError(f"files.{index}.path", f"{file.path!r} is named twice."))
        paths.add(file.path)
    folders = {str(parent) for path in paths for parent in PurePosixPath(path).parents}
    errors += [
        FieldError(f"files.{index}.path", f"{file.path!r} is a file and a folder of another one.")
        for index, file in enumerate(files)
        if file.path in folders
    ]
    _raise_first(errors)


def _artifacts(workspace: Workspace, files: Sequence[FileRef]) -> dict[str, Artifact]:
    """Return the artifacts by digest, locked against collection until the transaction ends."""
    digests = {file.sha256 for file in files}
    # one order for everybody, so that two sets that share files cannot wait for each other
    rows = (
        Artifact.objects.select_for_update(no_key=True).filter(workspace=workspace, sha256__in=digests).order_by("pk")
    )
    artifacts = {artifact.sha256: artifact for artifact in rows}
    errors = []
    for index, file in enumerate(files):
        artifact = artifacts.get(file.sha256)
        if artifact is None:
            message = f"{file.path!r} is not stored: upload and finalise the file with SHA-256 {file.sha256} first."
            errors.append(FieldError(f"files.{index}.sha256", message))
        elif artifact.size_bytes != file.size_bytes:
            message = f"{file.path!r} has {artifact.size_bytes} bytes, not {file.size_bytes}."
            errors.append(FieldError(f"files.{index}.size_bytes", message))
    _raise_first(errors)
    return artifacts


def _raise_first(errors: Sequence[FieldError]) -> None:
    if errors:
        more = f" ({len(errors) - 1} more)" if len(errors) > 1 else ""
        raise InvalidInput(errors[0].message + more, errors=errors[:100])
