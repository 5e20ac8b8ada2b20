"""From the death of a rank (SIGKILL) to the next training step: on one node, over two nodes, and of a user's script.

Each node is an agent of its own on one machine, at an address of the loopback network: the path through control plane,
agents and fork servers is that of two machines, without the time that packets travel. A script is restarted by torch
within its attempt; its figure ends with the first step that it had not reported before the kill, so it holds the steps
since its last checkpoint (at most 20) too.
"""

import io
import os
import signal
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from benchmarks.results import repeat_option, say, spread
from tests.live.api import Api, Json, stdlib_files
from tests.live.network import LoopbackNetwork
from tests.live.stack import LiveStack
from tests.live.view import let_scripts_run

TRAIN: Json = {
    "kind": "train",
    "model": {"source": "config", "hidden_size": 128, "num_layers": 4, "num_heads": 4, "intermediate_size": 352},
    "tokenizer": {"source": "bpe", "vocab_size": 1024},
    "data": {"dataset": "stdlib", "context_length": 128},
    "steps": 100_000,
    "micro_batch_size": 2,
    "validate_every_steps": 100_000,
    "checkpoint": {"every_steps": 10},
}
EXAMPLE = Path(__file__).parents[1] / "examples" / "script"
_SOONEST_S = 0.5
"""No process of torch starts within this time: a script's step that ends sooner was under way when its peer died."""


def recovery_s(api: Api, name: str, spec: Json, *, nodes: int, victim: Callable[[list[int]], int]) -> float:
    """Seconds from killing a rank of a job of two to the end of its next step."""
    job_id = api.submit(name, spec, nodes=nodes, slots=2 // nodes)
    api.wait_for_step(job_id, 25)
    pid = victim(api.pids(job_id))
    resumed = _same_attempt if spec["kind"] == "script" else _next_attempt
    killed = time.time()
    os.kill(pid, signal.SIGKILL)
    while (at := resumed(_points(api, job_id), killed)) is None:
        time.sleep(0.2)
    api.post(f"jobs/{job_id}/kill")
    api.wait_final(job_id)
    return at - killed


def _points(api: Api, job_id: str) -> Json:
    return api.get(f"jobs/{job_id}/metrics/points", key="loss", rank=0, max_points=100_000)


def _next_attempt(points: Json, killed: float) -> float | None:
    """When the second attempt ended its first step."""
    first = next((item["index"] for item in points["attempts"] if item["attempt"] == 2), None)
    return None if first is None or len(points["times_us"]) <= first else float(points["times_us"][first]) / 1e6


def _same_attempt(points: Json, killed: float) -> float | None:
    """When the restarted ranks ended their first new step."""
    return next((at / 1e6 for at in points["times_us"] if at / 1e6 > killed + _SOONEST_S), None)


def _last(ranks: list[int]) -> int:
    return ranks[-1]


def _script_rank(launchers: list[int]) -> int:
    """The second rank of a script, below torch's launcher."""
    below = psutil.Process(launchers[0]).children(recursive=True)
    return [child.pid for child in below if "train.py" in " ".join(child.cmdline())][1]


def script_spec(api: Api) -> Json:
    """The example of a script, long enough to be killed in its middle."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(EXAMPLE, ".")
    return {
        "kind": "script",
        "code": {"source": "archive", "archive": api.upload(packed.getvalue())},
        "entry": {"run": "file", "path": "train.py"},
        "arguments": ["--steps", "100000", "--step-s", "0.02"],
    }


def main() -> None:
    """Measure on a stack of two nodes with two slots each."""
    repeat = repeat_option(__doc__, default=5)
    network = LoopbackNetwork()
    with tempfile.TemporaryDirectory(prefix="cox-bench-") as folder:
        root = Path(folder)
        root.chmod(0o711)  # Postgres enters it as another account when this runs as root
        stack = LiveStack(root / "data", slots=2, hosts=[network.add_host(name) for name in ("n1", "n2")])
        let_scripts_run(stack, root)
        try:
            stack.start_all()
            api = Api(stack.url, username="admin", password=stack.admin_password)
            api.dataset("stdlib", stdlib_files(20))
            for figure, spec, nodes, victim in (
                ("one_node_kill_to_next_step_s", TRAIN, 1, _last),
                ("two_nodes_kill_to_next_step_s", TRAIN, 2, _last),
                ("script_kill_to_next_step_s", script_spec(api), 1, _script_rank),
            ):
                recovery_s(api, "fills-the-cache", spec, nodes=nodes, victim=victim)
                runs = [recovery_s(api, f"kill-{n}", spec, nodes=nodes, victim=victim) for n in range(repeat)]
                say("recovery", **{figure: spread(runs)})
        finally:
            stack.stop_all()


if __name__ == "__main__":
    main()
