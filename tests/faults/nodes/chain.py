"""What must hold of a job's chain of attempts, whatever failed under it.

A step's batch is the samples between its position and the one before; ``tokens`` tells the position. When it advances
by the same amount at every step of the chain, no sample was trained twice and none left out; and equal losses say that
each step saw the samples that it sees in a run to which nothing happens.
"""

from itertools import pairwise
from pathlib import Path

from tests.faults.nodes.conftest import NUM_STEPS
from tests.live.api import Api, Json
from tests.live.stack import eventually


def submit(api: Api, name: str, spec: Json, **resources: int) -> str:
    """Submit a job over two nodes and wait until it is past its second checkpoint."""
    job_id = api.submit(name, spec, **({"nodes": 2, "slots": 1} | resources))
    assert api.wait_for_step(job_id, 45)["state"] == "running"
    eventually(lambda: api.get(f"jobs/{job_id}/checkpoints")["results"], lambda saved: len(saved) >= 2)
    return job_id


def assert_whole(api: Api, job_id: str, spec: Json) -> dict[int, float]:
    """The job succeeded, its attempts took turns, and every sample was taken once; return its losses."""
    job = api.wait_final(job_id)
    assert job["state"] == "succeeded", job["state_reason"]
    tokens = api.curve(job_id, "tokens")
    per_step = spec["micro_batch_size"] * spec["gradient_accumulation"] * 2 * spec["data"]["context_length"]
    assert tokens == {step: float(step * per_step) for step in range(1, NUM_STEPS + 1)}
    attempts = api.attempts(job_id)
    said = [(row["num_nodes"], row["outcome"], row["resumed_step"], row["reason"]) for row in attempts]
    saved = api.get(f"jobs/{job_id}/checkpoints")["results"]
    for earlier, later in pairwise(attempts):
        assert earlier["ended_at"] <= later["started_at"], f"two attempts were open at once: {said}"
    for attempt in attempts:
        last = max((row["step"] for row in saved if row["attempt"] == attempt["number"]), default=0)
        resumed = [row["resumed_step"] for row in attempts[attempt["number"] :] if row["resumed_step"] is not None]
        assert all(step >= last for step in resumed), (
            f"one went on before what attempt {attempt['number']} saved: {said}"
        )
    return api.curve(job_id)


def sizes(api: Api, job_id: str) -> list[int]:
    """The number of nodes of each attempt."""
    return [attempt["num_nodes"] for attempt in api.attempts(job_id)]


def wait_for_attempt(api: Api, job_id: str, number: int, *, timeout_s: float = 60) -> None:
    """Wait until the job has begun that attempt."""
    eventually(lambda: len(api.attempts(job_id)), lambda count: count >= number, timeout_s=timeout_s)


def gone(pids: list[int]) -> bool:
    """Tell whether none of the processes exists."""
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)
