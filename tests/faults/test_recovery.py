"""Kill, cut and restart every part while a job trains: nothing may be lost, doubled or different."""

import os
import re
import signal
import time
from pathlib import Path

import pytest
from redis import Redis

from coxswain.stack.plan import node_name
from tests.faults.conftest import NUM_STEPS
from tests.live.api import Api, Json
from tests.live.stack import LiveStack, eventually
from workers.contract.queues import node_queue

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


def assert_ended_like(undisturbed: dict[int, float], api: Api, job_id: str, *, attempts: int) -> None:
    """The job succeeded after that many attempts, and its curve is, bit for bit, the undisturbed one."""
    job = api.wait_final(job_id)
    assert job["state"] == "succeeded", job["state_reason"]
    assert len(api.get(f"jobs/{job_id}/attempts")["results"]) == attempts
    assert api.curve(job_id) == undisturbed
    assert job["output_version"] is not None


def alive(pids: list[int]) -> list[int]:
    """Those of the processes that still exist."""
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def assert_logs_complete(api: Api, job_id: str, *, steps: int | None = None) -> None:
    """Every stream of every rank was closed by its end record; rank 0 has told of each of ``steps`` once."""
    for rank in (0, 1):
        for stream in ("stdout", "stderr"):
            page = api.get(f"jobs/{job_id}/logs", rank=rank, stream=stream)
            assert page["is_complete"], (rank, stream, page)
    if steps is not None:
        told = re.findall(r"^step (\d+)/\d+  loss ", api.log(job_id), flags=re.MULTILINE)
        assert [int(step) for step in told] == list(range(1, steps + 1))


def test_killed_rank_is_started_again_from_the_last_checkpoint(
    stack: LiveStack, api: Api, spec: Json, undisturbed: dict[int, float]
) -> None:
    job_id = api.submit("kill-a-rank", spec)
    assert api.wait_for_step(job_id, 40)["state"] == "running"
    os.kill(api.pids(job_id)[1], signal.SIGKILL)
    assert_ended_like(undisturbed, api, job_id, attempts=2)
    first = min(api.get(f"jobs/{job_id}/attempts")["results"], key=lambda attempt: attempt["number"])
    assert "SIGKILL" in first["reason"]


def test_frozen_rank_is_noticed_and_the_job_goes_on(
    stack: LiveStack, api: Api, spec: Json, undisturbed: dict[int, float]
) -> None:
    job_id = api.submit("freeze-a-rank", spec)
    assert api.wait_for_step(job_id, 40)["state"] == "running"
    os.kill(api.pids(job_id)[1], signal.SIGSTOP)
    assert_ended_like(undisturbed, api, job_id, attempts=2)
    first = min(api.get(f"jobs/{job_id}/attempts")["results"], key=lambda attempt: attempt["number"])
    assert first["reason"].startswith("rank 1 (process ")
    assert "was stopped by a signal" in first["reason"]


def test_agent_killed_in_mid_training_resumes_after_its_restart(
    stack: LiveStack, api: Api, spec: Json, undisturbed: dict[int, float]
) -> None:
    job_id = api.submit("kill-the-agent", spec)
    assert api.wait_for_step(job_id, 40)["state"] == "running"
    pids = api.pids(job_id)
    stack.kill("agent")
    eventually(lambda: alive(pids), lambda left: not left, timeout_s=10)
    stack.start("agent")
    assert_ended_like(undisturbed, api, job_id, attempts=2)
    assert_logs_complete(api, job_id)


def test_lost_hint_costs_one_heartbeat(stack: LiveStack, api: Api, spec: Json, undisturbed: dict[int, float]) -> None:
    agent = stack.pid("agent")
    broker = Redis.from_url(stack.plan.env["COX_BROKER_URL"])
    os.kill(agent, signal.SIGSTOP)
    time.sleep(2)  # the agent's pending BRPOP lasts a second: after it a hint stays in the queue
    try:
        job_id = api.submit("lose-the-hint", spec)
        eventually(lambda: broker.llen(node_queue(node_name())), lambda waiting: waiting == 1)
        broker.flushall()
    finally:
        os.kill(agent, signal.SIGCONT)
    assert_ended_like(undisturbed, api, job_id, attempts=1)


def test_training_goes_on_while_redis_and_postgres_are_away(
    stack: LiveStack, api: Api, spec: Json, undisturbed: dict[int, float]
) -> None:
    job_id = api.submit("no-redis-no-postgres", spec | {"steps": 100_000})
    assert api.wait_for_step(job_id, 20)["state"] == "running"
    stack.stop("redis")
    stack.kill("postgres")
    time.sleep(1)
    stack.start("postgres")
    time.sleep(29)
    stack.start("redis")
    job = api.get(f"jobs/{job_id}")
    assert job["state"] == "running"
    api.wait_for_step(job_id, max(job["progress"]["step"] + 5, NUM_STEPS + 1))
    api.post(f"jobs/{job_id}/cancel")
    assert api.wait_final(job_id)["state"] == "cancelled"
    assert len(api.get(f"jobs/{job_id}/attempts")["results"]) == 1
    curve = api.curve(job_id)
    assert sorted(curve) == list(range(1, max(curve) + 1)), "every point of every step was kept"
    assert {step: curve[step] for step in undisturbed} == undisturbed
    assert_logs_complete(api, job_id, steps=max(curve))


def test_web_server_away_for_longer_than_a_lease_disturbs_no_job(
    stack: LiveStack, api: Api, spec: Json, undisturbed: dict[int, float]
) -> None:
    job_id = api.submit("no-web", spec | {"steps": NUM_STEPS})
    assert api.wait_for_step(job_id, 20)["state"] == "running"
    stack.kill("web")
    time.sleep(25)
    stack.start("web")
    assert_ended_like(undisturbed, api, job_id, attempts=1)
    assert_logs_complete(api, job_id, steps=NUM_STEPS)


def test_cancel_stops_at_a_step_after_saving(stack: LiveStack, api: Api, spec: Json) -> None:
    job_id = api.submit("cancel", spec | {"steps": 100_000})
    api.wait_for_step(job_id, 30)
    api.post(f"jobs/{job_id}/cancel")
    job = api.wait_final(job_id, timeout_s=60)
    assert job["state"] == "cancelled"
    saved = max(checkpoint["step"] for checkpoint in api.get(f"jobs/{job_id}/checkpoints")["results"])
    assert saved == max(api.curve(job_id)), "the last trained step is the saved one"


def test_kill_ends_at_once(stack: LiveStack, api: Api, spec: Json) -> None:
    job_id = api.submit("kill", spec | {"steps": 100_000})
    api.wait_for_step(job_id, 10)
    pids = api.pids(job_id)
    api.post(f"jobs/{job_id}/kill")
    assert api.wait_final(job_id, timeout_s=30)["state"] == "cancelled"
    assert not alive(pids)
