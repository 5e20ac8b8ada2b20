"""A script's ranks under torch's elastic agent (torchrun's engine), on one node of the gang.

Run by path with the job's own Python, so it imports the standard library and torch only::

    python elastic.py launch CONFIG.json      one per node: keeps the ranks, restarts them together when one dies
    python elastic.py rank CONFIG.json        what torch starts for each rank: one that stands between it and the script

The rank's keeper gives the script its log files and its number, passes signals on, and hides from torch how a script
ended that was asked to stop, because torch would restart it. Each dies with the one that started it.

TORCH_DISABLE_SHARE_RDZV_TCP_STORE: without it a restart after a kill meets the old store and fails (gloo,
"connectFullMesh failed").
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any

EXIT_FAILED = 1
EXIT_NO_TORCH = 66
_PR_SET_PDEATHSIG = 1
_PEER_GRACE_S = 3
"""From SIGTERM to SIGKILL when a peer has died: a rank that waits for it in a collective hears no signal."""

Config = dict[str, Any]


def launch(path: str) -> int:
    """Keep this node's ranks until they have succeeded or failed for good; the exit code."""
    config: Config = json.loads(Path(path).read_bytes())
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    try:
        from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs
        from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
        from torch.distributed.launcher.api import LaunchConfig, elastic_launch
    except ImportError as error:
        sys.stderr.write(f"torch cannot be imported: {error}\n")
        return EXIT_NO_TORCH
    signal.signal(signal.SIGTERM, _pass_to_children)
    if config["num_nodes"] > 1:
        _put_first(config["endpoint"].rpartition(":")[0])
    options: dict[str, Any] = {
        "min_nodes": config["num_nodes"],
        "max_nodes": config["num_nodes"],
        "nproc_per_node": config["ranks_per_node"],
        "run_id": config["run_id"],
        "rdzv_backend": "c10d",
        "rdzv_endpoint": config["endpoint"],
        "rdzv_configs": {"is_host": config["node_rank"] == 0, "timeout": 120},
        "max_restarts": config["max_restarts"],
        "monitor_interval": 0.1,
        "local_addr": config["address"],
        "logs_specs": DefaultLogsSpecs(log_dir=config["scratch"]),
        "signals_to_handle": "SIGINT",
        "shutdown_timeout": _PEER_GRACE_S,
    }
    known = {name: value for name, value in options.items() if name in LaunchConfig.__dataclass_fields__}
    try:
        elastic_launch(LaunchConfig(**known), sys.executable)("-I", "-S", __file__, "rank", path)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        first = config["node_rank"] * config["ranks_per_node"]
        found = {"rank": first + failure.local_rank, "code": failure.exitcode, "torch_rank": rank}
        Path(config["failure_file"]).write_text(json.dumps(found), encoding="ascii")
        return EXIT_FAILED
    return 0


def keep_rank(path: str) -> int:
    """Run the script as one rank and end as it ended."""
    parent = os.getppid()
    _die_with_parent()
    if os.getppid() != parent:
        return EXIT_FAILED
    config: Config = json.loads(Path(path).read_bytes())
    rank = config["node_rank"] * config["ranks_per_node"] + int(os.environ["LOCAL_RANK"])
    for stream, fd in (("stdout", 1), ("stderr", 2)):
        log = os.open(Path(config["logs"]) / f"rank{rank}.{stream}", os.O_WRONLY | os.O_APPEND)
        os.dup2(log, fd)
        os.close(log)
    child = subprocess.Popen(
        config["command"],
        cwd=config["cwd"],
        env={**os.environ, "COX_RANK": str(rank)},
        stdin=subprocess.DEVNULL,
        preexec_fn=_die_with_parent,  # noqa: PLW1509  this process has one thread
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: child.send_signal(received))
    code = child.wait()
    if Path(config["control_file"]).exists():  # it was asked to stop: torch shall not restart it
        return 0
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code not in {signal.SIGKILL, signal.SIGSTOP} else None
        os.kill(os.getpid(), -code)
    return code if code >= 0 else 128 - code


def _put_first(address: str) -> None:
    """Let the node at ``address`` have rank 0: torch numbers nodes by the order of their addresses as text.

    The control plane has named that node the first of the gang, and takes progress and checkpoints from it alone.
    """
    from torch.distributed.elastic.rendezvous import dynamic_rendezvous

    def key(node: Any) -> tuple[bool, str, int, int]:
        return node.addr != address, node.addr, node.pid, node.local_id

    dynamic_rendezvous._NodeDesc.__lt__ = lambda one, other: key(one) < key(other)  # type: ignore[method-assign, assignment]


def _pass_to_children(number: int, frame: FrameType | None) -> None:
    own = str(os.getpid())
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if fields[1] == own:
                os.kill(int(entry.name), number)
        except OSError:
            continue  # it ended meanwhile


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


if __name__ == "__main__":
    sys.exit({"launch": launch, "rank": keep_rank}[sys.argv[1]](sys.argv[2]))
