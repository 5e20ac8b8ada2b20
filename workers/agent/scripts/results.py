"""What a script leaves in ``$COX_OUTPUT``, read when none of its processes is left."""

import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from workers.agent.beneath import UnsafeFile, open_beneath
from workers.agent.scripts.accounts import Account
from workers.contract.manifest import FileRef, Manifest, is_safe_path


class TooMuchOutput(Exception):  # noqa: N818  named for what happened
    """It is not uploaded; the message says what to do."""


@dataclass(frozen=True)
class OutputLimits:
    """The operator's limits on what one node's ranks may leave."""

    max_bytes: int = 20 << 30
    max_files: int = 10_000


def list_results(folder: Path, account: Account, limits: OutputLimits, say: Callable[[str], None]) -> Manifest | None:
    """Name the files by content; None where there are none. Links and strangers' files are left out, and said so.

    Raises:
        TooMuchOutput: there are too many files or bytes.
    """
    names = _walk(folder, say)
    if len(names) > limits.max_files:
        raise TooMuchOutput(
            f"the script left {len(names)} files in $COX_OUTPUT, at most {limits.max_files} are kept: pack them"
        )
    refs, total_bytes = [], 0
    for name in names:
        try:
            fd = open_beneath(folder, name)
        except (UnsafeFile, FileNotFoundError) as error:
            say(f"left out of the output: {error}")
            continue
        with os.fdopen(fd, "rb") as file:
            status = os.fstat(fd)
            if not account.owns(status):
                say(f"left out of the output: {name!r} is another user's file")
                continue
            total_bytes += status.st_size
            if total_bytes > limits.max_bytes:
                raise TooMuchOutput(
                    f"the script left more than {limits.max_bytes / 2**30:g} GiB in $COX_OUTPUT: write less there, or "
                    "have the operator raise --output-gib"
                )
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        refs.append(FileRef(path=name, size_bytes=status.st_size, sha256=digest))
    return Manifest(files=tuple(refs)) if refs else None


def _walk(folder: Path, say: Callable[[str], None]) -> list[str]:
    found = []
    for directory, _, files, fd in os.fwalk(folder, follow_symlinks=False):
        for name in files:
            relative = Path(directory, name).relative_to(folder).as_posix()
            if not is_safe_path(relative):
                say(f"left out of the output: unsafe name {relative!r}")
            elif stat.S_ISLNK(os.lstat(name, dir_fd=fd).st_mode):
                say(f"left out of the output: {relative!r} is a link")
            else:
                found.append(relative)
    return sorted(found)
