"""Becomes another program that dies with the process which started it.

Run by path with ``python -I -S`` (milliseconds), so it imports the standard library only. Asking the kernel for this
between fork and exec, as ``preexec_fn`` would, is not safe in an agent with threads.
"""

import ctypes
import os
import pwd
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Handle ``[--user NAME] -- PROGRAM ARGUMENT...``."""
    parent_pid = os.getppid()
    if arguments[0] == "--user":
        account = pwd.getpwnam(arguments[1])
        if account.pw_uid != os.geteuid():
            os.initgroups(account.pw_name, account.pw_gid)
            os.setgid(account.pw_gid)
            os.setuid(account.pw_uid)
        arguments = arguments[2:]
    # After the change of user: the kernel clears the setting when credentials change. It survives exec.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:
        sys.exit("the agent died before its rank began")
    os.execv(arguments[1], arguments[1:])  # noqa: S606  no shell is the point


if __name__ == "__main__":
    main(sys.argv[1:])
