"""Scripts' launcher over two nodes: two of it, at two addresses of the loopback network."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from workers.runtime import elastic

SCRIPT = """
import os, signal
import torch
import torch.distributed as dist

dist.init_process_group("gloo")
total = torch.ones(1)
dist.all_reduce(total)
if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0" and os.environ["COX_RANK"] == "1":
    os.kill(os.getpid(), signal.SIGKILL)
dist.barrier()
print(os.environ["RANK"], os.environ["COX_RANK"], int(total))
dist.destroy_process_group()
"""


@pytest.mark.timeout(120)
def test_nodes_keep_the_order_of_the_gang_and_restart_together(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    addresses = ["127.0.0.9", "127.0.0.2"]  # the first node's comes last in the order of text
    with socket.create_server((addresses[0], 0)) as probe:
        endpoint = f"{addresses[0]}:{probe.getsockname()[1]}"
    launchers = []
    for node_rank, address in enumerate(addresses):
        folder = tmp_path / str(node_rank)
        (folder / "logs").mkdir(parents=True)
        for stream in ("stdout", "stderr"):
            (folder / "logs" / f"rank{node_rank}.{stream}").touch()
        config = {
            "num_nodes": 2, "node_rank": node_rank, "ranks_per_node": 1, "run_id": "test", "endpoint": endpoint,
            "address": address, "max_restarts": 1, "scratch": str(folder / "torch"),
            "failure_file": str(folder / "failure"), "control_file": str(folder / "control"),
            "logs": str(folder / "logs"), "cwd": str(tmp_path), "command": [sys.executable, "script.py"],
        }  # fmt: skip
        path = folder / "launch.json"
        path.write_text(json.dumps(config))
        command = [sys.executable, elastic.__file__, "launch", str(path)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        launchers.append(subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True))
    try:
        said = [launcher.communicate(timeout=100)[1] for launcher in launchers]
    finally:
        for launcher in launchers:
            launcher.kill()
    assert [launcher.returncode for launcher in launchers] == [0, 0], said
    printed = [(tmp_path / str(rank) / "logs" / f"rank{rank}.stdout").read_text() for rank in (0, 1)]
    assert printed == ["0 0 2\n", "1 1 2\n"], "torch's rank, ours, the sum over both; of the second round alone"
