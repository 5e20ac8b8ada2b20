"""Files of the server's own disk that an administrator allows datasets to be made of (COX_SERVER_PATHS).

A path that is not allowed and one that does not exist are refused in the same words: the answer says nothing about
the server's disk.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from apps.core.errors import InvalidInput
from apps.datasets.documents import is_data
from apps.storage.services import MAX_FILES
from workers.contract.manifest import is_safe_path

MAX_BYTES = 64 * 1024**3
"""Most bytes of one import: it is copied while the request waits."""


@dataclass(frozen=True, slots=True)
class ServerFile:
    """A regular file, and its path inside the dataset."""

    source: Path
    path: str
    size_bytes: int


def list_server_files(server_path: str) -> list[ServerFile]:
    """Return the data files of an allowed directory, or the one allowed file, ordered by path.

    Raises:
        InvalidInput: not allowed or not there, a link that leaves the allowed directory, no data files, or too much.
    """
    root, start = _locate(server_path)
    sources = [start] if start.is_file() else sorted(_walk(start))
    base = start.parent if start.is_file() else start
    found = []
    for source in sources:
        path = source.relative_to(base).as_posix()
        if is_data(path):
            found.append(ServerFile(_inside(source, root), path, source.stat().st_size))
    if not found:
        raise _refusal(f"{server_path} holds no data files.")
    if len(found) > MAX_FILES or sum(file.size_bytes for file in found) > MAX_BYTES:
        raise _refusal(f"At most {MAX_FILES} files and {MAX_BYTES} bytes are taken at once.")
    for file in found:
        if not is_safe_path(file.path):
            raise _refusal(f"The file name {file.path!r} cannot be used.")
    return found


def _locate(server_path: str) -> tuple[Path, Path]:
    """Return the allowed directory and the real path inside it."""
    unknown = _refusal(
        "This is no file or directory below one that the administrator allows.",
        remedy="Ask the operator to add the directory to COX_SERVER_PATHS, or upload the files.",
    )
    given = Path(server_path)
    if "\0" in server_path or not given.is_absolute():
        raise unknown
    try:
        real = given.resolve(strict=True)
        roots = [Path(root).resolve(strict=True) for root in settings.SERVER_PATHS]
    except (OSError, RuntimeError):  # missing, unreadable, or links in a circle
        raise unknown from None
    root = next((root for root in roots if real.is_relative_to(root)), None)
    if root is None or not (real.is_file() or real.is_dir()):
        raise unknown
    return root, real


def _walk(start: Path) -> list[Path]:
    found: list[Path] = []
    for folder, folders, names in os.walk(start, onerror=_raise):  # links to directories are not followed
        folders[:] = sorted(name for name in folders if is_data(name))
        found += [Path(folder) / name for name in names if is_data(name) and (Path(folder) / name).is_file()]
        if len(found) > MAX_FILES:
            break
    return found


def _raise(error: OSError) -> None:
    raise _refusal(f"{error.filename} cannot be read by the server.") from error


def _inside(source: Path, root: Path) -> Path:
    """Return the real file, which a link may not move out of the allowed directory."""
    real = source.resolve(strict=True)
    if not real.is_relative_to(root):
        raise _refusal(f"{source.name} is a link that leaves the allowed directory.")
    return real


def _refusal(message: str, remedy: str | None = None) -> InvalidInput:
    return InvalidInput(message, field="server_path", remedy=remedy)
