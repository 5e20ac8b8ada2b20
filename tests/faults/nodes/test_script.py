"""A user's script over two nodes: one c10d rendezvous across their agents, and a rank that is killed."""

import io
import os
import signal
import tarfile

import psutil
import pytest

from tests.live.api import Api, Json
from tests.live.stack import LiveStack

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

TRAIN = b"""
import os, time
import torch
import torch.distributed as dist
import coxswain

dist.init_process_group("gloo")
run = coxswain.init(total_steps=40)
print("rank", run.rank, "of", run.world_size, flush=True)
for step in range(run.resume_step + 1, 41):
    total = torch.tensor([float(step * (run.rank + 1))])
    dist.all_reduce(total)
    run.log({"loss": total}, step=step)
    if step == 10 and run.rank == 0:
        os.makedirs("last", exist_ok=True)
        open("last/step", "w").write("10")
        run.checkpoint("last", step=step)
    time.sleep(0.1)
(run.output / f"rank{run.rank}").write_text(str(float(total)))
dist.barrier()
dist.destroy_process_group()
"""


def script_spec(api: Api) -> Json:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        info = tarfile.TarInfo("train.py")
        info.size = len(TRAIN)
        archive.addfile(info, io.BytesIO(TRAIN))
    return {
        "kind": "script",
        "code": {"source": "archive", "archive": api.upload(packed.getvalue())},
        "entry": {"run": "file", "path": "train.py"},
        "max_restarts": 2,
    }


def test_killed_rank_of_a_script_over_two_nodes_is_restarted_within_its_attempt(cluster: LiveStack, api: Api) -> None:
    job_id = api.submit("script", script_spec(api), nodes=2, slots=1)
    assert api.wait_for_step(job_id, 15)["state"] == "running"
    launchers = api.pids(job_id)
    assert len(launchers) == 2
    below = psutil.Process(launchers[1]).children(recursive=True)
    (victim,) = [child.pid for child in below if child.cmdline()[-1].endswith("train.py")]
    os.kill(victim, signal.SIGKILL)
    job = api.wait_final(job_id, timeout_s=120)
    assert job["state"] == "succeeded", job["state_reason"]
    (attempt,) = api.attempts(job_id)
    assert {row["node"] for row in attempt["allocations"]} == {"n1", "n2"}
    assert api.curve(job_id) == {step: 3.0 * step for step in range(1, 41)}
    for rank in (0, 1):
        said = str(api.get(f"jobs/{job_id}/logs", rank=rank, stream="stdout"))
        assert said.count(f"rank {rank} of 2") == 2, "once in each round; torch's numbers are the control plane's"
    files = {file["path"]: file["kind"] for file in api.get(f"jobs/{job_id}/artifacts")["results"]}
    assert (files["rank0"], files["rank1"]) == ("output", "output of node 1")
