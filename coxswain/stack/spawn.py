"""Starting child processes that never outlive their parent, as another user where that is needed.

Every child leads its own process group, so that stopping it reaches what it started, and asks the kernel for a signal
when its parent dies, so that a parent killed with -9 leaves nothing behind. The kernel sends that signal when the
*thread* that forked ends: spawn from a thread that lives as long as the process, as the main thread does.
"""

import contextlib
import ctypes
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from coxswain.stack.errors import StackError

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)  # loaded before any fork: nothing may be loaded between fork and exec

# The accounts Postgres may run as when the stack is started by root, best first.
_UNPRIVILEGED_ACCOUNTS = ("postgres", "coxswain", "nobody")


@dataclass(frozen=True)
class Account:
    """An operating system account to run a child as."""

    name: str
    uid: int
    gid: int

    def own(self, path: Path) -> None:
        """Make this account the owner of ``path``."""
        os.chown(path, self.uid, self.gid)


def service_account() -> Account | None:
    """Choose whom services run as: None keeps the current user, which is right for everyone but root.

    Raises:
        StackError: the current user is root and the machine has no unprivileged account.
    """
    if os.geteuid() != 0:
        return None
    for name in _UNPRIVILEGED_ACCOUNTS:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise StackError(
        "Postgres refuses to run as root, and none of the accounts "
        f"{', '.join(_UNPRIVILEGED_ACCOUNTS)} exists: create one, or start the stack as an ordinary user."
    )


def _die_with_parent(parent_pid: int, death_signal: signal.Signals) -> Callable[[], None]:
    def arm() -> None:  # runs in the child after setuid, which would have cleared the request
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent_pid:  # the parent died before the request was made
            os._exit(1)

    return arm


def spawn(
    command: Sequence[str],
    *,
    account: Account | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    output: IO[bytes] | int | None = None,
    death_signal: signal.Signals = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start ``command`` in a process group of its own, with stdout and stderr joined in ``output``."""
    return subprocess.Popen(
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd=cwd,
        env=dict(env) if env is not None else None,
        process_group=0,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        preexec_fn=_die_with_parent(os.getpid(), death_signal),  # noqa: PLW1509 (nothing but one system call)
    )


def stop_group(
    process: subprocess.Popen[bytes], *, stop_signal: signal.Signals = signal.SIGTERM, timeout_s: float = 10.0
) -> None:
    """Ask the child to stop, wait, then kill whatever of its process group is left."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(stop_signal)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout_s)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # the group outlives its leader while any member lives
    process.wait()


def wait_until(ready: Callable[[], bool], *, timeout_s: float, interval_s: float = 0.05) -> bool:
    """Poll ``ready`` until it answers True; answer False once ``timeout_s`` seconds have passed."""
    deadline = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() >= deadline:
            return False
        time.sleep(interval_s)
    return True
