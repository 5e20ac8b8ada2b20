"""Receiving files: each gets its final name only once its digest is right."""

import hashlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from coxswain.client.errors import CoxswainError
from coxswain.client.models import FileEntry
from coxswain.client.transport import Transport

OnBytes = Callable[[int], None]
"""Called with the number of bytes that have just arrived."""


def download_file(
    transport: Transport, address: str, entry: FileEntry, folder: Path, on_bytes: OnBytes | None = None
) -> Path:
    """Write one file below ``folder``, by the path of its entry.

    Raises:
        CoxswainError: it arrived damaged, or its path leads out of the folder.
    """
    relative = PurePosixPath(entry.path)
    if relative.is_absolute() or ".." in relative.parts:
        raise CoxswainError(f"{entry.path!r} leads out of {folder}")
    target = folder / relative
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    digest = hashlib.sha256()
    with partial.open("wb") as stream:
        for piece in transport.download(address):
            digest.update(piece)
            stream.write(piece)
            if on_bytes is not None:
                on_bytes(len(piece))
    if digest.hexdigest() != entry.sha256:
        partial.unlink()
        raise CoxswainError(f"{entry.path} arrived damaged: download it again")
    return partial.replace(target)
