"""How long a process has run, and how much memory it and its descendants use."""

import os
from pathlib import Path

from coxswain.stack.state import ProcessId


def uptime_s(process: ProcessId) -> float:
    """Seconds since the process started."""
    since_boot_s = float(Path("/proc/uptime").read_text().split()[0])
    return since_boot_s - process.start_ticks / os.sysconf("SC_CLK_TCK")


def descendants(pid: int) -> list[int]:
    """The process and everything it started, directly or not, as far as it still runs below it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it ended while we looked
            continue
        children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for member in found:
        found += children.get(member, [])
    return found


def process_pss_mib(pid: int) -> float | None:
    """Proportional set size of one process in MiB, 0 when it has ended; None when it may not be read."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except FileNotFoundError:
        return 0.0
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0) / 1024


def group_pss_mib(pid: int) -> float | None:
    """Proportional set size of the process and its descendants in MiB; None when they may not be read."""
    sizes = [process_pss_mib(member) for member in descendants(pid)]
    return None if None in sizes else sum(size for size in sizes if size is not None)
