"""What runs on a data directory: written by the supervisor, read by `cox status`, `cox down` and the next start.

A process is named by its id *and* the time it started, so an id used again by something else is never taken for ours.
Whether a supervisor runs is said by a file lock, which the kernel drops when its holder dies, never by this file.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from coxswain.stack.errors import StackError
from coxswain.stack.paths import StackPaths


@dataclass(frozen=True)
class ProcessId:
    """One process, unmistakably."""

    pid: int
    start_ticks: int
    """Clock ticks between boot and the start of the process."""

    @property
    def is_alive(self) -> bool:
        """Say whether this very process still runs (a zombie does not)."""
        found = process_id(self.pid)
        return found == self


def process_id(pid: int) -> ProcessId | None:
    """Identify the process that has ``pid`` now; None if there is none or it is a zombie."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if after_name[0] == "Z" else ProcessId(pid, int(after_name[19]))


@dataclass
class ChildState:
    """One supervised process as last seen."""

    name: str
    status: str
    """starting, ready, waiting (before a restart) or stopped."""
    process: ProcessId | None = None
    restarts: int = 0


@dataclass
class StackState:
    """The whole stack as last seen."""

    url: str = ""
    host: str = ""
    port: int = 0
    postgres_port: int | None = None
    redis_port: int | None = None
    is_ready: bool = False
    supervisor: ProcessId | None = None
    children: list[ChildState] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Replace the file as a whole, so that a reader never sees half of it."""
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(self), indent=2) + "\n")
        partial.chmod(0o600)
        partial.replace(path)


def _process(stored: dict[str, int] | None) -> ProcessId | None:
    return ProcessId(**stored) if stored else None


def load_state(path: Path) -> StackState:
    """Read the last state; an absent or unreadable file is an empty one, for it must never stop a start."""
    try:
        stored = json.loads(path.read_text())
        children = [ChildState(**{**child, "process": _process(child["process"])}) for child in stored.pop("children")]
        return StackState(**{**stored, "supervisor": _process(stored["supervisor"]), "children": children})
    except (OSError, ValueError, TypeError, KeyError):
        return StackState()


@contextlib.contextmanager
def hold_lock(paths: StackPaths) -> Iterator[None]:
    """Be the one supervisor of a data directory for the length of the block.

    Raises:
        StackError: another one holds it.
    """
    descriptor = os.open(paths.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            url = load_state(paths.state).url
            raise StackError(
                f"A stack already runs on {paths.root}{f' at {url}' if url else ''}. "
                "Stop it with `cox down`, or name another folder with --data-dir and another --port."
            ) from None
        yield
    finally:
        os.close(descriptor)


def is_running(paths: StackPaths) -> bool:
    """Say whether a supervisor lives on this data directory."""
    try:
        descriptor = os.open(paths.lock, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
