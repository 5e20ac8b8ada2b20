"""Time from `cox up` to ready on an existing data directory, and memory (PSS) of the idle stack with its supervisor."""

import tempfile
import time
from pathlib import Path

from benchmarks.lab import connect, down, up
from benchmarks.results import repeat_option, say, spread
from coxswain.stack.memory import descendants, group_pss_mib, process_pss_mib

_SETTLE_S = 20


def main() -> None:
    """Start a few times, then look at the memory of each process."""
    repeat = repeat_option(__doc__, default=3)
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        data_dir = Path(name) / "data"
        up(data_dir)
        down(data_dir)
        ready: list[float] = []
        for number in range(repeat):
            ready.append(up(data_dir))
            if number < repeat - 1:
                down(data_dir)
        try:
            lab = connect(data_dir)
            time.sleep(_SETTLE_S)
            memory = {process: round(group_pss_mib(pid) or 0, 1) for process, pid in lab.processes().items()}
            agent = lab.processes()["agent"]
            fork_servers = sum(group_pss_mib(child) or 0 for child in descendants(agent)[1:])
            memory["agent"] = round(memory["agent"] - fork_servers, 1)
            memory["supervisor"] = round(process_pss_mib(lab.supervisor_pid()) or 0, 1)
            total = sum(memory.values())
        finally:
            down(data_dir)
    say(
        "footprint", up_to_ready_s=spread(ready), pss_mib=memory, total_without_fork_server_mib=round(total, 1),
        fork_server_mib=round(fork_servers, 1),
    )  # fmt: skip


if __name__ == "__main__":
    main()
