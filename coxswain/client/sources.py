"""A folder as the source of a script job: a git bundle with the uncommitted changes, or an archive."""

import os
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from coxswain.client.errors import CoxswainError
from coxswain.client.transfers import LocalFile, upload_file
from coxswain.client.transport import Transport

_LEFT_OUT = frozenset({".git", ".venv", "__pycache__", "node_modules"})

Code = dict[str, Any]


def upload_source(transport: Transport, folder: Path, *, project: str) -> Code:
    """Send ``folder`` and return the spec's ``code``.

    The root of a git repository goes as a bundle of its history up to HEAD, with what is not committed as a patch
    beside it (files that git does not know are added to it). Any other folder goes as an archive.

    Raises:
        CoxswainError: the folder does not exist, or git fails.
        ApiError: the server refuses a file.
    """
    if not folder.is_dir():
        raise CoxswainError(f"{folder} is no folder")
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        if (folder / ".git").exists():
            return _bundle(transport, folder, scratch, project)
        packed = scratch / "source.tar.gz"
        with tarfile.open(packed, "w:gz") as archive:
            archive.add(folder, ".", filter=_keep)
        return {"source": "archive", "archive": _send(transport, packed, project)}


def _bundle(transport: Transport, folder: Path, scratch: Path, project: str) -> Code:
    commit = _git(folder, "rev-parse", "HEAD").decode().strip()
    bundle, patch = scratch / "source.bundle", scratch / "uncommitted.diff"
    _git(folder, "bundle", "create", "-q", str(bundle), "HEAD")
    # an index of its own: the person's staging area stays as it is
    index = {"GIT_INDEX_FILE": str(scratch / "index")}
    _git(folder, "read-tree", "HEAD", env=index)
    _git(folder, "add", "--all", env=index)
    patch.write_bytes(_git(folder, "diff", "--cached", "--binary", "HEAD", env=index))
    code: Code = {"source": "bundle", "commit": commit, "bundle": _send(transport, bundle, project)}
    return code | ({"diff": _send(transport, patch, project)} if patch.stat().st_size else {})


def _git(folder: Path, *arguments: str, env: dict[str, str] | None = None) -> bytes:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, env={**os.environ, **(env or {})}, capture_output=True, check=False  # noqa: S607  whichever git the person uses
        )  # fmt: skip
    except FileNotFoundError as error:
        raise CoxswainError("git is not installed; it is needed to send a repository") from error
    if done.returncode != 0:
        raise CoxswainError(f"git {arguments[0]} fails in {folder}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def _keep(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if _LEFT_OUT & set(Path(info.name).parts) else info


def _send(transport: Transport, path: Path, project: str) -> Code:
    file = LocalFile(path, path.name, path.stat().st_size)
    return {"sha256": upload_file(transport, file, project=project), "size_bytes": file.size_bytes}
