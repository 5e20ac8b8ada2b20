"""A rank of one node fails while a job trains over two.

A step's batch is the samples between its position and the one before; ``tokens`` tells the position. When it advances
by the same amount at every step of the chain of attempts, no sample was trained twice and none left out.
"""

import os
import signal

import pytest

from tests.faults.nodes.conftest import NUM_STEPS
from tests.live.api import Api, Json
from tests.live.stack import LiveStack, eventually

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]


def submit(api: Api, name: str, spec: Json, **resources: int) -> str:
    """Submit a job over two nodes and wait until it is past its second checkpoint."""
    job_id = api.submit(name, spec, **({"nodes": 2, "slots": 1} | resources))
    assert api.wait_for_step(job_id, 45)["state"] == "running"
    eventually(lambda: api.get(f"jobs/{job_id}/checkpoints")["results"], lambda saved: len(saved) >= 2)
    return job_id


def assert_whole(api: Api, job_id: str, spec: Json) -> dict[int, float]:
    """The job succeeded and its chain of attempts took every sample once; return its losses."""
    job = api.wait_final(job_id)
    assert job["state"] == "succeeded", job["state_reason"]
    tokens = api.curve(job_id, "tokens")
    per_step = spec["micro_batch_size"] * spec["gradient_accumulation"] * 2 * spec["data"]["context_length"]
    assert tokens == {step: float(step * per_step) for step in range(1, NUM_STEPS + 1)}
    return api.curve(job_id)


def test_killed_rank_is_started_again_on_both_nodes(
    cluster: LiveStack, api: Api, spec: Json, undisturbed: dict[int, float]
) -> None:
    job_id = submit(api, "kill-a-rank", spec)
    os.kill(api.pids(job_id)[-1], signal.SIGKILL)
    assert assert_whole(api, job_id, spec) == undisturbed
    assert [attempt["num_nodes"] for attempt in api.attempts(job_id)] == [2, 2]
