"""Becomes another program that dies with the process which started it, as another user where it is told so.

Run by path with ``python -I -S`` (milliseconds), so it imports the standard library only. Asking the kernel for this
between fork and exec, as ``preexec_fn`` would, is not safe in an agent with threads.
"""

import ctypes
import json
import os
import pwd
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38


def main(arguments: list[str]) -> None:
    """Handle ``[--user NAME | --uid NUMBER] [--environment FILE] -- PROGRAM ARGUMENT...``.

    FILE holds the program's whole environment and is removed: until the user is changed nothing of it may take effect.
    """
    parent_pid = os.getppid()
    split = arguments.index("--")
    options = dict(zip(arguments[:split:2], arguments[1:split:2], strict=True))
    env = dict(os.environ)
    if "--environment" in options:
        file = Path(options["--environment"])
        env = json.loads(file.read_bytes())
        file.unlink()
    if "--user" in options:
        _become(options["--user"])
    if "--uid" in options:
        _become_nobody_known(int(options["--uid"]))
    # After the change of user: the kernel clears the setting when credentials change. It survives exec.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:
        sys.exit("the agent died before its rank began")
    program = arguments[split + 1 :]
    os.execvpe(program[0], program, env)  # noqa: S606  no shell is the point


def _become(name: str) -> None:
    account = pwd.getpwnam(name)
    if account.pw_uid != os.geteuid():
        os.initgroups(account.pw_name, account.pw_gid)
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)


def _become_nobody_known(uid: int) -> None:
    """Take a user and group id that stand for one job alone, with no way back through a setuid program."""
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    os.umask(0o077)
    ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


if __name__ == "__main__":
    main(sys.argv[1:])
