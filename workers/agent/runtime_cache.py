"""The bound of what ranks keep on this node: tokenizers and packed data, made once and used by every later job.

Layout, the runtime's: ``<kind>/<key>/`` is an entry, ``<kind>/.tmp-<key>-<pid>/`` one that is being made under
``locks/<key>.lock``. A rank holds a shared lock on the entry's directory for as long as it lives, so the kernel knows
what is in use, also of ranks that were killed. The time of last use is the directory's time of change.
"""

import contextlib
import fcntl
import logging
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workers.agent.cache import size_of_tree

_UNFINISHED = (".tmp-", ".old-", ".evicted-")

log = logging.getLogger(__name__)


class RuntimeCache:
    """Drops what was used longest ago. Safe to use from several threads."""

    def __init__(self, root: Path, *, limit_bytes: int) -> None:
        self._root = root
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()

    def trim(self) -> None:
        """Delete entries until the rest fits, and what killed ranks left half made; nothing that is in use."""
        try:
            self._trim()
        except OSError as error:  # a rank changes the cache meanwhile, or the disk is broken: the next end trims again
            log.warning("cannot trim the runtime's cache: %s", error)

    def _trim(self) -> None:
        with self._lock:
            entries = [entry for kind in _directories(self._root) for entry in _directories(kind)]
            for entry in entries:
                if entry.name.startswith(_UNFINISHED):
                    self._drop_unfinished(entry)
            whole = [entry for entry in entries if not entry.name.startswith(_UNFINISHED)]
            sizes = {entry: size_of_tree(entry) for entry in sorted(whole, key=_last_use)}
            excess_bytes = sum(sizes.values()) - self._limit_bytes
            for entry, size_bytes in sizes.items():
                if excess_bytes <= 0:
                    return
                if self._drop(entry):
                    log.info("dropped %s from the runtime's cache (%d bytes)", entry.name, size_bytes)
                    excess_bytes -= size_bytes

    def _drop(self, entry: Path) -> bool:
        with _locked_alone(entry) as is_unused:
            if not is_unused:
                return False
            trash = entry.with_name(f".evicted-{entry.name}")
            entry.rename(trash)  # in one step: a half-deleted entry must not look complete
            shutil.rmtree(trash, ignore_errors=True)
        return True

    def _drop_unfinished(self, entry: Path) -> None:
        _, _, rest = entry.name.partition("-")
        key = rest.rpartition("-")[0] or rest
        with _locked_alone(self._root / "locks" / f"{key}.lock") as is_unused:
            if is_unused:
                shutil.rmtree(entry, ignore_errors=True)


def _directories(path: Path) -> list[Path]:
    """Subdirectories; a link that a rank has put there is none."""
    if not path.is_dir():
        return []
    return [entry for entry in path.iterdir() if entry.is_dir() and not entry.is_symlink()]


def _last_use(entry: Path) -> float:
    return entry.stat().st_mtime


@contextmanager
def _locked_alone(path: Path) -> Iterator[bool]:
    """Hold ``path`` exclusively within the block; False when somebody else holds it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:  # no lock was ever made of it: nobody can hold it
        yield True
        return
    try:
        is_ours = False
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = True
        yield is_ours
    finally:
        os.close(fd)
