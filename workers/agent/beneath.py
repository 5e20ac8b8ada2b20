"""Opening files below a directory that somebody else may be changing: no link is followed on the way."""

import os
import stat
from pathlib import Path

from workers.contract.manifest import is_safe_path


class UnsafeFile(Exception):  # noqa: N818  named for what happened
    """It is no plain file below the directory."""


def open_beneath(root: Path, relative: str) -> int:
    """Open a plain file for reading; the descriptor.

    Raises:
        UnsafeFile: the path leads through a link or out of ``root``, or to something else than a file.
        FileNotFoundError: there is none.
    """
    if not is_safe_path(relative):
        raise UnsafeFile(f"unsafe path {relative!r}")
    *folders, name = relative.split("/")
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        for part in folders:
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            os.close(folder)
            folder = below
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UnsafeFile(f"{relative!r} is no plain file: {error.strerror}") from error
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise UnsafeFile(f"{relative!r} is no plain file")
    return fd
