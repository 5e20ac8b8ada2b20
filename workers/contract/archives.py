"""Archives of a program's source: what may be in one, and how it is unpacked.

The control plane checks an archive when a job is submitted; the node unpacks it with the same rules, as the job's own
user, by running this file (``python -I archives.py ARCHIVE DIRECTORY``). So it imports the standard library only.
"""

import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

MAX_MEMBERS = 20_000
MAX_UNPACKED_BYTES = 1 << 30
EXIT_BAD_ARCHIVE = 65


class BadArchive(ValueError):  # noqa: N818  named for what it is
    """The archive may not be unpacked; the message names the member."""


def check_archive(file: IO[bytes]) -> None:
    """Refuse an archive that would leave its directory, hold devices, or be too large.

    Raises:
        BadArchive: with the member that is wrong.
    """
    if zipfile.is_zipfile(file):
        file.seek(0)
        with zipfile.ZipFile(file) as archive:
            for _ in _zip_members(archive):
                pass
        return
    file.seek(0)
    try:
        with tarfile.open(fileobj=file) as archive_file:
            for _ in _tar_members(archive_file):
                pass
    except (tarfile.ReadError, EOFError, OSError) as error:
        raise BadArchive(f"it is neither a tar nor a zip archive: {error}") from error


def unpack(path: Path, directory: Path) -> None:
    """Unpack an archive into an empty directory.

    Raises:
        BadArchive: see ``check_archive``; what was written until then is left.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for info in _zip_members(archive):
                archive.extract(info, directory)
        return
    try:
        with tarfile.open(path) as archive_file:
            for member in _tar_members(archive_file):
                archive_file.extract(member, directory, filter="data")
    except (tarfile.TarError, EOFError) as error:
        raise BadArchive(str(error)) from error


def _tar_members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    total = _Total()
    for member in archive:
        total.add(member.size, member.name)
        _check_path(member.name)
        if member.issym() or member.islnk():
            base = PurePosixPath(member.name).parent if member.issym() else PurePosixPath()
            _check_link(member.name, base, member.linkname)
        elif not (member.isreg() or member.isdir()):
            raise BadArchive(f"{member.name!r} is a device or a pipe: an archive holds files, folders and links")
        yield member


def _zip_members(archive: zipfile.ZipFile) -> Iterator[zipfile.ZipInfo]:
    total = _Total()
    for info in archive.infolist():
        total.add(info.file_size, info.filename)
        _check_path(info.filename.rstrip("/"))
        if (info.external_attr >> 16) & 0o170000 == 0o120000:
            raise BadArchive(f"{info.filename!r} is a symbolic link: send a tar archive to keep links")
        yield info


class _Total:
    """Members and bytes so far."""

    def __init__(self) -> None:
        self._members = 0
        self._bytes = 0

    def add(self, size_bytes: int, name: str) -> None:
        self._members += 1
        self._bytes += size_bytes
        if self._members > MAX_MEMBERS:
            raise BadArchive(f"it has more than {MAX_MEMBERS} members: leave data and environments out of it")
        if self._bytes > MAX_UNPACKED_BYTES:
            raise BadArchive(
                f"it unpacks to more than {MAX_UNPACKED_BYTES >> 20} MiB (at {name!r}): leave data out of it"
            )


def _check_path(name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise BadArchive(f"{name!r} leads out of the archive: paths must stay below its root")


def _check_link(name: str, base: PurePosixPath, target: str) -> None:
    """Follow the link by its text alone: no step of it may climb above the root."""
    depth = len(base.parts)
    if PurePosixPath(target).is_absolute():
        raise BadArchive(f"the link {name!r} leads out of the archive, to {target!r}")
    for part in PurePosixPath(target).parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            raise BadArchive(f"the link {name!r} leads out of the archive, to {target!r}")


def main(arguments: list[str]) -> int:
    """Unpack ``arguments[0]`` into ``arguments[1]``; the exit code."""
    try:
        unpack(Path(arguments[0]), Path(arguments[1]))
    except BadArchive as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_BAD_ARCHIVE
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
