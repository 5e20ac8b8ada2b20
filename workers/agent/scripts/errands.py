"""Commands that prepare a script (git, pip, unpacking), run as its user with a time and a size limit."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from workers.agent.atomic import write_atomically
from workers.agent.processes import signal_group
from workers.agent.scripts.accounts import Account, NotStartable

__all__ = ["Errand", "ErrandFailed", "Interrupted", "NotStartable", "Runner", "as_account", "last_line", "read_end"]

_POLL_S = 0.05
_MEASURE_EVERY_S = 2.0
_SHOWN_BYTES = 4096
_LAUNCHER = str(Path(__file__).parents[1] / "launcher.py")


class ErrandFailed(Exception):  # noqa: N818  named for what happened
    """The command did not do its work; ``output`` is the end of what it said."""

    def __init__(self, message: str, output: str) -> None:
        super().__init__(message)
        self.output = output


class Interrupted(Exception):  # noqa: N818  named for what happened
    """Nobody wants the script to be started any more."""


@dataclass(frozen=True)
class Errand:
    """One command. The environment is all it gets."""

    command: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    timeout_s: float
    limit_bytes: int
    """Of what ``cwd`` holds while it runs."""


@dataclass(frozen=True)
class Runner:
    """Runs the errands of one allocation."""

    account: Account
    private: Path
    """A directory of the agent's own, for environments and captured output."""
    is_interrupted: Callable[[], bool]

    def run(self, errand: Errand) -> str:
        """Run a command to its end and return what it said.

        Raises:
            ErrandFailed: it ended badly, took too long, or wrote too much.
            Interrupted: it was ended because the script is not wanted any more.
        """
        output = self.private / "errand.log"
        command = as_account(errand.command, errand.env, self.account, self.private)
        with output.open("wb") as sink:
            process = subprocess.Popen(
                command, env={"PATH": os.defpath}, cwd=errand.cwd, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink,
                start_new_session=True,
            )  # fmt: skip
            try:
                self._watch(process, errand, output)
            finally:
                signal_group(process.pid, signal.SIGKILL)
                process.wait()
        said = read_end(output)
        if process.returncode != 0:
            raise ErrandFailed(f"{Path(errand.command[0]).name} ended with code {process.returncode}", said)
        return said

    def _watch(self, process: "subprocess.Popen[bytes]", errand: Errand, output: Path) -> None:
        started = measured = time.monotonic()
        while process.poll() is None:
            time.sleep(_POLL_S)
            now = time.monotonic()
            if self.is_interrupted():
                raise Interrupted
            if now - started > errand.timeout_s:
                raise ErrandFailed(f"it took longer than {errand.timeout_s:g} s", read_end(output))
            if now - measured > _MEASURE_EVERY_S:
                measured = now
                if size_bytes(errand.cwd) > errand.limit_bytes:
                    raise ErrandFailed(f"it wrote more than {errand.limit_bytes >> 20} MiB", read_end(output))


def as_account(command: tuple[str, ...], env: Mapping[str, str], account: Account, private: Path) -> tuple[str, ...]:
    """Return the command that becomes ``command`` as ``account``, with ``env`` as its whole environment.

    The environment travels in a file that the launcher removes: until the user is changed, nothing of it (LD_PRELOAD,
    say) may take effect.
    """
    path = private / f"environment-{time.monotonic_ns()}.json"
    write_atomically(path, json.dumps(dict(env)), mode=0o600)
    user = ("--uid", str(account.uid)) if account.uid is not None else ()
    return (sys.executable, "-I", "-S", _LAUNCHER, *user, "--environment", str(path), "--", *command)


def size_bytes(root: Path) -> int:
    """Return what a directory holds, links not followed; what vanishes meanwhile counts nothing."""
    total = 0
    for directory, _, names in os.walk(root):
        for name in names:
            try:
                total += os.lstat(os.path.join(directory, name)).st_size  # noqa: PTH118  a hot loop over strings
            except OSError:
                continue
    return total


def read_end(path: Path) -> str:
    """Return the last few kilobytes of a text."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _SHOWN_BYTES))
        return file.read().decode("utf-8", "replace").strip()


def last_line(text: str) -> str:
    """Return the last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:500] if lines else ""
