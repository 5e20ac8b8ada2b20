"""What a script job names, checked when it is submitted: secrets, uploaded files, protocols, what is in an archive."""

import tempfile
from collections.abc import Iterable

from django.conf import settings

from apps.core.errors import InvalidInput
from apps.projects.models import Project
from apps.secrets.selectors import missing_secrets
from apps.storage.backend import storage
from apps.storage.models import Artifact, FileSet
from apps.storage.services import build_file_set
from workers.contract.archives import BadArchive, check_archive
from workers.contract.jobs import AnySpec
from workers.contract.manifest import FileRef
from workers.contract.scripting import ArchiveSource, GitSource, ScriptSpec, UploadedFile, git_protocol

MAX_ARCHIVE_BYTES = 256 << 20
_SPOOL_BYTES = 4 << 20
_FIELDS = {"source.archive": "archive", "source.bundle": "bundle", "uncommitted.diff": "diff"}


def check_script(*, project: Project, spec: ScriptSpec) -> None:
    """Refuse what could not run anywhere.

    Raises:
        InvalidInput: with the field's path.
    """
    _check_secrets(project, spec)
    for name, file in spec.uploaded_files.items():
        _stored(project, file, f"spec.code.{_FIELDS[name]}")
    if isinstance(spec.code, GitSource):
        _check_protocol(git_protocol(spec.code.url))
    if isinstance(spec.code, ArchiveSource):
        _check_archive(_stored(project, spec.code.archive, "spec.code.archive"))


def store_source(*, project: Project, spec: AnySpec) -> FileSet | None:
    """Keep the files that were sent for a script as long as its job; None where there are none.

    Raises:
        InvalidInput: one of them is not stored any more.
    """
    files = spec.uploaded_files if isinstance(spec, ScriptSpec) else {}
    refs = [FileRef(path=name, sha256=file.sha256, size_bytes=file.size_bytes) for name, file in sorted(files.items())]
    return build_file_set(workspace=project.workspace, files=refs) if refs else None


def _check_secrets(project: Project, spec: ScriptSpec) -> None:
    missing = missing_secrets(project_id=project.pk, names=spec.secret_names)
    if not missing:
        return
    fields: Iterable[tuple[str, str | None]] = [
        *((f"spec.secrets.{index}.secret", delivery.secret) for index, delivery in enumerate(spec.secrets)),
        ("spec.code.password_secret", getattr(spec.code, "password_secret", None)),
        ("spec.code.ssh_key_secret", getattr(spec.code, "ssh_key_secret", None)),
    ]
    field = next(path for path, name in fields if name in missing)
    raise InvalidInput(
        f"The project has no secret named {', '.join(missing)}.",
        field=field,
        remedy="Set it with `cox secret set NAME`, or correct the name.",
    )


def _check_protocol(protocol: str) -> None:
    if protocol not in settings.GIT_PROTOCOLS:
        allowed = ", ".join(settings.GIT_PROTOCOLS)
        raise InvalidInput(f"Repositories may be fetched by {allowed} only, not by {protocol}.", field="spec.code.url")


def _stored(project: Project, file: UploadedFile, field: str) -> Artifact:
    artifact = Artifact.objects.filter(workspace_id=project.workspace_id, sha256=file.sha256).first()
    if artifact is None:
        raise InvalidInput(
            "The file is not stored: upload and finalise it first.", field=f"{field}.sha256",
            remedy="`cox job submit --source DIR` makes and sends it.",
        )  # fmt: skip
    if artifact.size_bytes != file.size_bytes:
        raise InvalidInput(f"The file has {artifact.size_bytes} bytes.", field=f"{field}.size_bytes")
    return artifact


def _check_archive(artifact: Artifact) -> None:
    """Look into the archive; the node looks again when it unpacks it."""
    field = "spec.code.archive"
    if artifact.size_bytes > MAX_ARCHIVE_BYTES:
        raise InvalidInput(
            f"An archive has at most {MAX_ARCHIVE_BYTES >> 20} MiB: leave data and environments out of it.",
            field=field,
        )
    with tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES) as file:
        for chunk in storage().read(artifact.storage_key):
            file.write(chunk)
        file.seek(0)
        try:
            check_archive(file)
        except BadArchive as error:
            raise InvalidInput(f"The archive cannot be used: {error}.", field=field) from error
