"""Processes named so that a reused pid is never mistaken for the one that was started."""

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

_STAT_STATE, _STAT_SESSION, _STAT_START = 0, 3, 19  # fields after the command's closing parenthesis


class ProcessRecord(BaseModel):
    """A rank: leader of its own session, by pid, kernel start time and boot."""

    model_config = ConfigDict(frozen=True)

    rank: int
    pid: int
    start_ticks: int


def read_boot_id() -> str:
    """This boot of the machine; pids and start times mean nothing across two of them."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _read_stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


def read_start_ticks(pid: int) -> int | None:
    """Clock ticks from boot to the start of ``pid``; None when there is no such process."""
    fields = _read_stat(pid)
    return None if fields is None else int(fields[_STAT_START])


def is_alive(record: ProcessRecord) -> bool:
    """Tell whether that very process still runs (a zombie does not)."""
    return _runs(record.pid) and read_start_ticks(record.pid) == record.start_ticks


def _runs(pid: int) -> bool:
    fields = _read_stat(pid)
    return fields is not None and fields[_STAT_STATE] not in "ZX"


@dataclass(frozen=True)
class Trace:
    """Whether a process is held, and by whom."""

    is_stopped: bool = False
    """By a signal such as SIGSTOP."""
    is_debugged: bool = False


def read_trace(pid: int) -> Trace:
    """Ask the kernel what holds ``pid``; nothing does when there is no such process."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return Trace()
    fields = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    return Trace(is_stopped=fields["State"].startswith("T"), is_debugged=fields["TracerPid"].strip() != "0")


def signal_group(pid: int, number: signal.Signals) -> None:
    """Signal the process group led by ``pid``; one that is gone is no error."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def wait_until_gone(pid: int, *, timeout_s: float) -> bool:
    """Wait for a process that was killed, so that what it writes is complete; False when it is stuck."""
    deadline = time.monotonic() + timeout_s
    while _runs(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def kill_orphans(records: tuple[ProcessRecord, ...], *, boot_id: str) -> list[int]:
    """Kill what is left of recorded sessions; the pids that were killed.

    A session whose leader is gone still holds its number while members live, so members are found by it. A
    leader that started at another time is a stranger with a reused pid, and its session is left alone.
    """
    if boot_id != read_boot_id():
        return []
    sessions: set[int] = set()
    for record in records:
        start_ticks = read_start_ticks(record.pid)
        if start_ticks is None or start_ticks == record.start_ticks:
            sessions.add(record.pid)
    killed: list[int] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        fields = _read_stat(int(entry.name))
        if fields is None or int(fields[_STAT_SESSION]) not in sessions or fields[_STAT_STATE] in "ZX":
            continue
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(entry.name), signal.SIGKILL)
            killed.append(int(entry.name))
    return killed
