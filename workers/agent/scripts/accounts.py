"""A user id of its own for each script job, so that it reaches neither the agent's files nor another job's.

The ids name nobody in the password database. One is given out again only when nothing of its last job is left: its
processes are ended and its directory is removed before.
"""

import contextlib
import os
import pwd
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

_DEATH_TIMEOUT_S = 5.0
MARK_VARIABLE = "COX_ALLOCATION_ID"


class NotStartable(Exception):  # noqa: N818  named for what happened
    """The script cannot be started as it was described, or not here; the message says what to change."""


@dataclass(frozen=True)
class Account:
    """Whom a script runs as; ``uid`` None is the agent's own user."""

    uid: int | None

    def give(self, *paths: Path) -> None:
        """Make files and directories this user's."""
        if self.uid is not None:
            for path in paths:
                os.chown(path, self.uid, self.uid, follow_symlinks=False)

    def share(self, *paths: Path) -> None:
        """Let this user's group reach what stays the agent's."""
        if self.uid is not None:
            for path in paths:
                os.chown(path, -1, self.uid, follow_symlinks=False)

    def owns(self, status: os.stat_result) -> bool:
        """Tell whether this user made the file: another's was linked in."""
        return status.st_uid == (os.geteuid() if self.uid is None else self.uid)


class Accounts:
    """The ids of one node. Safe to use from several threads."""

    def __init__(self, uids: range, *, as_agent: bool) -> None:
        self._uids = uids
        self._as_agent = as_agent
        self._lock = threading.Lock()
        self._taken: set[int] = set()

    def take(self) -> Account:
        """Give out an account.

        Raises:
            NotStartable: the agent is no root and may not run scripts as itself, or every id is in use.
        """
        if os.geteuid() != 0:
            if self._as_agent:
                return Account(None)
            raise NotStartable(
                "this node's agent does not run as root, so it cannot give a script a user of its own: "
                "use another pool, or have the operator read about --scripts-as-agent"
            )
        with self._lock:
            busy = {uid for entry in Path("/proc").iterdir() if (uid := _owner(entry)) is not None}
            for uid in self._uids:
                if uid not in self._taken and uid not in busy and not _is_known(uid):
                    self._taken.add(uid)
                    return Account(uid)
        raise NotStartable(f"every user id for scripts is in use ({self._uids.start} to {self._uids.stop - 1})")

    def give_back(self, account: Account) -> None:
        """The job is over and nothing of it is left."""
        with self._lock:
            self._taken.discard(-1 if account.uid is None else account.uid)


def end_processes(account: Account, mark: str) -> None:
    """Kill all that a job has left running, wherever it has put itself, and wait until it is gone.

    A job with a user of its own is known by it; one that ran as the agent by ``MARK_VARIABLE`` in its environment.
    """
    deadline = time.monotonic() + _DEATH_TIMEOUT_S
    while pids := [int(entry.name) for entry in Path("/proc").iterdir() if _belongs(entry, account, mark)]:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            return
        time.sleep(0.02)


def _belongs(entry: Path, account: Account, mark: str) -> bool:
    if not entry.name.isdigit() or int(entry.name) == os.getpid():
        return False
    try:
        if (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[0] in "ZX":
            return False
        if account.uid is not None:
            return entry.stat().st_uid == account.uid
        return f"{MARK_VARIABLE}={mark}\0".encode() in (entry / "environ").read_bytes()
    except OSError:
        return False  # gone, or a stranger's


def _owner(entry: Path) -> int | None:
    try:
        return entry.stat().st_uid if entry.name.isdigit() else None
    except OSError:
        return None


def _is_known(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True
