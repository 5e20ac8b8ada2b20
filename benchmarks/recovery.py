"""From the death of a rank (SIGKILL) to the next training step, of a job over two nodes.

Each node is an agent of its own on one machine, at an address of the loopback network: the path through control plane,
agents and fork servers is that of two machines, without the time that packets travel.
"""

import os
import signal
import tempfile
import time
from pathlib import Path

from benchmarks.results import repeat_option, say, spread
from tests.live.api import Api, Json, stdlib_files
from tests.live.network import LoopbackNetwork
from tests.live.stack import LiveStack

SPEC = {
    "kind": "train",
    "data": {"dataset": "stdlib", "context_length": 256},
    "steps": 5_000,
    "micro_batch_size": 2,
    "validate_every_steps": 10_000,
    "checkpoint": {"every_steps": 10},
}


def recovery_s(api: Api, name: str, spec: Json) -> float:
    """Seconds from killing the second node's rank to the first step that the next attempt finishes."""
    job_id = api.submit(name, spec, nodes=2, slots=1)
    api.wait_for_step(job_id, 25)
    victim = api.pids(job_id)[-1]
    killed = time.time()
    os.kill(victim, signal.SIGKILL)
    resumed_at: float | None = None
    while resumed_at is None:
        time.sleep(0.2)
        points = api.get(f"jobs/{job_id}/metrics/points", key="loss", rank=0, max_points=100_000)
        second = next((item["index"] for item in points["attempts"] if item["attempt"] == 2), None)
        if second is not None and len(points["times_us"]) > second:
            resumed_at = points["times_us"][second] / 1e6
    api.post(f"jobs/{job_id}/kill")
    api.wait_final(job_id)
    return resumed_at - killed


def main() -> None:
    """Measure on a stack of two nodes."""
    repeat = repeat_option(__doc__, default=5)
    network = LoopbackNetwork()
    with tempfile.TemporaryDirectory(prefix="cox-bench-") as folder:
        Path(folder).chmod(0o711)  # Postgres enters it as another account when this runs as root
        stack = LiveStack(Path(folder) / "data", slots=1, hosts=[network.add_host(name) for name in ("n1", "n2")])
        try:
            stack.start_all()
            api = Api(stack.url, username="admin", password=stack.admin_password)
            api.dataset("stdlib", stdlib_files(40))
            recovery_s(api, "fills-the-cache", SPEC)
            say(
                "recovery",
                two_nodes_kill_to_next_step_s=spread([recovery_s(api, f"kill-{n}", SPEC) for n in range(repeat)]),
            )
        finally:
            stack.stop_all()


if __name__ == "__main__":
    main()
