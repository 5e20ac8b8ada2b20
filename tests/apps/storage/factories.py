"""Stored files for the tests of other apps, through the real transfer protocol."""

import hashlib
import io
from collections.abc import Mapping

from apps.accounts.models import User, Workspace
from apps.storage import services
from apps.storage.models import FileSet
from workers.contract.manifest import FileRef


def store_bytes(workspace: Workspace, user: User, path: str, content: bytes) -> FileRef:
    """Upload one file of one part and name it."""
    sha256 = hashlib.sha256(content).hexdigest()
    upload = services.create_upload(workspace=workspace, user=user, sha256=sha256, size_bytes=len(content))
    if content and upload.artifact_id is None:
        services.put_part(upload=upload, number=0, stream=io.BytesIO(content))
    services.finalise_upload(upload=upload)
    return FileRef(path=path, size_bytes=len(content), sha256=sha256)


def store_files(workspace: Workspace, user: User, files: Mapping[str, bytes]) -> list[FileRef]:
    """Upload several files."""
    return [store_bytes(workspace, user, path, content) for path, content in files.items()]


def make_file_set(workspace: Workspace, user: User, files: Mapping[str, bytes]) -> FileSet:
    """Upload several files and make a set of them."""
    return services.build_file_set(workspace=workspace, files=store_files(workspace, user, files))
